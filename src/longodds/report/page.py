"""Writes the report: one self-contained HTML page. It computes nothing of its own; the numbers are `analysis`'."""

from __future__ import annotations

import base64
import contextlib
import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import longodds
from longodds.analysis import select_runs
from longodds.analysis.scaling import early_stops
from longodds.analysis.table import labelled
from longodds.analysis.verdict import p_text
from longodds.errors import InfraError, UserError
from longodds.report.arms import arm_figures
from longodds.report.browser import browser_data, programs_of
from longodds.report.figures import build_figures
from longodds.report.schematic import dual_loop
from longodds.report.style import inline_svg, save_figures, to_svg
from longodds.report.text import (
    number,
    p_value,
    percent,
    percent_interval,
    points,
    points_interval,
    times,
    times_interval,
    visible,
    visible_values,
)

if TYPE_CHECKING:
    from longodds.types import Sample, Task, Verdict

LABELS = {
    "selection": "Bars: share of cells whose choice is fast, by strategy",
    "scaling": "Curve: share of tasks with a faster program, by K",
    "best-speedup": "Curve: expected best speedup by K",
    "strategies-by-k": "Curves: share of fast choices by K and strategy",
    "profile": "Points: share of fast candidates by quarter of surprisal",
    "scatter": "Panels: surprisal against speedup for each task",
    "statuses": "Bars: what became of the samples of each task",
    "teaser": "Curve of the share of tasks with a faster program by K, and marks for ways of choosing",
    "frontier": "Curves: share of tasks with a faster program by budget, for each run",
    "adaptation": "Curves: share of fast samples by gradient step, for each learning rate",
    "sharpening": "Curves: rank correlation of surprisal and speedup by gradient step",
    "control": "Points: share of programs called faster, unchanged and against a slowed reference",
    "loop": "Diagram: tasks, policy, programs, evaluator and choice, with an inner and an outer loop of learning",
}


@dataclass(frozen=True, slots=True)
class Documents:
    """What a report may show besides `select`: the documents of `compare`, `probe` and `calibrate`, and the rows of
    metrics.jsonl by run."""

    comparison: Mapping[str, Any] | None = None
    probe: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    metrics: Mapping[str, Sequence[Mapping[str, Any]]] | None = None

    def visible(self) -> Documents:
        """The same with control characters written out."""
        shown = (visible_values(d) for d in (self.comparison, self.probe, self.calibration))
        comparison, probe, calibration = shown
        return Documents(comparison=comparison, probe=probe, calibration=calibration)


def write_report(
    path: Path | str,
    *,
    samples: Sequence[Sample] | Mapping[str, Sequence[Sample]],
    tasks: Mapping[str, Task] | Sequence[Task],
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    figures_dir: Path | str | None = None,
    result: dict[str, Any] | None = None,
    title: str | None = None,
    seed: int = 0,
    documents: Documents | None = None,
) -> Path:
    """Write the page (and figures as SVG and PDF into `figures_dir`) and return its path.

    samples: of one run, or of several by name. tasks: for the references that programs are compared with. config and
    manifest: shown as they are, and searched for device and reference. result: the document of `select_runs` if it
    is at hand. documents: what else is known, each shown where it is given. Raises UserError where `select_runs` does
    or the files can't be written, InfraError where the disk is full; an earlier page is replaced by a whole one only.
    """
    documents = documents or Documents()
    path = Path(path)
    result = select_runs(samples, seed=seed) if result is None else result
    warnings = [*result["warnings"], *early_stops(documents.metrics or {})]
    result = {**result, "warnings": list(dict.fromkeys(warnings))}
    named = list(labelled(samples))
    flat = [s for _, s in named]
    by_id = dict(tasks) if isinstance(tasks, Mapping) else {t.id: t for t in tasks}
    by_task: dict[str, list[tuple[str, Sample]]] = {}
    for replicate, sample in named:
        if sample.verdict is not None:
            by_task.setdefault(sample.task_id, []).append((replicate, sample))
    programs = {
        k: programs_of([s for _, s in rows], seed=result["seed"], replicates=[r for r, _ in rows])
        for k, rows in sorted(by_task.items())
    }
    strategies = list(dict.fromkeys(s.strategy for s in flat))
    figures = build_figures(result, programs) | arm_figures(
        result,
        comparison=documents.comparison,
        probe=documents.probe,
        calibration=documents.calibration,
        metrics=documents.metrics,
    )
    if config.get("policy") is not None and not (isinstance(samples, Mapping) and len(samples) > 1):
        figures["loop"] = dual_loop(config, strategies[0])
    page = render_page(
        result=visible_values(result),
        documents=documents.visible(),
        figures={name: inline_svg(to_svg(f), name, LABELS[name]) for name, f in figures.items()},
        data=browser_data(programs, by_id),
        facts=measurement_facts([s.verdict for s in flat if s.verdict is not None], config, manifest),
        families={visible(k): visible(str(by_id[k].metadata.get("family", ""))) if k in by_id else "" for k in by_task},
        config=config,
        manifest=manifest,
        title=title,
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, page)
        if figures_dir is not None:
            save_figures(figures, Path(figures_dir))
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)  # no mistake of the caller
        said = f"{error.filename or path}: the report can't be written: {error.strerror}"
        raise (InfraError if full else UserError)(said) from error
    return path


