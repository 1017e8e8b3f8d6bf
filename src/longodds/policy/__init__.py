"""Policies: models that can be sampled and can score text. Nothing here knows tasks or verdicts.

Importing this package imports neither torch nor transformers; opening a policy does.
"""

from __future__ import annotations

from longodds.policy.embedded import EMBEDDED_ADAPTER, embedded_directory, fetch_embedded
from longodds.policy.opening import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.policy.spec import PolicySpec, parse_policy_spec
from longodds.policy.weights import record_adapter_base, weights_digest

__all__ = [
    "EMBEDDED_ADAPTER",
    "LoraOptions",
    "OpenOptions",
    "PolicySpec",
    "embedded_directory",
    "fetch_embedded",
    "open_learner",
    "open_policy",
    "parse_policy_spec",
    "record_adapter_base",
    "weights_digest",
]
