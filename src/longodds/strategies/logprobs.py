"""What a run's log-probabilities are worth: as a service returned them, scored again, or missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.selection import selection_flips

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.store import RunDir
    from longodds.types import Sample


def logprob_report(run: RunDir, samples: Sequence[Sample]) -> dict[str, Any] | None:
    """{"mode", "rescored", "without", "flips"} of a run whose policy is a service; None for a model of this process.

    mode: as probed at first contact (`raw`, `tempered`, `top-p`, `unknown`). rescored: samples scored again as given
    tokens; without: samples that have no surprisal. flips: `selection_flips`.
    """
    policies = [a.get("policy") or {} for a in run.manifest.get("attempts", [])]
    probed = next((p["logprobs"] for p in reversed(policies) if p.get("logprobs")), None)
    if probed is None:
        return None
    return {
        "mode": probed["mode"],
        "rescored": sum(bool(s.completion.returned_logprobs and s.completion.logprobs) for s in samples),
        "without": sum(bool(s.completion.returned_logprobs and not s.completion.logprobs) for s in samples),
        "flips": selection_flips(samples),
    }
