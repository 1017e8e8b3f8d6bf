"""A data frame of somebody's own samples as columns: one row a sample, the fields of `longodds import`.

Needed: `task_id`, `correct`, `speedup`, and `logprobs` or `mean_logprob` with `n_tokens`. Optional: `program`, `seed`,
`ci_low`, `ci_high`, `sample_id`. Anything with columns by name will do; nothing is imported to read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from longodds.analysis.table import TableBuilder
from longodds.errors import UserError
from longodds.types import Status, digest_text

if TYPE_CHECKING:
    from longodds.analysis.table import Table

NEEDED = ("task_id", "correct", "speedup")
OPTIONAL = ("logprobs", "mean_logprob", "n_tokens", "program", "seed", "ci_low", "ci_high", "sample_id")


def is_frame(value: object) -> bool:
    """Whether this has columns by name, `task_id` among them: pandas, Polars, Arrow, or a mapping of sequences."""
    return "task_id" in _names(value)


def _names(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [str(k) for k in cast("Mapping[object, object]", value)]
    names = getattr(value, "column_names", None)  # Arrow's `columns` are the data
    if names is None:
        names = getattr(value, "columns", ())
    return [str(n) for n in names]


def read_frame(frame: Any) -> Table:
    """The table of a frame. Raises UserError naming row and field for what is missing or of another type."""
    names = _names(frame)
    if missing := [f for f in NEEDED if f not in names]:
        raise UserError(
            f"frame: field {missing[0]!r}: is missing; needed are {', '.join(NEEDED)} and log-probabilities"
        )
    if "logprobs" not in names and not {"mean_logprob", "n_tokens"} <= set(names):
        raise UserError("frame: field 'logprobs': is missing; give it, or mean_logprob with n_tokens")
    columns = {f: _values(frame[f]) for f in (*NEEDED, *OPTIONAL) if f in names}
    builder = TableBuilder()
    for i in range(len(columns["task_id"])):
        _add(builder, i, {f: column[i] for f, column in columns.items()})
    return builder.build()


def _values(column: Any) -> Sequence[Any]:
    for name in ("to_pylist", "tolist", "to_list"):
        if hasattr(column, name):
            return getattr(column, name)()
    return list(column)


def _add(builder: TableBuilder, i: int, row: Mapping[str, Any]) -> None:
    task_id, correct, seed = row["task_id"], row["correct"], row.get("seed")
    if not isinstance(task_id, str) or not task_id:
        raise _bad(i, "task_id", "must be a text", task_id)
    if not isinstance(correct, bool):
        raise _bad(i, "correct", "must be true or false", correct)
    numbers: dict[str, Any] = (
        {f: _number(i, row, f) for f in ("speedup", "ci_low", "ci_high") if f in row} if correct else {}
    )
    for name, value in numbers.items():
        if value is not None and value <= 0:
            raise _bad(i, name, "must be positive", value)
    mean, tokens = _likelihood(i, row)
    sample_id = str(row.get("sample_id") or f"row {i}")
    program = row.get("program")
    builder.add(
        task_id=task_id,
        replicate="0" if seed is None else str(seed),
        sample_id=sample_id,
        program=digest_text(program) if isinstance(program, str) else sample_id,
        status=Status.CORRECT if correct else Status.INCORRECT,
        step=0.0,
        index=float(i),
        surprisal=-mean,
        sum_surprisal=-mean * tokens,
        n_tokens=tokens,
        sampled_tokens=tokens,
        **numbers,
    )


def _likelihood(i: int, row: Mapping[str, Any]) -> tuple[float, float]:
    """(mean log-probability, tokens); nan where there is none."""
    logprobs = row.get("logprobs")
    if logprobs is not None:
        try:
            values = [float(x) for x in logprobs]
        except (TypeError, ValueError):
            raise _bad(i, "logprobs", "must be a list of numbers", logprobs) from None
        total = math.fsum(values)
        return (total / len(values) if values and math.isfinite(total) else math.nan), float(len(values))
    mean, tokens = _number(i, row, "mean_logprob"), _number(i, row, "n_tokens")
    return (math.nan if mean is None else mean), (math.nan if tokens is None else tokens)


def _number(i: int, row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _bad(i, name, "must be a number", value)
    return float(value)


def _bad(i: int, name: str, rule: str, value: object) -> UserError:
    return UserError(f"frame, row {i}: field {name!r}: {rule}, not {str(value)[:60]!r}")
