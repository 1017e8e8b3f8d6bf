"""One evaluator for many attacks, and a look at what is left after each: processes, descriptors, files."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cheat_corpus import CHEATS, Program, disguise, load_programs

from longodds.evaluator import EvaluatorSettings, controller, open_evaluator
from longodds.types import Status, Verdict

SERVICE = Path("/tmp/longodds-cheat-service")  # named in two cheats: where a program must not get through to
_ZYGOTES = 3  # fork servers
_SLACK_FDS = 8  # fork servers that start late, with their control sockets


def own_core() -> int | None:
    """A core for this worker's programs alone where tests run side by side (pytest -n N), else the usual one."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    cores = sorted(os.sched_getaffinity(0))
    return cores[-1 - int(worker.removeprefix("gw")) % len(cores)] if worker.startswith("gw") else None


SETTINGS = EvaluatorSettings(
    import_timeout_s=5,
    run_timeout_s=3,
    compile_timeout_s=8,
    memory_bytes=3 << 30,
    max_pairs=16,
    max_timing_s=10,
    core=own_core(),
)


class Bench:
    """Runs programs of the corpus in one evaluator."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stray = f"stray{os.getpid()}"
        self.service = SERVICE.with_name(f"{SERVICE.name}-{os.getpid()}")
        self.evaluator = open_evaluator(SETTINGS)
        self.honest = {p.name: p for p in load_programs(CHEATS / "controls")}
        self.known: dict[str, Verdict] = {}
        self.usual_fds: int | None = None

    def verdict(self, program: Program, seed: int | None = None) -> Verdict:
        """Of a program, disguised if there is a seed. Processes it may leave carry a name that is ours alone."""
        source = program.source.replace("stray", self.stray).replace(str(SERVICE), str(self.service))
        source = source if seed is None else disguise(source, seed)
        return self.evaluator.evaluate(program.task, source, timed=program.timed)

    def control(self, name: str) -> Verdict:
        """Timed verdict of a control, measured once."""
        if name not in self.known:
            self.known[name] = self.verdict(self.honest[name])
        return self.known[name]

    def attack(self, program: Program, seed: int | None = None) -> None:
        """Judge a cheat (disguised if there is a seed) and assert all that must hold, during and after it."""
        for _ in range(2 if "twice" in program.header else 1):
            start = time.monotonic()
            verdict = self.verdict(program, seed)
            limit = float(program.header.get("seconds", 120))
            assert time.monotonic() - start < limit, f"took longer than {limit:g} s: {verdict.message}"
            self.assert_caught(program, verdict)
        after = self.evaluator.evaluate(program.task, self.honest[f"{program.header['task']}_same"].source, timed=False)
        assert after.status is Status.CORRECT, f"an honest program after it: {after.status}: {after.message}"
        self.assert_nothing_left()

    def assert_caught(self, program: Program, verdict: Verdict) -> None:
        said = f"{verdict.status}: {verdict.message} {verdict}"
        if verdict.status is not Status.CORRECT:
            assert verdict.status.value in program.expected, said
            assert verdict.speedup is None and verdict.ci_low is None, said
            return
        assert program.harmless or "correct" in program.expected or "honest" in program.header, said
        if "honest" in program.header:
            control = self.control(program.header["honest"])
            assert control.status is Status.CORRECT and control.ci_high is not None
            assert (verdict.ci_low or 0.0) <= control.ci_high * 1.06, f"{said}; done honestly: {control}"
        else:
            assert (verdict.ci_low or 0.0) <= 1.0, said

    # --- what is left ---------------------------------------------------------------------------

    def assert_nothing_left(self) -> None:
        deadline = time.monotonic() + 3.0
        while (left := self.left()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not left, f"left behind: {left}"

    def left(self) -> list[str]:
        """Whatever should not be there, described."""
        found: list[str] = []
        living = [pid for pid in descendants(os.getpid()) if _state(pid) not in "ZX"]
        if len(living) > 1 + _ZYGOTES:
            found.append(f"processes {[(pid, _name(pid)) for pid in living]}")
        strays = [pid for pid in _all_pids() if pid not in living and self._is_ours(pid)]
        if strays:
            found.append(f"stray processes {[(pid, _name(pid)) for pid in strays]}")
        count = len(list(Path(f"/proc/{self.oracle}/fd").iterdir())) + len(list(Path("/proc/self/fd").iterdir()))
        self.usual_fds = count if self.usual_fds is None else self.usual_fds
        if count > self.usual_fds + _SLACK_FDS:
            found.append(f"{count} descriptors, {self.usual_fds} at the start")
        roots = list(self.folder.iterdir())
        if len(roots) != 1 or len([p for p in roots[0].iterdir() if p.name.startswith("child-")]) > 0:
            found.append(f"folders {[str(p) for root in roots for p in (root, *root.iterdir())]}")
        for place in (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/")):
            found += [f"file {p}" for p in place.glob("cheat-left-*")]
        return found

    @property
    def oracle(self) -> int:
        """The evaluator's trusted process: the only child of ours that has children."""
        return next(pid for pid in children(os.getpid()) if children(pid))

    def _is_ours(self, pid: int) -> bool:
        if _name(pid) == self.stray:
            return True
        with contextlib.suppress(OSError):
            return os.readlink(f"/proc/{pid}/cwd").startswith(str(self.folder))  # noqa: PTH115
        return False


def children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):
                found += [int(p) for p in (task / "children").read_text().split()]
    return found


def descendants(pid: int) -> list[int]:
    found = children(pid)
    for child in list(found):
        found += descendants(child)
    return found


def _all_pids() -> list[int]:
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _state(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "X"


@contextlib.contextmanager
def open_bench() -> Iterator[Bench]:
    """A bench in a temporary folder of its own, empty in the end, beside a service to be kept away from."""
    # Not pytest's folder: that is closed to other users, and candidates run as one.
    folder = Path(tempfile.mkdtemp(prefix="longodds-cheats-", dir="/tmp"))
    folder.chmod(0o711)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        # To the end, as the controller makes another folder when it starts its oracle again.
        patch.setattr(controller, "open_folder", lambda: folder)
        with patch.context() as at_start:
            at_start.setenv("TMPDIR", str(folder))
            bench = Bench(folder)
        stack.enter_context(service(bench.service))
        try:
            yield bench
        finally:
            bench.evaluator.close()
            left = list(folder.iterdir())
            shutil.rmtree(folder)
    assert not left, f"the evaluator left {left} behind"


@contextlib.contextmanager
def service(folder: Path) -> Iterator[None]:
    """Sockets in the file system that anybody may write to."""
    folder.mkdir(mode=0o755, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for name, kind in (("stream", socket.SOCK_STREAM), ("datagram", socket.SOCK_DGRAM)):
            path = folder / name
            path.unlink(missing_ok=True)
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            listener.bind(str(path))
            path.chmod(0o777)
            if kind == socket.SOCK_STREAM:
                listener.listen(64)
        yield
    shutil.rmtree(folder)
