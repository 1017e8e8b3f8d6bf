"""`export`: the judged samples of a run as one flat table, JSON lines or Parquet, that `import` and others read."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.store.foreign import FIELDS
from longodds.store.jsonl import encode
from longodds.store.rundir import RunDir, refuse_own_file
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from longodds.types import Sample

BATCH = 2000
PARQUET, JSONL = (".parquet", ".pq"), (".jsonl", ".ndjson")
# Columns and their Arrow types. `logprobs` are those of the program, `token_logprobs` those of all tokens.
COLUMNS = {
    "sample_id": "string",
    "task_id": "string",
    "seed": "int64",
    "index": "int64",
    "strategy": "string",
    "step": "int64",
    "correct": "bool",
    "status": "string",
    "timed": "bool",
    "speedup": "double",
    "ci_low": "double",
    "ci_high": "double",
    "clock_bound": "double",
    "pairs": "int64",
    "reference_us": "double",
    "runtime_us": "double",
    "reference_end_to_end_us": "double",
    "runtime_end_to_end_us": "double",
    "labels": "list<string>",
    "evaluator": "string",
    "message": "string",
    "mean_logprob": "double",
    "n_tokens": "int64",
    "logprobs": "list<double>",
    "score_span": "list<int64>",
    "token_ids": "list<int64>",
    "token_logprobs": "list<double>",
    "sampling_logprobs": "list<double>",
    "program": "string",
    "program_digest": "string",
    "text": "string",
    "finish_reason": "string",
    "policy_version": "string",
}


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export holds. left_out: samples without a verdict (unfinished, or ours to retry)."""

    file: Path
    rows: int
    left_out: int
    columns: tuple[str, ...]


def export_samples(run: Path | str, to: Path | str, *, progress: Callable[[int], None] | None = None) -> Exported:
    """Writes the judged samples of `run` to `to`, in place of what is there; whole, or not at all.

    Columns: those of `COLUMNS`, then the metadata of imported samples. Raises UserError for a RUN that is none, a
    name that ends neither as JSON lines nor as Parquet does, a place that can't be written.
    """
    to = Path(to)
    if to.suffix not in (*PARQUET, *JSONL):
        raise UserError(f"--to {to}: must end in .parquet or .jsonl")
    if to.is_dir():
        raise UserError(f"--to {to}: is a directory; name a file")
    refuse_own_file(to, "--to")
    parquet = _parquet(to) if to.suffix in PARQUET else None
    samples = RunDir.open(run).samples()
    judged = [s for s in samples if s.verdict is not None and s.verdict.status is not Status.INFRA_ERROR]
    if not judged:
        raise UserError(f"{run}: has no judged samples to export")
    extra = list(dict.fromkeys(name for s in judged for name in s.metadata if name not in COLUMNS))
    temporary = to.with_name(f"{to.name}.{os.getpid()}.tmp")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
    except OSError as e:
        raise UserError(f"--to {to}: cannot be written: {e.strerror or e}; name another place") from None
    try:
        batches = _batches(judged, extra, progress)
        if parquet is None:
            _write_json_lines(temporary, batches)
        else:
            _write_parquet(*parquet, temporary, batches, {n: [s.metadata.get(n) for s in judged] for n in extra})
        temporary.replace(to)
    except OSError as e:
        raise InfraError(f"{to}: cannot be written: {e.strerror or e}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return Exported(to, len(judged), len(samples) - len(judged), (*COLUMNS, *extra))


def _parquet(to: Path) -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError(f"--to {to}: Parquet needs pyarrow: pip install 'longodds[parquet]', or use .jsonl") from None
    return pa, pq


def _batches(
    samples: Sequence[Sample], extra: Sequence[str], progress: Callable[[int], None] | None
) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(samples), BATCH):
        batch = samples[start : start + BATCH]
        yield [{**_row(s), **_own(s), **{name: s.metadata.get(name) for name in extra}} for s in batch]
        if progress is not None:
            progress(start + len(batch))


