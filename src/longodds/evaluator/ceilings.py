"""What a GPU can do at most, measured on it: bytes from and to its memory, and multiplications in each precision.

A program can't be faster than moving what it must move. What it must move is shown, not declared: the outputs, and the
share of each input whose elements change an output when they are changed. Source of the idea: the roofline model
(Williams, Waterman, Patterson, CACM 52(4), 2009).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from longodds.evaluator import tree
from longodds.evaluator.flops import Flops
from longodds.evaluator.yardstick import ask, fresh
from longodds.types import Status, Verdict

_COPY_BYTES = 1 << 30
_SIZE = 8192  # of the matrices
_REPEATS = 5
_SHOWN = range(8, 59)  # elements of an input that are changed, each alone: as many as so much time allows
_SHOWING_S = 0.5
_FAR = 1e4  # times the largest element
_SLOW_S = 0.25  # a reference that takes longer is not asked again and again
IMPOSSIBLE = "impossible"  # the label
_MARGIN = 0.95  # of the least time: ceilings are measured too


@dataclass(frozen=True, slots=True)
class Ceilings:
    """memory_gbps: the most bytes that a copy, a sum or a fill read and wrote, in 1e9/s; cached_gbps: a copy within the
    last cache. tflops: 1e12 floating-point operations a second of a square product, by precision (`fp32`, `tf32`,
    `bf16`). cache_bytes: of the last cache."""

    memory_gbps: float
    cached_gbps: float
    tflops: dict[str, float]
    cache_bytes: int

    def least_us(self, moved_bytes: int) -> float:
        """Microseconds that moving so much between memory and cores takes at least: the last cache may keep its size
        of it, and is as fast as may be."""
        return max(0.0, moved_bytes - self.cache_bytes) / self.memory_gbps / 1e3

    def floor_us(self, needed: Demands) -> float:
        """Microseconds below which a call is not believed: of the least time, what measuring it allows."""
        return _MARGIN * self.least_us(needed.bytes)

    def most(self, other: Ceilings) -> Ceilings:
        """The higher of each: whatever else the GPU did can only have lowered what was measured."""
        tflops = {name: max(rate, other.tflops[name]) for name, rate in self.tflops.items()}
        memory, cached = max(self.memory_gbps, other.memory_gbps), max(self.cached_gbps, other.cached_gbps)
        return Ceilings(memory, cached, tflops, self.cache_bytes)

    def work_us(self, needed: Demands) -> float:
        """Microseconds that the reference's products and convolutions of fp32 take at least, as PyTorch's flags are."""
        matmul = self.tflops["tf32" if torch.backends.cuda.matmul.allow_tf32 else "fp32"]
        convolution = self.tflops["tf32" if torch.backends.cudnn.allow_tf32 else "fp32"]
        return ((needed.flops - needed.convolved) / matmul + needed.convolved / convolution) / 1e6


def measure() -> Ceilings:
    """On the current GPU, in about a second. Raises torch.OutOfMemoryError."""
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    large, small = _rates(_COPY_BYTES), _rates(max(cache // 4, 1 << 20))
    tflops: dict[str, float] = {}
    flag = torch.backends.cuda.matmul.allow_tf32
    try:
        for name, dtype, tf32 in (
            ("fp32", torch.float32, False),
            ("tf32", torch.float32, True),
            ("bf16", torch.bfloat16, False),
        ):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            a = torch.rand(_SIZE, _SIZE, device="cuda").to(dtype)
            tflops[name] = 2 * _SIZE**3 / _best_s(lambda a=a: a @ a) / 1e12
    finally:
        torch.backends.cuda.matmul.allow_tf32 = flag
    torch.cuda.empty_cache()
    return Ceilings(max(large), small[0], tflops, cache)


def _rates(size: int) -> tuple[float, float, float]:
    """1e9 bytes a second of copying, summing and filling blocks of a size."""
    source = torch.zeros(size // 4, device="cuda")
    target = torch.empty_like(source)
    times = max(1, (64 << 20) // size)  # so many that launching them does not count

    def repeated(action: Callable[[], object]) -> Callable[[], object]:
        return lambda: [action() for _ in range(times)]

    seconds = [_best_s(repeated(f)) for f in (lambda: target.copy_(source), source.sum, lambda: target.fill_(1.0))]
    return 2 * size * times / seconds[0] / 1e9, size * times / seconds[1] / 1e9, size * times / seconds[2] / 1e9


def _best_s(action: Callable[[], object]) -> float:
    """Seconds of the fastest of some calls."""
    action()
    best = float("inf")
    for _ in range(_REPEATS):
        torch.cuda.synchronize()
        start = time.perf_counter()
        action()
        torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


@dataclass(frozen=True, slots=True)
class Demands:
    """What any program for a task must do in a call. bytes: moved from and to memory. flops: the reference's products
    and convolutions, convolved: its convolutions alone; other algebra may need fewer. launches: the operations that the
    reference has done, and one for the call itself."""

    bytes: int
    flops: int
    convolved: int = 0
    launches: int = 0


def shown_share(count: int) -> float:
    """If `count` elements chosen at random all matter, at least so much of an input does (95 %, exact binomial)."""
    return 0.05 ** (1 / count)


def demands(model: torch.nn.Module, inputs: list[Any], outputs: Sequence[tree.Leaf], seed: int) -> Demands:
    """Of a task, with the reference on some inputs of it.

    bytes: all outputs, and of each floating-point input the part that is shown to matter: elements are changed one at a
    time, at random places, a little and to where a sum or an extreme over many can't miss it; an input with one that
    changes no output shows nothing.
    """
    own = fresh(inputs)
    with Flops() as counter:
        plain = ask(model, own).leaves
    flops, convolved, least = counter.total, counter.convolved, sum(leaf.nbytes for leaf in outputs)
    launches = counter.launches + 1
    start = time.monotonic()
    again = ask(model, fresh(inputs)).leaves
    if any(t.is_cuda for t in again):
        torch.cuda.synchronize()
    took = time.monotonic() - start
    steady = all(torch.equal(a, b) for a, b in zip(plain, again, strict=True))
    if not steady or took > _SLOW_S:
        return Demands(least, flops, convolved, launches)
    count = min(max(int(_SHOWING_S / max(took, 1e-6)), _SHOWN[0]), _SHOWN[-1])
    draws = random.Random(seed)
    leaves = [v for v in tree.values(inputs) if isinstance(v, torch.Tensor) and v.is_floating_point()]
    for number, leaf in enumerate(leaves):
        if leaf.numel() < count:
            continue
        if all(_matters(model, inputs, number, draws.randrange(leaf.numel()), plain) for _ in range(count)):
            least += int(shown_share(count) * leaf.numel() * leaf.element_size())
    return Demands(least, flops, convolved, launches)


def _matters(model: torch.nn.Module, inputs: list[Any], number: int, place: int, plain: Sequence[torch.Tensor]) -> bool:
    """Whether an output changes with one element of the floating-point input leaf `number`."""
    changed = fresh(inputs)
    leaf = [v for v in tree.values(changed) if isinstance(v, torch.Tensor) and v.is_floating_point()][number]
    at = tuple(int(i) for i in torch.unravel_index(torch.tensor(place), leaf.shape))
    usual = float(leaf[at])
    far = min(_FAR * (1 + float(leaf.abs().max())), torch.finfo(leaf.dtype).max / 4)
    for value in (usual * 2 + 1, far, -far):
        leaf[at] = value
        now = ask(model, fresh(changed)).leaves
        same = all(torch.equal(a, b) for a, b in zip(now, plain, strict=True))
        if not same and all(bool(torch.isfinite(t.sum())) for t in now):  # infinity times nothing is no use of it
            return True
    return False


def rated(verdict: Verdict, needed: Demands, most: Ceilings) -> Verdict:
    """The verdict with its rates and the share of the ceiling; REJECTED where no program could be so fast.

    More floating-point operations a second than the ceiling are no lie: there is other algebra. They give a label.
    """
    if not verdict.runtime_us or not verdict.correct:
        return verdict
    gbps = needed.bytes / verdict.runtime_us / 1e3
    tflops = needed.flops / verdict.runtime_us / 1e6
    shares = (gbps / most.memory_gbps, most.work_us(needed) / verdict.runtime_us)
    least = most.least_us(needed.bytes)
    if verdict.runtime_us < most.floor_us(needed):
        return Verdict(
            verdict.task_id,
            Status.REJECTED,
            labels=(*verdict.labels, IMPOSSIBLE),
            isolation=verdict.isolation,
            evaluator=verdict.evaluator,
            message=f"impossible: {verdict.runtime_us:.1f} us a call, where moving what the task needs "
            f"takes {least:.1f} us at {most.memory_gbps:.0f} GB/s",
        )
    labels = (*verdict.labels, "above_roofline") if shares[1] > 1 / _MARGIN else verdict.labels
    return replace(verdict, gbps=gbps, tflops=tflops or None, of_ceiling=max(shares), labels=labels)
