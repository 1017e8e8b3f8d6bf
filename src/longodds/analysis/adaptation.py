"""Best-of-Adaptation: by what the steps of a run that learns are compared, and which of them is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def worth(row: Mapping[str, Any]) -> tuple[float, float]:
    """Share of verified fast samples (of fast ones, where verdicts have no intervals), then mean reward; of held-out
    samples if any. row: of `metrics.jsonl`."""
    at = row.get("held_out") or row
    fast = at["fast_1"] if at["fast_1_sig"] is None else at["fast_1_sig"]
    return fast / max(at["n"], 1), at.get("mean_reward", 0.0)


def best_step(rows: Sequence[Mapping[str, Any]]) -> int:
    """The step that is worth most, step 0 included, the earliest of equals; of `rlvr` the last, since a choice by the
    eval half would flatter what that half says. One whose policy a guardrail rejected (`rejected`) is not taken."""
    good = [r for r in rows if not r.get("rejected")]
    if not good:
        return 0
    if good[-1].get("strategy") == "rlvr":
        return good[-1]["step"]
    judged = [r for r in good if r.get("held_out")] or good
    return max(judged, key=lambda r: (*worth(r), -r["step"]))["step"]
