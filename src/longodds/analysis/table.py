"""Samples as columns: what `select` and `compare` compute from, 150 bytes a sample instead of whole completions.

A row is one judged sample. The columns come from `Sample`s, from the rows of a run directory, or from a user's own
data frame (`longodds.analysis.frame`); everything else in this room reads only these.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.selection import certainty_of, surprisal_of
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from longodds.types import Completion, Sample, Verdict

    Floats = NDArray[np.float64]
    Ints = NDArray[np.intp]
    Runs = Sequence[Sample] | Mapping[str, Sequence[Sample]]

NUMBERS = (
    "step",
    "index",
    "surprisal",
    "sum_surprisal",
    "n_tokens",
    "tail_entropy",
    "self_certainty",
    "speedup",
    "ci_low",
    "ci_high",
    "pairs",
    "seconds",
    "sampled_tokens",
    "prompt_tokens",
    "own_prompt",
    "sampling_seconds",
    "scored_tokens",
    "reread_tokens",
    "call",
    "charged_seconds",
    "run_seconds",
    "duplicate",
    "remeasured",
)
"""Columns of floats; nan where unknown. Nats, tokens, ratios; own_prompt: 1 where the prompt is this sample's alone, as
it shows earlier attempts; scored_tokens: of a service's sample that was scored again, reread_tokens: of the prompt for
that; call: number of the call that drew it, among those of its task, seed and step; seconds: wall-clock of the verdict;
charged_seconds, run_seconds: of all its verdicts, as `store.derive_cost` counts them; duplicate: 1 where the verdict
repeats that of an equal program; remeasured: the number of programs of which this is the best, where it was measured
again as such."""


@dataclass(frozen=True, slots=True)
class Table:
    """n judged samples. Codes index into the list of names beside them.

    task, replicate, program, evaluator: (n,) codes; a replicate is a seed, or a run and a seed; programs are told
    apart within a task. sample_ids: names. correct: (n,). numbers: `NUMBERS` -> (n,).
    statuses: of all samples with a verdict. unjudged: samples without an outcome, which have no row.
    """

    task: Ints
    task_ids: list[str]
    replicate: Ints
    replicates: list[str]
    program: Ints
    programs: list[str]
    evaluator: Ints
    evaluators: list[str]
    sample_ids: list[str]
    correct: NDArray[np.bool_]
    numbers: dict[str, Floats]
    statuses: dict[str, int]
    unjudged: int

    def __len__(self) -> int:
        return len(self.correct)

    def __getitem__(self, column: str) -> Floats:
        return self.numbers[column]


class _Names:
    """Codes in order of first appearance."""

    def __init__(self) -> None:
        self.code: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self.code.setdefault(name, len(self.code))


class TableBuilder:
    """Collects rows, then `build`s."""

    def __init__(self) -> None:
        self._task, self._replicate, self._program, self._evaluator = _Names(), _Names(), _Names(), _Names()
        self._codes = {name: array("q") for name in ("task", "replicate", "program", "evaluator")}
        self._numbers = array("d")
        self._sample_ids: list[str] = []
        self._correct = array("b")
        self.statuses: Counter[str] = Counter()
        self.unjudged = 0

    def __len__(self) -> int:
        return len(self._sample_ids)

    def add(
        self,
        *,
        task_id: str,
        replicate: str,
        sample_id: str,
        program: str,
        status: Status | None,
        evaluator: str = "",
        **numbers: float | None,
    ) -> None:
        """One sample. status None, or of an infrastructure failure: it has no outcome and gets no row.

        Timings of what is not correct are dropped: they mean nothing.
        """
        if status is not None:
            self.statuses[status.value] += 1
        if status is None or status is Status.INFRA_ERROR:
            self.unjudged += 1
            return
        right = status is Status.CORRECT
        self._codes["task"].append(self._task[task_id])
        self._codes["replicate"].append(self._replicate[replicate])
        self._codes["program"].append(self._program[f"{task_id}\0{program}"])
        self._codes["evaluator"].append(self._evaluator[evaluator])
        self._sample_ids.append(sample_id)
        self._correct.append(right)
        if not right:
            numbers["speedup"] = numbers["ci_low"] = numbers["ci_high"] = None
        elif (low := numbers.get("ci_low")) is not None and low < 0:
            numbers["ci_low"] = 0.0  # from an interval that is symmetric: of a ratio of times it says nothing more
        values = [numbers.get(name) for name in NUMBERS]
        self._numbers.extend([math.nan if v is None else v for v in values])

    def add_sample(self, sample: Sample, replicate: str) -> None:
        """One sample with its verdict, if it has one."""
        verdict = sample.verdict
        scores = completion_scores(sample.completion) if verdict is not None else {}
        self.add(
            task_id=sample.task_id,
            replicate=replicate,
            sample_id=sample.sample_id,
            program=sample.program_digest,
            status=None if verdict is None else verdict.status,
            evaluator="" if verdict is None else verdict.evaluator,
            step=sample.step,
            index=sample.index,
            sampled_tokens=len(sample.completion.token_ids),
            **scores,
            **({} if verdict is None else timings(verdict)),
        )

    def build(self) -> Table:
        codes = {name: np.frombuffer(c, dtype=np.int64).astype(np.intp) for name, c in self._codes.items() if len(c)}
        empty = np.zeros(0, dtype=np.intp)
        values = np.frombuffer(self._numbers, dtype=np.float64) if len(self._numbers) else np.zeros(0)
        columns = values.reshape(-1, len(NUMBERS)).T.copy()
        return Table(
            task=codes.get("task", empty),
            task_ids=list(self._task.code),
            replicate=codes.get("replicate", empty),
            replicates=list(self._replicate.code),
            program=codes.get("program", empty),
            programs=[name.split("\0", 1)[1] for name in self._program.code],
            evaluator=codes.get("evaluator", empty),
            evaluators=list(self._evaluator.code),
            sample_ids=self._sample_ids,
            correct=np.array(self._correct, dtype=bool),
            numbers=dict(zip(NUMBERS, columns, strict=True)),
            statuses=dict(self.statuses),
            unjudged=self.unjudged,
        )


def completion_scores(completion: Completion) -> dict[str, float]:
    """What the likelihood says of a completion, by the names of the columns."""
    mean, total, tokens = surprisal_of(completion)
    entropy, certainty = certainty_of(completion)
    return {
        "surprisal": mean,
        "sum_surprisal": total,
        "n_tokens": float(tokens),
        "tail_entropy": entropy,
        "self_certainty": certainty,
    }


def _limit(verdict: Verdict, limit: float | None, unknown: float) -> float | None:
    """A limit of the speedup. A clear loser is dropped after too few pairs for one at 99 %: timed, but anything."""
    return unknown if limit is None and verdict.has_interval else limit


def timings(verdict: Verdict) -> dict[str, float | None]:
    """What a verdict measured, by the names of the columns."""
    return {
        "speedup": 0.0 if verdict.too_slow else verdict.speedup,
        "ci_low": 0.0 if verdict.too_slow else _limit(verdict, verdict.ci_low, 0.0),
        "ci_high": _limit(verdict, verdict.ci_high, math.inf),
        "pairs": float(verdict.pairs) or None,  # of what others measured the number is not known
        "seconds": verdict.seconds,
        "remeasured": float(verdict.remeasured_among),
    }


def tabulate(samples: Runs | Table) -> Table:
    """The samples of one run, or of several by name (then a replicate is a run and a seed). A table passes through."""
    if isinstance(samples, Table):
        return samples
    builder = TableBuilder()
    for replicate, sample in labelled(samples):
        builder.add_sample(sample, replicate)
    return builder.build()


def replicate_name(run: str, seed: object, *, runs: int) -> str:
    """What tells replicates apart: the seed, or the run and the seed where there are several runs."""
    return str(seed) if runs == 1 else f"{run}:{seed}"


def labelled(samples: Runs) -> Iterable[tuple[str, Sample]]:
    """(replicate, sample) of one run, or of several by name."""
    if isinstance(samples, Mapping):
        for run, rows in samples.items():
            yield from ((replicate_name(run, s.seed, runs=len(samples)), s) for s in rows)
    else:
        yield from ((str(s.seed), s) for s in samples)
