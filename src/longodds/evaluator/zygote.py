"""A trusted process that has torch loaded and forks children from itself: 20 ms a child instead of seconds.

It is started with a clean environment, holds nothing secret, and never runs a program: the fork enters its sandbox
first. Forks of one zygote share their memory layout; where fresh processes are asked for, another zygote is used.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

END = b"end"  # in place of a request
_MAX_REQUEST = 1 << 16
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def _child_environment(scratch: Path, caches: Path) -> None:
    """Every temporary folder of a program lies in its own scratch, what compilers keep in its caches."""
    os.environ.update(
        HOME=str(scratch),
        USER="candidate",  # its uid has no account, and compilers name folders after their user
        TMPDIR=str(scratch),
        XDG_CACHE_HOME=str(caches / "cache"),
        TRITON_CACHE_DIR=str(caches / "triton"),
        TORCHINDUCTOR_CACHE_DIR=str(caches / "inductor"),
        TORCH_EXTENSIONS_DIR=str(caches / "extensions"),
        CUDA_CACHE_PATH=str(caches / "cuda"),
        TORCHINDUCTOR_COMPILE_THREADS="1",
        PYTHONDONTWRITEBYTECODE="1",
    )
    tempfile.tempdir = None  # what the fork server found before
    os.chdir(scratch)


class _Abandoned(BaseException):
    """The fork server is gone: nobody is left to wait for."""


def _spawn(request: dict[str, Any], fds: list[int], libc: Any, control: socket.socket) -> tuple[int, int, list[int]]:
    """Fork a sandboxed child; returns pid of its waiter and its own, as seen from here, and a pidfd of each.

    Raises OSError if it ended before it could be announced.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waiter = os.fork()
    if waiter != 0:
        theirs.close()
        with ours:
            data, found, _flags, _address = socket.recv_fds(ours, 16, 1)
        if not data or len(found) != 1:
            raise OSError(0, "it ended at once")
        return waiter, int(data), [*found, os.pidfd_open(waiter)]  # not reaped yet: its number is still its own
    try:
        ours.close()
        control.close()
        _wait_for(_plan(request), request, fds, libc, theirs)
    finally:
        os._exit(71)


def _plan(request: dict[str, Any]) -> Any:
    from longodds.evaluator import sandbox

    return sandbox.Plan(
        tuple(request["layers"]),
        Path(request["scratch"]),
        int(request["memory_bytes"]),
        tuple(Path(p) for p in request["hide"]),
        int(request["uid"]),
        request["device"] == "cuda",
        Path(request["caches"]),
        Path(request["built"]) if request["built"] else None,
    )


def _wait_for(plan: Any, request: dict[str, Any], fds: list[int], libc: Any, announcements: socket.socket) -> None:
    """The waiter: forks the child and ends when it and everything that it started are dead."""
    from longodds.evaluator import cuda_shim, sandbox, seed_shim, shim

    scratch: Path = plan.scratch
    # Orphans among the child's descendants come here instead of getting away; and a waiter ends with its fork server,
    # but in order.
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(signal.SIGTERM, _abandon)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    channel_fd, inputs_fd, state_fd, stderr_fd = fds
    if (core := request["core"]) is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    null = os.open(os.devnull, os.O_RDWR)
    for target, source in ((0, null), (1, null), (2, stderr_fd)):
        os.dup2(source, target)
    child = 0

    def announce(pid: int) -> None:
        nonlocal child
        child = pid
        socket.send_fds(announcements, [str(pid).encode()], [os.pidfd_open(pid)])
        announcements.close()
        os.close(channel_fd)  # the child's end must close with the child

    def body() -> int:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        keep = {0, 1, 2, channel_fd, inputs_fd, state_fd}
        for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:  # noqa: PTH112, PTH208
            if int(name) not in keep:
                try:
                    os.close(int(name))
                except OSError:
                    continue
        sandbox.enter(libc, plan)
        _child_environment(scratch, plan.caches)
        if request["arch"]:
            os.environ["TORCH_CUDA_ARCH_LIST"] = request["arch"]
        channel = socket.socket(fileno=channel_fd)
        if request["way"] == "seed":
            return seed_shim.run(channel, scratch / "config.json")
        if request["way"] == "build":
            return shim.build(channel, scratch / "config.json")
        kind = cuda_shim if plan.cuda else shim
        if request["ahead"]:
            os.close(inputs_fd)
            os.close(state_fd)
            return kind.run_when_told(channel, scratch)
        return kind.run(channel, inputs_fd, state_fd, json.loads((scratch / "config.json").read_text()))

    try:
        sandbox.in_namespaces(libc, plan, body, announce)
    except _Abandoned:
        if child:
            os.kill(child, signal.SIGKILL)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        # In a pid namespace the kernel has ended the others with the first; the numbers in its /proc are not ours.
        _end_children(walk="namespaces" not in plan.layers)


def _abandon(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # it is sent until we are gone, and ending must not be interrupted
    raise _Abandoned


def _end_children(*, walk: bool, number: int = signal.SIGKILL) -> None:
    """Reap until no child is left; `walk`: kill those that are, again and again, since the dead hand on theirs."""
    me = os.getpid()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        if walk:
            for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split():
                os.kill(int(pid), number)
        time.sleep(0.0005)


def main() -> None:
    """Serve fork requests on a SOCK_SEQPACKET descriptor until told to END; then end what was forked. The other side
    hangs up only by dying: then remove the folder of their folders, too. Arguments: descriptor, folder."""
    import gc

    import torch

    from longodds.evaluator import cuda_shim, sandbox, seed_shim, shim
    from longodds.evaluator.forks import remove_tree

    del shim, cuda_shim, seed_shim  # loaded here so that no child pays for it
    torch.set_num_threads(1)
    # The first call of each library initialises it; a child should not pay for that inside its first call.
    x = torch.rand(64, 64)
    torch.nn.functional.conv2d(x[None, None], x[None, None, :3, :3])
    torch.softmax(x @ x, -1).exp().sum().item()
    libc = sandbox.load_libc()
    steady_heap()
    control = socket.socket(fileno=int(sys.argv[1]))
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the shared pages
    control.send(b"ready")
    while True:
        data, fds, _flags, _address = socket.recv_fds(control, _MAX_REQUEST, 4)
        if data in (b"", END):
            break
        try:
            waiter, child, pidfds = _spawn(json.loads(data), fds, libc, control)
            socket.send_fds(control, [json.dumps({"waiter": waiter, "child": child}).encode()], pidfds)
            fds += pidfds
        except OSError as error:
            control.send(json.dumps({"error": error.strerror or str(error)}).encode())
        for item in fds:
            os.close(item)
        _reap()
    _end_children(walk=True, number=signal.SIGTERM)  # the waiters, which end theirs first
    if not data:
        remove_tree(Path(sys.argv[2]))
    os._exit(0)


def steady_heap() -> None:
    """Keep freed memory in the heap of this process and its forks.

    By default glibc returns large blocks to the system and adapts the limit to the history of the process, so that the
    same program pays for page faults in one process and not in another (seen: a factor of two). M_TRIM_THRESHOLD is -1,
    M_MMAP_THRESHOLD -3, see mallopt(3).
    """
    from longodds.evaluator import sandbox

    libc = sandbox.load_libc()
    if hasattr(libc, "mallopt"):
        libc.mallopt(-3, 1 << 30)
        libc.mallopt(-1, (1 << 31) - 1)


def _reap() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
