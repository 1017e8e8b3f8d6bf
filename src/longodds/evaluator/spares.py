"""Processes started ahead of their programs. Each serves one program, like any other. No torch here.

On a GPU a process makes its context before it can load a program: that takes longer than finding most of them wrong.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
from dataclasses import dataclass

from longodds.errors import InfraError
from longodds.evaluator import frames
from longodds.evaluator.forks import Forked, ForkServers
from longodds.evaluator.frames import Kind
from longodds.evaluator.process import Process

_WARM_S = 60.0


@dataclass
class _Spare:
    """server: the fork server it came from; it ends with that. warm: whether it waits for its program."""

    forked: Forked
    server: subprocess.Popen[bytes] | None
    memory_bytes: int
    warm: bool = False

    def settle(self) -> bool:
        """Wait until it waits for its program; False if it is gone."""
        channel = self.forked.channel
        if not self.warm and select.select([channel], [], [], _WARM_S)[0]:
            with contextlib.suppress(OSError, ValueError):
                self.warm = frames.decode(channel.recv(frames.FRAME)).kind is Kind.WARM
        # It has nothing more to say: what there is to read then is that it hung up.
        return self.warm and not select.select([channel], [], [], 0)[0]

    def end(self) -> None:
        Process(self.forked, self.memory_bytes).close()


class Spares:
    """Of each fork server some, the oldest first. Close it before the servers."""

    def __init__(self, servers: ForkServers) -> None:
        self._servers = servers
        self._kept: list[tuple[int, _Spare]] = []

    def expect(self, number: int, count: int = 1) -> None:
        """So many programs will be asked for of this fork server: one process more if there are fewer; returns at
        once."""
        if sum(kept == number for kept, _ in self._kept) >= count:
            return
        with contextlib.suppress(InfraError):  # then there is none, and who wants one finds out why
            zygote = self._servers.get(number)
            forked = zygote.fork_ahead()
            self._kept.append((number, _Spare(forked, zygote.process, zygote.memory_bytes)))

    def take(self, number: int) -> Forked | None:
        """The oldest of this fork server, if it is fit for use."""
        found = next((kept for kept in self._kept if kept[0] == number), None)
        if found is None:
            return None
        self._kept.remove(found)
        spare = found[1]
        if spare.server is self._servers.get(number).process and spare.settle():
            return spare.forked
        spare.end()
        return None

    def starting(self) -> bool:
        """Whether some may not be at rest yet."""
        return any(not spare.warm for _, spare in self._kept)

    def settle(self) -> None:
        """Wait until all are at rest: nothing of ours may start beside a timing."""
        for kept in list(self._kept):
            if not kept[1].settle():
                self._kept.remove(kept)
                kept[1].end()

    def close(self) -> None:
        """End all; others can be asked for."""
        for _, spare in self._kept:
            spare.end()
        self._kept.clear()