def _write(path: Path, page: str) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe can't be replaced
        path.write_text(page, encoding="utf-8")
        return
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def render_page(
    *,
    result: dict[str, Any],
    figures: dict[str, str],
    data: list[dict[str, Any]],
    facts: list[tuple[str, str]],
    families: dict[str, str],
    config: Mapping[str, Any],
    manifest: Mapping[str, Any],
    title: str | None,
    documents: Documents,
) -> str:
    """The HTML text. Everything but our own style, script, SVG and escaped JSON goes through autoescape."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("longodds.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        percent_interval=percent_interval,
        points=points,
        points_interval=points_interval,
        times=times,
        times_interval=times_interval,
        number=number,
        p_value=p_value,
    )
    environment.globals["equivalent"] = equivalent
    script, css = _asset("report.js"), _asset("report.css")
    return environment.get_template("report.html.j2").render(
        r=result,
        comparison=documents.comparison,
        probe=documents.probe,
        calibration=documents.calibration,
        verdict=result["verdict"],
        sentence=_after_head(result["verdict"]["sentence"]),
        metric=result["verdict"]["metric"],
        warnings=result["warnings"],
        tiles=_tiles(result),
        likelihood_sentence=_likelihood_sentence(result["likelihood"]),
        figures={name: Markup(svg) for name, svg in figures.items()},
        families=families,
        facts=facts,
        config=visible(json.dumps(config, indent=2, default=str, ensure_ascii=False)),
        manifest=visible(json.dumps(manifest, indent=2, default=str, ensure_ascii=False)),
        data=Markup(json_for_script(data)),
        css=Markup(css),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        title=visible(title) if title else "longodds report",
        subtitle=_subtitle(result, config),
        version=longodds.__version__,
    )


def json_for_script(value: Any) -> str:
    """JSON that can't end or open a script element: <, > and & are written as escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _asset(name: str) -> str:
    return resources.files("longodds.report").joinpath("templates", name).read_text(encoding="utf-8")


def _after_head(sentence: str) -> str:
    text = sentence.split(": ", 1)[-1]
    return text[:1].upper() + text[1:]


def _subtitle(result: dict[str, Any], config: Mapping[str, Any]) -> str:
    parts = [", ".join(result["runs"])] if result["runs"] else []
    parts += [f"{name} {config[name]}" for name in ("suite", "policy", "temperature") if config.get(name) is not None]
    return visible(" · ".join(parts))


