"""The oracle's handle of a child on a GPU: its outputs are read out of its device memory while it stands still."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longodds.errors import InfraError
from longodds.evaluator import cuda
from longodds.evaluator.blocks import SharedBlock
from longodds.evaluator.children import Child
from longodds.evaluator.cores import usable_cores
from longodds.evaluator.forks import Forked, Zygote, start
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.process import ChildEnded

_MOST_ALLOCATIONS = 4096
# Where a process beside the program's has a core of its own. Longer answers lose nothing by a wake-up.
_SPIN_S, _CORES = 0.02, 4
_EACH = 2 + cuda.HANDLE_BYTES // 8


def spawn_cuda(
    zygote: Zygote,
    program: str,
    config: dict[str, Any],
    state: torch.Tensor,
    ring: cuda.DeviceBlock,
    built: Path | None = None,
    ahead: Forked | None = None,
) -> CudaChild:
    """As `spawn`, on the GPU, with `ring` for its inputs. Raises InfraError."""
    nothing, frozen = SharedBlock(0), SharedBlock(state.numel())
    try:
        if state.numel():
            frozen.block.copy_(state)
        config = config | {
            "inputs_bytes": ring.size,
            "inputs_handle": ring.handle.hex(),
            "state_bytes": state.numel(),
        }
        forked = ahead or zygote.fork(program, config, nothing.fd, frozen.fd, built)
        if ahead is not None:
            start(ahead, program, config, nothing.fd, frozen.fd)
    finally:
        frozen.close()
        nothing.close()
    return CudaChild(forked, ring, zygote.memory_bytes)


class CudaChild(Child):
    """One sandboxed process with one program on the GPU. ring: the oracle's own memory, which outlives the child."""

    pinned = False

    def __init__(self, forked: Forked, ring: cuda.DeviceBlock, memory_bytes: int) -> None:
        super().__init__(forked, _Lent(ring), memory_bytes)
        self.ring = ring
        self.spin_s = _SPIN_S if usable_cores() >= _CORES else 0.0
        self.ring_there = 0  # where the child sees it
        self._allocations: list[tuple[int, int, int]] = []  # address there, bytes, address here

    def wait(self, timeout_s: float, **extend: Any) -> Frame:
        """As Process.wait; takes note of the child's memory on the way."""
        end = time.monotonic() + timeout_s
        while True:
            frame = super().wait(max(end - time.monotonic(), 0.001), **extend)
            if frame.kind is Kind.READY and frame.words:
                self.ring_there = frame.words[0]
            if frame.kind is not Kind.MEMORY:
                return frame
            self._note(frame)

    def _note(self, frame: Frame) -> None:
        for first in range(0, len(frame.words) - _EACH + 1, _EACH):
            base, size, *handle = frame.words[first : first + _EACH]
            if len(self._allocations) >= _MOST_ALLOCATIONS:
                raise ChildEnded("broke the protocol: too many allocations")
            try:
                here = cuda.open_handle(np.array(handle, dtype=np.uint64).tobytes())
            except InfraError as error:
                raise ChildEnded(f"the output's memory can't be read ({error})") from None
            real = cuda.allocation(here)[1]
            self._forget(base, size)
            self._allocations.append((base, min(size, real), here))

    def _forget(self, base: int, size: int) -> None:
        """Something else lies there now."""
        kept: list[tuple[int, int, int]] = []
        for old in self._allocations:
            if old[0] + old[1] <= base or base + size <= old[0]:
                kept.append(old)
            else:
                cuda.close_handle(old[2])
        self._allocations = kept

    def apart(self, address: int, size: int) -> bool:
        """What does not lie in the ring is read from an allocation that another process exported, which the ring can't
        be: nobody can export what it only opened, and we can't open what we exported ourselves."""
        return size == 0 or not self._in_ring(address, size)

    def _in_ring(self, address: int, size: int) -> bool:
        return self.ring_there <= address and address + size <= self.ring_there + self.ring.size

    def _here(self, address: int, size: int) -> torch.Tensor:
        """The child's bytes at an address of its own. Raises ChildEnded."""
        if self._in_ring(address, size):
            return self.ring.block[address - self.ring_there :][:size]
        for base, length, here in self._allocations:
            if base <= address and address + size <= base + length:
                return cuda.view(here + address - base, size)
        raise ChildEnded("the output's memory can't be read (it is in no allocation that can be shared)")

    def fetch(self, address: int, size: int, target: torch.Tensor) -> None:
        target[:size].copy_(self._here(address, size))

    def sample(self, address: int, places: np.ndarray, size: int) -> bytes:
        most = int(places.max(initial=0)) + size
        index = torch.from_numpy(places[:, None] + np.arange(size)).to("cuda").reshape(-1)
        return self._here(address, most)[index].cpu().numpy().tobytes()

    def close(self) -> None:
        torch.cuda.synchronize()
        for _, _, here in self._allocations:
            cuda.close_handle(here)
        self._allocations.clear()
        super().close()


class _Lent:
    """The ring as a child's inputs; not the child's to free."""

    def __init__(self, ring: cuda.DeviceBlock) -> None:
        self.block = ring.block

    def close(self) -> None:
        return None
