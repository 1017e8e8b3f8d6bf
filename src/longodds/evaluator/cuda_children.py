"""The oracle's handle of a child on a GPU: its outputs are read out of its device memory while it stands still."""

from __future__ import annotations

import time
from dataclasses import dataclass
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
        self._allocations: list[_Allocation] = []
        self._gone: list[int] = []  # addresses here of what lies there no more

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
        """Only that: opening takes a millisecond, and the answer's clock is running."""
        for first in range(0, len(frame.words) - _EACH + 1, _EACH):
            base, size, *handle = frame.words[first : first + _EACH]
            if len(self._allocations) >= _MOST_ALLOCATIONS:
                raise ChildEnded("broke the protocol: too many allocations")
            self._forget(base, size)
            self._allocations.append(_Allocation(base, size, np.array(handle, dtype=np.uint64).tobytes()))

    def _forget(self, base: int, size: int) -> None:
        """Something else lies there now."""
        over = [old for old in self._allocations if old.base < base + size and base < old.base + old.size]
        self._gone += [old.here for old in over if old.here]
        self._allocations = [old for old in self._allocations if old not in over]

    def _close_gone(self) -> None:
        while self._gone:
            cuda.close_handle(self._gone.pop())

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
        self._close_gone()
        for known in self._allocations:
            if known.base <= address and address + size <= known.base + known.open():
                return cuda.view(known.here + address - known.base, size)
        raise ChildEnded("the output's memory can't be read (it is in no allocation that can be shared)")

    def fetch(self, address: int, size: int, target: torch.Tensor) -> None:
        target[:size].copy_(self._here(address, size))

    def sample(self, address: int, places: np.ndarray, size: int) -> bytes:
        most = int(places.max(initial=0)) + size
        index = torch.from_numpy(places[:, None] + np.arange(size)).to("cuda").reshape(-1)
        return self._here(address, most)[index].cpu().numpy().tobytes()

    def close(self) -> None:
        torch.cuda.synchronize()
        self._gone += [known.here for known in self._allocations if known.here]
        self._allocations.clear()
        self._close_gone()
        super().close()


@dataclass(eq=False, slots=True)
class _Allocation:
    """Device memory of a child's. base, size: where it lies there. here: its address here, 0 until it is open."""

    base: int
    size: int
    handle: bytes
    here: int = 0

    def open(self) -> int:
        """Bytes that can be read. Raises ChildEnded."""
        if not self.here:
            try:
                self.here = cuda.open_handle(self.handle)
                self.size = min(self.size, cuda.allocation(self.here)[1])
            except InfraError as error:
                raise ChildEnded(f"the output's memory can't be read ({error})") from None
        return self.size


class _Lent:
    """The ring as a child's inputs; not the child's to free."""

    def __init__(self, ring: cuda.DeviceBlock) -> None:
        self.block = ring.block

    def close(self) -> None:
        return None
