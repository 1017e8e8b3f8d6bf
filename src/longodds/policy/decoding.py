"""Decoding on a GPU: every step of a batch of rows is the same graph of kernels, recorded once and replayed.

A step of decoding is hundreds of small kernels, and launching them one by one takes longer than running them. A
CUDA graph launches them all at once, but its shapes and addresses must never change: each row's keys and values have
room for all new tokens from the start, what is not written yet is masked, and the step's number lives on the
device. The same code runs without a graph (on a CPU, in tests).

Shapes as in `attention`: K rows, Hkv key/value heads, P prefix, D head size; M is the room for new tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from longodds.policy.cascade import CascadeCache, CascadeLayer

if TYPE_CHECKING:
    from longodds.policy.attention import KeyValues

_ROUND = 64  # room is a multiple of this
_WARM_UP = 1  # eager steps before recording, for libraries that set themselves up at first use


class StaticLayer(CascadeLayer):
    """Keys and values of one layer, written in place at the step's number."""

    def __init__(self, prefix: KeyValues, rows: int, room: int, at: Tensor) -> None:
        super().__init__(prefix)
        keys, values = prefix
        self.room = room
        self._at = at
        # Zeros, because what is masked is still multiplied (by a weight of zero).
        self.tail = (
            keys.new_zeros((rows, keys.shape[1], room, keys.shape[3])),
            values.new_zeros((rows, values.shape[1], room, values.shape[3])),
        )

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> KeyValues:
        """Writes (K, Hkv, 1, D) at the step's number and returns the whole room."""
        assert self.tail is not None
        at = self._at.to(key_states.device)
        self.tail[0].index_copy_(2, at, key_states)
        self.tail[1].index_copy_(2, at, value_states)
        return self.tail

    def take(self, other: StaticLayer, rows: Tensor) -> None:
        """Copies these rows of another layer."""
        assert self.tail is not None and other.tail is not None
        for mine, theirs in zip(self.tail, other.tail, strict=True):
            mine.copy_(theirs.index_select(0, rows.to(theirs.device)))


class StaticCache(CascadeCache):
    """A cascade cache with room for all new tokens. at: (1,) int64 on the device, tokens written so far."""

    def __init__(self, prefixes: list[KeyValues], rows: int, room: int, at: Tensor) -> None:
        super().__init__([])
        self.at = at
        self.prefix_length = prefixes[0][0].shape[2]
        self.room = room
        self.layers = cast("Any", [StaticLayer(prefix, rows, room, at) for prefix in prefixes])

    def static_layers(self) -> list[StaticLayer]:
        return cast("list[StaticLayer]", self.layers)

    def visible(self, window: int | None, device: torch.device) -> Tensor:
        """(1, 1, 1, P + M) bool: what the token being computed may see."""
        at = self.prefix_length + self.at.to(device)
        places = torch.arange(self.prefix_length + self.room, device=device)
        seen = places <= at
        if window is not None:
            seen = seen & (places > at - window)
        return seen[None, None, None]


class StaticRows:
    """Rows that are being continued, a token a step. record: replay a CUDA graph instead of launching each kernel."""

    def __init__(self, model: Any, call: Any, prefixes: list[KeyValues], rows: int, room: int, *, record: bool) -> None:
        """model: the transformers model. call(model, ids, position_ids, cache) -> its output."""
        self._model = model
        self._call = call
        self._prefixes = prefixes
        self._room = -(-room // _ROUND) * _ROUND
        self._record = record
        self._length = prefixes[0][0].shape[2]
        device: torch.device = model.get_input_embeddings().weight.device
        self._device = device
        self._at = torch.zeros(1, dtype=torch.long, device=device)
        self._places = torch.arange(rows, device=device)  # of the rows that are alive, in the static batch
        self._begin(rows, None)

    def _begin(self, rows: int, old: StaticCache | None) -> None:
        """A static batch of so many rows; with `old`, those of its rows that are alive."""
        self._cache = StaticCache(self._prefixes, rows, self._room, self._at)
        if old is not None:
            for mine, theirs in zip(self._cache.static_layers(), old.static_layers(), strict=True):
                mine.take(theirs, self._places)
            self._places = torch.arange(rows, device=self._device)
        self._ids = torch.zeros((rows, 1), dtype=torch.long, device=self._device)
        self._rows = rows
        self._graph: Any = None
        self._logits: Tensor | None = None

    def keep(self, index: Tensor) -> None:
        """Drops all rows but those. The batch itself shrinks when half of it is gone: recording costs a few steps."""
        self._places = self._places[index]
        alive = len(self._places)
        if 2 * alive <= self._rows:
            self._begin(alive, self._cache)

    def step(self, ids: Tensor) -> Tensor:
        """Feeds (K, 1) tokens of the rows that are alive; logits (K, 1, V), fp32, valid until the next step."""
        self._ids.index_copy_(0, self._places, ids)
        if self._record and self._graph is None:
            self._record_graph()
        if self._graph is not None:
            self._graph.replay()
        else:
            self._compute()
        assert self._logits is not None
        return self._logits if len(self._places) == self._rows else self._logits[self._places]

    def _compute(self) -> None:
        positions = (self._length + self._at)[None].expand(self._rows, 1)
        self._logits = self._call(self._model, self._ids, positions, self._cache).logits.float()
        self._at += 1

    def _record_graph(self) -> None:
        start = self._at.clone()
        side: Any = torch.cuda.Stream(self._device)
        side.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(side):
            for _ in range(_WARM_UP):
                self._compute()
                self._at.copy_(start)
        torch.cuda.current_stream(self._device).wait_stream(side)
        graph: Any = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                self._compute()
        except RuntimeError:
            # The model waits for the device somewhere (routing, rotary tables that depend on the length): no graph of
            # it can be recorded, and nothing has been computed.
            torch.cuda.synchronize(self._device)
            self._record = False
            return
        self._graph = graph
