"""Samples of other origin, read from JSON lines or Parquet: one row a sample, checked field by field.

Fields: `task_id`, `correct`, `speedup` (of correct ones), `logprobs` or `mean_logprob` with `n_tokens`; optional
`program`, `program_digest`, `seed`, `ci_low`, `ci_high`, `status`, `timed`. Anything else is metadata, of which `step`,
`index`, `evaluator` and `labels` say what may be compared, where they have the types that `export` gives them.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

from longodds.errors import UserError
from longodds.store.row_files import FieldError, numbered_rows, short
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

FIELDS = (
    "task_id",
    "correct",
    "speedup",
    "logprobs",
    "mean_logprob",
    "n_tokens",
    "program",
    "program_digest",
    "seed",
    "ci_low",
    "ci_high",
    "status",
    "timed",
)
_KNOWN = frozenset(FIELDS)
_STATUSES = {s.value: s for s in Status if s is not Status.INFRA_ERROR}
ROUNDING = 1e-3  # what half precision may put a log-probability above 0
INT64 = 1 << 63
# Wider than anything that is measured; beyond them sums and axes of a report overflow.
SPEEDUPS = (1e-9, 1e9)
LEAST_LOGPROB = -1e6  # nats a token


@dataclass(frozen=True, slots=True)
class ForeignSample:
    """One checked row. logprobs in nats over the tokens of the program, or None where only their mean is known.

    step, index, evaluator, labels: as a run that was exported had them; they are in the metadata too.
    """

    task_id: str
    seed: int
    status: Status
    timed: bool
    speedup: float | None
    ci_low: float | None
    ci_high: float | None
    logprobs: list[float] | None
    mean_logprob: float | None
    n_tokens: int
    program: str | None
    program_digest: str | None
    metadata: dict[str, Any]
    step: int
    index: int | None
    evaluator: str
    labels: list[str]


def read_foreign(path: Path) -> Iterator[ForeignSample]:
    """The rows of a file, checked one by one as they are read.

    Parquet where the file begins as Parquet does, JSON lines otherwise. Raises UserError, `FILE:LINE: field 'NAME':
    ...` (the row's number in Parquet), at the first row that can't be used, and for a file without rows.
    """
    rows = numbered_rows(path)
    empty = True
    for sample in check_rows(rows, f"{path}:"):
        empty = False
        yield sample
    if empty:
        raise UserError(f"{path}: holds no samples; one row a sample is expected")


def check_rows(rows: Iterable[tuple[int, Mapping[str, Any]]], where: str) -> Iterator[ForeignSample]:
    """Numbered rows, each checked. Raises UserError, `where` and the row's number before the field that is wrong."""
    for number, row in rows:
        try:
            yield check_row(row)
        except FieldError as e:
            raise UserError(f"{where}{number}: {e}") from None


# --- rows --------------------------------------------------------------------------------------


def check_row(row: Mapping[str, Any]) -> ForeignSample:
    """One row with the types it should have; null is the same as absent. Raises for the first field that is wrong."""
    task_id = _text(row, "task_id")
    if task_id is None:
        raise _missing(row, "task_id", "a string that names the task")
    if not task_id.strip():
        raise FieldError("task_id", "is empty")
    if any("\ud800" <= c <= "\udfff" for c in task_id):
        raise FieldError("task_id", f"holds half of a surrogate pair: {_show(task_id)}; no file can be named by it")
    correct = _correct(row)
    status = _STATUSES.get(s) if isinstance(s := row.get("status"), str) else None
    own_status = status is not None and (status is Status.CORRECT) == correct
    timed = row.get("timed") is not False
    speedup, ci_low, ci_high = _timing(row, timed) if correct else (None, None, None)
    logprobs, mean, n_tokens = _likelihood(row, correct)
    digest = _text(row, "program_digest")
    metadata = {k: plain_json(v) for k, v in row.items() if k not in _KNOWN and v is not None}
    if not own_status and row.get("status") is not None:
        metadata["status"] = plain_json(row["status"])
    if not isinstance(row.get("timed", True), bool):
        metadata["timed"] = plain_json(row["timed"])
    return ForeignSample(
        task_id=task_id,
        seed=_whole(row, "seed", 0, -INT64),
        status=status if own_status and status is not None else Status.CORRECT if correct else Status.INCORRECT,
        timed=timed,
        speedup=speedup,
        ci_low=ci_low,
        ci_high=ci_high,
        logprobs=logprobs,
        mean_logprob=mean,
        n_tokens=n_tokens,
        program=_text(row, "program"),
        program_digest=digest or None,
        metadata=metadata,
        step=_count(row, "step") or 0,
        index=_count(row, "index"),
        evaluator=evaluator if _is_name(evaluator := row.get("evaluator")) else "",
        labels=labels if isinstance(labels := row.get("labels"), list) and all(map(_is_name, labels)) else [],
    )


def _correct(row: Mapping[str, Any]) -> bool:
    value = row.get("correct")
    if isinstance(value, bool):
        return value
    if value is None:
        raise _missing(row, "correct", "true or false")
    if isinstance(value, (int, float)) and value in (0, 1):
        return value == 1
    raise FieldError("correct", f"must be true or false (or 1 or 0), not {_show(value)}")


def _timing(row: Mapping[str, Any], timed: bool) -> tuple[float | None, float | None, float | None]:
    speedup = _number(row, "speedup")
    if speedup is None:
        if timed:
            raise _missing(row, "speedup", "a correct sample needs one, time of the reference / time of the program")
        return None, None, None
    if speedup <= 0:
        raise FieldError("speedup", f"must be above 0, not {speedup:g}: time of the reference / time of the program")
    if not SPEEDUPS[0] <= speedup <= SPEEDUPS[1]:
        raise FieldError("speedup", f"must be from {SPEEDUPS[0]:g} to {SPEEDUPS[1]:g}, not {speedup:g}")
    low, high = (_number(row, name) for name in ("ci_low", "ci_high"))
    if low is not None and high is not None and low > high:
        raise FieldError("ci_low", f"must be at most ci_high, and {low:g} is above {high:g}")
    if low is not None and low > speedup:
        raise FieldError("ci_low", f"must be at most the speedup, and {low:g} is above {speedup:g}")
    if high is not None and high < speedup:
        raise FieldError("ci_high", f"must be at least the speedup, and {high:g} is below {speedup:g}")
    if high is not None and high > SPEEDUPS[1]:
        raise FieldError("ci_high", f"must be at most {SPEEDUPS[1]:g}, not {high:g}")
    return speedup, None if low is None else max(low, 0.0), high  # no program takes less than no time


def _likelihood(row: Mapping[str, Any], correct: bool) -> tuple[list[float] | None, float | None, int]:
    values = row.get("logprobs")
    if values is not None:
        logprobs = _logprobs(values)
        if correct and not logprobs:
            raise FieldError("logprobs", "is empty; a correct sample needs at least one token")
        return logprobs, None, len(logprobs)
    mean = _number(row, "mean_logprob")
    if mean is None:
        raise _missing(row, "logprobs", "a list of floats in nats, or give 'mean_logprob' with 'n_tokens'")
    if mean > ROUNDING:
        raise FieldError("mean_logprob", f"must be at most 0, not {mean:g}: a log-probability, in nats")
    if mean < LEAST_LOGPROB:
        raise FieldError("mean_logprob", f"must be at least {LEAST_LOGPROB:g}, not {mean:g}: nats a token")
    return None, mean, _whole(row, "n_tokens", None, 1)


def _logprobs(values: Any) -> list[float]:
    if not isinstance(values, list):
        raise FieldError("logprobs", f"must be a list of numbers, not {_show(values)}")
    try:
        if (
            set(map(type, values)) <= {float}
            and math.isfinite(math.fsum(values))
            and max(values, default=0) <= ROUNDING
            and min(values, default=0) >= LEAST_LOGPROB
        ):
            return values
    except (OverflowError, ValueError):  # infinities of both signs: named below
        pass
    out: list[float] = []
    for i, value in enumerate(values):
        number = _finite("logprobs", value, f"item {i} ")
        if number > ROUNDING:
            raise FieldError("logprobs", f"item {i} must be at most 0, not {number:g}: a log-probability, in nats")
        if number < LEAST_LOGPROB:
            raise FieldError("logprobs", f"item {i} must be at least {LEAST_LOGPROB:g}, not {number:g}: nats a token")
        out.append(number)
    return out


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise FieldError(name, f"must be a string, not {_show(value)}")
    return value


def _number(row: Mapping[str, Any], name: str) -> float | None:
    value = row.get(name)
    return None if value is None else _finite(name, value)


def _finite(name: str, value: Any, which: str = "") -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise FieldError(name, f"{which}must be a number, not {_show(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FieldError(name, f"{which}must be a finite number, not {_show(value)}")
    return number


def _whole(row: Mapping[str, Any], name: str, default: int | None, least: int) -> int:
    value = row.get(name)
    if value is None:
        if default is None:
            raise _missing(row, name, "a whole number")
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value % 1 != 0:
        raise FieldError(name, f"must be a whole number, not {_show(value)}")
    if not least <= value < INT64:
        raise FieldError(name, f"must be at least {least}, not {_show(value)}" if value < least else "is too large")
    return int(value)


def _count(row: Mapping[str, Any], name: str) -> int | None:
    """A whole number of something, or None where the user means something else by this name."""
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < INT64 or value % 1 != 0:
        return None
    return int(value)


def _is_name(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and value.isprintable()


def _missing(row: Mapping[str, Any], name: str, what: str) -> FieldError:
    has = ", ".join(short(k, 24) for k in list(row)[:8]) or "nothing"
    state = "is null" if name in row else f"is missing (the row has {has}{', ...' if len(row) > 8 else ''})"
    return FieldError(name, f"{state}; {what}")


def plain_json(value: Any) -> Any:
    """A value that JSON can hold: what it can't (NaN, dates, bytes) as null or text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if -INT64 <= value < INT64 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): plain_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_json(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, (datetime.date, datetime.time)) else str(value)


def _show(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    return short(json.dumps(value) if value is None or isinstance(value, (str, bool, int, float)) else repr(value))