def _row(s: Sample) -> dict[str, Any]:
    c, v = s.completion, s.verdict
    if v is None:
        raise ValueError("only judged samples are exported")
    start, end = c.score_span
    span, n = list(c.logprobs[start:end]), max(end - start, 0)
    mean = math.fsum(span) / n if span and len(span) == n else c.mean_logprob
    return {
        "sample_id": s.sample_id,
        "task_id": s.task_id,
        "seed": s.seed,
        "index": s.index,
        "strategy": s.strategy,
        "step": s.step,
        "correct": v.correct,
        "status": v.status.value,
        "timed": v.speedup is not None,
        "speedup": v.speedup,
        "ci_low": v.ci_low,
        "ci_high": v.ci_high,
        "clock_bound": v.clock_bound,
        "pairs": v.pairs,
        "reference_us": v.reference_us,
        "runtime_us": v.runtime_us,
        "reference_end_to_end_us": v.reference_end_to_end_us,
        "runtime_end_to_end_us": v.runtime_end_to_end_us,
        "labels": list(v.labels),
        "evaluator": v.evaluator,
        "message": v.message,
        "mean_logprob": mean,
        "n_tokens": n,
        "logprobs": span if span or c.mean_logprob is None else None,
        "score_span": list(c.score_span),
        "token_ids": list(c.token_ids),
        "token_logprobs": list(c.logprobs),
        "sampling_logprobs": list(c.sampling_logprobs),
        "program": s.program,
        "program_digest": s.program_digest,
        "text": c.text,
        "finish_reason": c.finish_reason,
        "policy_version": c.policy_version,
    }


def _own(s: Sample) -> dict[str, Any]:
    """Columns that the file of an imported sample had, and that the import did not read itself."""
    mine = (*FIELDS, "sample_id")
    return {n: value for n, value in s.metadata.items() if n not in mine and _holds(COLUMNS.get(n, ""), value)}


def _holds(kind: str, value: Any) -> bool:
    """Whether a column of this Arrow type can hold a value."""
    if kind.startswith("list<"):
        inner = kind.removeprefix("list<").removesuffix(">")
        return isinstance(value, list) and all(_holds(inner, v) for v in value)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    types = {"string": str, "int64": int, "double": (int, float)}.get(kind, ())
    return isinstance(value, types)


def _write_json_lines(path: Path, batches: Iterator[list[dict[str, Any]]]) -> None:
    with path.open("wb") as file:
        for batch in batches:
            file.write(b"".join(encode(row) for row in batch))


def _write_parquet(
    pa: Any, pq: Any, path: Path, batches: Iterator[list[dict[str, Any]]], extra: dict[str, list[Any]]
) -> None:
    fields = [(name, _type(pa, kind)) for name, kind in COLUMNS.items()]
    inferred = {name: _inferred(pa, values) for name, values in extra.items()}
    fields += [(name, kind or pa.string()) for name, kind in inferred.items()]
    as_json = [name for name, kind in inferred.items() if kind is None]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in batches:
            for row in batch:
                for name in as_json:
                    row[name] = None if row[name] is None else json.dumps(row[name])
            columns = [pa.array([_storable(row[name]) for row in batch], type=kind) for name, kind in fields]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))


def _type(pa: Any, kind: str) -> Any:
    inner = kind.removeprefix("list<").removesuffix(">")
    plain = {"string": pa.string, "int64": pa.int64, "bool": pa.bool_, "double": pa.float64}[inner]()
    return pa.list_(plain) if kind != inner else plain


def _inferred(pa: Any, values: list[Any]) -> Any:
    """The Arrow type that holds all values of a column, or None where they have nothing in common."""
    try:
        return pa.array([_storable(v) for v in values]).type
    except (pa.ArrowException, OverflowError):
        return None


def _storable(value: Any) -> Any:
    """Text that UTF-8 can't hold (lone surrogates) written out; Arrow has no other text."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode("utf-8")
    return value
