"""Cascade attention: many rows continue one prompt whose keys and values exist once.

`transformers` lets a model be loaded with an attention function of our own, and passes keyword arguments of
`forward` on to it. A `CascadeCache` holds, per layer, the prompt's keys and values with batch size 1 (the
prefix, never written again) and each row's own (the tail). The attention function scores a row's queries against
both, takes one softmax over all scores and sums the values: exactly plain attention, but the prompt is neither copied
nor read once per row; its product with all rows' queries is a single matrix product.

Shapes: K rows, H query heads, Hkv key/value heads, G = H / Hkv, n new positions, P prefix, t tail length, D head size.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.cache_utils import Cache

from longodds.policy.attention import KeyValues, attend
from longodds.policy.packing import PackedRow, packed_attention

ATTENTION_NAME = "longodds_cascade"
_GROW = 64  # tail capacity grows by this many positions, so that most steps write in place


class CascadeLayer:
    """Keys and values of one attention layer: a shared prefix (1, Hkv, P, D) and a tail (K, Hkv, t, D)."""

    is_sliding = False
    is_compileable = False
    is_croppable = False

    def __init__(self, prefix: KeyValues | None = None) -> None:
        self.prefix = prefix
        self.tail: KeyValues | None = None  # with spare capacity at the end
        self.tail_length = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> KeyValues:
        """Appends (K, Hkv, n, D) to the tail and returns the whole tail, without the prefix."""
        n = key_states.shape[2]
        if self.tail is None:
            # Kept as given (no copy): for a prefill this is the whole prompt, and gradients flow through it.
            self.tail, self.tail_length = (key_states, value_states), n
            return self.tail
        end = self.tail_length + n
        if end > self.tail[0].shape[2]:
            self.tail = (self._grown(self.tail[0], end), self._grown(self.tail[1], end))
        keys, values = self.tail
        keys[:, :, self.tail_length : end] = key_states
        values[:, :, self.tail_length : end] = value_states
        self.tail_length = end
        return keys[:, :, :end], values[:, :, :end]

    def _grown(self, old: Tensor, need: int) -> Tensor:
        new = old.new_empty((*old.shape[:2], need + _GROW, old.shape[3]))
        new[:, :, : self.tail_length] = old[:, :, : self.tail_length]
        return new

    def keep(self, rows: Tensor) -> None:
        """Drops all rows of the tail but those; the prefix is untouched."""
        if self.tail is not None:
            t = self.tail_length
            self.tail = (self.tail[0][:, :, :t].index_select(0, rows), self.tail[1][:, :, :t].index_select(0, rows))

    def get_seq_length(self) -> int:
        return self.tail_length + (0 if self.prefix is None else self.prefix[0].shape[2])

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        return -1


class CascadeCache(Cache):
    """A transformers cache whose layers share one prompt between all rows.

    `seen` counts updates and `attended` the attention calls that found this cache: they differ when a model
    doesn't pass keyword arguments through to its attention, which must never go unnoticed.
    """

    def __init__(self, prefixes: list[KeyValues] | None = None, layers: int = 0) -> None:
        made = [CascadeLayer(p) for p in prefixes] if prefixes is not None else [CascadeLayer() for _ in range(layers)]
        super().__init__(layers=cast("Any", made))
        self.seen = 0
        self.attended = 0

    def cascade_layers(self) -> list[CascadeLayer]:
        return cast("list[CascadeLayer]", self.layers)

    def update(self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any) -> KeyValues:
        self.seen += 1
        return self.cascade_layers()[layer_idx].update(key_states, value_states)

    def complete(self) -> bool:
        """Whether every layer stored its keys and values, and every attention call found this cache."""
        stored = all(layer.tail is not None for layer in self.cascade_layers())
        return stored and self.attended == self.seen

    def as_prefixes(self) -> list[KeyValues]:
        """After a prefill with one row: every layer's keys and values, to be shared by later caches."""
        return [layer.tail for layer in self.cascade_layers() if layer.tail is not None]

    def visible(self, window: int | None, device: torch.device) -> Tensor | None:
        """A mask (K or 1, 1, n, P + t) of what new positions may see; None: all that came before, in the window."""
        return None

    def keep(self, rows: Tensor) -> None:
        for layer in self.cascade_layers():
            layer.keep(rows)

    def prefix_bytes(self) -> int:
        """Memory that the shared prompt takes (once, whatever K)."""
        parts = [t for layer in self.cascade_layers() if layer.prefix is not None for t in layer.prefix]
        return sum(t.numel() * t.element_size() for t in parts)


def cascade_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    s_aux: Tensor | None = None,
    softcap: float | None = None,
    cascade: CascadeCache | None = None,
    packed: PackedRow | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention function in transformers' calling convention: query (K, H, n, D) -> output (K, n, H, D).

    s_aux: attention sinks (H,), as in gpt-oss; softcap: tanh cap of scores, as in Gemma 2.
    packed: the row of `packing` that the tokens are. Without it and without a cascade cache this is plain causal
    attention; only a ready 4D mask is honoured then.
    """
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    if packed is not None:
        packed.attended += 1
        return packed_attention(query, key, value, packed, scale, sliding_window, s_aux, softcap), None
    prefix: KeyValues | None = None
    if cascade is not None:
        cascade.attended += 1
        attention_mask = cascade.visible(sliding_window, query.device)
        sliding_window = sliding_window if attention_mask is None else None
        prefix = cascade.cascade_layers()[cast(int, module.layer_idx)].prefix
    n, t = query.shape[2], key.shape[2]
    special = s_aux is not None or softcap is not None or (sliding_window is not None and sliding_window < t)
    if prefix is None and not special and (n == t or attention_mask is not None):
        groups = query.shape[1] // key.shape[1]
        out = F.scaled_dot_product_attention(
            query,
            key.repeat_interleave(groups, 1),
            value.repeat_interleave(groups, 1),
            attn_mask=attention_mask,
            is_causal=attention_mask is None and n > 1,
            scale=scale,
        )
        return out.transpose(1, 2).contiguous(), None
    return attend(query, (key, value), prefix, scale, attention_mask, sliding_window, s_aux, softcap), None


def register_cascade_attention() -> None:
    """Makes the function known to transformers under `ATTENTION_NAME` (again is harmless)."""
    AttentionInterface.register(ATTENTION_NAME, cast("Any", cascade_attention))
