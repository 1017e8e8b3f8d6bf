"""`longodds report RUN...`: one self-contained page."""

from __future__ import annotations

import json as json_module
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from longodds.cli.console import json_stdout, note_line, print_text, write_json
from longodds.errors import UserError
from longodds.store.rundir import refuse_own_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.store import RunDir


def report(
    *runs: Path,
    out: Path,
    figures: Path | None = None,
    with_: Annotated[list[Path] | None, Parameter(name="--with")] = None,
    seed: int = 0,
    json: bool = False,
) -> None:
    """Write one self-contained page about finished runs.

    Parameters
    ----------
    runs
        Run directories.
    out
        The HTML file to write.
    figures
        Directory that also gets the figures as SVG and PDF.
    with_
        A JSON document to show as well: what `compare`, `probe` or `calibrate` print with --json. May be repeated.
    seed
        Breaks ties and drives the bootstrap.
    json
        One JSON document on stdout.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a directory; --out names a file")
    refuse_own_file(out, "--out")
    if figures is not None:
        _check_folder(figures)
    with json_stdout(json) as stream:
        path = make_report(runs, out, figures=figures, seed=seed, more=with_ or ())
        if json:
            write_json(stream, {"report": str(path), "figures": None if figures is None else str(figures)})
        else:
            print_text(f"report: {path}")


def _check_folder(figures: Path) -> None:
    """Raises UserError where no figures can be written: beforehand, so that no page is written either."""
    try:
        existing = next(p for p in (figures, *figures.parents) if p.exists())
        usable = existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)
    except OSError as e:
        raise UserError(f"--figures {figures}: cannot be used: {e.strerror}") from None
    if not usable:
        why = "no permission to write there" if existing.is_dir() else "is no directory"
        raise UserError(f"--figures {figures}: {existing}: {why}; name another directory")


def make_report(
    runs: Sequence[Path],
    out: Path,
    *,
    figures: Path | None = None,
    seed: int = 0,
    result: dict[str, Any] | None = None,
    more: Sequence[Path] = (),
) -> Path:
    """The page of one run or several. result: the document of `select`, where it is at hand.

    more: files that hold the documents of `compare`, `probe` or `calibrate`. Several runs are compared by the samples
    that they took, unless one of the files compares them.
    """
    from jinja2 import UndefinedError

    from longodds.report import Documents, write_report
    from longodds.store import RunDir
    from longodds.strategies.comparing import compare
    from longodds.strategies.reading import check_seed
    from longodds.strategies.selecting import read_runs, read_tasks

    check_seed(seed)
    documents = dict(_document(path) for path in more)
    held = [RunDir.open(run) for run in runs]
    if "comparison" in documents:
        _check_compared(documents["comparison"], runs)
    if len(runs) > 1 and "comparison" not in documents:
        try:
            documents["comparison"] = dict(compare(*runs, seed=seed))
        except UserError as e:
            note_line(f"the report has no comparison of the runs: {e}")
    samples, tasks = read_runs(*runs), read_tasks(*runs)
    metrics = {str(run.path): _trajectory(run) for run in held}
    try:
        return write_report(
            out,
            samples=samples,
            tasks=tasks,
            config=in_common([run.config for run in held]),
            manifest=in_common([_without_attempts(run.manifest) for run in held]),
            figures_dir=figures,
            result=result,
            seed=seed,
            documents=Documents(**documents, metrics=metrics),
        )
    except (TypeError, KeyError, AttributeError, IndexError, ValueError, UndefinedError) as e:
        if not more:
            raise
        named = ", ".join(map(str, more))
        raise UserError(
            f"--with {named}: holds something else than `compare`, `probe` or `calibrate` print with --json "
            f"({type(e).__name__}: {e}); give the document as it was printed"
        ) from e


# Which document a file holds, by a key that only it has.
_TELLING = {"arms": "comparison", "checkpoints": "probe", "false_faster_rate": "calibration"}

_NEEDED = {
    "comparison": ("axis", "arms", "frontier", "sentence", "warnings"),
    "probe": ("checkpoints", "null", "sentence"),
    "calibration": ("n", "false_faster", "ci", "power"),
}
_LISTED = ("arms", "checkpoints", "power")  # of objects


def _document(path: Path) -> tuple[str, dict[str, Any]]:
    """Kind and content of a file. Raises UserError for one that holds none of the three documents."""
    try:
        document = json_module.loads(path.read_text(encoding="utf-8"))
    except OSError as e:
        raise UserError(f"--with {path}: cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError):
        raise UserError(
            f"--with {path}: not JSON; give what `compare`, `probe` or `calibrate` print with --json"
        ) from None
    kinds = [kind for key, kind in _TELLING.items() if isinstance(document, dict) and key in document]
    if not kinds:
        raise UserError(f"--with {path}: is no document of `compare`, `probe` or `calibrate` (--json)")
    for key in _NEEDED[kinds[0]]:
        if key not in document:
            raise UserError(f"--with {path}: field '{key}': is missing; give the whole document")
        value = document[key]
        if key in _LISTED and not (isinstance(value, list) and all(isinstance(v, dict) for v in value)):
            raise UserError(f"--with {path}: field '{key}': must be a list of objects; give the whole document")
    return kinds[0], document


def _check_compared(comparison: dict[str, Any], runs: Sequence[Path]) -> None:
    """Raises UserError where a run of the page is not among those that were compared."""
    compared = [str(arm.get("run")) for arm in comparison["arms"]]
    for run in runs:
        if not any(_may_be(run, name) for name in compared):
            raise UserError(
                f"--with: the comparison is of other runs ({', '.join(compared)}) and not of {run}; "
                "compare the runs that the report is about"
            )


def _may_be(run: Path, name: str) -> bool:
    """Whether a comparison means this run by `name`, which is relative to a folder that it does not say."""
    if run.resolve() == Path(name).resolve():
        return True
    end = tuple(part for part in Path(name).parts if part != "..")
    return bool(end) and not Path(name).is_absolute() and run.resolve().parts[-len(end) :] == end


def in_common(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Keys of all documents: the value where all agree, the list of values where they differ."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(k for d in documents for k in d):
        values = [d.get(key) for d in documents]
        merged[key] = values[0] if all(v == values[0] for v in values) else values
    return merged


def _trajectory(run: RunDir) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, those of steps whose policy a guardrail rejected marked."""
    rejected = {c.step for c in run.checkpoints() if c.rejected}
    return [{**row, "rejected": row.get("step") in rejected} for row in run.metrics()]


def _without_attempts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in manifest.items() if k != "attempts"}
