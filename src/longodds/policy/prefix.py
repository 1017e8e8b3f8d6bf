"""A causal language model seen as: one prompt, then many rows that continue it.

Two ways behind one interface. Shared: the prompt's keys and values exist once (`cascade`). Copied: a plain
`DynamicCache` repeated for the rows, for architectures whose layers keep another kind of state.
"""

from __future__ import annotations

import copy
import inspect
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import DynamicCache

from longodds.policy.attention import KeyValues
from longodds.policy.cascade import CascadeCache
from longodds.policy.decoding import StaticRows
from longodds.policy.head import Head

_SHAREABLE_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True, slots=True)
class PromptState:
    """A prompt that has been read. logits: (1, V) fp32, of the first new token. length: tokens of the prompt.

    prefixes: per layer (1, Hkv, P, D) keys and values; or else cache: a plain cache with batch size 1.
    """

    logits: Tensor
    length: int
    prefixes: list[KeyValues] | None
    cache: DynamicCache | None = None


class Rows:
    """The rows that are being continued: their cache and how many tokens each holds by now."""

    def __init__(self, cache: CascadeCache | DynamicCache, length: int) -> None:
        self.cache = cache
        self.length = length

    def keep(self, index: Tensor) -> None:
        """Drops all rows but those."""
        if isinstance(self.cache, CascadeCache):
            self.cache.keep(index)
        else:
            cast("Any", self.cache).reorder_cache(index)


def can_share(model: Any) -> bool:
    """Whether a model's layers are attention layers that use transformers' attention interface."""
    types = set(getattr(model.config.get_text_config(), "layer_types", None) or ["full_attention"])
    return bool(getattr(model, "_supports_attention_backend", False)) and types <= _SHAREABLE_LAYERS


class SharedPrefixModel:
    """Wraps a model that was loaded with the cascade attention (`shared=True`) or with any other.

    min_rows: the fewest rows that a step of sampling should compute. Matrix products of few rows take other
    code paths (other summation orders) than those of many, so a sample's logits would depend in the last bits on how
    many rows are left. Measured with MKL in fp32: from 16 rows on, every row's result is bit for bit the same
    whatever the number, order or content of the others.
    """

    def __init__(self, model: Any, *, shared: bool, min_rows: int = 1, static: bool = False) -> None:
        """static: keep shapes fixed in steps of one token (`decoding`)."""
        self.model = model
        self.static = static
        self.shared = shared
        self.min_rows = min_rows
        self.layers = int(model.config.get_text_config().num_hidden_layers)
        self._head = Head(model)
        self._head_agrees: bool | None = None
        # transformers renamed the argument in 5.24.
        self._cache_argument = "cache" if "cache" in inspect.signature(model.forward).parameters else "past_key_values"

    def prefill(self, ids: Tensor) -> PromptState:
        """Reads a prompt, ids (1, P)."""
        position_ids = torch.arange(ids.shape[1], device=ids.device)[None]
        if self._head_agrees is None:
            few = ids[:, :8]
            hidden = self.model.get_decoder()(input_ids=few, use_cache=False).last_hidden_state
            logits = self.model(input_ids=few, use_cache=False).logits
            self._head_agrees = self._head.agrees(hidden[0], logits[0])
        if self.shared:
            cache = CascadeCache(layers=self.layers)
            out = self._forward(self.model, ids, position_ids, cache, logits_to_keep=1)
            if cache.complete():
                return PromptState(out.logits[:, -1].float(), ids.shape[1], cache.as_prefixes())
            # The architecture has attention of its own kind in some layer: give up sharing, keep being right.
            self.model.set_attn_implementation("sdpa")
            self.shared = False
        plain = _new_plain_cache(self.model.config)
        out = self._forward(self.model, ids, position_ids, plain, logits_to_keep=1)
        return PromptState(out.logits[:, -1].float(), ids.shape[1], None, plain)

    def rows(self, state: PromptState, k: int, *, room: int | None = None) -> Rows | StaticRows:
        """k rows that have read the prompt and nothing else.

        room: new tokens a row at most, fed one at a time, if known; then steps on a GPU are recorded as a graph.
        """
        if state.prefixes is not None:
            if room is not None and self.static:
                return StaticRows(
                    self.model, self._forward, state.prefixes, k, room, record=state.logits.device.type == "cuda"
                )
            return Rows(CascadeCache(state.prefixes), state.length)
        # A plain cache is changed by use, so each batch of rows starts from a copy of its own.
        cache = cast("Any", copy.deepcopy(state.cache))
        cache.reorder_cache(torch.zeros(k, dtype=torch.long, device=state.logits.device))
        return Rows(cache, state.length)

    def step(self, rows: Rows | StaticRows, ids: Tensor) -> Tensor:
        """Feeds (K, n) tokens and returns logits (K, n, V) in fp32."""
        if isinstance(rows, StaticRows):
            return rows.step(ids)
        return self._feed(self.model, rows, ids).logits.float()

    def score(self, rows: Rows, ids: Tensor, targets: Tensor) -> Tensor:
        """Feeds (K, n) tokens; log-probabilities (K, n), nats, of the (K, n) tokens that follow them.

        The logits of all tokens never exist at once, unless the architecture does something unknown behind its last
        layer.
        """
        if self._head_agrees:
            hidden: Tensor = self._feed(self.model.get_decoder(), rows, ids).last_hidden_state
            return self._head.logprobs(hidden.flatten(0, 1), targets.flatten()).view(targets.shape)
        logits = self.step(rows, ids)
        return logits.gather(-1, targets[..., None])[..., 0] - torch.logsumexp(logits, dim=-1)

    def _feed(self, network: Any, rows: Rows, ids: Tensor) -> Any:
        n = ids.shape[1]
        position_ids = torch.arange(rows.length, rows.length + n, device=ids.device)[None].expand(ids.shape[0], -1)
        out = self._forward(network, ids, position_ids, rows.cache)
        if isinstance(rows.cache, CascadeCache) and not rows.cache.complete():
            raise RuntimeError(f"{type(self.model).__name__}: an attention layer didn't see the prompt")
        rows.length += n
        return out

    def _forward(
        self, network: Any, ids: Tensor, position_ids: Tensor, cache: CascadeCache | DynamicCache, **more: Any
    ) -> Any:
        extra: dict[str, Any] = {self._cache_argument: cache, **more}
        if isinstance(cache, CascadeCache):
            extra["cascade"] = cache
        return network(input_ids=ids, position_ids=position_ids, use_cache=True, **extra)


def _new_plain_cache(config: Any) -> DynamicCache:
    return DynamicCache(config=config)
