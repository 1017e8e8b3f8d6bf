"""From numbers to one of four answers, by a rule fixed before looking, and to a sentence in plain words.

better / worse: two-sided p < 0.02, paired permutation over cells. no difference: otherwise, if the 90 % interval of the
difference lies within +-0.10 of fast_1. cannot tell: the rest. The interval is the bootstrap's over tasks, and at least
as wide as the luck of the choices alone makes it against `random` (where every choice was fast, resampling sees none),
as the numbers of tasks that differ make it against another strategy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from longodds.analysis.hypotheses import sign_flip_test
from longodds.analysis.length import length_adjusted
from longodds.analysis.library import normal_quantile
from longodds.analysis.null import ALPHA, BASELINES, Null, by_task, distinct_programs
from longodds.analysis.resampling import MIN_TASKS
from longodds.selection import TIMED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from longodds.analysis.outcomes import Outcomes
    from longodds.analysis.resampling import Bootstrap

    Floats = NDArray[np.float64]

Answer = Literal["better", "worse", "no difference", "cannot tell"]

MARGIN = 0.10
NO_CHOICE = "the log-probabilities that the choice needs are not there"
LENGTH_SHARE = 0.5
LENGTH_ALPHA = 0.10


@dataclass(frozen=True, slots=True)
class Difference:
    """a minus b in the share of fast cells. ci: 90 %, ci95: 95 %, over tasks; None with one cell or values missing.

    length_estimate, length_p: the difference from random candidates as long as the choices. nothing_to_choose: in no
    cell do the correct candidates differ. reason: why nothing can be told, if it can't be computed at all.
    """

    a: str
    b: str
    metric: str
    estimate: float = math.nan
    p: float = math.nan
    ci: tuple[float, float] | None = None
    ci95: tuple[float, float] | None = None
    minimum_detectable: float | None = None
    share_a: float = math.nan
    share_b: float = math.nan
    length_estimate: float | None = None
    length_p: float | None = None
    nothing_to_choose: bool = False
    reason: str = ""


def compare(found: Outcomes, a: str, b: str, metric: str, bootstrap: Bootstrap, null: Null | None) -> Difference:
    """a against b on a fast metric. Against random and random-top3, outcomes are permuted (`null`); against another
    strategy the sign of each cell's difference is flipped, for a task whose seeds share programs of all its cells."""
    va, vb = found.of(a, metric), found.of(b, metric)
    if missing := [x for x in (a, b) if not all(len(r.chosen[x]) for r in found.rows if r.keys)]:
        return Difference(a, b, metric, reason=f"{NO_CHOICE} ({', '.join(missing)})")
    if bool(np.isnan(va).any() or np.isnan(vb).any()) or (null is None and b in BASELINES):
        return Difference(a, b, metric, reason="some of the correct candidates were not timed")
    d = va - vb
    ci, ci95 = bootstrap.of_differences(d, (0.90, 0.95))
    base = Difference(
        a,
        b,
        metric,
        estimate=float(d.mean()),
        share_a=float(va.mean()),
        share_b=float(vb.mean()),
        ci=ci,
        ci95=ci95,
    )
    if null is None or b not in BASELINES:
        return replace(base, p=sign_flip_test(clustered(found, d))[1])
    length = None
    if b == "random" and TIMED[a] == 1 and null.rows:
        chosen = [int(r.chosen[a][0]) for r in null.rows]
        length = length_adjusted([r.tokens for r in null.rows], null.flags, chosen, null.n_cells, null.hits_p)
    spread = null.spread(a, b)
    return replace(
        base,
        ci=_widened(base, base.ci, 0.90, spread),
        ci95=_widened(base, base.ci95, 0.95, spread),
        p=null.fast_p(a, b, float(va.sum())),
        minimum_detectable=null.minimum_detectable[b],
        length_estimate=length.estimate if length else None,
        length_p=length.p if length else None,
        nothing_to_choose=all(bool((f == f[0]).all()) for f in null.flags),
    )


def clustered(found: Outcomes, d: Floats) -> Floats:
    """Differences that may change sign each: of a cell, or of all cells of a task whose seeds share programs."""
    together: dict[str, bool] = {
        rows[0].cell.task_id: not distinct_programs([np.unique(r.program) for r in rows])
        for rows in by_task([r for r in found.rows if r.keys])
    }
    units: dict[object, float] = {}
    for i, (r, value) in enumerate(zip(found.rows, d.tolist(), strict=True)):
        unit: object = r.cell.task_id if together.get(r.cell.task_id) else i
        units[unit] = units.get(unit, 0.0) + value
    return np.array(list(units.values()), dtype=np.float64)


def _widened(d: Difference, ci: tuple[float, float] | None, level: float, spread: float) -> tuple[float, float] | None:
    """At least estimate +- z spread, but no further than the difference can go: from -share_b to 1 - share_b."""
    if ci is None:
        return None
    half = normal_quantile(0.5 + level / 2) * spread
    low, high = max(d.estimate - half, -d.share_b), min(d.estimate + half, 1 - d.share_b)
    return min(ci[0], low), max(ci[1], high)


