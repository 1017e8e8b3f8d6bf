"""The over-sharpening probe on real runs: fixed samples scored under every checkpoint, the scores kept.

Scores are appended to `probe_scores.jsonl` of the adapted run, batch by batch, each under the checkpoint's version and
the sequence that was scored, so that a probe that was interrupted goes on and a second one computes nothing.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from longodds.analysis.probe import FixedTask, Scored, probe_document
from longodds.environment import read_environment
from longodds.errors import InfraError, UserError
from longodds.selection import judged, surprisal_of
from longodds.store import JsonlWriter, RunDir, read_records
from longodds.store.lock import WriterLock
from longodds.strategies.reading import open_runs
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from longodds.analysis.documents import ProbeDocument
    from longodds.types import Policy, Prompt, Sample

CHECKPOINTS, SCORES, LOCK = "checkpoints.jsonl", "probe_scores.jsonl", "probe.lock"
BATCH = 32


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A row of checkpoints.jsonl. spec: of the policy with these weights."""

    step: int
    version: str
    spec: str


@dataclass(frozen=True, slots=True)
class Fixed:
    """The fixed samples of one task as they are scored. keys: (n,) what names a sequence under this prompt."""

    arrays: FixedTask
    prompt: Prompt
    samples: Sequence[Sample]
    keys: Sequence[str]


def probe(
    run: Path | str,
    *,
    adapted: Path | str,
    null: Sequence[Path | str] = (),
    dtype: str | None = None,
    device: str = "cpu",
    threads: int | None = None,
    open_checkpoint: Callable[[str], Policy] | None = None,
    told: Callable[[str, int, int], None] | None = None,
) -> ProbeDocument:
    """The document of `probe --json` (docs/cli.md).

    run: the run whose samples are fixed. adapted: a run with checkpoints (ttt, sdpo, rlvr). null: runs like it on
    shuffled rewards. dtype, device, threads: of the model, as for any policy. open_checkpoint: opens a spec, instead of
    the registry. told: progress, (what, scored, of).
    Raises UserError for a path that is no run, a run without samples or checkpoints, or a policy that can't be opened.
    """
    fixed = fixed_samples(RunDir.open(run))
    others = open_runs([adapted, *null])
    checkpoints = {name: read_checkpoints(other) for name, other in others.items()}
    opener = open_checkpoint or _opener(dtype, device, threads)
    trajectories = {
        name: score_trajectory(other, checkpoints[name], fixed, opener, label=dtype or "", told=told)
        for name, other in others.items()
    }
    points = trajectories.pop(str(adapted))
    return probe_document([f.arrays for f in fixed], points, trajectories, run=str(run), adapted=str(adapted))


def _opener(dtype: str | None, device: str, threads: int | None) -> Callable[[str], Policy]:
    def open_spec(spec: str) -> Policy:
        from longodds.policy import OpenOptions, open_policy

        env = read_environment()
        options = OpenOptions(dtype=dtype, device=device, cache_dir=env.cache_dir, threads=threads or env.threads)
        return open_policy(spec, options)

    return open_spec


# --- what is fixed -----------------------------------------------------------------------------


def fixed_samples(run: RunDir) -> list[Fixed]:
    """The judged samples of a run by task, in the order of drawing. Raises UserError where there is none."""
    by_task: dict[str, list[Sample]] = {}
    for sample in run.samples():
        if judged(sample) and sample.completion.token_ids:
            by_task.setdefault(sample.task_id, []).append(sample)
    if not by_task:
        raise UserError(f"{run.path}: has no judged samples with their tokens; the probe scores them again")
    found: list[Fixed] = []
    for task_id, record in run.records().items():
        samples = sorted(by_task.get(task_id, []), key=lambda s: (s.step, s.seed, s.index))
        if not samples:
            continue
        if record.prompt is None:
            raise UserError(f"{run.path}: has no prompt of task {task_id}; its samples can't be scored again")
        keys = [_key(record.prompt, s) for s in samples]
        arrays = FixedTask(
            task_id=task_id,
            correct=np.array([s.verdict is not None and s.verdict.correct for s in samples], dtype=bool),
            speedup=np.array([_speedup(s) for s in samples], dtype=np.float64),
            surprisal=np.array([surprisal_of(s.completion)[0] for s in samples], dtype=np.float64),
            program=_codes([s.program_digest for s in samples]),
            sequence=_codes(keys),
        )
        found.append(Fixed(arrays, record.prompt, samples, keys))
    return found


def _speedup(sample: Sample) -> float:
    v = sample.verdict
    return float("nan") if v is None or not v.correct or v.speedup is None else v.speedup


def _codes(names: Sequence[str]) -> Any:
    code: dict[str, int] = {}
    return np.array([code.setdefault(n, len(code)) for n in names], dtype=np.intp)


def _key(prompt: Prompt, sample: Sample) -> str:
    c = sample.completion
    return digest_text(repr(prompt), ",".join(map(str, c.token_ids)), f"{c.score_span[0]}:{c.score_span[1]}")


# --- checkpoints and their scores --------------------------------------------------------------


