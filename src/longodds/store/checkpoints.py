"""Rows of `checkpoints.jsonl`: the weights that a run made, and when."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One checkpoint.

    step: optimiser steps behind it, 0 before the first; a later row of the same step replaces an earlier one.
    path: directory relative to the run (adapter in PEFT format and optimiser state), or a `tinker://` path; None: the
    base as it is.
    kind: `adapter` or `tinker`. base: policy spec that training began from. policy_version: that of samples drawn
    from it. created: local time, ISO 8601. metrics: figures of the step that made it (loss, grad_norm, ...). rejected:
    a guardrail stopped learning there, so that the one before it is the last good one.
    """

    step: int
    path: str | None
    kind: str
    base: str
    policy_version: str
    created: str = field(default_factory=_now)
    metrics: Mapping[str, float] = field(default_factory=dict)
    rejected: bool = False


def checkpoint_folder(step: int) -> str:
    """What the learner saved at a step, relative to the run: weights and optimiser, or where a service keeps them."""
    return f"checkpoints/step_{step:04}"


def checkpoint_to_row(row: CheckpointRow) -> dict[str, Any]:
    return asdict(row)


def checkpoint_from_row(row: Mapping[str, Any]) -> CheckpointRow:
    """Raises KeyError, TypeError or ValueError for a row that is none."""
    if row["kind"] not in ("adapter", "tinker"):
        raise ValueError(f"field 'kind' is {row['kind']!r}, not 'adapter' or 'tinker'")
    path = None if row["path"] is None else str(row["path"])
    names = ("kind", "base", "policy_version", "created")
    return CheckpointRow(
        step=int(row["step"]),
        path=path,
        **{n: str(row[n]) for n in names},
        metrics=dict(row.get("metrics") or {}),
        rejected=row.get("rejected") is True,
    )
