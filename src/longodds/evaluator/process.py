"""A sandboxed process as those see it who forked it: read with a deadline, watched, ended with all that it started.

Everything that comes from it is checked here: frames, deadlines, resident memory. No torch here.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable

from longodds.evaluator import frames
from longodds.evaluator.family import Family
from longodds.evaluator.forks import Forked
from longodds.evaluator.frames import Frame

_STDERR_KEPT = 4096
_PROCESSES = 256


class ChildEnded(Exception):
    """The child hung up, broke the protocol, or could not be stopped, before it answered."""


class ChildTimeout(Exception):
    """The child did not answer before its deadline."""


class ChildMemory(Exception):
    """The child's resident memory passed its limit."""


class Process:
    """A forked process with one program. Close it."""

    def __init__(self, forked: Forked, memory_bytes: int) -> None:
        self.forked, self.memory_bytes = forked, memory_bytes
        self.pid = forked.pid
        self.channel: socket.socket = forked.channel
        self.kin = Family(forked.pid, forked.waiter)
        self.stderr = b""
        self.peak_rss = 0
        self.compiled = False  # whether a compiler made the last frame late
        self.spin_s = 0.0  # how long the start of a wait does not sleep: a core that slept takes a while to be at work

    def family(self) -> list[int]:
        """The child's pid, then those of its living descendants."""
        return self.kin.members()

    def cpu_ns(self) -> int:
        """CPU time of the child's process, all its threads (ns), read from outside."""
        return self.kin.cpu_ns()

    def wait(self, timeout_s: float, *, extend: Callable[[], float] | None = None) -> Frame:
        """Next frame. `extend` may move the deadline (a compiler at work).

        Raises ChildEnded, ChildTimeout, ChildMemory.
        """
        start = time.monotonic()
        deadline = start + timeout_s
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        poller.register(self.forked.stderr_fd, select.POLLIN)
        watched = start
        while True:
            now = time.monotonic()
            if now - watched > 0.05:
                self._watch()
                watched = now
            if now >= deadline:
                deadline = start + (extend() if extend else timeout_s)
                if now >= deadline:
                    raise ChildTimeout(f"no answer within {timeout_s:g} s")
            # Short slices only once a call is slow: resident memory is watched without disturbing quick calls.
            events = poller.poll(0 if now - start < self.spin_s else min(deadline - now, 0.05) * 1000)
            for fd, _ in events:
                if fd == self.forked.stderr_fd:
                    self._drain(poller)
            if any(fd == self.channel.fileno() for fd, _ in events):
                return self._receive()

    def wait_for_compiler(self, timeout_s: float, compile_timeout_s: float) -> Frame:
        """The next frame, which a program may compile for: at its import, or in its first call. Raises as `wait`.

        A compiler at work is a descendant that uses CPU; only while one does may it take longer.
        """
        start, used = time.monotonic(), 0.0
        self.compiled = False

        def extend() -> float:
            nonlocal used
            before, used = used, self.kin.compilers_cpu_s()
            busy = used > before + 0.1 and time.monotonic() - start < compile_timeout_s
            self.compiled |= busy
            return time.monotonic() - start + 2.0 if busy else timeout_s

        return self.wait(timeout_s, extend=extend)

    def _receive(self) -> Frame:
        try:
            data = self.channel.recv(frames.FRAME)
        except OSError as error:
            raise ChildEnded(str(error)) from None
        if not data:
            raise ChildEnded("the process ended before it answered")
        try:
            return frames.decode(data)
        except ValueError as error:
            raise ChildEnded(f"broke the protocol: {error}") from None

    def _drain(self, poller: select.poll | None = None) -> None:
        try:
            chunk = os.read(self.forked.stderr_fd, 1 << 16)
        except BlockingIOError:
            return
        if not chunk and poller is not None:
            poller.unregister(self.forked.stderr_fd)
        self.stderr = (self.stderr + chunk)[-_STDERR_KEPT:]

    def _watch(self) -> None:
        used = self.kin.resident_bytes()
        self.peak_rss = max(self.peak_rss, used)
        if used > self.memory_bytes:
            raise ChildMemory(f"resident memory {used >> 20} MiB passed the limit of {self.memory_bytes >> 20} MiB")
        if len(self.family()) > _PROCESSES:
            raise ChildEnded(f"the program started more than {_PROCESSES} processes")

    def _signal(self, number: int) -> None:
        # By descriptor: a pid could have been given to another process by now.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.forked.pidfd, number)

    def kill(self) -> None:
        """Let it begin to end; `close` waits for that."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """End the process and everything it started; remove its folder."""
        left = self.family()[1:]
        self._signal(signal.SIGKILL)
        for pid in left:  # a pid namespace ends them, and so does the waiter: this is the quickest
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        # The waiter ends when everything that the child started is dead: only then can the folder be emptied.
        select.select([self.forked.waiter_pidfd], [], [], 5.0)
        with contextlib.suppress(OSError):
            self._drain()
        self.kin.close()
        self.forked.close()


def last_words(process: Process) -> str:
    """The end of the process's stderr, one line, control characters removed."""
    text = process.stderr.decode("utf-8", "replace").strip().splitlines()
    line = text[-1] if text else ""
    return "".join(c for c in line if c.isprintable())[:300]
