"""A task inside the oracle: reference, weights, draws of every law, expected outputs and tolerances, made once.

Runs the task's own code (trusted) in the oracle process, never a candidate's.
"""

from __future__ import annotations

import time
import types
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from longodds.errors import UserError
from longodds.evaluator import battery, ceilings, laws, tree
from longodds.evaluator.bank import Bank
from longodds.evaluator.compare import Errors, Tolerance, is_exact, leaf_names, scale_of
from longodds.evaluator.device import Device
from longodds.evaluator.draws import Draw, Made
from longodds.evaluator.task_code import load_module, named
from longodds.evaluator.variation import constant_leaves, vary_leaves
from longodds.evaluator.weights import State, make_state, turn_signs
from longodds.evaluator.yardstick import (
    NARROW,
    Answer,
    Yardstick,
    ask,
    decidable,
    fresh,
    measure,
    sanitizes,
    sensitivity,
    widest,
)
from longodds.types import Task, digest_text

_TIGHTEST = 3 / 32  # three of the reference's own errors
_SHOWN = {"base": 2, "rare": 3, "outlier": 2}  # draws of a law in the correctness phase, one unless said
_HIDDEN = 1
_RARE_EVERY = 5
_MANY = 4096  # elements
_REORDERED = 1e-4  # of the output's scale
_DRAWS_SHARE = 1 / 3  # of the memory that can be had, for all draws
_LARGE_SHARE = 1 / 16  # of it, for the draws that a task too large for that keeps
_YARDSTICK_S, _PREPARE_S = 2.0, 20.0  # of CPU time: for one evaluation, for all laws
_BANK_BYTES, _BANK_SHARE = {"cpu": 2 << 30, "cuda": 12 << 30}, 1 / 8  # at most, and of the memory that can be had
_STEADY, _STEADY_FLOOR = 30.0, 1e-4
_CORRELATED = 8.0
_ILL_CONDITIONED = (0.05, 0.25)  # tolerance over the output's scale, and that in half precision


