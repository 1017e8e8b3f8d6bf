"""`import`: samples of other origin become a run, so that select, report, compare and inspect work on them."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.programs import program_digest, text_digest
from longodds.store.cost import cost_document, derive_cost
from longodds.store.foreign import ForeignSample, read_foreign
from longodds.store.rows import TaskRecord, sample_id
from longodds.store.rundir import COST, RunDir
from longodds.types import SEED_LABEL, Status, Task, Verdict, digest_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

STRATEGY = "import"
BATCH = 2000
# Parsing a program takes up to a millisecond: beyond this many distinct texts they are compared as texts alone.
MAX_PARSED = 10_000


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import holds. cells: pairs of task and seed; programs: distinct ones, 0 where the file has none.

    as_text: programs were told apart as texts; otherwise after comments, formatting and names of locals.
    resumed: the run was there already, complete or in part.
    """

    run: Path
    samples: int
    tasks: int
    cells: int
    correct: int
    timed: int
    with_intervals: int
    programs: int
    as_text: bool
    metadata: tuple[str, ...]
    resumed: bool


def import_samples(file: Path | str, run: Path | str, *, progress: Callable[[int], None] | None = None) -> Imported:
    """Writes the samples of `file` (JSON lines or Parquet, see `docs/cli.md`) as a new run.

    The file is checked to its end before anything is written; what was interrupted is completed by the same call.
    progress: called with the number of rows written so far. Raises UserError for a row that can't be used, naming
    file, line and field, and for a RUN that is something else.
    """
    file, run = Path(file), Path(run)
    scan = _scan(read_foreign(file))
    config = {"strategy": STRATEGY, "file": file.name, "sha256": _sha256(file), "samples": scan.samples}
    config |= _kept(scan, file)
    resumed = RunDir.check(run, config)
    digests = _Digests(as_text=len(scan.texts) > MAX_PARSED)
    done = replace(scan.result, run=run, as_text=digests.as_text, resumed=resumed)
    with RunDir.create_or_resume(run, config, _manifest(file, done)) as out:
        out.add_tasks(TaskRecord(_task(task_id)) for task_id in scan.task_ids)
        sampled, judged = out.sampled_ids(), out.judged_ids()
        written = 0
        for batch in _batches(_rows(read_foreign(file), digests, own_indices=scan.own_indices)):
            out.append_rows(
                [s for s, _ in batch if s["sample_id"] not in sampled],
                [v for _, v in batch if v["sample_id"] not in judged],
            )
            written += len(batch)
            if progress is not None:
                progress(written)
        out.write_json(COST, cost_document(derive_cost(out), {}))
    return done


@dataclass(slots=True)
class _Scan:
    samples: int
    task_ids: list[str]
    texts: set[bytes]
    own_indices: bool  # every row has an index, and no two the same one
    reordered: bool  # rows are of other steps or indices than their order in the file says
    by_seed: int  # rows that the seed evaluator judged
    result: Imported


def _kept(scan: _Scan, file: Path) -> dict[str, Any]:
    """What of an exported run the config must say: its order of drawing and who judged. Nothing for other files."""
    if 0 < scan.by_seed < scan.samples:
        raise UserError(
            f"{file}: has verdicts of --evaluator seed and others, which can't be compared; give each its own file"
        )
    order = {"order": "step, index"} if scan.reordered else {}
    return {**order, "evaluator": "seed"} if scan.by_seed else order


