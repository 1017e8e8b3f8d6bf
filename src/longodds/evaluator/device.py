"""Where a task's tensors live: the CPU, or a GPU. What differs between them beside the clock is here."""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Generator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from longodds.evaluator import tree
from longodds.evaluator.neighbours import Neighbours
from longodds.evaluator.yardstick import available_bytes

if TYPE_CHECKING:
    from longodds.evaluator.ceilings import Ceilings, Demands
    from longodds.types import Verdict

_FLUSHED = 2  # times the last cache's size is written over
_TRIES = 50  # looks at whether the GPU is idle
_VAIN, _FEW = 3, 3  # after so many waits in vain only so many looks, until it is: somebody works on it all the time
_BUSY, _BUSY_NS = 2, 400_000  # so many times the quickest, and so much more: the GPU was not ours alone


def allow_tf32(tf32: bool | None) -> None:
    """Let products and convolutions in float32 on a GPU use TF32 or not, in this process; None changes nothing."""
    if tf32 is not None:
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32


class Device:
    """kind: `cpu` or `cuda` (the first that is visible). tf32: whether references and programs may use it on a GPU;
    None leaves it to PyTorch."""

    def __init__(self, kind: str = "cpu", tf32: bool | None = None) -> None:
        self.kind, self.tf32 = kind, tf32
        allow_tf32(tf32)
        self.on_gpu = kind == "cuda"
        self._quickest_ns, self._vain = 1 << 62, 0
        self.last: Callable[[], Any] = lambda: None  # the side that was asked last, if it is still there
        self.disturbed: Callable[[], bool] = lambda: False  # whether processes of ours are starting on it
        self.neighbours = Neighbours()
        self.rested = self.asked_rested = True  # idle in the end, when it was last waited for, and the time before
        if self.on_gpu:
            with self.default():
                torch.rand(1)  # PyTorch notes on first use which functions make tensors: not when they are replaced

    def room(self) -> int:
        """Bytes that can be had."""
        return available_bytes(on_gpu=self.on_gpu)

    @cached_property
    def total_bytes(self) -> int:
        """Memory of the GPU; of the machine what can be had."""
        return torch.cuda.mem_get_info()[1] if self.on_gpu else available_bytes()

    @contextlib.contextmanager
    def default(self) -> Generator[None]:
        """Tensors that a task's code makes without saying where are made here: random numbers in milliseconds."""
        if not self.on_gpu:
            yield
            return
        with torch.device(self.kind):
            yield

    def place(self, value: Any) -> Any:
        """The tree with its tensors here."""
        return tree.map_tensors(value, lambda t: t.to(self.kind)) if self.on_gpu else value

    def settle(self) -> bool:
        """Before a child is asked: what was written is there, and nothing of it, nor of what the child left there
        marked to stay, is in the last cache. On a GPU whether it was idle.

        Another process's kernels go on while it is stopped. Processes take turns on a GPU, of a millisecond and more:
        where there is work of another one, our own takes so much longer. It is waited out.
        """
        if not self.on_gpu:
            return True
        with contextlib.suppress(AttributeError):
            ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache()
        torch.cuda.synchronize()  # our own, of before
        return self._quiet()

    def _quiet(self) -> bool:
        """Wait until the GPU is idle, and say whether it was at once."""
        for tries in range(_TRIES if self._vain < _VAIN else _FEW):
            took = self._cover_ns()
            self._quickest_ns = min(self._quickest_ns, took)
            if took < _BUSY * self._quickest_ns + _BUSY_NS:
                self.rested, self._vain = True, 0
                return tries == 0
        self.rested, self._vain = False, self._vain + 1
        return False

    def _cover_ns(self) -> int:
        """What it takes to write the last cache over."""
        start = time.perf_counter_ns()
        self._cover.zero_()
        torch.cuda.synchronize()
        return time.perf_counter_ns() - start

    @cached_property
    def ceilings(self) -> Ceilings:
        """Of a GPU, measured on first use."""
        from longodds.evaluator.ceilings import measure

        return measure()

    def rated(self, verdict: Verdict, needed: Demands) -> Verdict:
        """As `ceilings.rated`. Nothing is impossible that only looks so because the GPU was not ours alone when it was
        measured: before that is said it is measured once more."""
        from longodds.evaluator.ceilings import IMPOSSIBLE, measure, rated

        found = rated(verdict, needed, self.ceilings)
        if IMPOSSIBLE in found.labels:
            with contextlib.suppress(torch.OutOfMemoryError):
                self.ceilings = self.ceilings.most(measure())
            found = rated(verdict, needed, self.ceilings)
        return found

    @cached_property
    def _cover(self) -> torch.Tensor:
        size = torch.cuda.get_device_properties(0).L2_cache_size
        return torch.empty(_FLUSHED * max(size, 1 << 20), dtype=torch.uint8, device="cuda")
