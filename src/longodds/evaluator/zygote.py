"""A trusted process that has torch loaded and forks children from itself: 20 ms a child instead of seconds.

It is started with a clean environment, holds nothing secret, and never runs a program: the fork enters its sandbox
first. Forks of one zygote share their memory layout; where fresh processes are asked for, another zygote is used.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

_MAX_REQUEST = 1 << 16


def _child_environment(scratch: Path) -> None:
    """Every cache and temporary folder of a program lies in its own scratch."""
    os.environ.update(
        HOME=str(scratch),
        TMPDIR=str(scratch),
        XDG_CACHE_HOME=str(scratch / "cache"),
        TRITON_CACHE_DIR=str(scratch / "triton"),
        TORCHINDUCTOR_CACHE_DIR=str(scratch / "inductor"),
        TORCH_EXTENSIONS_DIR=str(scratch / "extensions"),
        CUDA_CACHE_PATH=str(scratch / "cuda"),
        TORCHINDUCTOR_COMPILE_THREADS="1",
        PYTHONDONTWRITEBYTECODE="1",
    )
    os.chdir(scratch)


def _spawn(request: dict[str, Any], fds: list[int], libc: Any) -> tuple[int, int]:
    """Fork a sandboxed child; returns (waiter pid, child pid as seen from here)."""
    from longodds.evaluator import sandbox, shim

    scratch = Path(request["scratch"])
    plan = sandbox.Plan(
        tuple(request["layers"]),
        scratch,
        int(request["memory_bytes"]),
        tuple(Path(p) for p in request["hide"]),
        int(request["uid"]),
    )
    reader, writer = os.pipe()
    waiter = os.fork()
    if waiter != 0:
        os.close(writer)
        with os.fdopen(reader, "rb") as pipe:
            child = int(pipe.read(16) or b"0")
        return waiter, child
    status = 71
    try:
        os.close(reader)
        libc.prctl(1, 9, 0, 0, 0)  # PR_SET_PDEATHSIG, SIGKILL: a waiter does not outlive its zygote
        channel_fd, inputs_fd, state_fd, stderr_fd = fds
        if request["core"] is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {request["core"]})
        null = os.open(os.devnull, os.O_RDWR)
        for target, source in ((0, null), (1, null), (2, stderr_fd)):
            os.dup2(source, target)

        def announce(pid: int) -> None:
            os.write(writer, str(pid).encode())
            os.close(writer)
            os.close(channel_fd)  # the child's end must close with the child

        def body() -> int:
            keep = {0, 1, 2, channel_fd, inputs_fd, state_fd}
            for name in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:  # noqa: PTH112, PTH208
                if int(name) not in keep:
                    try:
                        os.close(int(name))
                    except OSError:
                        continue
            sandbox.enter(libc, plan)
            _child_environment(scratch)
            channel = socket.socket(fileno=channel_fd)
            return shim.run(channel, inputs_fd, state_fd, scratch / "config.json")

        status = 0 if sandbox.in_namespaces(libc, plan, body, announce) == 0 else 1
    finally:
        os._exit(status)


def main(fd: int) -> None:
    """Serve fork requests on a SOCK_SEQPACKET descriptor until the other side hangs up."""
    import gc

    import torch

    from longodds.evaluator import sandbox, shim

    del shim  # loaded here so that no child pays for it
    torch.set_num_threads(1)
    # The first call of each library initialises it; a child should not pay for that inside its first call.
    x = torch.rand(64, 64)
    torch.nn.functional.conv2d(x[None, None], x[None, None, :3, :3])
    torch.softmax(x @ x, -1).exp().sum().item()
    libc = sandbox.load_libc()
    _steady_heap(libc)
    control = socket.socket(fileno=fd)
    gc.collect()
    gc.freeze()  # keeps the collector from touching, and so copying, the shared pages
    control.send(b"ready")
    while True:
        data, fds, _flags, _address = socket.recv_fds(control, _MAX_REQUEST, 4)
        if not data:
            break
        try:
            waiter, child = _spawn(json.loads(data), fds, libc)
            control.send(json.dumps({"waiter": waiter, "child": child}).encode())
        except OSError as error:
            control.send(json.dumps({"error": str(error)}).encode())
        for item in fds:
            os.close(item)
        _reap()
    os._exit(0)


def _steady_heap(libc: Any) -> None:
    """Keep freed memory in the heap of every child.

    By default glibc returns large blocks to the system and adapts the limit to the history of the process, so that the
    same program pays for page faults in one process and not in another (seen: a factor of two). M_TRIM_THRESHOLD is -1,
    M_MMAP_THRESHOLD -3, see mallopt(3).
    """
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


if __name__ == "__main__":
    main(int(sys.argv[1]))
