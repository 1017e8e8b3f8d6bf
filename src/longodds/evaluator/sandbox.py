"""Isolation in layers: each is tried, proved by a probe, and reported; none is skipped in silence.

`enter` runs in a forked child, before any byte of a program is read. `probe_layers` forks throw-away children that
try what a layer forbids, so that "on" means "seen to hold on this machine".
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import resource
import shutil
import signal
import socket
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from longodds.evaluator import landlock, seccomp

LAYERS = ("session", "rlimits", "namespaces", "mounts", "private_uid", "no_new_privs", "landlock", "seccomp")
_NEWNS, _NEWPID, _NEWNET, _NEWIPC, _NEWUSER = 0x20000, 0x20000000, 0x40000000, 0x08000000, 0x10000000
_MS_BIND, _MS_REC, _MS_PRIVATE, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 4096, 16384, 1 << 18, 2, 4, 8
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_SCRATCH_BYTES, _SCRATCH_FILES, _PROCESSES = 512 << 20, 20_000, 256
PRIVATE_UIDS = range(61_000, 65_000)  # no accounts; one for each oracle, since the process limit counts per uid


@dataclass(frozen=True, slots=True)
class Plan:
    """What holds a child. `layers`: those that the probes found to hold here; `scratch`: its writable folder.

    caches: another one, for what compilers keep; with mounts at the same place in every child, as compilers go by
    names. built: what is in it at first. cuda: what CUDA needs is left open: its devices, names of threads in /proc,
    sockets of the Unix family, addresses.
    """

    layers: tuple[str, ...]
    scratch: Path
    memory_bytes: int
    hide: tuple[Path, ...] = ()
    uid: int = PRIVATE_UIDS[0]
    cuda: bool = False
    caches: Path | None = None
    built: Path | None = None


def load_libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def return_memory() -> None:
    """Give what this process has freed back to the system, where the C library can (malloc_trim(3))."""
    libc = load_libc()
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)


def interpreter_paths() -> tuple[Path, ...]:
    """Folders that running Python and torch needs to read."""
    found = {Path(sys.prefix), Path(sys.base_prefix), Path(sysconfig.get_path("stdlib"))}
    found.add(Path(__file__).resolve().parents[2])
    found |= {Path(entry) for entry in sys.path if entry and Path(entry).is_dir()}
    return tuple(sorted({p.resolve() for p in found} | found))


def readable_paths() -> tuple[Path, ...]:
    system = ("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/etc", "/proc", "/sys", "/opt")
    return (*interpreter_paths(), *(Path(p) for p in system))


def writable_paths(plan: Plan) -> tuple[Path, ...]:
    plain = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
    more = ("/proc", *map(str, Path("/dev").glob("nvidia*"))) if plan.cuda else ()
    own = (plan.scratch,) if plan.caches is None else (plan.scratch, plan.caches)
    return (*own, *(Path(p) for p in (*plain, *more)))


def enter_namespaces(libc: ctypes.CDLL, plan: Plan) -> None:
    """Unshare pid (for the next fork), ipc, network and mounts; as a user, inside a user namespace. Raises OSError."""
    flags = _NEWPID | _NEWIPC | _NEWNET
    if "mounts" in plan.layers:
        flags |= _NEWNS
    uid, gid = os.getuid(), os.getgid()
    if uid != 0:
        flags |= _NEWUSER
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if uid != 0:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
        # Entering a user namespace makes the process undumpable, which would also shut the oracle out.
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def enter(libc: ctypes.CDLL, plan: Plan) -> None:
    """Apply every layer of the plan to this process, outermost first. Raises OSError if one that was proved fails."""
    if "mounts" in plan.layers and "namespaces" not in plan.layers:
        raise OSError(0, "mounts without namespaces would be everybody's")
    if "session" in plan.layers:
        os.setsid()
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if "mounts" in plan.layers:
        _keep_mounts_private(libc)
        _own_caches(libc, plan)  # before: what goes into them may lie in a folder to hide
        _hide(libc, plan)
        _own_scratch(libc, plan)
    if "rlimits" in plan.layers:
        _limit(plan)
    if "private_uid" in plan.layers:
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
        # A change of uid clears both: the parent-death signal, and the dump flag that lets the oracle read outputs.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    if "no_new_privs" in plan.layers and libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    if "landlock" in plan.layers:
        landlock.apply(libc, read=readable_paths(), write=writable_paths(plan))
    if "seccomp" in plan.layers:
        seccomp.apply(libc, unix_sockets=plan.cuda)


def _limit(plan: Plan) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_SCRATCH_BYTES, _SCRATCH_BYTES))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    if "private_uid" in plan.layers:  # the limit counts all processes of a uid: only an own uid can be limited
        resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))
    if plan.cuda:  # reserves addresses for all memory of host and device; resident memory is watched instead
        return
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + plan.memory_bytes, used + plan.memory_bytes))


def _mount(libc: ctypes.CDLL, source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    code = libc.mount(
        source.encode(), str(target).encode(), kind.encode() if kind else None, flags, data.encode() if data else None
    )
    if code != 0:
        raise OSError(ctypes.get_errno(), f"mount {target}")


def _keep_mounts_private(libc: ctypes.CDLL) -> None:
    _mount(libc, "none", Path("/"), None, _MS_REC | _MS_PRIVATE)


def _hide(libc: ctypes.CDLL, plan: Plan) -> None:
    """Empty file systems over the folders to hide, with what running Python needs bound back in; a /proc of its own."""
    keep = [p for p in (*interpreter_paths(), plan.scratch, plan.caches) if p is not None and p.is_dir()]
    for folder in plan.hide:
        if not folder.is_dir() or folder in keep:
            continue
        inside = sorted({p for p in keep if folder in p.parents}, key=lambda p: len(p.parts))
        roots = [p for i, p in enumerate(inside) if not any(q in p.parents for q in inside[:i])]
        handles = [(p, os.open(p, os.O_PATH)) for p in roots]
        _mount(libc, "tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, "size=1m,mode=0755")
        for path, fd in handles:
            path.mkdir(parents=True, exist_ok=True)
            _mount(libc, f"/proc/self/fd/{fd}", path, None, _MS_BIND | _MS_REC)
            os.close(fd)
    _mount(libc, "proc", Path("/proc"), "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def _own_scratch(libc: ctypes.CDLL, plan: Plan) -> None:
    """A memory file system over the scratch folder, its files kept."""
    content = {p.name: p.read_bytes() for p in plan.scratch.iterdir() if p.is_file()}
    _memory_folder(libc, plan.scratch)
    for name, data in content.items():
        (plan.scratch / name).write_bytes(data)
    _give(plan, plan.scratch)


def _own_caches(libc: ctypes.CDLL, plan: Plan) -> None:
    """Another over the caches' folder, with what was built before."""
    if plan.caches is None:
        return
    _memory_folder(libc, plan.caches)
    if plan.built is not None:
        shutil.copytree(plan.built, plan.caches, dirs_exist_ok=True)
    _give(plan, plan.caches)


