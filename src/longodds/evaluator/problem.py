"""A task inside the oracle: reference, weights, draws of every law, expected outputs and tolerances, made once.

Runs the task's own code (trusted) in the oracle process, never a candidate's.
"""

from __future__ import annotations

import copy
import time
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from longodds.errors import UserError
from longodds.evaluator import laws, tree
from longodds.evaluator.compare import Errors, Tolerance, leaf_names
from longodds.types import Task, digest_text

PEAK_MULTIPLE, RMS_MULTIPLE, FLOOR_ULP = 24.0, 12.0, 32.0
_TIGHTEST = 3.0
_SHOWN = {"base": 2, "rare": 3}  # draws of a law in the correctness phase, one unless said
_HIDDEN = 1
_RARE_EVERY = 5
_YARDSTICK_S = 2.0
_BANK_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Draw:
    """Inputs of one draw of a law and what is expected of them (one tensor per output leaf, yardstick precision)."""

    law: str
    seed: int
    inputs: torch.Tensor  # flat uint8 block
    expected: tuple[torch.Tensor, ...]


@dataclass
class Problem:
    """Everything the oracle knows of a task. Raises UserError from `load` when the task can't be judged."""

    task: Task
    secret: int
    input_spec: tree.Spec = field(default_factory=dict)
    input_leaves: list[tree.Leaf] = field(default_factory=list)
    input_bytes: int = 0
    output_spec: tree.Spec = field(default_factory=dict)
    output_leaves: list[tree.Leaf] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    state: torch.Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.uint8))
    draws: list[Draw] = field(default_factory=list)
    decoys: list[Draw] = field(default_factory=list)  # draws of every law that the correctness phase does not show
    tolerances: dict[str, tuple[Tolerance, ...]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    mutates: bool = False
    aliases: bool = False
    prepare_s: float = 0.0
    _module: types.ModuleType | None = None
    _bank: list[torch.Tensor] = field(default_factory=list)

    # --- building -------------------------------------------------------------------------------

    def load(self) -> Problem:
        start = time.monotonic()
        torch.set_grad_enabled(False)
        self._module = _load_module(self.task)
        with _named(self.task, "get_inputs"):
            first = self._draw("base", self._seed("base", 0))
        with _named(self.task, "inputs", tree.Unsupported):
            self.input_spec, self.input_leaves, self.input_bytes = tree.describe(first)
        with _named(self.task, "get_init_inputs"):
            init = list(getattr(self._module, "get_init_inputs", list)())
        model = self._build(init)
        self._config(init, model)
        with _named(self.task, "forward"):
            output = model(*_fresh(first))
        with _named(self.task, "outputs", tree.Unsupported):
            self.output_spec, self.output_leaves, _ = tree.describe(output, dense=True, path="output")
        if not self.output_leaves or len(self.output_leaves) > 256:
            raise UserError(
                f"{self.task.id}: forward returns {len(self.output_leaves)} outputs; 1 to 256 can be judged"
            )
        again = model(*_fresh(first))
        if any(
            Errors.between(_t(a), _t(b)).peak > 0 for a, b in zip(tree.values(output), tree.values(again), strict=True)
        ):
            raise UserError(
                f"{self.task.id}: the reference is stochastic (two calls on equal inputs differ): not judgeable"
            )
        self._yardsticks(model)
        self._battery()
        self.prepare_s = time.monotonic() - start
        return self

    def _seed(self, law: str, number: int) -> int:
        return int(digest_text(str(self.secret), self.task.digest, law, str(number))[:12], 16)

    def _draw(self, law: str, seed: int) -> list[Any]:
        assert self._module is not None
        return list(laws.draw(self._module.get_inputs, law, seed, self._module.__dict__))

    def _build(self, init: list[Any]) -> torch.nn.Module:
        """The reference with weights nobody can guess: perturbed so that zero biases and unit scales do work."""
        assert self._module is not None
        with _named(self.task, "Model"):
            torch.manual_seed(self._seed("weights", 0) & 0xFFFF_FFFF)
            model = self._module.Model(*init)
        generator = torch.Generator().manual_seed(self._seed("weights", 1) & 0xFFFF_FFFF)
        for name, tensor in (*model.named_parameters(), *model.named_buffers()):
            if tensor.is_floating_point() and tensor.numel():
                perturb(tensor, generator, positive="var" in name.rsplit(".", 1)[-1])
        return model

    def _config(self, init: list[Any], model: torch.nn.Module) -> None:
        named = list(model.named_parameters()) + list(model.named_buffers())
        spec, leaves, _ = tree.describe([init, [t.detach() for _, t in named]], path="get_init_inputs")
        size = max((leaf.offset + leaf.nbytes for leaf in leaves), default=0)
        self.state = torch.zeros(tree.ALIGN * ((size + tree.ALIGN - 1) // tree.ALIGN), dtype=torch.uint8)
        tree.write([init, [t.detach() for _, t in named]], leaves, self.state)
        weights = [dict(s, name=n) for s, (n, _) in zip(spec["v"][1]["v"], named, strict=True)]
        self.config = {"init": spec["v"][0], "weights": weights, "inputs": self.input_spec, "optional_weights": []}

    def child_config(self, entry: str, seed: int) -> dict[str, Any]:
        return self.config | {"entry": entry, "outputs": self.output_spec, "seed": seed}

    # --- yardsticks -----------------------------------------------------------------------------

    def _yardsticks(self, model: torch.nn.Module) -> None:
        """Expected outputs in float64 and tolerances, law by law; laws that say nothing are dropped."""
        wide = self._widened(model)
        if wide is None:
            self.labels.append("yardstick:declared-precision")
        spent = 0.0
        for law in laws.LAWS:
            if spent > _YARDSTICK_S and law != "base":
                self.dropped[law] = "the yardstick takes too long"
                continue
            start = time.process_time()  # not wall time: a busy machine must not change which laws are used
            reason = self._law(law, model, wide)
            spent += time.process_time() - start
            if reason and law == "base":
                raise UserError(f"{self.task.id}: {reason}")
            if reason:
                self.dropped[law] = reason

    def _widened(self, model: torch.nn.Module) -> torch.nn.Module | None:
        """The reference in float64, or None where its code insists on a narrower type."""
        assert self._module is not None
        try:
            wide = copy.deepcopy(model).double()
            inputs = self._draw("base", self._seed("base", 0))
            wide(*tree.map_tensors(inputs, _widen))
        except (RuntimeError, TypeError, NotImplementedError):
            return None
        return wide

    def _law(self, law: str, model: torch.nn.Module, wide: torch.nn.Module | None) -> str:
        """Adds the law's draws and tolerances; returns the reason when it must be dropped."""
        draws: list[Draw] = []
        bases: list[Tolerance] | None = None
        shown = _SHOWN.get(law, 1)
        for number in range(shown + _HIDDEN):
            seed = self._seed(law, number)
            try:
                assert self._module is not None
                inputs = self._draw(law, seed)
                if tree.describe(inputs)[0] != self.input_spec:
                    return "the inputs change shape"
                got = [_t(v) for v in tree.values(model(*_fresh(inputs)))]
                truth, moved = self._truth(model, wide, inputs)
            except (RuntimeError, ValueError, IndexError, ZeroDivisionError, ArithmeticError) as error:
                return f"the reference fails: {type(error).__name__}: {error}"
            if not all(bool(torch.isfinite(t).all()) for t in (*got, *truth) if t.is_floating_point()):
                return "the reference is not finite"
            if any(
                not g.is_floating_point() and not torch.equal(g, t.to(g.dtype)) for g, t in zip(got, truth, strict=True)
            ):
                if law == "base":
                    truth = [t if g.is_floating_point() else g for g, t in zip(got, truth, strict=True)]
                else:
                    return "exact outputs depend on rounding"
            now = [_base(g, t, m) for g, t, m in zip(got, truth, moved, strict=True)]
            bases = [Tolerance(max(a.peak, b.peak), max(a.rms, b.rms)) for a, b in zip(bases or now, now, strict=True)]
            block = torch.zeros(self.input_bytes, dtype=torch.uint8)
            tree.write(inputs, self.input_leaves, block)
            draws.append(Draw(law, seed, block, tuple(truth)))
        assert bases is not None
        tolerances = tuple(bases)
        scales = [float(t.abs().max()) if t.numel() and t.is_floating_point() else 1.0 for t in draws[0].expected]
        if law != "base" and all(t.peak > 0.05 * s for t, s in zip(tolerances, scales, strict=True)):
            return "ill-conditioned: the reference itself is too inaccurate to judge by"
        self.draws += draws[:shown]
        self.decoys += draws[shown:]
        self.tolerances[law] = tolerances
        return ""

    def _truth(
        self, model: torch.nn.Module, wide: torch.nn.Module | None, inputs: list[Any]
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Yardstick outputs, and those for inputs moved by one rounding, which a backward-stable program may give."""
        if wide is None:
            nudged = tree.map_tensors(_fresh(inputs), _nudge)
            return [_t(v) for v in tree.values(model(*_fresh(inputs)))], [_t(v) for v in tree.values(model(*nudged))]
        up = tree.map_tensors(_fresh(inputs), _widen)
        truth = [_t(v) for v in tree.values(wide(*up))]
        # Moved after widening would be lost on exact zeros only; the nudge is relative, as rounding is.
        nudged = tree.map_tensors(tree.map_tensors(_fresh(inputs), _widen), _nudge)
        return truth, [_t(v) for v in tree.values(wide(*nudged))]

    def _battery(self) -> None:
        """Trivial programs must fail: a tolerance that one of them passes is tightened, or the task says so."""
        factor = 1.0
        while passed := self._trivial_passes(factor):
            if PEAK_MULTIPLE * factor <= _TIGHTEST:
                self.labels.append(f"degenerate:{passed}")
                break
            factor /= 2
        if factor < 1.0:
            self.tolerances = {law: tuple(t.times(factor) for t in ts) for law, ts in self.tolerances.items()}
            self.labels.append("tightened")

    def _trivial_passes(self, factor: float) -> str:
        """Name of a trivial program that is within tolerance on every draw, or ""."""
        for name, make in TRIVIAL.items():
            if all(self._is_right(make(self, i), draw, factor) for i, draw in enumerate(self.draws)):
                return name
        return ""

    def _is_right(self, outputs: Sequence[torch.Tensor | None], draw: Draw, factor: float) -> bool:
        tolerances = self.tolerances[draw.law]
        return all(
            out is not None and out.shape == want.shape and Errors.between(out, want).within(t.times(factor))
            for out, want, t in zip(outputs, draw.expected, tolerances, strict=True)
        )

    # --- use ------------------------------------------------------------------------------------

    def contents(self, number: int) -> tuple[torch.Tensor, str]:
        """Input block `number` for timed calls, and its law; kept while memory allows, so each is drawn once.

        Most are of the base law; some, at secret places, have a few odd elements.
        """
        law = "rare" if "rare" in self.tolerances and self._seed("rare", number) % _RARE_EVERY == 0 else "base"
        if number < len(self._bank):
            return self._bank[number], law
        assert self._module is not None
        inputs = self._draw(law, self._seed("timed", number))
        block = torch.zeros(self.input_bytes, dtype=torch.uint8)
        tree.write(inputs, self.input_leaves, block)
        if number == len(self._bank) and (number + 1) * self.input_bytes <= _BANK_BYTES:
            self._bank.append(block)
        return block, law

    def release(self) -> None:
        """Forget the kept contents; they are drawn again, equal, when the task comes back."""
        self._bank.clear()

    @property
    def names(self) -> list[str]:
        return leaf_names(self.output_leaves)


def perturb(tensor: torch.Tensor, generator: torch.Generator, *, positive: bool) -> None:
    """Multiply by 1 + 0.3 e (e standard normal, cut at 2); a constant tensor gets noise too, so that it does work."""
    noise = torch.randn(tensor.shape, generator=generator).clamp_(-2, 2).to(tensor.dtype)
    constant = bool((tensor == tensor.reshape(-1)[0]).all())
    tensor.mul_(1 + 0.3 * noise)
    if constant:
        tensor.add_(0.1 * torch.randn(tensor.shape, generator=generator).clamp_(-2, 2).to(tensor.dtype))
    if positive:
        tensor.abs_().add_(1e-3)


def _base(got: torch.Tensor, truth: torch.Tensor, moved: torch.Tensor) -> Tolerance:
    """Small multiples of the reference's own error and of the change under one rounding of the inputs.

    Never below some ulp of the output's scale: an error can be zero by luck.
    """
    if not got.is_floating_point():
        return Tolerance(0.0, 0.0)
    own, shift = Errors.between(got, truth), Errors.between(moved, truth)
    ulp = torch.finfo(got.dtype).eps
    scale = float(truth.abs().max()) if truth.numel() else 0.0
    typical = float(torch.linalg.vector_norm(truth.double())) / max(truth.numel(), 1) ** 0.5
    return Tolerance(
        max(PEAK_MULTIPLE * max(own.peak, shift.peak), FLOOR_ULP * ulp * scale),
        max(RMS_MULTIPLE * max(own.rms, shift.rms), FLOOR_ULP / 2 * ulp * typical),
    )


def _t(value: object) -> torch.Tensor:
    return value.detach() if isinstance(value, torch.Tensor) else torch.tensor(value)


def _fresh(inputs: list[Any]) -> list[Any]:
    return tree.map_tensors(inputs, lambda t: t.clone())


def _widen(t: torch.Tensor) -> torch.Tensor:
    return t.double() if t.is_floating_point() else t


def _nudge(t: torch.Tensor) -> torch.Tensor:
    if not t.is_floating_point():
        return t
    return t * (1 + torch.finfo(torch.float32).eps * (2 * torch.rand(t.shape, dtype=torch.float32).to(t.dtype) - 1))


def _load_module(task: Task) -> types.ModuleType:
    module = types.ModuleType("task")
    module.__file__ = f"<{task.id}>"
    try:
        exec(compile(task.reference, f"<{task.id}>", "exec"), module.__dict__)
    except Exception as error:  # boundary: the task's own code may raise anything
        raise UserError(f"{task.id}: the problem file raises {type(error).__name__}: {error}") from None
    for name in ("Model", "get_inputs"):
        if not hasattr(module, name):
            raise UserError(f"{task.id}: the problem file defines no {name}")
    return module


class _named:
    """Names the task and the part that failed: the caller's file, so a UserError."""

    def __init__(self, task: Task, part: str, kinds: type[Exception] = Exception) -> None:
        self.task, self.part, self.kinds = task, part, kinds

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and isinstance(error, self.kinds) and not isinstance(error, UserError):
            raise UserError(f"{self.task.id}: {self.part}: {type(error).__name__}: {error}") from None


def _constant(value: float) -> Callable[[Problem, int], list[torch.Tensor | None]]:
    return lambda p, i: [torch.full_like(t, value) for t in p.draws[i].expected]


def _mean(p: Problem, i: int) -> list[torch.Tensor | None]:
    return [torch.full_like(t, t.double().mean().item()) if t.numel() else t for t in p.draws[i].expected]


def _echo(p: Problem, i: int) -> list[torch.Tensor | None]:
    """Per output, the input of the same shape that comes nearest."""
    inputs = [leaf.view(p.draws[i].inputs) for leaf in p.input_leaves]
    found: list[torch.Tensor | None] = []
    for want in p.draws[i].expected:
        same = [x for x in inputs if x.shape == want.shape]
        found.append(
            min(same, key=lambda x: Errors.between(x.to(want.dtype), want).rms).to(want.dtype) if same else None
        )
    return found


def _other_draw(p: Problem, i: int) -> list[torch.Tensor | None]:
    """The reference's output of the draw before: a stale or constant answer."""
    return list(p.draws[i - 1].expected)


TRIVIAL: dict[str, Callable[[Problem, int], list[torch.Tensor | None]]] = {
    "zeros": _constant(0.0),
    "ones": _constant(1.0),
    "mean": _mean,
    "input-echo": _echo,
    "previous-output": _other_draw,
}
