"""Where a task's tensors live: the CPU, or a GPU. What differs between them beside the clock is here."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Generator
from functools import cached_property
from typing import Any

import torch

from longodds.evaluator import tree
from longodds.evaluator.yardstick import available_bytes

_FLUSHED = 2  # times the last cache's size is written over


class Device:
    """kind: `cpu` or `cuda` (the first that is visible)."""

    def __init__(self, kind: str = "cpu") -> None:
        self.kind = kind
        self.on_gpu = kind == "cuda"
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

    def settle(self) -> None:
        """Before a child is asked: what was written is there, and nothing of it, nor of what the child left there
        marked to stay, is in the last cache."""
        if not self.on_gpu:
            return
        self._cover.zero_()
        torch.cuda.synchronize()
        with contextlib.suppress(AttributeError):
            ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache()

    @cached_property
    def _cover(self) -> torch.Tensor:
        size = torch.cuda.get_device_properties(0).L2_cache_size
        return torch.empty(_FLUSHED * max(size, 1 << 20), dtype=torch.uint8, device="cuda")
