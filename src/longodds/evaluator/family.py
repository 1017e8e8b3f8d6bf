"""A child and whatever it started, as /proc shows them: who is alive, what they use, whether they stand still.

Descendants that a program detaches from itself are handed to its waiter, a subreaper, so they are found under it.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_STANDING = (b"T", b"t", b"Z", b"X", b"x")


class Family:
    """Process `pid`, forked by `waiter`, both as seen from here. Close it: it keeps descriptors open."""

    def __init__(self, pid: int, waiter: int) -> None:
        self.pid, self.waiter = pid, waiter
        self._stat = _open(f"/proc/{pid}/stat")
        self._children = [_open(f"/proc/{p}/task/{p}/children") for p in (pid, waiter)]

    def close(self) -> None:
        for fd in (self._stat, *self._children):
            if fd >= 0:
                os.close(fd)
        self._stat, self._children = -1, [-1, -1]

    def members(self) -> list[int]:
        """The child's pid, then those of its living descendants."""
        if self._alone():
            return [self.pid]
        found, queue = [self.pid], [*_children_of(self.pid), *_children_of(self.waiter)]
        while queue:
            pid = queue.pop()
            if pid not in found:
                found.append(pid)
                queue += _children_of(pid)
        return found

    def _alone(self) -> bool:
        """One thread, no child process, and none handed to the waiter: two short readings instead of a walk."""
        _, threads = self._state()
        own, handed = (_read(fd) for fd in self._children)
        return threads == 1 and own == b"" and handed is not None and handed.split() in ([], [b"%d" % self.pid])

    def _state(self) -> tuple[bytes, int]:
        """State letter and number of threads; (X, 0) for a process that is gone."""
        fields = (_read(self._stat) or b"").rpartition(b")")[2].split()
        return (fields[0], int(fields[17])) if len(fields) > 17 else (b"X", 0)

    @property
    def threads(self) -> int:
        return self._state()[1]

    def stands(self) -> bool:
        """Whether every thread of the child is stopped, or gone."""
        state, threads = self._state()
        if state not in _STANDING:
            return False
        if threads <= 1:
            return True
        # The first thread can end, or stop, before the others.
        with contextlib.suppress(OSError):
            return all(_task_state(p) in _STANDING for p in Path(f"/proc/{self.pid}/task").iterdir())
        return True

    def cpu_ns(self) -> int:
        """CPU time of the child's process, all its threads (ns), read from outside: POSIX per-process clocks."""
        try:
            return time.clock_gettime_ns((~self.pid << 3) | 2)
        except OSError:
            return 0

    def resident_bytes(self) -> int:
        """Of the child and its descendants, shared pages included."""
        total = 0
        for pid in self.members():
            with contextlib.suppress(OSError, IndexError):
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return total

    def compilers_cpu_s(self) -> float:
        """CPU seconds that living descendants have used which run another program than the child: compilers at work.

        A plain fork of the child is no compiler.
        """
        image, total = _image(self.pid), 0
        for pid in self.members()[1:]:
            if _image(pid) == image:
                continue
            with contextlib.suppress(OSError, IndexError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += sum(int(x) for x in fields[11:15])
        return total / os.sysconf("SC_CLK_TCK")


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(fd: int) -> bytes | None:
    try:
        return os.pread(fd, 4096, 0)
    except OSError:
        return None


def _task_state(task: Path) -> bytes:
    try:
        return (task / "stat").read_bytes().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b"X"


def _image(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115
    except OSError:
        return ""


def _children_of(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(p) for p in (task / "children").read_text().split()]
    return found
