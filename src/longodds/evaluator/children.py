"""The oracle's handle of a child: called, stopped between calls, its outputs read out of its memory.

Whatever a child does ends in one of the exceptions of `process`, never in a failure of ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import select
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from longodds.evaluator import frames, sandbox
from longodds.evaluator.blocks import SharedBlock
from longodds.evaluator.forks import Forked, Zygote, start
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.process import ChildEnded, ChildMemory, ChildTimeout, Process, last_words

__all__ = ["Child", "ChildEnded", "ChildMemory", "ChildTimeout", "fetch_leaves", "last_words", "spawn"]

_STOP_S, _CROWD_S = 10.0, 1.0
_RESEND_S, _SPIN_S = 0.005, 0.0001
_STOLEN_NS, _STOLEN_NS_A_THREAD = 200_000, 5_000
_STOLEN_TIMES, _STOLEN_SHARE = 3, 0.1  # where it was seen to run although it had been stopped
_STRAY_TIMES, _STRAY_SHARE = 8, 0.25  # where it stood all the same


class Block(Protocol):
    """Memory that a child reads its inputs from."""

    block: torch.Tensor

    def close(self) -> None: ...


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


def spawn(
    zygote: Zygote,
    program: str,
    config: dict[str, Any],
    state: torch.Tensor,
    inputs_bytes: int,
    built: Path | None = None,
    ahead: Forked | None = None,
) -> Child:
    """A child that will load `program`, with `state` (uint8) as its weights: a new fork, or one that was forked ahead.
    built: what an earlier one compiled, for a new one. Raises InfraError if that fails."""
    inputs, frozen = SharedBlock(inputs_bytes), SharedBlock(state.numel())
    try:
        if state.numel():
            frozen.block.copy_(state)
        config = config | {"inputs_bytes": inputs_bytes, "state_bytes": state.numel()}
        forked = ahead or zygote.fork(program, config, inputs.fd, frozen.fd, built)
        if ahead is not None:
            start(ahead, program, config, inputs.fd, frozen.fd)
    except BaseException:  # raised again: the block has no owner yet
        inputs.close()
        raise
    finally:
        frozen.close()
    return Child(forked, inputs, zygote.memory_bytes)


class Child(Process):
    """One sandboxed process with one program, called again and again. inputs: memory shared with it. pinned: whether
    all its threads share one core."""

    pinned = True

    def __init__(self, forked: Forked, inputs: Block, memory_bytes: int) -> None:
        super().__init__(forked, memory_bytes)
        self.inputs = inputs
        self.calls = 0
        self.asked = 0  # how often: one answer for several calls
        self.stolen = 0  # calls before which it used CPU although frozen, and ran
        self.stray = 0  # those before which it used CPU and stood
        self.took_ns = 0  # from waking it to its last answer
        self._frozen_ns = self._began_ns = self._nonce = 0
        self._demoted: set[int] = set()
        self._libc = sandbox.load_libc()

    # --- between calls --------------------------------------------------------------------------

    def freeze(self) -> None:
        """Stop the process and wait until it stands: between calls nothing of a program runs. Raises ChildEnded."""
        start = time.monotonic()
        while True:
            # Again and again: a SIGCONT from a process that it left behind cancels a stop that is still pending.
            self._signal(signal.SIGSTOP)
            sent = time.monotonic()
            while (since := time.monotonic() - sent) < _RESEND_S:
                if self.kin.stands():
                    self._demote()
                    self._frozen_ns = self._settled_cpu_ns()
                    return
                if since > _SPIN_S:
                    time.sleep(_SPIN_S)  # it may need the very core that this loop would keep busy
            waited = time.monotonic() - start
            if waited > _CROWD_S and len(self.family()) > 1:
                raise ChildEnded("can't be stopped between calls: the program leaves processes running")
            if waited > _STOP_S:
                raise ChildEnded(f"can't be stopped between calls, after {_STOP_S:g} s")

    def _demote(self) -> None:
        """Threads beside the one that answers get the core only while that waits for them, from a thread's second call
        on: what is left for them to do after the answer is not done by luck before the process is stopped."""
        if not self.pinned or self.kin.threads == 1:
            return
        with contextlib.suppress(OSError):  # it has ended
            others = {int(entry.name) for entry in Path(f"/proc/{self.pid}/task").iterdir()} - {self.pid}
            for thread in others - self._demoted:
                os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
            self._demoted = others

    def _settled_cpu_ns(self) -> int:
        """CPU time once it no longer grows: a thread that is marked as stopped may be on its last microseconds."""
        used, deadline = self.cpu_ns(), time.monotonic() + 0.01
        while (now := self.cpu_ns()) != used and time.monotonic() < deadline:
            used = now
        return now

    def thaw(self) -> None:
        """Let it run again; notes whether it used CPU time while it should have stood still."""
        used = self.cpu_ns() - self._frozen_ns if self._frozen_ns else 0
        if used > _STOLEN_NS + _STOLEN_NS_A_THREAD * self.kin.threads:
            stood = self.kin.stands()
            self.stray += stood
            self.stolen += not stood
        self._signal(signal.SIGCONT)

    @property
    def steals(self) -> bool:
        """Whether it makes a habit of using CPU while it is stopped. A single reading can be the machine's: a thread
        that was preempted on its way into the stop uses its last microseconds, and others' time with them, later. One
        that stands all the same was not woken, unless it stopped itself again, and more such readings can be the
        machine's: a core that a busy host takes away for some milliseconds leaves several."""
        habit = self.stolen > max(_STOLEN_TIMES, _STOLEN_SHARE * self.asked)
        return habit or self.stolen + self.stray > max(_STRAY_TIMES, _STRAY_SHARE * self.asked)

    def ask(self, timeout_s: float, count: int = 1, code: int = 0, compile_s: float = 0.0) -> Frame:
        """Send a CALL for `count` calls and wait for the answer. compile_s: what it may take while a compiler works.
        Raises what `wait` raises."""
        self.begin(count, code)
        return self.finish(timeout_s, compile_s)

    def begin(self, count: int, code: int = 0) -> None:
        """Send a CALL; `finish` waits for its answer. Raises ChildEnded."""
        self.calls += count
        self.asked += 1
        self._nonce = nonce = secrets.randbits(63)
        self._began_ns = time.perf_counter_ns()
        self.thaw()
        if select.select([self.channel], [], [], 0)[0] and self._receive():
            raise ChildEnded("broke the protocol: it answered before it was asked")
        try:
            self.channel.send(frames.encode(Frame(Kind.CALL, count, code, nonce=nonce)))
        except OSError:
            raise ChildEnded("the process ended before it was called") from None

    def finish(self, timeout_s: float, compile_s: float = 0.0) -> Frame:
        """The answer, and the process stopped again. Raises what `wait` raises."""
        frame = self.wait_for_compiler(timeout_s, compile_s) if compile_s else self.wait(timeout_s)
        self.took_ns = time.perf_counter_ns() - self._began_ns
        self.freeze()
        if frame.kind is not Kind.ERROR and (frame.kind is not Kind.DONE or frame.nonce != self._nonce):
            raise ChildEnded("broke the protocol: an answer to another call")
        return frame

    # --- its memory -----------------------------------------------------------------------------

    def apart(self, address: int, size: int) -> bool:
        """Whether what `fetch` reads there is known to be no part of `inputs`. Within one process's memory it never is:
        two addresses may be the same page."""
        return size == 0

    def fetch(self, address: int, size: int, target: torch.Tensor) -> None:
        """Copy bytes out of the child's memory into `target` (uint8, contiguous). Raises ChildEnded if unreadable."""
        local = _Iovec(target.data_ptr(), size)
        remote = _Iovec(address, size)
        done = self._libc.process_vm_readv(self.pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        if done != size:
            reason = os.strerror(ctypes.get_errno()) if done < 0 else "short read"
            raise ChildEnded(f"the output's memory can't be read ({reason})")

    def sample(self, address: int, places: np.ndarray, size: int) -> bytes:
        """`size` bytes at each of `places` (byte offsets) from `address`, in one reading. Raises ChildEnded."""
        remote = np.empty((len(places), 2), dtype=np.uint64)
        remote[:, 0] = np.uint64(address) + places.astype(np.uint64)
        remote[:, 1] = size
        found = ctypes.create_string_buffer(len(places) * size)
        local = _Iovec(ctypes.addressof(found), len(found))
        source = ctypes.c_void_p(remote.ctypes.data)
        done = self._libc.process_vm_readv(self.pid, ctypes.byref(local), 1, source, len(places), 0)
        if done != len(found):
            raise ChildEnded("the output's memory can't be read")
        return found.raw

    def close(self) -> None:
        """End the process and everything it started; remove its folder."""
        super().close()
        self.inputs.close()


def fetch_leaves(child: Child, words: Sequence[int], sizes: Sequence[int], blocks: Sequence[torch.Tensor]) -> None:
    """Copy every output leaf out of the child. Raises ChildEnded."""
    if len(words) != len(sizes):
        raise ChildEnded("broke the protocol: wrong number of outputs")
    for address, size, block in zip(words, sizes, blocks, strict=True):
        if size:
            child.fetch(address, size, block)