def _scan(rows: Iterable[ForeignSample]) -> _Scan:
    tasks: dict[str, None] = {}
    texts: set[bytes] = set()
    names: dict[str, None] = {}
    places: set[tuple[str, int, int, int]] = set()
    indices: Counter[tuple[str, int]] = Counter()
    stepped = moved = False
    samples = correct = timed = with_intervals = by_seed = 0
    for row in rows:
        samples += 1
        stepped |= row.step != 0
        moved |= row.index != indices[row.task_id, row.seed]
        indices[row.task_id, row.seed] += 1
        by_seed += SEED_LABEL in row.labels
        if row.index is not None:
            places.add((row.task_id, row.seed, row.step, row.index))
        tasks.setdefault(row.task_id)
        correct += row.status is Status.CORRECT
        timed += row.speedup is not None
        with_intervals += row.ci_low is not None
        for name in row.metadata:
            names.setdefault(name)
        if row.program is not None:
            texts.add(hashlib.blake2b(row.program.encode("utf-8", "surrogatepass"), digest_size=12).digest())
    result = Imported(
        Path(),
        samples,
        len(tasks),
        len(indices),
        correct,
        timed,
        with_intervals,
        len(texts),
        False,
        tuple(names),
        False,
    )
    own_indices = len(places) == samples
    return _Scan(samples, list(tasks), texts, own_indices, stepped or (own_indices and moved), by_seed, result)


class _Digests:
    """Digest of a program, computed once per text."""

    def __init__(self, *, as_text: bool) -> None:
        self.as_text = as_text
        self._known: dict[str, str] = {}

    def of(self, program: str) -> str:
        if program not in self._known:
            if self.as_text:
                digest = text_digest(program)
            else:
                digest = program_digest(program)
            self._known[program] = digest
        return self._known[program]


def imported_rows(samples: Sequence[ForeignSample]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What an import of these samples would write, without writing it: rows of samples.jsonl and verdicts.jsonl."""
    scan = _scan(samples)
    return _rows(samples, _Digests(as_text=len(scan.texts) > MAX_PARSED), own_indices=scan.own_indices)


def _rows(
    samples: Iterable[ForeignSample], digests: _Digests, *, own_indices: bool
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Row of samples.jsonl and row of verdicts.jsonl of each sample, numbered as the file says or in its order."""
    empty = Verdict(task_id="", status=Status.INCORRECT).to_json()
    indices: dict[tuple[str, int], int] = {}
    tasks: dict[str, Task] = {}
    for s in samples:
        index = indices.get((s.task_id, s.seed), 0)
        indices[s.task_id, s.seed] = index + 1
        if own_indices and s.index is not None:
            index = s.index
        task = tasks.get(s.task_id) or tasks.setdefault(s.task_id, _task(s.task_id))
        key = sample_id(task, seed=s.seed, strategy=STRATEGY, step=s.step, index=index)
        # Without a program there is no telling which samples are the same one: each is its own.
        digest = s.program_digest or (digest_text("sample", key) if s.program is None else digests.of(s.program))
        row: dict[str, Any] = {
            "sample_id": key,
            "task_id": s.task_id,
            "seed": s.seed,
            "index": index,
            "strategy": STRATEGY,
            "step": s.step,
            "token_ids": [],
            "logprobs": s.logprobs or [],
            "sampling_logprobs": [],
            "score_span": [0, s.n_tokens],
            "text": "",
            "program": s.program or "",
            "program_digest": digest,
            "finish_reason": "stop",
            "policy_version": "",
        }
        if s.logprobs is None:
            row["mean_logprob"] = s.mean_logprob
        if s.metadata:
            row["metadata"] = s.metadata
        verdict = {
            "sample_id": key,
            **empty,
            "task_id": s.task_id,
            "status": s.status.value,
            "correct": s.status is Status.CORRECT,
            "speedup": s.speedup,
            "ci_low": s.ci_low,
            "ci_high": s.ci_high,
            "labels": s.labels,
            "evaluator": s.evaluator,
            "timed": s.timed,
            "duplicate_of": None,
        }
        yield row, verdict


def _task(task_id: str) -> Task:
    return Task(task_id, task_id.rpartition("/")[0] or STRATEGY, "", digest_text("import", task_id))


def _batches(rows: Iterator[tuple[Any, Any]]) -> Iterator[list[tuple[Any, Any]]]:
    while batch := list(itertools.islice(rows, BATCH)):
        yield batch


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _manifest(file: Path, done: Imported) -> Mapping[str, Any]:
    return {
        "imported": {
            "file": file.name,
            "samples": done.samples,
            "metadata": list(done.metadata),
            "programs_compared_as": "text" if done.as_text else "normalised",
        }
    }