def read_checkpoints(run: RunDir) -> list[Checkpoint]:
    """The checkpoints of an adapted run, by step. Raises UserError where there is none or a row can't be read."""
    path = run.path / CHECKPOINTS
    found: dict[int, Checkpoint] = {}
    for row in read_records(path):
        try:
            step, version, directory = int(row["step"]), str(row["policy_version"]), row["path"]
            spec = str(row["base"]) if directory is None else str(directory)
            if directory is not None and row.get("kind") != "tinker":  # a service keeps its weights under a name
                spec = _with_adapter(str(row["base"]), run.path / directory)
        except (KeyError, TypeError, ValueError) as e:
            raise UserError(f"{path}: a row cannot be read: {e}") from None
        found[step] = Checkpoint(step, version, spec)
    if not found:
        raise UserError(f"{run.path}: has no {CHECKPOINTS}; --adapted and --null name runs of ttt, sdpo or rlvr")
    return [found[step] for step in sorted(found)]


def _with_adapter(base: str, directory: Path) -> str:
    """The spec of a base with other weights on top: an adapter that training went on from is replaced."""
    return f"{base.partition('+adapter=')[0].removesuffix(':raw')}+adapter={directory}"


def _known(path: Path) -> dict[tuple[str, str, str], tuple[float, float]]:
    """What is scored already. Raises UserError for a row of something else."""
    known: dict[tuple[str, str, str], tuple[float, float]] = {}
    for number, r in enumerate(read_records(path), start=1):
        try:
            known[str(r["version"]), str(r["label"]), str(r["sequence"])] = _values(r)
        except (KeyError, TypeError, ValueError) as e:
            what = f"lacks the field {e}" if isinstance(e, KeyError) else f"cannot be read: {e}"
            raise UserError(f"{path}:{number}: {what}; remove the file to score anew") from None
    return known


def score_trajectory(
    run: RunDir,
    checkpoints: Sequence[Checkpoint],
    fixed: Sequence[Fixed],
    opener: Callable[[str], Policy],
    *,
    label: str = "",
    told: Callable[[str, int, int], None] | None = None,
) -> list[Scored]:
    """The fixed samples under every checkpoint of a run; what is scored already is read. label: what else the scores
    depend on (the dtype). A policy is opened only where something is missing."""
    lock = WriterLock(run.path / LOCK)
    try:
        writer = JsonlWriter(run.path / SCORES)
        try:
            known = _known(run.path / SCORES)
            for c in checkpoints:
                _score(c, fixed, known, writer, opener, label, told)
        finally:
            writer.close()
    finally:
        lock.release()
    return [_scored(c, fixed, known, label) for c in checkpoints]


def _score(
    checkpoint: Checkpoint,
    fixed: Sequence[Fixed],
    known: dict[tuple[str, str, str], tuple[float, float]],
    writer: JsonlWriter,
    opener: Callable[[str], Policy],
    label: str,
    told: Callable[[str, int, int], None] | None,
) -> None:
    owed: list[tuple[Fixed, list[tuple[str, Sample]]]] = []
    for f in fixed:
        missing = {
            key: s for key, s in zip(f.keys, f.samples, strict=True) if (checkpoint.version, label, key) not in known
        }
        if missing:
            owed.append((f, list(missing.items())))
    if not owed:
        return
    total, done = sum(len(rows) for _, rows in owed), 0
    with contextlib.closing(opener(checkpoint.spec)) as policy:
        for f, rows in owed:
            for at in range(0, len(rows), BATCH):
                part = rows[at : at + BATCH]
                logprobs = policy.compute_logprobs(f.prompt, [s.completion.token_ids for _, s in part])
                found = [_row(checkpoint, label, key, s, lp) for (key, s), lp in zip(part, logprobs, strict=True)]
                writer.append(found)
                known.update({(checkpoint.version, label, r["sequence"]): _values(r) for r in found})
                done += len(part)
                if told is not None:
                    told(f"step {checkpoint.step}", done, total)


def _row(c: Checkpoint, label: str, key: str, sample: Sample, logprobs: Sequence[float]) -> dict[str, Any]:
    start, end = sample.completion.score_span
    total = float(np.sum(logprobs))
    if not np.isfinite(total):
        raise InfraError(f"step {c.step}: the policy gave a log-probability that is not finite ({sample.task_id})")
    nll = -float(np.mean(logprobs[start:end])) if end > start else None
    return {"version": c.version, "label": label, "step": c.step, "sequence": key, "nll": nll, "total": total}


def _values(row: Mapping[str, Any]) -> tuple[float, float]:
    """nll, nan where no token is scored, and total."""
    return (math.nan if row["nll"] is None else float(row["nll"])), float(row["total"])


def _scored(
    c: Checkpoint, fixed: Sequence[Fixed], known: Mapping[tuple[str, str, str], tuple[float, float]], label: str
) -> Scored:
    pairs = [np.array([known[c.version, label, key] for key in f.keys], dtype=np.float64) for f in fixed]
    return Scored(c.step, c.version, [p[:, 0] for p in pairs], [p[:, 1] for p in pairs])
