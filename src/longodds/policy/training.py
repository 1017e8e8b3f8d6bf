"""One pass of a model in training over a packed row: log-probabilities with their gradients."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from longodds.errors import InfraError
from longodds.policy.cascade import ATTENTION_NAME
from longodds.policy.packing import PackedRow, pack

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from longodds.learning import Datum
    from longodds.policy.head import Head


@dataclass(frozen=True, slots=True)
class PassResult:
    """logprobs: (n,) nats, fp32, of the completion tokens of the data in `order`, with their graph.

    tokens: how many went through the model.
    """

    logprobs: Tensor
    order: list[int]
    tokens: int


class TrainingPass:
    """Runs a transformers model for gradients. packs: whether prompts are shared within a row (`packing`); found out at
    the first row where the architecture doesn't say."""

    def __init__(self, model: Any, head: Head) -> None:
        """model: the transformers model with adapters injected."""
        self.packs = model.config._attn_implementation == ATTENTION_NAME
        self._model = model
        self._decoder: Any = model.get_decoder()
        self._head = head
        self._checked = False
        self._adapted: list[Any] = [m for m in model.modules() if isinstance(m, BaseTunerLayer)]
        self._narrow = model.device.type == "cuda" and model.dtype in (torch.bfloat16, torch.float16)
        self._layers = [m for m in model.modules() if hasattr(m, "gradient_checkpointing") and _is_layer(m)]
        for layer in self._layers:
            layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)

    def logprobs(
        self, data: Sequence[Datum], groups: Sequence[Sequence[int]], device: torch.device, *, again: int
    ) -> PassResult:
        """One row that holds these groups of `data` (all completions of a group have one prompt). again: number of
        layers that are computed again in the backward pass."""
        with self._checkpointing(again), self._autocast():
            if self.packs:
                row = pack(data, groups, device)
                hidden = self._packed(row)
                if hidden is not None:
                    self._check_head(row)
                    found = self._head.logprobs(hidden[0, row.source.to(hidden.device)], row.targets)
                    return PassResult(found, row.order, row.ids.shape[1])
            return self._padded(data, [i for group in groups for i in group], device)

    def _packed(self, row: PackedRow) -> Tensor | None:
        """Hidden states (1, T, d); None when some attention did not see the row, which `packs` then says."""
        out: Any = self._decoder(input_ids=row.ids, position_ids=row.position_ids, use_cache=False, packed=row)
        layers = int(self._model.config.get_text_config().num_hidden_layers)
        if row.attended != layers:
            self._model.set_attn_implementation("sdpa")
            self.packs = False
            return None
        return out.last_hidden_state

    def _padded(self, data: Sequence[Datum], order: list[int], device: torch.device) -> PassResult:
        """Each completion behind a copy of its prompt, padded on the right: causal layers never see the padding."""
        rows = [torch.tensor([*data[i].prompt_ids, *data[i].token_ids[:-1]]) for i in order]
        ids = pad_sequence(rows, batch_first=True).to(device)
        out: Any = self._decoder(input_ids=ids, use_cache=False)
        hidden: Tensor = out.last_hidden_state
        pieces = [
            hidden[k, len(data[i].prompt_ids) - 1 : len(data[i].prompt_ids) + len(data[i].token_ids) - 1]
            for k, i in enumerate(order)
        ]
        targets = torch.tensor([t for i in order for t in data[i].token_ids], device=device)
        return PassResult(self._head.logprobs(torch.cat(pieces), targets), order, sum(len(r) for r in rows))

    def _check_head(self, row: PackedRow) -> None:
        """Once: the head against the model's own output for the first prompt."""
        if self._checked:
            return
        first = row.groups[0]
        with torch.no_grad():
            ids = row.ids[:, first.start : first.start + first.prompt]
            # The same pass twice: a packed row rounds differently in 16 bits, which would look like another layer.
            last = self._decoder(input_ids=ids, use_cache=False).last_hidden_state[0, -1]
            logits: Tensor = self._model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0]
            if not self._head.agrees(last[None], logits):
                raise InfraError(
                    f"{type(self._model).__name__}: does more behind its last layer than is known here; "
                    "its log-probabilities can't be trained"
                )
        self._checked = True

    @contextlib.contextmanager
    def narrow_adapters(self) -> Generator[None]:
        """Adapters, whose weights are fp32, leave their inputs in the 16-bit type of a GPU's base model.

        Otherwise each of them would keep an fp32 copy of its input and multiply it without tensor cores. Must hold in
        the backward pass as well, in which checkpointed layers are computed again. See `_autocast`.
        """
        for layer in self._adapted if self._narrow else ():
            layer.cast_input_dtype_enabled = False
        try:
            yield
        finally:
            for layer in self._adapted if self._narrow else ():
                layer.cast_input_dtype_enabled = True

    def _autocast(self) -> torch.autocast:
        """Products of 16-bit inputs with fp32 weights in 16 bits, their gradients accumulated in fp32."""
        return torch.autocast("cuda", self._model.dtype, enabled=self._narrow)

    def layers_again(self, tokens: int, room: int, whole: int, kept: int) -> int:
        """The fewest layers to compute again so that a row of `tokens` takes at most `room` bytes; all, if that is not
        enough. whole, kept: bytes a token with no layer computed again, and with all."""
        count = len(self._layers)
        over = tokens * whole - room
        return 0 if over <= 0 else min(count, math.ceil(count * over / max(tokens * (whole - kept), 1)))

    @contextlib.contextmanager
    def _checkpointing(self, again: int) -> Generator[None]:
        """The first `again` layers keep only their input and are computed again in the backward pass. Only the layers
        are told that they train, not what is in them, so that no dropout starts."""
        chosen = self._layers[:again]
        for layer in chosen:
            layer.gradient_checkpointing, layer.training = True, True
        try:
            yield
        finally:
            # The backward pass replays the forward of a layer, not this switch.
            for layer in chosen:
                layer.gradient_checkpointing, layer.training = False, False


def _is_layer(module: Any) -> bool:
    from transformers.modeling_layers import GradientCheckpointingLayer

    return isinstance(module, GradientCheckpointingLayer)


def activation_bytes(model: Any, *, checkpointing: bool) -> int:
    """Memory that a token of a packed row takes in training, roughly: what the layers keep for the backward pass.

    Measured on a Llama of 135 M parameters: within a third.
    """
    config = model.config.get_text_config()
    size = cast("torch.dtype", model.dtype).itemsize
    width = int(config.hidden_size)
    experts = getattr(config, "num_experts_per_tok", None) or 1
    inner = int(getattr(config, "moe_intermediate_size", None) or config.intermediate_size) * experts
    # Adapters keep their inputs: in fp32 a copy for each, in 16 bits what other layers keep anyway.
    copies = 0 if size == 2 and model.device.type == "cuda" else (5 * width + inner) * 4
    layer = (16 * width + 5 * inner) * size + copies
    layers = int(config.num_hidden_layers)
    return layers * width * size + layer // layers * 2 if checkpointing else layers * layer