def answer(d: Difference, *, n_tasks: int, p: float | None = None) -> Answer:
    """The rule. p: the p-value to decide on, if not the difference's own (adjusted for several questions)."""
    if d.reason:
        return "cannot tell"
    if (d.p if p is None else p) < ALPHA:
        return "better" if d.estimate > 0 else "worse"
    if n_tasks < MIN_TASKS or d.ci is None:
        return "cannot tell"
    return "no difference" if max(-d.ci[0], d.ci[1]) <= MARGIN else "cannot tell"


def beyond_length(d: Difference, said: Answer) -> bool | None:
    """Whether better/worse survives when "random" is as long as the choice: at least half of the difference is left, in
    the same direction, and one-sided p < 0.05. None where nothing was claimed or no length differs."""
    if said not in ("better", "worse") or d.length_estimate is None or d.length_p is None:
        return None
    kept = d.length_estimate / d.estimate if d.estimate else 0.0
    return kept >= LENGTH_SHARE and d.length_p < LENGTH_ALPHA


WORDS = {
    "surprisal": "the most surprising correct program",
    "most-confident": "the most confident correct program",
    "median-surprisal": "the correct program of middling surprisal",
    "random": "a random correct one",
    "random-top3": "the fastest of three random correct ones",
    "surprisal-top3": "the fastest of the three most surprising",
    "confident-top3": "the fastest of the three most confident",
    "shortest": "the shortest correct program",
    "longest": "the longest correct program",
    "sum-surprisal": "the correct program with the lowest total probability",
    "sum-most-confident": "the correct program with the highest total probability",
    "sum-median-surprisal": "the correct program of middling total probability",
    "sum-surprisal-top3": "the fastest of the three with the lowest total probability",
    "sum-confident-top3": "the fastest of the three with the highest total probability",
    "length-matched-surprisal": "the correct program most surprising for its length",
    "length-matched-confident": "the correct program least surprising for its length",
    "standardised-surprisal": "the correct program most surprising per token and in total",
    "standardised-confident": "the correct program least surprising per token and in total",
    "most-common": "the correct program written most often",
    "rarest": "the correct program written least often",
    "low-tail-entropy": "the correct program with the surest ending",
    "high-tail-entropy": "the correct program with the least sure ending",
    "self-certainty": "the correct program with the highest self-certainty",
    "low-self-certainty": "the correct program with the lowest self-certainty",
}


def words(strategy: str) -> str:
    """A strategy in plain words."""
    return WORDS.get(strategy, strategy)


def verdict_document(d: Difference, *, n_tasks: int, n_cells: int, p: float | None = None) -> dict[str, Any]:
    """The `verdict` of `select --json`, with its sentence."""
    said = answer(d, n_tasks=n_tasks, p=p)
    beyond = beyond_length(d, said)
    return {
        "question": f"Is {words(d.a)} faster than the reference more often than {words(d.b)}?",
        "answer": said,
        "strategy": d.a,
        "metric": d.metric,
        "against": d.b,
        "timed": [TIMED[d.a], TIMED[d.b]],
        "estimate": d.estimate,
        "ci": d.ci,
        "ci_level": 0.90,
        "ci95": d.ci95,
        "p": d.p,
        "margin": MARGIN,
        "minimum_detectable": d.minimum_detectable,
        "beyond_length": beyond,
        "length_adjusted": {"estimate": d.length_estimate, "p": d.length_p},
        "share": d.share_a,
        "share_against": d.share_b,
        "n_tasks": n_tasks,
        "n_cells": n_cells,
        "sentence": _sentence(d, said, beyond, n_tasks, n_cells),
    }


def _sentence(d: Difference, said: Answer, beyond: bool | None, n_tasks: int, n_cells: int) -> str:
    if d.reason:
        return f"Cannot tell: {d.reason}."
    head = {"better": "Better", "worse": "Worse", "no difference": "No difference", "cannot tell": "Cannot tell"}[said]
    text = (
        f"{head}: {words(d.a)} was faster than the reference in {percent(d.share_a)} of {n_cells} cells "
        f"(task x seed), {words(d.b)} in {percent(d.share_b)}; the difference is {points(d.estimate)} points"
    )
    if d.ci is not None and n_tasks >= MIN_TASKS:
        text += f" (90 % interval {points(d.ci[0])} to {points(d.ci[1])}; p {p_text(d.p)})."
    else:
        text += f" (p {p_text(d.p)}; {n_tasks} tasks are too few for an interval over tasks)."
    if beyond is False:
        text += " Length explains it: against random programs as long as the chosen ones little or nothing is left."
    elif beyond is True:
        text += " Length does not explain it."
    if d.nothing_to_choose:
        text += " No cell had a choice to make: its correct programs were all faster, all not, or there were none."
    elif said == "cannot tell":
        if d.minimum_detectable is None:
            text += " With this many cells and candidates no difference could have been shown."
        else:
            least = points(d.minimum_detectable).lstrip("+")
            text += f" A difference of {least} points or more would have been seen in four studies of five."
    return text


def percent(share: float) -> str:
    """0.713 -> "71 %"."""
    return f"{100 * share:.0f} %"


def points(share: float) -> str:
    """Percentage points with a sign and no negative zero: 0.231 -> "+23"."""
    value = round(100 * share)
    return f"{value:+d}" if value else "0"


def p_text(p: float) -> str:
    """A p-value as people write it after the letter: "< 0.001", "= 0.034"."""
    return "< 0.001" if p < 0.001 else f"= {p:.3f}" if p < 0.1 else f"= {p:.2f}"
