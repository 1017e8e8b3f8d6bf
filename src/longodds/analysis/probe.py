"""Over-sharpening: what a trajectory of checkpoints thinks of fixed samples whose speed is known.

Does adapting move probability onto what is fast, or onto what was met first? The same samples are scored under every
checkpoint; nothing is sampled, so nothing changes along the trajectory but the weights. Everything is computed inside a
task, on its distinct programs, and then combined over tasks; tasks are what intervals are over.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from longodds.analysis.library import student_p
from longodds.analysis.likelihood import combine, combined_interval, spearman
from longodds.analysis.plain import plain
from longodds.analysis.resampling import MIN_TASKS, Bootstrap
from longodds.analysis.verdict import p_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.documents import ProbeDocument

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]

QUARTILE = 0.25


@dataclass(frozen=True, slots=True)
class FixedTask:
    """The judged samples of one task, in the order of drawing; arrays are (n,).

    speedup: nan where not correct or not timed. surprisal: nats per token under the policy that sampled them, which
    defines the high-surprisal quartile once and for all. program, sequence: codes from 0 of the distinct program and of
    the distinct token sequence of each sample.
    """

    task_id: str
    correct: NDArray[np.bool_]
    speedup: Floats
    surprisal: Floats
    program: Ints
    sequence: Ints


@dataclass(frozen=True, slots=True)
class Scored:
    """The fixed samples under one checkpoint, per task, (n,) each. nll: nats per token of the score span, nan for an
    empty one; total: log-probability of the whole sequence, nats. step: of the checkpoint; version: of its weights."""

    step: int
    version: str
    nll: Sequence[Floats]
    total: Sequence[Floats]


@dataclass(frozen=True, slots=True)
class _Point:
    """Figures of one checkpoint, (tasks,) each; nan for a task that has none. weight: degrees of freedom of rho."""

    scored: Scored
    rho: Floats
    quartile: Floats
    weight: Floats
    quartile_weight: Floats
    nll: Floats
    entropy: Floats
    distinct: Floats
    first: Floats
    best: Floats
    covered: Floats
    pooled: float


def probe_document(
    tasks: Sequence[FixedTask],
    points: Sequence[Scored],
    nulls: Mapping[str, Sequence[Scored]],
    *,
    run: str = "",
    adapted: str = "",
) -> ProbeDocument:
    """The document of `probe --json`. points: checkpoints of the adapted run by step; nulls: the same of runs whose
    rewards were shuffled. Raises ValueError for a trajectory without a checkpoint."""
    if not points or not all(nulls.values()):
        raise ValueError("a trajectory needs at least one checkpoint")
    ordered = [_point(tasks, s) for s in sorted(points, key=lambda s: s.step)]
    shuffled = {name: [_point(tasks, s) for s in sorted(rows, key=lambda s: s.step)] for name, rows in nulls.items()}
    null = _null(ordered, shuffled)
    document = {
        "run": run,
        "adapted": adapted,
        "n_tasks": len(tasks),
        "n_samples": sum(len(t.correct) for t in tasks),
        "n_correct": sum(int(t.correct.sum()) for t in tasks),
        "checkpoints": [_row(p, ordered[0]) for p in ordered],
        "null": null,
        "sentence": _sentence(ordered, null, len(tasks)),
        "warnings": _warnings(tasks, ordered, shuffled),
    }
    return cast("ProbeDocument", plain(document))


# --- one checkpoint ----------------------------------------------------------------------------


def _point(tasks: Sequence[FixedTask], scored: Scored) -> _Point:
    rows = [_figures(t, nll, total) for t, nll, total in zip(tasks, scored.nll, scored.total, strict=True)]
    columns = np.array([r[:10] for r in rows], dtype=np.float64).reshape(len(rows), 10)
    x = np.concatenate([r[10] for r in rows]) if rows else np.zeros(0)
    y = np.concatenate([r[11] for r in rows]) if rows else np.zeros(0)
    return _Point(scored, *columns.T, pooled=spearman(x, y))


def _figures(t: FixedTask, nll: Floats, total: Floats) -> tuple[Any, ...]:
    timed = t.correct & np.isfinite(t.speedup) & np.isfinite(nll)
    score, speed, before = _by_program(t.program[timed], nll[timed], t.speedup[timed], t.surprisal[timed])
    high = np.argsort(-before, kind="stable")[: math.ceil(QUARTILE * len(before))]
    mass, covered = program_mass(t.program, t.sequence, total)
    known = mass[mass > 0]
    successes = np.flatnonzero(t.correct)
    fastest = np.flatnonzero(timed)
    n = len(nll)
    return (
        spearman(score, speed),
        spearman(score[high], speed[high]),
        max(len(score) - 1, 0),
        max(len(high) - 1, 0),
        float(nll[np.isfinite(nll)].mean()) if bool(np.isfinite(nll).any()) else math.nan,
        -float(known @ np.log(known)) if n else math.nan,
        float((1 - (1 - mass) ** n).sum()) if n else math.nan,
        float(mass[t.program[successes[0]]]) if len(successes) else math.nan,
        float(mass[t.program[fastest[np.argmax(t.speedup[fastest])]]]) if len(fastest) else math.nan,
        covered,
        score,
        speed,
    )


def _by_program(program: Ints, *columns: Floats) -> list[Floats]:
    """Mean over the samples of each program."""
    if not len(program):
        return [np.zeros(0) for _ in columns]
    _, group = np.unique(program, return_inverse=True)
    count = np.bincount(group)
    return [np.bincount(group, c) / count for c in columns]


def program_mass(program: Ints, sequence: Ints, total: Floats) -> tuple[Floats, float]:
    """((programs,) probability of each program given that one of these is written, probability that one of them is).

    A program's probability is the sum over the distinct token sequences that wrote it, each counted once.
    """
    if not len(program):
        return np.zeros(0), 0.0
    _, first = np.unique(sequence, return_index=True)
    logs, owner = total[first], program[first]
    top = float(logs.max())
    mass = np.bincount(owner, np.exp(logs - top), int(program.max()) + 1)
    return mass / mass.sum(), float(mass.sum()) * math.exp(min(top, 0.0))


# --- over tasks --------------------------------------------------------------------------------


def _mean(values: Floats) -> tuple[float | None, tuple[float, float] | None]:
    known = values[np.isfinite(values)]
    if not len(known):
        return None, None
    return float(known.mean()), Bootstrap(range(len(known))).interval(known) if len(known) > 1 else None


def _change(now: _Point, then: _Point) -> tuple[float, tuple[float, float] | None]:
    d = (now.rho - then.rho).tolist()
    return combine(d, then.weight.tolist())[0], combined_interval(d, then.weight.tolist())


def _row(p: _Point, first: _Point) -> dict[str, Any]:
    row: dict[str, Any] = {"step": p.scored.step, "version": p.scored.version}
    row["rho"] = combine(p.rho.tolist(), p.weight.tolist())[0]
    row["rho_ci"] = combined_interval(p.rho.tolist(), p.weight.tolist())
    row["rho_change"], row["rho_change_ci"] = _change(p, first)
    row["rho_high_surprisal_quartile"] = combine(p.quartile.tolist(), p.quartile_weight.tolist())[0]
    row["rho_high_surprisal_quartile_ci"] = combined_interval(p.quartile.tolist(), p.quartile_weight.tolist())
    row["pooled_rho"] = p.pooled
    for name, values in (
        ("mean_nll", p.nll),
        ("entropy", p.entropy),
        ("distinct", p.distinct),
        ("mass_on_first_success", p.first),
    ):
        row[name], row[f"{name}_ci"] = _mean(values)
    row["mass_on_best"], row["covered_mass"] = _mean(p.best)[0], _mean(p.covered)[0]
    return row


NULL_FIGURES = ("rho", "rho_change", "mean_nll", "entropy", "distinct", "mass_on_first_success")


def _null(points: Sequence[_Point], shuffled: Mapping[str, Sequence[_Point]]) -> dict[str, Any]:
    steps = [p.scored.step for p in points]
    by_step = {name: {p.scored.step: p for p in rows} for name, rows in shuffled.items()}
    common = [s for s in steps if shuffled and all(s in rows for rows in by_step.values())]
    out: dict[str, Any] = {
        "runs": list(shuffled),
        "checkpoints": [_null_row(s, [_row(by_step[n][s], shuffled[n][0]) for n in shuffled]) for s in common],
        "step": common[-1] if common else None,
        "excess": None,
        "excess_ci": None,
        "p": None,
    }
    if len(common) > 1:
        last = common[-1]
        mine = points[steps.index(last)].rho - points[0].rho
        theirs = np.array([by_step[n][last].rho - shuffled[n][0].rho for n in shuffled])
        weight = points[0].weight
        known = np.isfinite(mine) & np.isfinite(theirs).all(axis=0) & (weight > 0)
        if known.any():
            d = (mine - theirs.mean(axis=0))[known].tolist()
            out["excess"] = combine(d, weight[known].tolist())[0]
            out["excess_ci"] = combined_interval(d, weight[known].tolist())
            share = weight[known] / weight[known].sum()
            out["p"] = _one_more(float(mine[known] @ share), theirs[:, known] @ share)
    return out


def _one_more(mine: float, theirs: Floats) -> float | None:
    """Two-sided p that one run's change is another draw of what runs on shuffled rewards give: Student's t with their
    number less one. One policy is trained for all tasks, so a run is one observation, however many tasks it moves. None
    where their spread is not known: with fewer than two of them, or equal ones."""
    n = len(theirs)
    spread = float(np.std(theirs, ddof=1)) if n > 1 else 0.0
    if spread < 1e-9:
        return None
    return student_p((mine - float(theirs.mean())) / (spread * math.sqrt(1 + 1 / n)), n - 1)


def _null_row(step: int, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Means over the shuffled runs, and each run's rho."""
    known = {f: [r[f] for r in rows if r[f] is not None] for f in NULL_FIGURES}
    return {"step": step, **{f: float(np.mean(v)) if v else None for f, v in known.items()}, "rhos": known["rho"]}


