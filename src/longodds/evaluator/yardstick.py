"""What is expected of a program, and how far off it may be: the reference in float64 and its own error against that."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from longodds.evaluator import tree
from longodds.evaluator.compare import ANYTHING, INFINITE, Errors, Tolerance, is_exact, scale_of
from longodds.evaluator.laws import SANITIZERS

# Multiples of the reference's own error (largest, root mean square) and the least of both in units in the last place.
# The latter are equal: all elements may share one error, that of a sum they are divided by, made in another order.
_MULTIPLES = (32.0, 16.0, 32.0, 32.0)
_ROW_MULTIPLE = 8.0  # beside those: honest forms that mix rows leave the rounding of large ones in small ones
# Types of 8 to 11 bits: their own last rounding is most of the error, and 16 of their last places would be a tenth.
_NARROW_MULTIPLES = (12.0, 6.0, 6.0, 3.0)
NARROW = (torch.float16, torch.bfloat16)
_EXACT_MULTIPLE, _EXACT_SHARE = 4.0, 0.01
_ROWS_NEEDED = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call leaves: output leaves, then the input leaves that the reference changes in place."""

    leaves: tuple[torch.Tensor, ...]

    def is_finite(self) -> bool:
        # A sum is finite where its terms are, but for overflow, and several times cheaper to look at.
        return all(_finite(t.sum()) or _finite(t) for t in self.leaves if not is_exact(t))


def _finite(t: torch.Tensor) -> bool:
    return bool(torch.isfinite(t).all())


def ask(model: Any, inputs: list[Any], mutated: Sequence[int] = ()) -> Answer:
    """Call a model on inputs, which it may change."""
    outputs = [as_tensor(v) for v in tree.values(model(*inputs))]
    after = tree.values(inputs)
    return Answer((*outputs, *(as_tensor(after[i]) for i in mutated)))


def as_tensor(value: object) -> torch.Tensor:
    return value.detach() if isinstance(value, torch.Tensor) else torch.tensor(value)


def fresh(inputs: list[Any]) -> list[Any]:
    """A copy with tensors of their own, strides kept."""
    return tree.map_tensors(inputs, _own)


def _own(t: torch.Tensor) -> torch.Tensor:
    # clone() would give an expanded tensor memory for every element, and a program could tell.
    if 0 in t.stride() and t.numel():
        index = tuple(slice(0, 1) if s == 0 else slice(None) for s in t.stride())
        return t[index].clone().expand(t.shape)
    return t.clone()


_WIDER = {torch.complex64: torch.complex128, torch.complex32: torch.complex128}


def _widen(t: torch.Tensor) -> torch.Tensor:
    return t.double() if t.is_floating_point() else t.to(_WIDER[t.dtype]) if t.dtype in _WIDER else t


