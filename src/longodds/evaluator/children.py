"""The oracle's handles: a zygote that forks, and a child that is called, read and ended.

Everything that comes from a child is checked here: frames, deadlines, resident memory, addresses.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from longodds.errors import InfraError
from longodds.evaluator import frames, sandbox
from longodds.evaluator.frames import Frame, Kind

_STDERR_KEPT = 4096
_START_S = 120.0
_STOP_S = 10.0
_STOLEN_NS = 200_000


class ChildEnded(Exception):
    """The child hung up, or broke the protocol, before it answered."""


class ChildTimeout(Exception):
    """The child did not answer before its deadline."""


class ChildMemory(Exception):
    """The child's resident memory passed its limit."""


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("len", ctypes.c_size_t))


@dataclass
class Zygote:
    """A trusted fork server. `scratch_root`: where children's folders are made."""

    core: int | None
    layers: tuple[str, ...]
    hide: tuple[Path, ...]
    memory_bytes: int
    scratch_root: Path
    forks: int = 0
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    ready: bool = False

    def start(self) -> None:
        """Launch; does not wait (loading torch takes seconds)."""
        ours, theirs = frames.pair()
        fd = theirs.fileno()
        root = str(Path(__file__).resolve().parents[2])
        boot = f"import sys; sys.path[:0] = {[root]!r}; from longodds.evaluator.zygote import main; main({fd})"
        self.process = subprocess.Popen(
            [sys.executable, "-E", "-s", "-B", "-c", boot],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,
        )
        theirs.close()
        self.control = ours

    def _wait_ready(self) -> socket.socket:
        if self.control is None:
            self.start()
        assert self.control is not None
        if not self.ready:
            if not select.select([self.control], [], [], _START_S)[0] or self.control.recv(64) != b"ready":
                raise InfraError("the evaluator's fork server did not start; try `longodds doctor`")
            self.ready = True
        return self.control

    def spawn(self, program: str, config: dict[str, Any], state: torch.Tensor, inputs_bytes: int) -> Child:
        """Fork a child that will load `program`. Raises InfraError if that fails."""
        control = self._wait_ready()
        scratch = Path(tempfile.mkdtemp(prefix="child-", dir=self.scratch_root))
        (scratch / "program.py").write_text(program, encoding="utf-8", errors="surrogatepass")
        config = config | {
            "program": str(scratch / "program.py"),
            "inputs_bytes": inputs_bytes,
            "state_bytes": state.numel(),
        }
        (scratch / "config.json").write_text(json.dumps(config))
        uid = sandbox.PRIVATE_UIDS[os.getpid() % len(sandbox.PRIVATE_UIDS)]
        if "private_uid" in self.layers:
            for path in (scratch, *scratch.iterdir()):
                os.chown(path, uid, uid)
        inputs = SharedBlock(inputs_bytes)
        frozen = SharedBlock(state.numel())
        if state.numel():
            frozen.block.copy_(state)
        ours, theirs = frames.pair()
        err_read, err_write = os.pipe()
        os.set_blocking(err_read, False)
        request = {
            "scratch": str(scratch),
            "layers": list(self.layers),
            "hide": [str(p) for p in self.hide],
            "memory_bytes": self.memory_bytes,
            "core": self.core,
            "uid": uid,
        }
        socket.send_fds(control, [json.dumps(request).encode()], [theirs.fileno(), inputs.fd, frozen.fd, err_write])
        theirs.close()
        os.close(err_write)
        frozen.close()
        if not select.select([control], [], [], _START_S)[0]:
            raise InfraError("the evaluator's fork server stopped answering")
        answer = json.loads(control.recv(4096) or b'{"error": "the fork server ended"}')
        if answer.get("error") or not answer.get("child"):
            raise InfraError(f"could not start a child process: {answer.get('error', 'it ended at once')}")
        self.forks += 1
        return Child(answer["child"], answer["waiter"], ours, err_read, inputs, scratch, self.memory_bytes)

    def close(self) -> None:
        if self.control is not None:
            self.control.close()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.control, self.process, self.ready = None, None, False


