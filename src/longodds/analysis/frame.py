"""A data frame of somebody's own samples as columns: one row a sample, the fields of `longodds import`.

The rows are checked as an import checks them and become the rows that it would write, so that both give one answer.
Anything with columns by name will do; nothing is imported to read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from longodds.analysis.table import TableBuilder, completion_scores, timings
from longodds.store.foreign import FIELDS, check_rows
from longodds.store.importing import imported_rows
from longodds.types import Completion, Verdict

if TYPE_CHECKING:
    from longodds.analysis.table import Table

_COLUMNS = (*FIELDS, "step", "index", "evaluator", "labels")  # the rest of an import's metadata decides nothing
_TO_PYTHON = ("to_pylist", "tolist", "to_list")


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
    columns = {f: _values(frame[f]) for f in _COLUMNS if f in names}
    rows = ((i, {f: _plain(c[i]) for f, c in columns.items()}) for i in range(len(columns["task_id"])))
    builder = TableBuilder()
    for sample, verdict in imported_rows(list(check_rows(rows, "frame, row "))):
        _add(builder, sample, Verdict.from_json(verdict))
    return builder.build()


def _values(column: Any) -> Any:
    for name in _TO_PYTHON:
        if hasattr(column, name):
            return getattr(column, name)()
    return list(column)


def _plain(value: Any) -> Any:
    """A cell as a line of JSON would give it: NumPy's as Python's, arrays as lists; NaN, a gap, as None."""
    if isinstance(value, float):
        return None if math.isnan(value) else value
    if isinstance(value, (list, tuple)):
        return [v if type(v) is float else _plain(v) for v in value]
    return _plain(_values(value)) if any(hasattr(value, name) for name in _TO_PYTHON) else value


def _add(builder: TableBuilder, row: Mapping[str, Any], verdict: Verdict) -> None:
    start, end = row["score_span"]
    completion = Completion(
        token_ids=(),
        logprobs=tuple(row["logprobs"]),
        sampling_logprobs=(),
        score_span=(start, end),
        text="",
        finish_reason=row["finish_reason"],
        policy_version=row["policy_version"],
        mean_logprob=row.get("mean_logprob"),
    )
    builder.add(
        task_id=row["task_id"],
        replicate=str(row["seed"]),
        sample_id=row["sample_id"],
        program=row["program_digest"],
        status=verdict.status,
        evaluator=verdict.evaluator,
        step=row["step"],
        index=row["index"],
        sampled_tokens=end - start,
        **completion_scores(completion),
        **timings(verdict),
    )
