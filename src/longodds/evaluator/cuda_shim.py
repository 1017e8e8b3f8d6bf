"""What runs around a program in a child that works on a GPU: the shim of `shim`, with events for a clock.

Inputs lie in device memory of the oracle's. Outputs stay where the program made them: the oracle is told where, gets a
handle of each allocation the first time, and reads them while this process stands still. Calls of one answer are
queued behind a short wait, so that what the host takes to launch them does not count.
"""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import torch

from longodds.errors import InfraError
from longodds.evaluator import cuda, frames, tree
from longodds.evaluator.delivery import Failure
from longodds.evaluator.device import allow_tf32
from longodds.evaluator.frames import Fault, Frame, Kind
from longodds.evaluator.shim import Server, map_block, scalar_cell, settled, told

HANDLES = 40  # allocations in a frame
_CYCLES_A_NS = 2.0  # of the device's clock, about


class CudaServer(Server):
    """The child's side of one evaluation on a GPU."""

    def __init__(
        self, channel: socket.socket, config: dict[str, Any], inputs: torch.Tensor, state: torch.Tensor
    ) -> None:
        super().__init__(channel, config, inputs, state)
        self.events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        self.ring = inputs.data_ptr(), inputs.data_ptr() + inputs.numel()
        self.known: list[tuple[int, int, int]] = []  # allocations that the oracle has a handle of
        self.allocation, self.buffer, self.export = cuda.allocation, cuda.buffer, cuda.export
        self.sleep: Any = vars(torch.cuda)["_sleep"]  # a kernel that only waits

    def prepare(self) -> None:
        super().prepare()
        assert self.model is not None
        self.model = self.model.to("cuda")
        torch.cuda.synchronize()

    def call(self, nonce: int, count: int, spec: tree.Spec, layout: list[tree.Leaf], wait_ns: int = 0) -> Frame:
        """As Server.call; the time is the device's, from the first call's start to the last one's end.

        wait_ns: how long the device waits before it begins, so that all calls are queued by then.
        """
        self.kept = kept = []
        model: Any = self.model
        values, mismatch = self.values, self.mismatch
        start, end = self.events
        # Numbers are read from the device's memory, which would wait for the wait below.
        arguments = [self.arguments(slot) for slot in range(count)]
        if wait_ns:
            self.sleep(int(wait_ns * _CYCLES_A_NS))
        start.record()
        begun_ns = time.perf_counter_ns()
        for inputs in arguments:  # what the host does here, it does while the device works
            out = model(*inputs)
            wrong = mismatch(spec, out)
            if wrong:
                raise Failure(Fault.STRUCTURE, wrong)
            held: list[Any] = [
                scalar_cell(v, leaf).cuda() if leaf.scalar else v if leaf.gapped else settled(v, leaf)
                for v, leaf in zip(values(out), layout, strict=True)
            ]
            if any(not t.is_cuda for t in held):
                raise Failure(Fault.STRUCTURE, "an output is on the CPU and the reference's is on the GPU")
            kept.append(held)
        end.record()
        if wait_ns:
            code = int(start.query())  # it began before all was queued, and may have waited for the host since
        else:
            code = min(time.perf_counter_ns() - begun_ns, frames.MOST_OFF)
        end.synchronize()
        elapsed = int(start.elapsed_time(end) * 1e6)
        if any(leaf.gapped for leaf in layout):
            kept[:] = [[settled(v, leaf) for v, leaf in zip(held, layout, strict=True)] for held in kept]
            torch.cuda.synchronize()
        words = [t.data_ptr() for held in kept for t in held]
        self.announce(words)
        return Frame(Kind.DONE, elapsed, code, tuple(words), nonce=nonce)

    def announce(self, words: list[int]) -> None:
        """Send handles of allocations that the oracle does not know yet. Where one was freed, as when a program
        empties PyTorch's cache, another may lie at the same address."""
        new: list[int] = []
        for address in words:
            if address == 0 or self.ring[0] <= address < self.ring[1]:
                continue
            number = self.buffer(address)
            if any(number == known for _, _, known in self.known):
                continue
            base, size = self.allocation(address)
            self.known = [k for k in self.known if k[0] + k[1] <= base or base + size <= k[0]] + [(base, size, number)]
            new += [base, size, *memoryview(self.export(base)).cast("Q").tolist()]
        each = 2 + cuda.HANDLE_BYTES // 8
        for first in range(0, len(new), HANDLES * each):
            self.send(frames.encode(Frame(Kind.MEMORY, words=tuple(new[first : first + HANDLES * each]))))

    def answer(self, frame: Frame, spec: tree.Spec, layout: list[tree.Leaf]) -> Frame:
        return self.call(frame.nonce, frame.value, spec, layout, frame.code)


def run_when_told(channel: socket.socket, scratch: Path) -> int:
    """As `run`, once there is a program; the context is made before."""
    try:
        torch.zeros(1, device="cuda")
    except RuntimeError:  # `run` will say so, if it is still so by then
        return 0
    task = told(channel, scratch)
    return 0 if task is None else run(channel, *task)


def run(channel: socket.socket, inputs_fd: int, state_fd: int, config: dict[str, Any]) -> int:
    """Serve until the oracle hangs up. Called in the sandbox, after every layer is on."""
    state = map_block(state_fd, config["state_bytes"], writable=False)
    os.close(inputs_fd)
    os.close(state_fd)
    try:
        torch.zeros(1, device="cuda")  # makes the context that the driver's calls are about
        inputs = cuda.view(cuda.open_handle(bytes.fromhex(config["inputs_handle"])), config["inputs_bytes"])
    except (RuntimeError, InfraError) as error:  # the machine's, or a program before it took all memory
        channel.send(frames.encode(Frame(Kind.ERROR, code=Fault.MEMORY, text=f"the GPU can't be used: {error}")))
        return 0
    allow_tf32(config["tf32"])
    torch.manual_seed(config["seed"])
    torch.set_grad_enabled(False)
    return CudaServer(channel, config, inputs, state).run(inputs.data_ptr())