def _tiles(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    judged = sum(t["n_samples"] for t in result["per_task"])
    correct = sum(t["n_correct"] for t in result["per_task"])
    distinct = sum(t["n_distinct"] for t in result["per_task"])
    tiles = [
        ("tasks", str(result["n_tasks"]), f"{result['n_cells']} cells, K = {result['k']}"),
        ("samples", f"{judged:,}", f"{distinct:,} distinct programs"),
        ("correct", percent(correct / judged), f"{correct:,} samples"),
    ]
    if result["scaling"]:
        last = result["scaling"][-1]
        name = "any_of_k_sig" if last["any_of_k_sig"] is not None else "any_of_k"
        interval = percent_interval(last[f"{name}_ci"])
        tiles.append(
            (f"tasks with a faster program, K = {last['k']}", percent(last[name]), f"95 % interval {interval}")
        )
        tiles.append(("expected best speedup", times(last["expected_best_speedup"]), "geometric mean over tasks"))
    return tiles


def _likelihood_sentence(found: dict[str, Any]) -> str:
    if found["rho"] is None:
        return "No task has enough correct, timed programs of different surprisal to say."
    text = (
        "Inside a task, surprisal and speedup of the correct programs have a rank correlation of "
        f"{_signed(found['rho'])} (p {p_text(found['p'])}, "
        f"{found['tasks']} tasks, {found['candidates']:,} candidates)"
    )
    if found["rho_ci"] is not None:
        text += f", 95 % interval over tasks {_signed(found['rho_ci'][0])} to {_signed(found['rho_ci'][1])}"
    text += "; positive means that improbable programs are faster."
    if found["rho_given_length"] is not None:
        text += f" Given length it is {_signed(found['rho_given_length'])} (p {p_text(found['p_given_length'])})."
    if found["pooled_rho"] is not None:
        text += (
            f" Pooled over tasks, which mixes in differences between tasks, it reads {_signed(found['pooled_rho'])}."
        )
    return text


def equivalent(comparison: Mapping[str, Any], run: str) -> str:
    """The number of Best-of-N samples that an arm is worth, with its interval, as text."""
    found = (comparison.get("equivalent_k") or {}).get(run, {})
    value, interval = found.get(comparison["metric"]), found.get(f"{comparison['metric']}_ci")
    if value is None:
        return "–"
    return (
        _samples(value)
        if interval is None
        else f"{_samples(value)} ({_samples(interval[0])} to {_samples(interval[1])})"
    )


def _samples(k: float | str) -> str:
    return k if isinstance(k, str) else f"{k:.3g}"


def _signed(value: float) -> str:
    return f"{round(value, 2) + 0.0:+.2f}"


def measurement_facts(
    verdicts: Sequence[Verdict], config: Mapping[str, Any], manifest: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Device, reference, settings digest and isolation behind the timings, with what verdicts themselves say."""
    layers: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        for layer, state in verdict.isolation.items():
            layers.setdefault(layer, Counter())[state] += 1
    labels = Counter(label for v in verdicts for label in v.labels)
    evaluators = Counter(v.evaluator for v in verdicts if v.evaluator)
    timed = [v.pairs for v in verdicts if v.speedup is not None]
    facts = [
        ("device", _found(("device", "device_name", "gpu", "cpu", "machine"), manifest, config)),
        ("reference", _found(("reference",), config, manifest)),
        ("evaluator settings", ", ".join(f"{name} ({n:,} verdicts)" for name, n in sorted(evaluators.items())) or "–"),
        ("isolation", "; ".join(f"{layer}: {_states(states)}" for layer, states in sorted(layers.items())) or "–"),
        ("timed", f"{len(timed):,} samples, {sorted(timed)[len(timed) // 2]} pairs at the median" if timed else "none"),
        ("labels", ", ".join(f"{label} ({n:,})" for label, n in labels.most_common()) or "none"),
    ]
    return [(name, visible(value)) for name, value in facts]


def _states(states: Counter[str]) -> str:
    if len(states) == 1:
        return next(iter(states))
    return ", ".join(f"{state} ({n:,})" for state, n in states.most_common())


def _found(names: tuple[str, ...], *sources: Mapping[str, Any]) -> str:
    """The values of those keys in the first source that has any, as text."""
    for source in sources:
        values = [f"{_text(source[name])}" for name in names if source.get(name)]
        if values:
            return "; ".join(dict.fromkeys(values))
    return "–"


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_text(v)}" for k, v in value.items() if v not in (None, "", [], {}))
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(v) for v in value)
    return str(value)