def clean_environment() -> dict[str, str]:
    """What children inherit: no secrets, one thread."""
    kept = {k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_HOME") if k in os.environ}
    threads = {k: "1" for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return kept | threads


class SharedBlock:
    """Anonymous memory that can be passed to a child as a descriptor; `block` is its uint8 tensor here."""

    def __init__(self, size: int) -> None:
        self.fd = os.memfd_create("longodds", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(self.fd, size)
        # A child that could shrink the block would crash whoever touches it next.
        fcntl.fcntl(self.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        self.block = torch.empty(0, dtype=torch.uint8)
        if size:
            self.block = torch.from_file(f"/proc/self/fd/{self.fd}", shared=True, size=size, dtype=torch.uint8)

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.block = torch.empty(0, dtype=torch.uint8)


@dataclass
class Child:
    """One sandboxed process with one program. `calls` counts what it was asked."""

    pid: int
    waiter: int
    channel: socket.socket
    stderr_fd: int
    inputs: SharedBlock
    scratch: Path
    memory_bytes: int
    calls: int = 0
    stderr: bytes = b""
    peak_rss: int = 0
    pidfd: int = -1
    stolen: int = 0  # calls before which it used CPU time although frozen
    _stat_fd: int = -1
    _frozen_ns: int = 0
    _libc: ctypes.CDLL = field(default_factory=sandbox.load_libc)

    def __post_init__(self) -> None:
        self.pidfd = os.pidfd_open(self.pid)

    def wait(self, timeout_s: float, *, extend: Callable[[], float] | None = None) -> Frame:
        """Next frame. `extend` may move the deadline (a compiler at work).

        Raises ChildEnded, ChildTimeout, ChildMemory.
        """
        start = time.monotonic()
        deadline = start + timeout_s
        poller = select.poll()
        poller.register(self.channel, select.POLLIN)
        poller.register(self.stderr_fd, select.POLLIN)
        watched = start
        while True:
            now = time.monotonic()
            if now - watched > 0.05:
                self._watch_memory()
                watched = now
            if now >= deadline:
                deadline = start + (extend() if extend else timeout_s)
                if now >= deadline:
                    raise ChildTimeout(f"no answer within {timeout_s:g} s")
            # Short slices only once a call is slow: resident memory is watched without disturbing quick calls.
            events = poller.poll(min(deadline - now, 0.05) * 1000)
            for fd, _ in events:
                if fd == self.stderr_fd:
                    self._drain(poller)
            if any(fd == self.channel.fileno() for fd, _ in events):
                return self._receive()

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
            chunk = os.read(self.stderr_fd, 1 << 16)
        except BlockingIOError:
            return
        if not chunk and poller is not None:
            poller.unregister(self.stderr_fd)
        self.stderr = (self.stderr + chunk)[-_STDERR_KEPT:]

    def _watch_memory(self) -> None:
        used = self.resident_bytes()
        self.peak_rss = max(self.peak_rss, used)
        if used > self.memory_bytes:
            raise ChildMemory(f"resident memory {used >> 20} MiB passed the limit of {self.memory_bytes >> 20} MiB")

    def resident_bytes(self) -> int:
        """Of the child and its descendants, shared pages included."""
        total = 0
        for pid in self.family():
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError):
                continue
        return total

    def family(self) -> list[int]:
        """The child's pid and its living descendants', as seen from here."""
        found, queue = [], [self.pid]
        while queue:
            pid = queue.pop()
            found.append(pid)
            try:
                for task in Path(f"/proc/{pid}/task").iterdir():
                    queue += [int(p) for p in (task / "children").read_text().split()]
            except OSError:
                continue
        return found

    def helpers_cpu_s(self) -> float:
        """CPU seconds that the child's living descendants have used: a compiler at work, or somebody else."""
        total = 0
        for pid in self.family()[1:]:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])
            except (OSError, IndexError):
                continue
        return total / os.sysconf("SC_CLK_TCK")

    def freeze(self) -> None:
        """Stop the process and wait until it stands: between calls nothing of a program runs."""
        self._signal(signal.SIGSTOP)
        if self._stat_fd < 0:
            try:
                self._stat_fd = os.open(f"/proc/{self.pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            try:
                state = os.pread(self._stat_fd, 256, 0).rpartition(b")")[2][1:2]
            except OSError:
                return
            if state in b"TtZX":
                self._frozen_ns = self.cpu_ns()
                return
        raise InfraError("a child process could not be stopped: is the machine overloaded?")

    def thaw(self) -> int:
        """Let it run again; returns the CPU time (ns) that it used while it should have stood still."""
        used = self.cpu_ns() - self._frozen_ns if self._frozen_ns else 0
        self._signal(signal.SIGCONT)
        return used

    def _signal(self, number: int) -> None:
        # By descriptor: a pid could have been given to another process by now.
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def cpu_ns(self) -> int:
        """CPU time of the child's process, all its threads (ns), read from outside: POSIX per-process clocks."""
        try:
            return time.clock_gettime_ns((~self.pid << 3) | 2)
        except OSError:
            return 0

    def ask(self, timeout_s: float, count: int = 1) -> Frame:
        """Send a CALL for `count` calls and wait for the answer. Raises what `wait` raises."""
        self.calls += count
        nonce = secrets.randbits(63)
        self.stolen += self.thaw() > _STOLEN_NS
        if select.select([self.channel], [], [], 0)[0] and self._receive():
            raise ChildEnded("broke the protocol: it answered before it was asked")
        try:
            self.channel.send(frames.encode(Frame(Kind.CALL, count, nonce=nonce)))
        except OSError:
            raise ChildEnded("the process ended before it was called") from None
        frame = self.wait(timeout_s)
        self.freeze()
        if frame.kind is not Kind.ERROR and (frame.kind is not Kind.DONE or frame.nonce != nonce):
            raise ChildEnded("broke the protocol: an answer to another call")
        return frame

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
        descendants = self.family()[1:]
        self._signal(signal.SIGKILL)
        for pid in descendants:  # the pid namespace ends them; without one this does
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        select.select([self.pidfd], [], [], 5.0)  # readable once it is dead: only then can its folder be emptied
        with contextlib.suppress(OSError):
            self._drain()
        self.channel.close()
        for fd in (self.stderr_fd, self.pidfd, self._stat_fd):
            if fd >= 0:
                os.close(fd)
        self.inputs.close()
        remove_tree(self.scratch)


def remove_tree(folder: Path) -> None:
    """Remove a folder that a hostile program wrote: however deep, whatever the modes; what can't be removed stays."""
    # An own process: the depth that overflows a recursion or a path here can't hurt it.
    subprocess.run(["rm", "-rf", "--", str(folder)], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def last_words(child: Child) -> str:
    """The end of the child's stderr, one line, control characters removed."""
    text = child.stderr.decode("utf-8", "replace").strip().splitlines()
    line = text[-1] if text else ""
    return "".join(c for c in line if c.isprintable())[:300]


def fetch_leaves(child: Child, words: Sequence[int], sizes: Sequence[int], blocks: Sequence[torch.Tensor]) -> None:
    """Copy every output leaf out of the child. Raises ChildEnded."""
    if len(words) != len(sizes):
        raise ChildEnded("broke the protocol: wrong number of outputs")
    for address, size, block in zip(words, sizes, blocks, strict=True):
        if size:
            child.fetch(address, size, block)
