"""From hidden states to log-probabilities of given tokens, a piece at a time.

A vocabulary of 150,000 makes the logits of a few thousand tokens larger than everything else in the model. Here they
exist for a piece of the tokens at a time, forwards and, computed again, backwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

_PIECE_BYTES = {"cpu": 1 << 27, "cuda": 1 << 28}


class Head:
    """The output layer of a causal language model.

    Some architectures do more than a matrix product there (caps, scales). Known ones are applied, and `agrees` checks
    the whole against the model itself, so that an unknown one is noticed rather than scored wrongly.
    """

    def __init__(self, model: Any) -> None:
        """model: the transformers model (adapters injected or not)."""
        config = model.config.get_text_config()
        self._layer: Any = model.get_output_embeddings()
        self._cap: float | None = getattr(config, "final_logit_softcapping", None)
        self._times: float | None = getattr(config, "logit_scale", None)  # Cohere
        self._over: float | None = getattr(config, "logits_scaling", None)  # Granite
        self.vocabulary = int(config.vocab_size)

    def logits(self, hidden: Tensor) -> Tensor:
        """(n, d) -> (n, V), fp32."""
        logits: Tensor = self._layer(hidden)
        if self._times is not None:
            logits = logits * self._times
        if self._over is not None:
            logits = logits / self._over
        if self._cap is not None:
            logits = torch.tanh(logits / self._cap) * self._cap
        return logits.float()

    def agrees(self, hidden: Tensor, logits: Tensor) -> bool:
        """Whether this gives the logits (n, V) that the model gave for the hidden states (n, d)."""
        return bool(torch.allclose(self.logits(hidden), logits.float(), rtol=1e-3, atol=1e-3))

    def logprobs(self, hidden: Tensor, targets: Tensor) -> Tensor:
        """Log-probability (n,) of each target (n,) given the hidden state (n, d) that predicts it; differentiable."""
        size = max(1, _PIECE_BYTES.get(hidden.device.type, 1 << 27) // (4 * self.vocabulary))
        picked = cast("Callable[..., Tensor]", self._picked)
        parts: list[Tensor] = []
        for at in range(0, hidden.shape[0], size):
            h, t = hidden[at : at + size], targets[at : at + size].to(hidden.device)
            if torch.is_grad_enabled():
                parts.append(cast("Tensor", checkpoint(picked, h, t, use_reentrant=False, preserve_rng_state=False)))
            else:
                parts.append(picked(h, t))
        return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)

    def _picked(self, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.logits(hidden)
        return logits.gather(-1, targets[:, None])[:, 0] - torch.logsumexp(logits, dim=-1)
