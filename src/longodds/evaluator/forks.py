"""Fork servers, and the processes they fork, as the oracle holds them. No torch here: a server can start loading it
before the oracle does.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from longodds.errors import InfraError
from longodds.evaluator import frames, sandbox
from longodds.evaluator.cores import CoreLease, lease
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.zygote import END

_SOURCE = str(Path(__file__).resolve().parents[2])
_START_S = 300.0  # seconds on a quiet machine; a busy one is no failure
_END_S = 5.0  # a process at work on a GPU takes a while to be gone
_FORKS = 200
_CUDA = ("CUDA_VISIBLE_DEVICES", "CUDA_PATH", "NVIDIA_VISIBLE_DEVICES")
_FORKS_FRESH = 32  # of a server for fresh processes: loading torch in a new one takes seconds
# By default the C library returns memory to the kernel and takes it back as it happens to lie, in some processes at
# each call and in others never: page faults that differ between two processes of one program, and a fifth of the time
# in which the oracle prepares a task. In bytes; no more than 32 MiB at a time can come from the heap.
KEEPS_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
FRESH = 2  # fork servers beside the screening's, for fresh processes


@dataclass
class Forked:
    """A process that was just forked, its waiter, and descriptors of both, of its channel and of its stderr."""

    pid: int
    waiter: int
    pidfd: int
    waiter_pidfd: int
    channel: socket.socket
    stderr_fd: int
    scratch: Path
    caches: Path  # as the process sees it

    def close(self) -> None:
        """Let go of the descriptors; remove the folder."""
        self.channel.close()
        for fd in (self.pidfd, self.waiter_pidfd, self.stderr_fd):
            os.close(fd)
        remove_tree(self.scratch)


@dataclass
class Zygote:
    """A trusted fork server. scratch_root: where the folders of its processes are made. way: what runs in them,
    `sound` (a program alone), `seed` (KernelBench's way: reference and program together) or `build` (the program is
    loaded, no more). arch: the one that CUDA code is compiled for, as "9.0"."""

    core: int | None
    memory_bytes: int
    scratch_root: Path
    layers: tuple[str, ...] = ()
    hide: tuple[Path, ...] = ()
    way: str = "sound"
    device: str = "cpu"
    arch: str = ""
    forks: int = 0
    process: subprocess.Popen[bytes] | None = None
    control: socket.socket | None = None
    ready: bool = False

    def start(self) -> None:
        """Launch if it is not running; does not wait (loading torch takes seconds)."""
        if self.process is not None:
            return
        ours, theirs = frames.pair()
        fd = theirs.fileno()
        boot = f"import sys; sys.path[:0] = {[_SOURCE]!r}; from longodds.evaluator.zygote import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-E", "-s", "-B", "-P", "-c", boot, str(fd), str(self.scratch_root)],
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(fd,),
            start_new_session=True,
        )
        theirs.close()
        self.control = ours

    def wait_ready(self) -> socket.socket:
        """Its control socket, once it serves. Raises InfraError."""
        self.start()
        assert self.control is not None
        if not self.ready:
            if not select.select([self.control], [], [], _START_S)[0] or self.control.recv(64) != b"ready":
                raise InfraError("the evaluator's fork server did not start; try `longodds doctor`")
            self.ready = True
        return self.control

    def fork(
        self, program: str, config: Mapping[str, object], inputs_fd: int, state_fd: int, built: Path | None = None
    ) -> Forked:
        """A new process that will load `program` with `config`. built: what an earlier one compiled. Raises InfraError
        if that fails."""
        return self._fork((program, config), inputs_fd, state_fd, built)

    def fork_ahead(self) -> Forked:
        """A new process that waits in its sandbox for what `start` gives it. Raises InfraError if that fails."""
        null = os.open(os.devnull, os.O_RDWR)
        try:
            return self._fork(None, null, null, None)
        finally:
            os.close(null)

    def _fork(
        self, work: tuple[str, Mapping[str, object]] | None, inputs_fd: int, state_fd: int, built: Path | None
    ) -> Forked:
        control = self.wait_ready()
        scratch = Path(tempfile.mkdtemp(prefix="child-", dir=self.scratch_root))
        ours, theirs = frames.pair()
        err_read, err_write = os.pipe()
        try:
            caches = self._caches(scratch, built)
            uid = self._fill(scratch, work)
            request = {
                "scratch": str(scratch),
                "layers": list(self.layers),
                "hide": [str(p) for p in self.hide],
                "memory_bytes": self.memory_bytes,
                "core": self.core,
                "uid": uid,
                "way": self.way,
                "device": self.device,
                "caches": str(caches),
                "built": str(built or ""),
                "arch": self.arch,
                "ahead": work is None,
            }
            socket.send_fds(control, [json.dumps(request).encode()], [theirs.fileno(), inputs_fd, state_fd, err_write])
            answer, fds = self._answer(control)
        except (OSError, InfraError) as error:
            ours.close()
            os.close(err_read)
            remove_tree(scratch)
            raise InfraError(f"could not start a child process: {error}") from None
        finally:
            theirs.close()
            os.close(err_write)
        os.set_blocking(err_read, False)
        self.forks += 1
        return Forked(answer["child"], answer["waiter"], fds[0], fds[1], ours, err_read, scratch, caches)

    def _fill(self, scratch: Path, work: tuple[str, Mapping[str, object]] | None) -> int:
        """Write what the process reads; returns the uid that it will run as, if it gets one of its own."""
        if work is not None:
            program, config = work
            (scratch / "program.py").write_bytes(_encoded(program))
            (scratch / "config.json").write_text(json.dumps({**config, "program": str(scratch / "program.py")}))
        uid = sandbox.PRIVATE_UIDS[os.getpid() % len(sandbox.PRIVATE_UIDS)]
        if "private_uid" in self.layers:
            for path in (scratch, *scratch.rglob("*")):
                os.chown(path, uid, uid)
        return uid

    def _caches(self, scratch: Path, built: Path | None) -> Path:
        """The folder for what compilers keep: with mounts an empty one at the same place in all processes, each of
        which mounts its own over it; else one for each, filled here."""
        if "mounts" in self.layers:
            caches = self.scratch_root / "caches"
            caches.mkdir(mode=0o711, exist_ok=True)
            return caches
        caches = scratch / "caches"
        if built is None:
            caches.mkdir()
        else:
            shutil.copytree(built, caches)
        return caches

    def _answer(self, control: socket.socket) -> tuple[dict[str, int], list[int]]:
        if not select.select([control], [], [], _START_S)[0]:
            raise InfraError("the evaluator's fork server stopped answering")
        data, fds, _flags, _address = socket.recv_fds(control, 4096, 2)
        answer = json.loads(data or b'{"error": "the fork server ended"}')
        if answer.get("error") or not answer.get("child") or len(fds) != 2:
            for fd in fds:
                os.close(fd)
            raise InfraError(answer.get("error", "it ended at once"))
        return answer, fds

    def close(self) -> None:
        """End it and what it forked, in order: killed, it would leave its dead to process 1, which in a container may
        never bury them."""
        # Before its socket closes: a hang-up tells it that we died, and that the folders are to be removed.
        if self.process is not None:
            if self.ready and self.control is not None:
                with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                    self.control.send(END)
                    self.process.wait(_END_S)
            self.process.kill()
            self.process.wait()
        if self.control is not None:
            self.control.close()
        self.control, self.process, self.ready, self.forks = None, None, False, 0


def start(forked: Forked, program: str, config: Mapping[str, object], inputs_fd: int, state_fd: int) -> None:
    """Give a process that was forked ahead its program. Raises InfraError if it is gone."""
    texts: list[int] = []
    try:
        for text in (_encoded(program), json.dumps(config).encode()):
            texts.append(os.memfd_create("longodds", os.MFD_CLOEXEC))
            with os.fdopen(os.dup(texts[-1]), "wb") as file:
                file.write(text)
        told = frames.encode(frames.Frame(frames.Kind.START))
        socket.send_fds(forked.channel, [told], [*texts, inputs_fd, state_fd])
    except OSError as error:
        raise InfraError(f"a child process that waited for its program ended: {error}") from None
    finally:
        for fd in texts:
            os.close(fd)


def _encoded(program: str) -> bytes:
    return program.encode("utf-8", "surrogatepass")


class ForkServers:
    """The fork servers of an oracle, in the sandbox layers that are proved to hold here.

    root: the folder for the folders of children. Number 0 serves the screening; the others, on a CPU started when they
    are first needed or by `warm`, serve fresh processes.
    """

    def __init__(self, settings: EvaluatorSettings, root: Path, way: str = "sound") -> None:
        hide = hidden_folders(settings)
        self.root = root
        self.cuda = settings.device == "cuda"
        alone = way == "seed" or self.cuda
        self.lease = CoreLease(settings.core, shared=False) if alone else lease(settings.core)
        count = 1 + FRESH if way == "sound" else 1
        self._zygotes = [
            Zygote(self._core(), settings.memory_limit(), root, hide=hide, way=way, device=settings.device)
            for _ in range(count)
        ]
        # They load torch while the layers are tried and while the oracle loads torch; where a machine has a GPU, it has
        # the cores for all of them.
        for zygote in self._zygotes if self.cuda else self._zygotes[:1]:
            zygote.start()
        self._unpinned: int | None = None
        self._isolation: dict[str, str] | None = None
        self._probe = root / "probe"
        self._probe.mkdir()
        boot = f"import sys; sys.path[:0] = {[_SOURCE]!r}; from longodds.evaluator.sandbox import main; main()"
        # A process of its own: the layers are tried in forks, and this one may have threads.
        command = [sys.executable, "-B", "-P", "-c", boot, settings.device, *map(str, (self._probe, *hide))]
        self._probing = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def _core(self) -> int | None:
        """Where children are pinned; on a GPU they aren't: its driver's threads would wait for the program's."""
        return None if self.cuda else self.lease.core

    @property
    def isolation(self) -> dict[str, str]:
        """Layer -> "on" where it was seen to hold, else "off: reason". Raises InfraError if they can't be tried."""
        if self._isolation is not None:
            return self._isolation
        try:
            out, _ = self._probing.communicate(timeout=_START_S)
            found: dict[str, str] = json.loads(out)
        except (subprocess.TimeoutExpired, ValueError):
            self._probing.kill()
            self._probing.communicate()
            raise InfraError("the sandbox's layers could not be tried; see `longodds doctor`") from None
        shutil.rmtree(self._probe)
        for zygote in self._zygotes:
            zygote.layers = tuple(name for name, state in found.items() if state == "on")
        self._isolation = found
        return found

    def get(self, number: int) -> Zygote:
        """Fork server `number`, started if need be; a new one in place of one that ended."""
        assert self.isolation  # no process without its layers
        zygote = self._zygotes[number]
        if zygote.process is not None and zygote.process.poll() is not None:
            zygote.close()
        return zygote

    def served(self) -> bool:
        """Whether one of them has served for long; `retire` then, when none of their forks is needed any more."""
        return any(zygote.forks >= _FORKS for zygote in self._zygotes)

    def retire(self) -> None:
        """End those that have served for long, and with them what they forked; others start when they are needed."""
        for zygote in self._zygotes:
            if zygote.forks >= _FORKS:
                zygote.close()

    def compile_for(self, arch: str) -> None:
        """CUDA code of programs is compiled for this architecture alone."""
        for zygote in self._zygotes:
            zygote.arch = arch

    def warm(self) -> None:
        """Start those that are not running; returns at once."""
        for number in range(1 + FRESH):
            self.get(number).start()

    def renew(self, after: int = 1) -> None:
        """Replace those for fresh processes that have forked `after` times by new ones: all start at once."""
        for number in range(1, 1 + FRESH):
            if self._zygotes[number].forks >= after:
                self._zygotes[number].close()
                self._zygotes[number].start()

    def refresh(self) -> None:
        """Replace those for fresh processes that have served for a while; they load torch meanwhile."""
        self.renew(after=_FORKS_FRESH)

    def unpinned(self) -> int:
        """Number of one whose children run on any core: for timing as others do it."""
        if self.cuda:
            return 0
        if self._unpinned is None:
            first = self._zygotes[0]
            self._unpinned = len(self._zygotes)
            self._zygotes.append(Zygote(None, first.memory_bytes, first.scratch_root, first.layers, first.hide))
        return self._unpinned

    def settle(self) -> None:
        """Wait until all that were started are ready: nothing of ours may start beside a timing. Raises InfraError."""
        for zygote in self._zygotes:
            if zygote.process is not None:
                zygote.wait_ready()

    def close(self) -> None:
        if self._probing.poll() is None:
            self._probing.kill()
        self._probing.communicate()
        for zygote in self._zygotes:
            zygote.close()
        self.lease.close()


def hidden_folders(settings: EvaluatorSettings) -> tuple[Path, ...]:
    """Folders that a candidate must not see: the user's home, and those that the settings name."""
    home = Path.home()
    found = [home] if home != Path("/") else []
    return tuple(dict.fromkeys([*found, *(p.resolve() for p in settings.hidden)]))


def clean_environment() -> dict[str, str]:
    """What children inherit: no secrets, one thread, an allocator that keeps what it has."""
    kept = {
        k: os.environ[k] for k in ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "CUDA_HOME", *_CUDA) if k in os.environ
    }
    threads = {k: "1" for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    return kept | threads | KEEPS_MEMORY


def remove_tree(folder: Path) -> None:
    """Remove a folder that a hostile program wrote: however deep, whatever the modes; what can't be removed stays."""
    with contextlib.suppress(OSError):
        # Usually there is nothing in it but what was put there.
        for name in ("program.py", "config.json"):
            (folder / name).unlink(missing_ok=True)
        folder.rmdir()
        return
    # An own process: the depth that overflows a recursion or a path here can't hurt it.
    subprocess.run(["rm", "-rf", "--", str(folder)], stdin=subprocess.DEVNULL, capture_output=True, check=False)