@contextlib.contextmanager
def _wide_default() -> Generator[None]:
    """What the reference makes itself, such as a mask of ones, is wide as well."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Yardstick:
    """The reference in float64 where its code allows and memory suffices; else as it is (`wide` is None).

    declared: as it is in any case.
    """

    def __init__(
        self, model: torch.nn.Module, inputs: list[Any], mutated: Sequence[int], *, declared: bool = False
    ) -> None:
        self.model, self.mutated = model, mutated
        self.wide: torch.nn.Module | None = None
        self._noises: dict[torch.Size, torch.Tensor] = {}
        if not declared and _fits(model, inputs):
            try:
                self.wide = _widened(model)
                self._wide(fresh(inputs))
            except Exception:  # boundary: the task's own code may refuse a wider type in any way
                self.wide = None

    def _wide(self, inputs: list[Any], *, nudged: bool = False) -> Answer:
        # Moved after widening would be lost on exact zeros only; the nudge is relative, as rounding is.
        change = self._nudge_wide if nudged else _widen
        with _wide_default():
            return ask(self.wide, tree.map_tensors(fresh(inputs), change), self.mutated)

    def truth(self, inputs: list[Any]) -> Answer:
        """Expected leaves."""
        return ask(self.model, fresh(inputs), self.mutated) if self.wide is None else self._wide(inputs)

    def moved(self, inputs: list[Any]) -> Answer:
        """The leaves for inputs moved by one rounding, which a backward-stable program may give."""
        if self.wide is not None:
            return self._wide(inputs, nudged=True)
        return ask(self.model, tree.map_tensors(fresh(inputs), _nudge), self.mutated)

    def settle(self) -> None:
        """Tolerances are known: what only they needed is given back."""
        self._noises.clear()

    def _nudge_wide(self, t: torch.Tensor) -> torch.Tensor:
        if is_exact(t):
            return t
        # A half-precision input is exact; what moves is the arithmetic on it, whose rounding the reference's error has.
        eps = min(torch.finfo(t.dtype).eps, torch.finfo(torch.float32).eps)
        noise = self._noises.get(t.shape)
        if noise is None:  # the same directions for every draw: random numbers take longer than the rest
            noise = self._noises[t.shape] = _noise(t)
        return _moved(_widen(t), eps, noise)


def _fits(model: torch.nn.Module, inputs: list[Any]) -> bool:
    """Whether there is memory for what judging in float64 takes; on a GPU processes beside this one need some."""
    tensors = [*model.parameters(), *model.buffers(), *(t for t in tree.values(inputs) if isinstance(t, torch.Tensor))]
    size = 8 * sum(t.numel() for t in tensors)
    on_gpu = any(t.is_cuda for t in tensors)
    return (12 if on_gpu else 4) * size < available_bytes(on_gpu=on_gpu)


def available_bytes(*, on_gpu: bool = False) -> int:
    """Memory of the machine, or of its GPU, that can be had; plenty where the system does not say."""
    if on_gpu:
        return torch.cuda.mem_get_info()[0]
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 40


def _widened(model: torch.nn.Module) -> torch.nn.Module:
    wide = copy.deepcopy(model).double()
    for module in wide.modules():
        for name, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            if tensor.is_complex():
                value = _widen(tensor.detach())
                setattr(module, name, torch.nn.Parameter(value) if isinstance(tensor, torch.nn.Parameter) else value)
        # Plain tensors that a constructor keeps are part of the function too.
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                object.__setattr__(module, name, _widen(value))
    return wide


def _noise(t: torch.Tensor) -> torch.Tensor:
    return torch.rand(t.shape, dtype=torch.float32, device=t.device)  # how far it moves needs no more digits


def _moved(t: torch.Tensor, eps: float, noise: torch.Tensor) -> torch.Tensor:
    return t * noise.to(t.dtype).mul_(2 * eps).add_(1 - eps)


def _nudge(t: torch.Tensor) -> torch.Tensor:
    return t if is_exact(t) else _moved(t, torch.finfo(t.dtype).eps, _noise(t))


def measure(got: torch.Tensor, truth: torch.Tensor, moved: torch.Tensor | None) -> Tolerance:
    """Small multiples of the reference's own error and of the change under one rounding of the inputs (where given).

    Never below some ulp of the output's scale: an error can be zero by luck. Exact types: a few times the share of
    elements that rounding decides, mostly none.
    """
    own = Errors.between(got, truth)
    shift = own if moved is None else Errors.between(moved, truth)
    if is_exact(got):
        share = min(_EXACT_MULTIPLE * own.peak, _EXACT_SHARE)  # moved inputs would break ties
        return Tolerance(share, share)
    many, typical_many, floor, typical_floor = _NARROW_MULTIPLES if got.dtype in NARROW else _MULTIPLES
    ulp = torch.finfo(got.dtype).eps
    scale = float(truth.abs().max()) if truth.numel() else 0.0
    wide = torch.complex128 if truth.is_complex() else torch.float64
    typical = float(torch.linalg.vector_norm(truth.to(wide))) / max(truth.numel(), 1) ** 0.5
    row = (
        max(_ROW_MULTIPLE * many * max(own.row, shift.row), floor * ulp) if own.small_rows >= _ROWS_NEEDED else INFINITE
    )
    return Tolerance(
        max(many * max(own.peak, shift.peak), floor * ulp * scale),
        max(typical_many * max(own.rms, shift.rms), typical_floor * ulp * typical),
        row,
    )


def decidable(leaves: Sequence[torch.Tensor], found: list[Tolerance]) -> list[Tolerance]:
    """Tolerances without a bound for exact leaves that rounding decides: the others can be judged. Empty where no other
    is there."""
    decided = [is_exact(leaf) and t.peak > 0 for leaf, t in zip(leaves, found, strict=True)]
    if any(decided) and all(map(is_exact, leaves)):
        return []
    return [ANYTHING if d else t for d, t in zip(decided, found, strict=True)]


def widest(a: Tolerance, b: Tolerance) -> Tolerance:
    """Of two draws of a law. A row bound counts where one of them could measure it."""
    rows = [t.row for t in (a, b) if t.row < INFINITE]
    return Tolerance(max(a.peak, b.peak), max(a.rms, b.rms), max(rows, default=INFINITE))


def sensitivity(model: torch.nn.Module, inputs: list[Any], mutated: Sequence[int]) -> float:
    """Change of the outputs, over their scale, when the inputs move by one rounding; infinite where not finite."""
    plain = ask(model, fresh(inputs), mutated)
    moved = ask(model, tree.map_tensors(fresh(inputs), _nudge), mutated)
    if not (plain.is_finite() and moved.is_finite()):
        return INFINITE
    worst = 0.0
    for a, b in zip(plain.leaves, moved.leaves, strict=True):
        scale = scale_of(a)
        worst = max(worst, Errors.between(b, a).peak / scale if scale else 0.0)
    return worst


class _Listener(TorchFunctionMode):
    """Notes the names of the functions that are called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "").strip("_")
        # `x != x` is how many write isnan.
        self.names.add("isnan" if name in ("eq", "ne") and len(args) > 1 and args[0] is args[1] else name)
        return func(*args, **(kwargs or {}))


def sanitizes(model: torch.nn.Module, inputs: list[Any]) -> bool:
    """Whether the reference looks after NaN and infinities itself."""
    listener = _Listener()
    with listener:
        model(*fresh(inputs))
    return bool(listener.names & SANITIZERS)
