"""Samples arranged for analysis: cells (task x seed) of candidates with their timings, and pools (task) of samples.

Selection sees only the candidates; the timings are joined here, after the choice. Within a cell, verdicts of
different evaluator settings or devices can't be compared, and mixing them is refused.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.errors import UserError
from longodds.selection import Unit, candidate_key, judged, surprisal_of, to_candidates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from longodds.types import Candidate, Sample, Verdict

    Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """What timing said of a correct candidate; nan where it was not timed or has no interval."""

    speedup: float
    ci_low: float


UNTIMED = Measured(math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Cell:
    """One task and one seed (of one run, where several are analysed together).

    measured: of the correct candidates, by key; programs: the digest of each candidate's program, by key.
    """

    task_id: str
    replicate: str
    candidates: list[Candidate]
    measured: dict[str, Measured]
    programs: dict[str, str]


@dataclass(frozen=True, slots=True)
class TaskPool:
    """All judged samples of one task over its seeds, exchangeable if one policy wrote them. Arrays are (n,).

    surprisal in nats per token; n_tokens of the score span; group: index of the seed; program: index of the
    distinct program. speedup and ci_low are nan where not timed.
    """

    task_id: str
    correct: NDArray[np.bool_]
    speedup: Floats
    ci_low: Floats
    surprisal: Floats
    n_tokens: Floats
    group: NDArray[np.intp]
    program: NDArray[np.intp]

    @property
    def n(self) -> int:
        return len(self.correct)

    @property
    def distinct(self) -> int:
        return int(self.program.max()) + 1 if self.n else 0


@dataclass(frozen=True, slots=True)
class Pools:
    """Everything that `select` computes from. unjudged: samples without an outcome (unfinished, or ours to retry)."""

    unit: Unit
    cells: list[Cell]
    tasks: list[TaskPool]
    statuses: dict[str, int]
    unjudged: int
    evaluators: list[str]
    has_intervals: bool
    untimed: int
    without_logprobs: int


Runs = "Sequence[Sample] | Mapping[str, Sequence[Sample]]"


def build_pools(samples: Sequence[Sample] | Mapping[str, Sequence[Sample]], unit: Unit = "program") -> Pools:
    """Arrange the samples of one run, or of several by name (then a replicate is a run and a seed).

    Raises UserError for no judged sample, or for a cell whose timings come from different evaluator settings.
    """
    by_task: dict[str, dict[str, list[Sample]]] = {}
    statuses: Counter[str] = Counter()
    unjudged = 0
    for replicate, sample in _labelled(samples):
        if sample.verdict is not None:
            statuses[sample.verdict.status.value] += 1
        if not judged(sample):
            unjudged += 1
            continue
        by_task.setdefault(sample.task_id, {}).setdefault(replicate, []).append(sample)
    if not by_task:
        raise UserError("no judged samples: run `longodds best-of-n RUN` to its end, or name a finished RUN")
    cells = [
        _cell(task_id, replicate, rows, unit)
        for task_id, replicates in sorted(by_task.items())
        for replicate, rows in sorted(replicates.items())
    ]
    timed = [m for c in cells for m in c.measured.values() if not math.isnan(m.speedup)]
    return Pools(
        unit=unit,
        cells=cells,
        tasks=[_task_pool(task_id, replicates) for task_id, replicates in sorted(by_task.items())],
        statuses=dict(statuses),
        unjudged=unjudged,
        evaluators=sorted({v.evaluator for _, s in _labelled(samples) if (v := s.verdict) and v.evaluator}),
        has_intervals=bool(timed) and not any(math.isnan(m.ci_low) for m in timed),
        untimed=sum(math.isnan(m.speedup) for c in cells for m in c.measured.values()),
        without_logprobs=sum(math.isnan(x.surprisal) for c in cells for x in c.candidates if x.correct),
    )


def _labelled(samples: Sequence[Sample] | Mapping[str, Sequence[Sample]]) -> Iterable[tuple[str, Sample]]:
    if isinstance(samples, Mapping):
        if len(samples) == 1:
            yield from ((str(s.seed), s) for rows in samples.values() for s in rows)
        else:
            yield from ((f"{run}:{s.seed}", s) for run, rows in samples.items() for s in rows)
    else:
        yield from ((str(s.seed), s) for s in samples)


def _cell(task_id: str, replicate: str, rows: list[Sample], unit: Unit) -> Cell:
    candidates = to_candidates(rows, unit)
    correct = {c.key for c in candidates if c.correct}
    timings: dict[str, list[Measured]] = {}
    evaluators: set[str] = set()
    for row in rows:
        key, verdict = candidate_key(row, unit), row.verdict
        if key not in correct or verdict is None or verdict.speedup is None:
            continue
        timings.setdefault(key, []).append(_measured(verdict))
        evaluators.add(verdict.evaluator)
    if len(evaluators - {""}) > 1:
        names = ", ".join(sorted(evaluators - {""}))
        raise UserError(
            f"task {task_id}, seed {replicate}: verdicts of different evaluator settings or devices ({names}) can't be "
            "compared; evaluate these samples again with one setting"
        )
    measured = {key: _middle(timings[key]) if key in timings else UNTIMED for key in correct}
    programs = {candidate_key(row, unit): row.program_digest for row in rows}
    return Cell(task_id, replicate, candidates, measured, programs)


def _measured(verdict: Verdict) -> Measured:
    speedup = math.nan if verdict.speedup is None else verdict.speedup
    return Measured(speedup, math.nan if verdict.ci_low is None else verdict.ci_low)


def _middle(rows: list[Measured]) -> Measured:
    """The (lower) median measurement of a program that was timed more than once."""
    return sorted(rows, key=lambda m: m.speedup)[(len(rows) - 1) // 2]


def _task_pool(task_id: str, replicates: dict[str, list[Sample]]) -> TaskPool:
    rows = [(g, s) for g, name in enumerate(sorted(replicates)) for s in replicates[name]]
    scores = [surprisal_of(s.completion) for _, s in rows]
    programs: dict[str, int] = {}
    measured = [UNTIMED if s.verdict is None or not s.verdict.correct else _measured(s.verdict) for _, s in rows]
    return TaskPool(
        task_id=task_id,
        correct=np.array([s.verdict is not None and s.verdict.correct for _, s in rows], dtype=bool),
        speedup=np.array([m.speedup for m in measured], dtype=np.float64),
        ci_low=np.array([m.ci_low for m in measured], dtype=np.float64),
        surprisal=np.array([s[0] for s in scores], dtype=np.float64),
        n_tokens=np.array([s[2] for s in scores], dtype=np.float64),
        group=np.array([g for g, _ in rows], dtype=np.intp),
        program=np.array([programs.setdefault(s.program_digest, len(programs)) for _, s in rows], dtype=np.intp),
    )
