"""The reference with weights that nobody can guess, and their description for the children that get them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from longodds.evaluator import tree
from longodds.evaluator.delivery import Weights, named_tensors

_NEGATED_ONE_IN = 4
_TRIED_ALONE = 12
_MASK_VALUES = 3


def perturb(tensor: torch.Tensor, generator: torch.Generator, *, positive: bool) -> None:
    """Multiply by 1 + 0.3 e (e standard normal, cut at 2); a constant tensor gets noise too, so that it does work."""
    noise = _normal(tensor, generator)
    constant = bool((tensor == tensor.reshape(-1)[0]).all())
    tensor.mul_(noise.mul_(0.3).add_(1))  # in place: memory that is new costs more than arithmetic
    if constant:
        tensor.add_(0.1 * _normal(tensor, generator))
    if positive:
        tensor.abs_().add_(1e-3)


def _normal(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    return torch.randn(tensor.shape, generator=generator).clamp_(-2, 2).to(tensor.dtype)


def negate_some(tensor: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A copy with about a quarter of the entries, at least one, of the other sign. A single number keeps its own: of
    the other one a gate is shut and a temperature is no temperature, and all behind it shows no more."""
    if tensor.numel() == 1:
        return tensor
    turned = torch.randint(_NEGATED_ONE_IN, (tensor.numel(),), generator=generator, dtype=torch.uint8) == 0
    turned[torch.randint(tensor.numel(), (1,), generator=generator)] = True
    turned = turned.reshape(tensor.shape)
    return torch.where(turned, -tensor, tensor)


def is_variance(name: str, value: torch.Tensor) -> bool:
    """Of a buffer. A parameter is trained to have either sign, whatever it is called; where it must not, signs stay."""
    return "var" in name.rsplit(".", 1)[-1] and not value.is_complex() and bool((value >= 0).all())


@dataclass
class State:
    """Parameters and buffers by every name that they have, with the values that all processes get.

    optional: names that a program need not have: second names of shared tensors, and buffers that are the same in every
    construction and keep their values (integers, flags, masks), so that a program may make them itself.
    """

    init: list[Any]
    tensors: dict[str, torch.Tensor]
    optional: list[str]
    free: list[str]  # names of tensors whose signs may be turned
    block: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    config: dict[str, Any] = field(default_factory=dict)

    def write(self) -> State:
        """Bring the values into the block and describe it."""
        values = [self.init, list(self.tensors.values())]
        spec, leaves, _ = tree.describe(values, path="get_init_inputs")
        size = max((leaf.offset + leaf.nbytes for leaf in leaves), default=0)
        self.block = torch.zeros(tree.ALIGN * ((size + tree.ALIGN - 1) // tree.ALIGN), dtype=torch.uint8)
        tree.write(values, leaves, self.block)
        weights = [dict(s, name=n) for s, n in zip(spec["v"][1]["v"], self.tensors, strict=True)]
        self.config = {"init": spec["v"][0], "weights": weights, "optional_weights": self.optional}
        return self

    def with_signs(self, names: list[str], generator: torch.Generator) -> State:
        """The same with signs turned in some entries of the named tensors."""
        turned = {n: negate_some(self.tensors[n], generator) for n in names}
        same = {id(self.tensors[n]): t for n, t in turned.items()}
        tensors = {n: same.get(id(t), t) for n, t in self.tensors.items()}
        return State(self.init, tensors, self.optional, self.free).write()

    def build(self, factory: Callable[..., Any], seed: int) -> torch.nn.Module:
        """The reference as its children build it, weights delivered while it constructs itself."""
        torch.manual_seed(seed)
        weights = Weights(self.config["weights"], self.block)
        model = weights.build(factory, list(tree.read(self.config["init"], self.block.clone())))
        if missing := weights.load(model, self.optional):
            raise ValueError(f"gives up tensors that it had when constructed before: {', '.join(missing[:5])}")
        return model


def make_state(factory: Callable[..., Any], init: list[Any], seeds: tuple[int, int, int]) -> State:
    """Construct the reference twice, perturb what is drawn or trained, keep what is a constant of the task.

    seeds: of the two constructions and of the perturbation.
    """
    models: list[torch.nn.Module] = []
    for seed in seeds[:2]:
        torch.manual_seed(seed)
        models.append(factory(*tree.map_tensors(init, torch.clone)))
    again = named_tensors(models[1])
    generator = torch.Generator().manual_seed(seeds[2])
    buffers = {n for n, _ in models[0].named_buffers(remove_duplicate=False)}
    tensors: dict[str, torch.Tensor] = {}
    optional: list[str] = []
    free: list[str] = []
    first: dict[int, str] = {}
    for name, tensor in named_tensors(models[0]).items():
        if isinstance(tensor, torch.nn.UninitializedParameter):
            raise ValueError(f"{name} has no shape before the first call (a lazy layer): give it its sizes")
        if id(tensor) in first:  # tied: one tensor by several names
            tensors[name] = tensors[first[id(tensor)]]
            optional.append(name)
            continue
        first[id(tensor)] = name
        value = tensor.detach().clone()
        tensors[name] = value
        if name in buffers and _is_constant_of_the_task(value, again.get(name)):
            optional.append(name)
        elif value.numel() and (value.is_floating_point() or value.is_complex()):
            variance = name in buffers and is_variance(name, value)
            perturb(value, generator, positive=variance)
            if not variance:
                free.append(name)
    return State(init, tensors, optional, free).write()


def _is_constant_of_the_task(value: torch.Tensor, again: torch.Tensor | None) -> bool:
    if again is None or value.shape != again.shape or not torch.equal(value, again):
        return False
    exact = not (value.is_floating_point() or value.is_complex())
    return exact or (not value.is_complex() and 1 < len(value.unique()) <= _MASK_VALUES)


def turn_signs(state: State, steady: Callable[[State], bool], seed: int) -> tuple[State, bool]:
    """The state with signs turned wherever the reference stays `steady`; whether that is everywhere.

    All at once if possible, else tensor by tensor.
    """
    if not state.free:
        return state, True
    generator = torch.Generator().manual_seed(seed)
    everything = state.with_signs(state.free, generator)
    if steady(everything):
        return everything, True
    kept = [n for n in state.free[:_TRIED_ALONE] if steady(state.with_signs([n], generator))]
    some = state.with_signs(kept, generator) if kept else state
    return (some if kept and steady(some) else state), False