def _memory_folder(libc: ctypes.CDLL, folder: Path) -> None:
    """A file system of its own, bounded in bytes and files, gone with the process."""
    options = f"size={_SCRATCH_BYTES},nr_inodes={_SCRATCH_FILES},mode=0700"
    _mount(libc, "tmpfs", folder, "tmpfs", _MS_NOSUID | _MS_NODEV, options)


def _give(plan: Plan, folder: Path) -> None:
    if "private_uid" in plan.layers:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, plan.uid, plan.uid)


def in_namespaces(libc: ctypes.CDLL, plan: Plan, body: Callable[[], int], announce: Callable[[int], None]) -> int:
    """Fork `body` into its own pid namespace (if planned) and wait; returns its exit status word.

    `announce` gets the body's pid as seen from outside. The body is process 1 of the namespace: when it
    ends, the kernel kills whatever it started.
    """
    if "namespaces" in plan.layers:
        enter_namespaces(libc, plan)
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = body()
        except Exception as error:  # boundary: the forked process ends here, and says why
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    announce(pid)
    while True:
        try:
            return os.waitpid(pid, 0)[1]
        except InterruptedError:
            continue


# --- probes ------------------------------------------------------------------------------------


def _survives(action: Callable[[], bool]) -> str:
    """Run `action` in a throw-away child: "" if it returned True, else the reason."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        message = "did not hold"
        try:
            if action():
                message = ""
        except (OSError, KeyError, ValueError) as error:
            message = str(error)
        finally:
            os.write(writer, message.encode()[:200])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        message = pipe.read().decode("utf-8", "replace")
    _, status = os.waitpid(pid, 0)
    return message or ("" if status == 0 else f"probe ended with status {status}")


def _denied(action: Callable[[], object]) -> bool:
    try:
        action()
    except OSError:
        return True
    return False


class _Probes:
    """One check per layer, each run in a throw-away child that tries what the layer forbids."""

    def __init__(self, scratch: Path, hide: Sequence[Path], *, cuda: bool) -> None:
        self.libc = load_libc()
        self.scratch, self.hide, self.cuda = scratch, tuple(hide), cuda
        self.proved: list[str] = []

    def _plan(self, *layers: str) -> Plan:
        return Plan(layers, self.scratch, 4 << 30, self.hide, cuda=self.cuda)

    def _nested(self, layers: tuple[str, ...], body: Callable[[], bool]) -> bool:
        return in_namespaces(self.libc, self._plan(*layers), lambda: 0 if body() else 1, lambda _: None) == 0

    def session(self) -> bool:
        before = os.getsid(0)
        enter(self.libc, self._plan("session"))
        return os.getsid(0) != before

    def rlimits(self) -> bool:
        enter(self.libc, self._plan("rlimits"))
        if self.cuda:
            return resource.getrlimit(resource.RLIMIT_FSIZE)[0] == _SCRATCH_BYTES
        try:
            bytearray(8 << 30)
        except MemoryError:
            return True
        return False

    def namespaces(self) -> bool:
        outside = os.getpid()

        def alone() -> bool:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                offline = _denied(lambda: s.connect(("192.0.2.1", 9)))  # TEST-NET-1: nothing is ever there
            return offline and os.getpid() == 1 and _denied(lambda: os.kill(outside, 0))

        return self._nested(("namespaces",), alone)

    def mounts(self) -> bool:
        if "namespaces" not in self.proved:
            raise OSError(0, "needs namespaces")

        def own_proc() -> bool:
            _keep_mounts_private(self.libc)
            _hide(self.libc, self._plan("mounts"))
            return all(int(p.name) <= 2 for p in Path("/proc").iterdir() if p.name.isdigit())

        return self._nested((*self.proved, "mounts"), own_proc)

    def private_uid(self) -> bool:
        if os.getuid() != 0:
            raise OSError(0, "needs root")
        layers = (*self.proved, "private_uid")

        def another() -> bool:
            enter(self.libc, self._plan(*layers))
            readable = os.access(Path(os.__file__), os.R_OK) and os.access(sys.executable, os.X_OK)
            return os.getuid() == PRIVATE_UIDS[0] and readable and _denied(lambda: os.setuid(0))

        return self._nested(layers, another)

    def no_new_privs(self) -> bool:
        enter(self.libc, self._plan("no_new_privs"))
        return "NoNewPrivs:\t1" in Path("/proc/self/status").read_text()

    def landlock(self) -> bool:
        outside = self.scratch.parent / f".outside-{os.getpid()}"
        enter(self.libc, self._plan("no_new_privs", "landlock"))
        inside = self.scratch / f"inside-{os.getpid()}"
        inside.write_text("x")
        inside.unlink()
        return _denied(lambda: outside.write_text("x"))

    def seccomp(self) -> bool:
        enter(self.libc, self._plan("no_new_privs", "seccomp"))
        cores = os.sched_getaffinity(0)
        return _denied(lambda: socket.socket(socket.AF_INET)) and _denied(lambda: os.sched_setaffinity(0, cores))


def probe_layers(scratch: Path, hide: Sequence[Path] = (), *, cuda: bool = False) -> dict[str, str]:
    """Layer -> "on" where a probe saw it hold, else "off: reason". Forks; call it from a single-threaded process.

    cuda: with what is left open for CUDA.
    """
    if platform.system() != "Linux":
        return {name: f"off: not on {platform.system()}" for name in LAYERS}
    probes = _Probes(scratch, hide, cuda=cuda)
    report: dict[str, str] = {}
    for name in LAYERS:
        reason = _survives(getattr(probes, name))
        report[name] = f"off: {reason}" if reason else "on"
        if not reason:
            probes.proved.append(name)
    return report


def main() -> None:
    """Write the report of `probe_layers` to standard output, as JSON. Arguments: device, scratch folder, folders to
    hide."""
    scratch, *hide = map(Path, sys.argv[2:])
    sys.stdout.write(json.dumps(probe_layers(scratch, hide, cuda=sys.argv[1] == "cuda")))
