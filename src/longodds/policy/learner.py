"""A learner that trains a LoRA adapter on a model in this process (the `Learner` protocol)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from longodds.errors import InfraError
from longodds.learning import AdamParams, ForwardBackward
from longodds.policy.adam import Adam
from longodds.policy.head import Head
from longodds.policy.hf import HFPolicy, check_room, check_tokens
from longodds.policy.lora import digest_adapter, frozen_copy, merged_bytes, read_into, save_adapter, whole_directory
from longodds.policy.losses import check_data, token_losses
from longodds.policy.packing import plan_rows
from longodds.policy.training import TrainingPass, activation_bytes
from longodds.policy.weights import check_adapter_base, record_adapter_base
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from longodds.learning import Datum, Loss
    from longodds.policy.loading import LoadedModel

_CPU_ACTIVATION_BYTES = 3 << 30
_KEPT_TOKENS = (
    12288  # of one packed row, whose activations are kept: beyond it a GPU is busy anyway, and only memory grows
)
_MERGE_BYTES = {"cpu": 2 << 30, "cuda": 8 << 30}


class HFLearner:
    """A base model that stays as it is, and an adapter in training beside it.

    name: the spec. parameters: active parameters of the base. steps: optimiser steps taken. shared_prompts: whether a
    prompt is computed once per group of its completions (else once per completion: architectures with other kinds of
    state).
    """

    def __init__(self, name: str, loaded: LoadedModel, lora: Any, *, batch_bytes: int | None = None) -> None:
        """lora: PEFT model over `loaded.model` with one adapter. batch_bytes: memory for activations (default: half of
        the GPU's free memory, 3 GiB on the CPU)."""
        self.name = name
        self.parameters = loaded.parameters
        self.steps = 0
        self._loaded = loaded
        self._lora = lora
        self._batch_bytes = batch_bytes
        named = cast("list[tuple[str, torch.nn.Parameter]]", list(lora.named_parameters()))
        self._adam = Adam({n: p for n, p in named if p.requires_grad})
        lora.eval()  # no dropout anywhere: the gradient is of the probabilities that are reported
        self._pass = TrainingPass(loaded.model, Head(loaded.model))
        self._activations = batch_bytes or _activation_room(loaded.device)
        self._version: str | None = None

    @property
    def version(self) -> str:
        if self._version is None:
            self._version = digest_text(self._loaded.base_sha256, digest_adapter(self._lora))
        return self._version

    @property
    def shared_prompts(self) -> bool:
        return self._pass.packs

    @property
    def trainable_parameters(self) -> int:
        return sum(p.numel() for p in self._adam.parameters.values())

    # --- training -------------------------------------------------------------------------------

    def forward_backward(
        self, data: Sequence[Datum], loss: Loss = "importance_sampling", config: Mapping[str, float] | None = None
    ) -> ForwardBackward:
        """See `Learner`. Raises UserError for tokens that the model doesn't have, or more than its context."""
        check_data(data, loss, config)
        for ids in {datum.prompt_ids for datum in data}:
            check_tokens(self.name, self._loaded.model, ids)
        for datum in data:
            check_tokens(self.name, self._loaded.model, datum.token_ids)
            check_room(self.name, self._loaded.model, len(datum.prompt_ids) + len(datum.token_ids))
        total, tokens = 0.0, 0
        found: dict[int, tuple[float, ...]] = {}
        with self._pass.narrow_adapters():
            for groups, again in self._plan(data):
                result = self._pass.logprobs(data, groups, self._loaded.device, again=again)
                ordered = [data[i] for i in result.order]
                losses = token_losses(loss, result.logprobs, ordered, config)
                summed = losses.sum()
                if summed.requires_grad:
                    summed.backward()
                total += float(summed.detach())
                tokens += result.tokens
                values = cast("list[float]", result.logprobs.detach().tolist())
                for i, datum in zip(result.order, ordered, strict=True):
                    found[i], values = tuple(values[: len(datum.token_ids)]), values[len(datum.token_ids) :]
        return ForwardBackward(total, tuple(found[i] for i in range(len(data))), tokens)

    def optim_step(self, params: AdamParams | None = None) -> dict[str, float]:
        """See `Learner`. Returns `grad_norm`, before clipping. Raises InfraError when the gradient is not finite;
        nothing is changed then, and the gradient is dropped."""
        norm = self._adam.step(params or AdamParams())
        if norm is None:
            raise InfraError(f"learner {self.name}: the gradient is not finite; the step was not taken")
        self.steps += 1
        self._version = None
        return {"grad_norm": norm}

    def train_step(
        self,
        data: Sequence[Datum],
        loss: Loss = "importance_sampling",
        params: AdamParams | None = None,
        config: Mapping[str, float] | None = None,
    ) -> ForwardBackward:
        """`forward_backward`, then `optim_step`."""
        done = self.forward_backward(data, loss, config)
        metrics = {**done.metrics, **self.optim_step(params)}
        return ForwardBackward(done.loss, done.logprobs, done.trained_tokens, metrics)

    def gradients(self) -> dict[str, Tensor]:
        """The accumulated gradient by parameter name; copies."""
        return {n: p.grad.clone() for n, p in self._adam.parameters.items() if p.grad is not None}

    def _plan(self, data: Sequence[Datum]) -> list[tuple[list[list[int]], int]]:
        """Packed rows, each with the number of layers that are computed again in the backward pass to save memory.

        Rows that fit are filled with several groups; on a GPU, which short rows leave waiting for the host, a third
        more is put into them at the price of a quarter of the layers. A group that does not fit alone is kept whole
        while it fits with every layer computed again, because splitting it would compute its prompt again.
        """
        whole, kept = (activation_bytes(self._loaded.model, checkpointing=c) for c in (False, True))
        cuda = self._loaded.device.type == "cuda"
        room = min(self._activations, _KEPT_TOKENS * whole) if cuda else self._activations
        fitting = max(1, room // whole)
        fill = fitting + fitting // 3 if cuda else fitting
        rows = plan_rows(data, max(fill, room // kept), fill=fill)
        return [(row.groups, self._pass.layers_again(row.tokens, room, whole, kept)) for row in rows]

    # --- what it leaves -------------------------------------------------------------------------

    def snapshot(self) -> HFPolicy:
        """A policy with the weights of now. It shares the base weights; merged with the adapter (then it samples as
        fast as the base) where that takes little memory."""
        return self._frozen(self.version)

    def _frozen(self, version: str) -> HFPolicy:
        room = _MERGE_BYTES.get(self._loaded.device.type, 0)
        model = frozen_copy(self._lora, merge=merged_bytes(self._lora) <= room)
        model.eval().requires_grad_(False)
        return HFPolicy(self.name, self._loaded, version=version, model=model, batch_bytes=self._batch_bytes)

    def average(self, directories: Sequence[Path], shares: Sequence[float]) -> HFPolicy:
        """See `Averaging`. The factors A and B are averaged each, as an average over parameters is, not their product.
        Takes memory for two more adapters for a moment."""
        mine = {n: p.detach().clone() for n, p in self._adam.parameters.items()}
        total = {n: torch.zeros_like(p) for n, p in mine.items()}
        try:
            for directory, share in zip(directories, shares, strict=True):
                check_adapter_base(directory, self._loaded.base_sha256)
                read_into(self._lora, directory)
                for name, p in self._adam.parameters.items():
                    total[name].add_(p.detach(), alpha=share)
            self._write(total)
            return self._frozen(digest_text(self._loaded.base_sha256, digest_adapter(self._lora)))
        finally:
            self._write(mine)

    def _write(self, values: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, p in self._adam.parameters.items():
                p.copy_(values[name])

    def save_state(self, directory: Path) -> None:
        """PEFT's two files, which base they belong to, and the optimiser's state."""
        with whole_directory(directory) as ready:
            save_adapter(self._lora, ready)
            record_adapter_base(ready, self._loaded.base_sha256, version=self.version, steps=self.steps)
            self._adam.save(ready, self.steps)

    def load_state(self, directory: Path) -> None:
        """See `Learner`. A gradient that has been accumulated is dropped."""
        check_adapter_base(directory, self._loaded.base_sha256)
        state = self._adam.read(directory)
        read_into(self._lora, directory)
        self.steps = self._adam.restore(state)
        self._version = None

    def close(self) -> None:
        """Frees the model's memory; snapshots stay usable."""
        self._lora = None
        self._adam.parameters.clear()


def _activation_room(device: torch.device) -> int:
    if device.type != "cuda":
        return _CPU_ACTIVATION_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    # What torch holds and nobody uses is free as well.
    return (free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)) // 2