@dataclass
class Problem:
    """Everything the oracle knows of a task. Raises UserError from `load` when the task can't be judged."""

    task: Task
    secret: int
    device: Device = field(default_factory=Device)
    declared: bool = False  # judge by the reference in its own precision, whatever there is memory for
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
    left_tolerances: dict[str, tuple[Tolerance, ...]] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    mutated: list[int] = field(default_factory=list)  # input leaves that the reference changes in place
    aliases: bool = False
    prepare_s: float = 0.0
    demands: ceilings.Demands | None = None  # on a GPU
    _module: types.ModuleType | None = None
    _varied: list[int] = field(default_factory=list)
    _bank: Bank = field(default_factory=Bank)
    _large_bytes: int = 0  # from which on a large task's draws are made anew

    # --- building -------------------------------------------------------------------------------

    def load(self) -> Problem:
        start = time.monotonic()
        torch.set_grad_enabled(False)
        self._module = load_module(self.task)
        with named(self.task, "get_inputs"):
            first = self._draw("base", 0)
        with named(self.task, "inputs", tree.Unsupported):
            self.input_spec, self.input_leaves, self.input_bytes = tree.describe(first)
        model = self._build(first)
        with named(self.task, "forward"):
            self._check_repeats(model, first)
            self._constants(model, first)
            handles_nan = sanitizes(model, first)
        self._yardsticks(model, first, handles_nan=handles_nan)
        self._battery()
        if self.on_gpu:
            self.demands = ceilings.demands(model, first, self.output_leaves, self._seed("demands", 0))
            flags = (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
            self.labels.append(f"tf32:matmul={'on' if flags[0] else 'off'},cudnn={'on' if flags[1] else 'off'}")
        self._bank.most = min(_BANK_BYTES[self.device.kind], int(_BANK_SHARE * self.device.room()))
        self.prepare_s = time.monotonic() - start
        return self

    @property
    def mutates(self) -> bool:
        return bool(self.mutated)

    @property
    def on_gpu(self) -> bool:
        return self.device.on_gpu

    def _seed(self, law: str, number: int) -> int:
        return int(digest_text(str(self.secret), self.task.digest, law, str(number))[:12], 16)

    def _draw(self, law: str, number: int, seed: int | None = None) -> list[Any]:
        """Draw `number` of a law. What the task never draws is as the task gives it in the very first one only."""
        assert self._module is not None
        seed = self._seed(law, number) if seed is None else seed
        with self.device.default():
            inputs = self.device.place(laws.draw(self._module.get_inputs, law, seed, self._module.__dict__))
        if not isinstance(inputs, (list, tuple)):
            raise UserError(f"{self.task.id}: get_inputs returns a {type(inputs).__name__}; a list of inputs is needed")
        plain = law == "base" and number == 0
        return list(inputs if plain else vary_leaves(inputs, self._varied, seed))

    def _build(self, first: list[Any]) -> torch.nn.Module:
        """The reference with weights nobody can guess: perturbed so that zero biases and unit scales do work."""
        assert self._module is not None
        factory = self._module.Model
        seeds = [self._seed("weights", i) & 0xFFFF_FFFF for i in range(6)]
        with named(self.task, "get_init_inputs"):
            torch.manual_seed(seeds[0])
            init = list(getattr(self._module, "get_init_inputs", list)())
            tree.describe(init, path="get_init_inputs")
        with named(self.task, "Model"):
            state = make_state(factory, init, (seeds[0], seeds[1], seeds[2]))
            model = self._built(state, seeds[3])
        self._first_call(model, first)
        with named(self.task, "forward"):
            plain = sensitivity(model, first, ())
            other = ask(self._built(state, seeds[4]), fresh(first))
            usual = ask(model, fresh(first))
            if not self._equal(usual, other) and self._equal(usual, ask(model, fresh(first))):
                raise UserError(
                    f"{self.task.id}: Model draws numbers in __init__ that are neither parameters nor buffers, so no "
                    "program can have them: register them with register_buffer"
                )

            def steady(candidate: State) -> bool:
                try:
                    reached = sensitivity(self._built(candidate, seeds[3]), first, ())
                except Exception:  # boundary: the task's own code may refuse such weights in any way
                    return False
                return reached <= max(_STEADY * plain, _STEADY_FLOOR)

            state, everywhere = turn_signs(state, steady, seeds[5])
            if not everywhere:
                self.labels.append("weights:signs-kept")
            model = self._built(state, seeds[3])
        self.state = state.block
        self.config = state.config | {"inputs": self.input_spec}
        return model

    def _built(self, state: State, seed: int) -> torch.nn.Module:
        assert self._module is not None
        return state.build(self._module.Model, seed).to(self.device.kind)

    def _equal(self, a: Answer, b: Answer) -> bool:
        """Of two answers to equal inputs; on a GPU sums may come out in another order each time."""
        slack = _REORDERED if self.on_gpu else 0.0
        pairs = list(zip(a.leaves, b.leaves, strict=True))
        return all((e := Errors.between(x, y).peak) == 0 or e <= slack * scale_of(y) for x, y in pairs)

    def _first_call(self, model: torch.nn.Module, first: list[Any]) -> None:
        """What the reference returns, and which of its inputs it changes."""
        after = fresh(first)
        with named(self.task, "forward"):
            output = model(*after)
        with named(self.task, "outputs", tree.Unsupported):
            self.output_spec, self.output_leaves, _ = tree.describe(output, dense=True, path="output")
        if self.on_gpu and any(isinstance(v, torch.Tensor) and not v.is_cuda for v in tree.values(output)):
            raise UserError(f"{self.task.id}: forward returns a tensor on the CPU for inputs on the GPU")
        if not self.output_leaves or len(self.output_leaves) > 256:
            raise UserError(
                f"{self.task.id}: forward returns {len(self.output_leaves)} outputs; 1 to 256 can be judged"
            )
        unchanged = constant_leaves(first, after)
        self.mutated = [i for i in range(len(self.input_leaves)) if i not in unchanged]

    def child_config(self, entry: str, seed: int) -> dict[str, Any]:
        return self.config | {"entry": entry, "outputs": self.output_spec, "seed": seed, "tf32": self.device.tf32}

    def _check_repeats(self, model: torch.nn.Module, first: list[Any]) -> None:
        if not self._equal(ask(model, fresh(first), self.mutated), ask(model, fresh(first), self.mutated)):
            raise UserError(
                f"{self.task.id}: the reference is stochastic (two calls on equal inputs differ, as with dropout in "
                "train mode): not judgeable"
            )

    def _constants(self, model: torch.nn.Module, first: list[Any]) -> None:
        """Inputs that are the same in every draw get other values where the reference can do with them."""
        names = tree.leaf_paths(self.input_spec)
        constant = constant_leaves(first, self._draw("base", 1))
        for number in [i for i in constant if self.input_leaves[i].elements]:
            varied = vary_leaves(first, [number], self._seed("constant", number))
            reason = "no other value of its kind"
            if constant_leaves(first, varied) != list(range(len(self.input_leaves))):
                reason = self._refusal(model, varied)
            if reason:
                self.labels.append(f"constant_input:{names[number]}")
                self.dropped[f"other values of {names[number]}"] = reason
            else:
                self._varied.append(number)

    def _refusal(self, model: torch.nn.Module, inputs: list[Any]) -> str:
        """Why the reference can't be asked about these inputs, or ""."""
        if tree.describe(inputs)[0] != self.input_spec:
            return "the inputs change shape"
        try:
            output = model(*fresh(inputs))
        except Exception as error:  # boundary: the task's own code may raise anything
            return f"the reference fails: {type(error).__name__}: {error}"
        if tree.describe(output, dense=True, path="output")[0] != self.output_spec:
            return "the output changes shape"
        got = Answer(tuple(torch.as_tensor(v) for v in tree.values(output)))
        return "" if got.is_finite() else "the reference is not finite"

    # --- yardsticks -----------------------------------------------------------------------------

    def _yardsticks(self, model: torch.nn.Module, first: list[Any], *, handles_nan: bool) -> None:
        """Expected outputs in float64 and tolerances, law by law; laws that say nothing are dropped."""
        start = time.process_time()  # not wall time: a busy machine must not change which laws are used
        yardstick = Yardstick(model, first, self.mutated, declared=self.declared)
        if yardstick.wide is None:
            self.labels.append("yardstick:declared-precision")
        spent, moved = time.process_time() - start, self._drawn_leaves()
        draws = self.input_bytes + 3 * sum(leaf.nbytes for leaf in self.output_leaves)
        large = 2 * len(laws.LAWS) * draws > _DRAWS_SHARE * self.device.room()
        self._large_bytes = int(_LARGE_SHARE * self.device.room())
        brief = spent > _YARDSTICK_S  # it has been asked once
        usual = self._draw("base", 1, self._seed("changes", 0))
        for law in laws.LAWS:
            if law != "base" and (brief or spent > _PREPARE_S):
                self.dropped[law] = "the yardstick takes too long"
                continue
            if large and law not in (*laws.TELLING, *laws.UNDEFINED):
                self.dropped[law] = "the task is too large to keep its draws"
                continue
            if law in laws.UNDEFINED and not handles_nan:
                self.dropped[law] = "the reference does not look after NaN or infinities"
                continue
            if law != "base" and not self._changes(law, usual, moved):
                self.dropped[law] = "it changes nothing"
                continue
            start = time.process_time()
            shown = 1 if brief or large else _SHOWN.get(law, 1)
            reason = self._law(law, model, yardstick, shown, keep=not large)
            spent += time.process_time() - start
            if reason and law == "base":
                raise UserError(f"{self.task.id}: not judgeable: on its own inputs {reason}")
            if reason:
                self.dropped[law] = reason
        yardstick.settle()
        if any(moved.values()):
            self.labels.append("laws:ineffective")
        if brief or large or "the yardstick takes too long" in self.dropped.values():
            self.labels.append("yardstick:fewer-laws")

    def _drawn_leaves(self) -> dict[int, bool]:
        """Leaves that are drawn anew each time and that no law has changed yet (True) or some law has."""
        fixed = {*constant_leaves(self._draw("base", 0), self._draw("base", 1)), *self._varied}
        return {i: True for i, leaf in enumerate(self.input_leaves) if i not in fixed and leaf.elements > 1}

    def _changes(self, law: str, usual: list[Any], untouched: dict[int, bool]) -> bool:
        """Whether a law gives other inputs than the task's `usual` ones of a seed; notes which leaves it touches."""
        if law in laws.UNDEFINED:
            return True
        try:
            same = constant_leaves(usual, self._draw(law, 1, self._seed("changes", 0)))
        except Exception:  # boundary: the task's own code may refuse draws of a law in any way; `_law` says how
            return True
        untouched.update({i: False for i in untouched if i not in same})
        return len(same) < len(self.input_leaves)

    def _law(self, law: str, model: torch.nn.Module, yardstick: Yardstick, shown: int, *, keep: bool) -> str:
        """Adds the law's draws and tolerances; returns the reason when it must be dropped."""
        draws: list[Draw] = []
        bounds: list[Tolerance] | None = None
        count = len(self.output_leaves)
        few = any(leaf.elements < _MANY for leaf in self.output_leaves)
        scales: list[float] = []

        def made(inputs: list[Any], got: Answer, truth: Answer) -> Made:
            expected = [g if is_exact(g) else t for g, t in zip(got.leaves, truth.leaves, strict=True)]
            return Made(self._block(inputs), tuple(expected[:count]), tuple(expected[count:]))

        def again(number: int) -> Made:
            inputs = self._draw(law, number)
            truth = yardstick.truth(inputs)
            exact = any(map(is_exact, truth.leaves))
            return made(inputs, ask(model, fresh(inputs), self.mutated) if exact else truth, truth)

        for number in range(shown + _HIDDEN):
            try:
                inputs = self._draw(law, number)
                if tree.describe(inputs)[0] != self.input_spec:
                    return "the inputs change shape"
                got = ask(model, fresh(inputs), self.mutated)
                truth = yardstick.truth(inputs)
                # How far one rounding moves many elements, one draw tells; few can be moved little by luck.
                moved = yardstick.moved(inputs).leaves if number == 0 or few else (None,) * len(truth.leaves)
            except Exception as error:  # boundary: the task's own code may raise anything
                if law == "base" and isinstance(error, torch.OutOfMemoryError):
                    raise  # there may be more when other tasks are forgotten
                return f"the reference fails: {type(error).__name__}: {error}"
            if [t.shape for t in got.leaves[:count]] != [leaf.shape for leaf in self.output_leaves]:
                return "the output changes shape"
            if not (got.is_finite() and truth.is_finite()):
                return "the reference is not finite"
            now = [measure(g, t, m) for g, t, m in zip(got.leaves, truth.leaves, moved, strict=True)]
            now = now if law == "base" else decidable(got.leaves, now)
            if not now:
                return "exact outputs depend on rounding"
            bounds = [widest(a, b) for a, b in zip(bounds or now, now, strict=True)]
            draw = made(inputs, got, truth)
            scales = scales or [scale_of(t) for t in draw.expected]
            make = partial(again, number)
            kept = keep or (number < shown and self.kept_bytes < self._large_bytes)
            draws.append(Draw(law, self._seed(law, number), make, draw if kept else None))
        assert bounds is not None
        limits = [
            _ILL_CONDITIONED[leaf.dtype in NARROW] * s for leaf, s in zip(self.output_leaves, scales, strict=True)
        ]
        hopeless = all(t.peak > limit for t, limit in zip(bounds, limits, strict=False))
        if law != "base" and hopeless:
            return "ill-conditioned: the reference itself is too inaccurate to judge by"
        if law in laws.CORRELATED:
            bounds = [t.times(_CORRELATED) for t in bounds]
        self.draws += draws[:shown]
        self.decoys += draws[shown:]
        self.tolerances[law] = tuple(bounds[:count])
        self.left_tolerances[law] = tuple(bounds[count:])
        return ""

    def _battery(self) -> None:
        """Trivial programs must fail: a tolerance that one of them passes is tightened, or the task says so."""
        factor = 1.0
        while passed := battery.passing(self, factor):
            if factor <= _TIGHTEST:
                self.labels.append(f"degenerate:{passed}")
                return
            factor /= 2
        if factor < 1.0:
            self.tolerances = {law: tuple(t.times(factor) for t in ts) for law, ts in self.tolerances.items()}
            self.labels.append("tightened")

    def _block(self, inputs: list[Any]) -> torch.Tensor:
        return tree.block_of(inputs, self.input_leaves, self.input_bytes, self.device.kind)

    # --- use ------------------------------------------------------------------------------------

    def contents(self, number: int) -> tuple[torch.Tensor, str]:
        """Input block `number` for timed calls, and its law; kept while memory allows, so each is drawn once.

        Most are of the base law; some, at secret places, have a few odd elements.
        """
        law = "rare" if "rare" in self.tolerances and self._seed("rare", number) % _RARE_EVERY == 0 else "base"
        seed = self._seed("timed", number)
        return self._bank.contents(number, lambda: self._block(self._draw(law, number + 1, seed))), law

    def kept_contents(self, most: int) -> int:
        """How many input blocks may be held at once: `most`, or what memory is meant for them, one at least."""
        return max(1, min(most, self._bank.most // max(self.input_bytes, 1)))

    def left_in(self, block: torch.Tensor) -> list[torch.Tensor]:
        """The input leaves that the reference changes, as views of an input block."""
        return [self.input_leaves[i].view(block) for i in self.mutated]

    @property
    def output_blocks(self) -> list[torch.Tensor]:
        """Where outputs are copied to, of whatever process: a uint8 block for each leaf."""
        return self._bank.outputs(self.output_leaves, self.device.kind)

    @property
    def kept_bytes(self) -> int:
        """Of its draws, which stay while other tasks are judged."""
        return sum(draw.nbytes for draw in (*self.draws, *self.decoys))

    def release(self) -> None:
        """Forget the kept contents, drawn again, equal, when the task comes back, and the blocks for outputs."""
        self._bank.clear()

    @property
    def names(self) -> list[str]:
        return leaf_names(self.output_leaves)