# --- words -------------------------------------------------------------------------------------


def _sentence(points: Sequence[_Point], null: Mapping[str, Any], n_tasks: int) -> str:
    first, last = points[0], points[-1]
    start = combine(first.rho.tolist(), first.weight.tolist())[0]
    if math.isnan(start):
        return "Cannot tell: no task has three timed correct programs whose speed differs."
    end = combine(last.rho.tolist(), last.weight.tolist())[0]
    text = (
        f"Inside tasks, the rank correlation of improbability and speedup was {start:+.2f} at step {first.scored.step}"
    )
    if last is first:
        return text + "; there is no later checkpoint."
    change, ci = _change(last, first)
    text += f" and {end:+.2f} at step {last.scored.step}: a change of {change:+.2f}"
    text += f" (95 % interval {ci[0]:+.2f} to {ci[1]:+.2f})." if ci else "."
    if n_tasks < MIN_TASKS:
        text += f" {n_tasks} tasks are too few for an interval over tasks."
    if null["excess"] is None:
        return text + " Without a run on shuffled rewards (--null) it can't be told from what any training does."
    text += f" Against shuffled rewards the excess at step {null['step']} is {null['excess']:+.2f}"
    if null["p"] is None:
        return text + "; one run on shuffled rewards, or equal ones, can't tell how far such runs spread."
    told = "more than" if null["p"] < 0.02 else "not told apart from"
    return text + f" (p {p_text(null['p'])}): {told} what training on noise does."


def _warnings(
    tasks: Sequence[FixedTask], points: Sequence[_Point], shuffled: Mapping[str, Sequence[_Point]]
) -> list[str]:
    said: list[str] = []
    if len(tasks) < MIN_TASKS:
        said.append(f"{len(tasks)} tasks: below {MIN_TASKS} an interval over tasks can't promise its coverage")
    known = int(np.isfinite(points[0].rho).sum())
    if known < len(tasks):
        said.append(f"{len(tasks) - known} tasks have no rank correlation (fewer than three timed correct programs)")
    few = int(np.isfinite(points[0].quartile).sum())
    if few < known:
        said.append(f"{known - few} more tasks have too few programs for the high-surprisal quartile (nine are needed)")
    if not shuffled:
        said.append("no run on shuffled rewards was given: name some with --null")
    elif len(shuffled) < 3:
        said.append(f"{len(shuffled)} runs on shuffled rewards: their own spread is hardly known")
    pooled, rho = points[-1].pooled, combine(points[-1].rho.tolist(), points[-1].weight.tolist())[0]
    if math.isfinite(pooled) and math.isfinite(rho) and pooled * rho < 0:
        said.append("pooled over tasks the correlation has the opposite sign: differences between tasks made it")
    return said
