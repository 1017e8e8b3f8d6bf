"""Nothing outlives an evaluator: not its processes, not its folders, whoever is killed and whatever programs start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_task import ENDLESS, RIGHT, TASK, alive, descendants

from longodds.errors import InfraError
from longodds.evaluator import EvaluatorSettings, LocalEvaluator, doctor_layers, open_evaluator
from longodds.evaluator.forks import ForkServers, remove_tree
from longodds.evaluator.process import ChildEnded, Process, last_words
from longodds.types import Status

# Prints the pids of its processes once a program is being judged, which never ends by itself.
CONTROLLER = """
import sys, threading, time, os
sys.path[:0] = {path!r}
from small_task import ENDLESS, ENDLESS_NAME, TASK, descendants, name
from longodds.evaluator import EvaluatorSettings, open_evaluator, open_seed_evaluator
settings = EvaluatorSettings(import_timeout_s=300, run_timeout_s=300)
evaluator = {opener}(settings)
threading.Thread(target=evaluator.evaluate, args=(TASK, ENDLESS), daemon=True).start()
while ENDLESS_NAME not in map(name, descendants(os.getpid())):
    time.sleep(0.05)
print(*descendants(os.getpid()), flush=True)
time.sleep(600)
"""

# Orphans come to this process, as to process 1 elsewhere, and it buries none.
HEIR = """
import ctypes, os, sys
sys.path[:0] = {path!r}
assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0
from small_task import RIGHT, TASK
from longodds.evaluator import EvaluatorSettings, open_evaluator
with open_evaluator(EvaluatorSettings(), None) as evaluator:
    for program in (RIGHT, RIGHT + "\\nimport os; os._exit(1)"):
        print(evaluator.evaluate(TASK, program).status, flush=True)
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("none is left")
"""


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder that other users can pass through."""
    with tempfile.TemporaryDirectory(prefix="longodds-test-", dir="/tmp") as name:
        Path(name).chmod(0o711)
        monkeypatch.setenv("TMPDIR", name)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(name)
    monkeypatch.undo()


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def wait_until_gone(pids: list[int], folder: Path, seconds: float = 60.0) -> tuple[list[int], list[Path]]:
    """What is still there in the end."""
    deadline = time.monotonic() + seconds
    while True:
        left, files = [pid for pid in pids if alive(pid)], list(folder.iterdir())
        if not (left or files) or time.monotonic() > deadline:
            return left, files
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("opener", "also"), [("open_evaluator", False), ("open_evaluator", True), ("open_seed_evaluator", False)]
)
def test_a_killed_controller_leaves_nothing(folder: Path, opener: str, also: bool) -> None:
    """also: its oracle is killed at the same moment."""
    path = [str(Path(__file__).parent)]
    script = CONTROLLER.format(path=path, opener=opener)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    pids = [int(p) for p in process.stdout.readline().split()]
    try:
        assert len(pids) >= 3
        assert any(folder.iterdir())
        oracle = next(iter(descendants(process.pid)))
        process.kill()
        if also:
            os.kill(oracle, signal.SIGKILL)
        assert wait_until_gone(pids, folder) == ([], [])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_killed_oracle_is_replaced_and_leaves_nothing(folder: Path) -> None:
    others = descendants(os.getpid())  # such as the resource tracker of multiprocessing, which other tests started
    with open_evaluator(EvaluatorSettings(run_timeout_s=20)) as evaluator:
        assert evaluator.evaluate(TASK, RIGHT, timed=False).correct
        first = [p for p in descendants(os.getpid()) if p not in others]
        (root,) = folder.iterdir()
        os.kill(first[0], signal.SIGKILL)
        assert evaluator.evaluate(TASK, RIGHT, timed=False).correct
        deadline = time.monotonic() + 30
        while any(alive(p) for p in first) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not [p for p in first if alive(p)]
        assert root not in folder.iterdir() and len(list(folder.iterdir())) == 1
    assert list(folder.iterdir()) == []


def test_descriptors_stay_few(folder: Path) -> None:
    others = descendants(os.getpid())
    with open_evaluator(EvaluatorSettings(run_timeout_s=20)) as evaluator:
        evaluator.evaluate(TASK, RIGHT, timed=False)
        oracle = next(p for p in descendants(os.getpid()) if p not in others)
        counts = []
        for _ in range(5):
            for program in (RIGHT, "raise ValueError", "import os; os._exit(1)", "def ("):
                evaluator.evaluate(TASK, program, timed=False)
            counts.append(sum(descriptors(pid) for pid in (os.getpid(), oracle)))
        assert counts[-1] <= counts[0]


# --- whose fault it is -------------------------------------------------------------------------


class Breakable(LocalEvaluator):
    """An evaluator whose oracle dies whenever it is asked to judge a program with a certain word in it."""

    word = "breaks the oracle"
    always = False

    def _ask(self, request: dict[str, object]) -> dict[str, object]:
        if self.always or self.word in str(request["program"]):
            raise InfraError("the evaluator's oracle process ended")
        return super()._ask(request)


def test_a_program_that_breaks_every_oracle_is_at_fault_if_the_reference_is_judged_well(folder: Path) -> None:
    with Breakable(EvaluatorSettings(run_timeout_s=20)) as evaluator:
        verdict = evaluator.evaluate(TASK, RIGHT + "# breaks the oracle\n", timed=False)
        assert verdict.status is Status.RUNTIME_ERROR
        assert "breaks_evaluator" in verdict.labels
        evaluator.always = True
        assert evaluator.evaluate(TASK, RIGHT, timed=False).status is Status.INFRA_ERROR


# --- without a pid namespace -------------------------------------------------------------------

DAEMON = """
import os, sys, time
for layer in range(3):
    if os.fork():
        break
    os.setsid()
sys.stderr.write(f"pid={os.getpid()}\\n")
sys.stderr.flush()
if layer == 2 or os.getpid() != os.getpgid(0):
    time.sleep(600)
time.sleep(1)
os._exit(1)
"""


@pytest.fixture
def bare(folder: Path) -> Iterator[ForkServers]:
    """Fork servers whose children have neither namespaces nor a uid of their own, as where these are restricted."""
    root = folder / "root"
    root.mkdir(mode=0o711)
    servers = ForkServers(EvaluatorSettings(), root, way="seed")
    layers = tuple(
        n for n, s in servers.isolation.items() if s == "on" and n not in ("namespaces", "mounts", "private_uid")
    )
    zygote = servers.get(0)
    zygote.layers = layers
    yield servers
    servers.close()


def start(servers: ForkServers, program: str) -> Process:
    config = {"reference": TASK.reference, "trials": (1, 5), "timed": False}
    null = os.open(os.devnull, os.O_RDONLY)
    try:
        return Process(servers.get(0).fork(program, config, null, null), 3 << 30)
    finally:
        os.close(null)


def test_daemons_are_found_and_ended_without_a_pid_namespace(bare: ForkServers) -> None:
    process = start(bare, DAEMON)
    with pytest.raises(ChildEnded):
        process.wait(60)
    deadline = time.monotonic() + 20
    pids: set[int] = set()
    while len(pids) < 3 and time.monotonic() < deadline:
        process._drain()
        pids = {int(line.partition("=")[2]) for line in process.stderr.decode().split() if line.startswith("pid=")}
        time.sleep(0.05)
    process.close()
    assert len(pids) >= 3
    assert not [pid for pid in pids if alive(pid)]


def test_a_child_that_dies_at_once_is_no_failure_of_ours(bare: ForkServers) -> None:
    for _ in range(5):
        process = start(bare, "import os; os.kill(os.getpid(), 9)")
        with pytest.raises(ChildEnded):
            process.wait(60)
        process.close()
        assert isinstance(last_words(process), str)


def test_mounts_of_everybody_are_refused(bare: ForkServers, folder: Path) -> None:
    """Without a namespace of its own a process would mount for the whole machine."""
    mounts = Path("/proc/self/mountinfo").read_text()
    before = descriptors(os.getpid())
    bare.get(0).layers = ("session", "mounts")
    process = start(bare, RIGHT)
    with pytest.raises(ChildEnded):
        process.wait(60)
    process.close()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert not [p for p in (folder / "root").iterdir() if p.name.startswith("child")]
    assert descriptors(os.getpid()) == before


def test_a_waiter_that_loses_its_fork_server_ends_its_child(bare: ForkServers) -> None:
    process = start(bare, ENDLESS)
    time.sleep(0.5)
    server = bare.get(0).process
    assert server is not None and alive(process.pid)
    server.kill()
    deadline = time.monotonic() + 20
    while (alive(process.pid) or alive(process.forked.waiter)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(process.pid) and not alive(process.forked.waiter)
    process.close()


def test_a_fork_server_that_is_closed_buries_what_it_forked(bare: ForkServers) -> None:
    for _ in range(6):
        waiting = [bare.get(0).fork_ahead() for _ in range(4)]
        bare.get(0).close()
        assert not [n for forked in waiting for n in (forked.pid, forked.waiter) if Path(f"/proc/{n}").exists()]
        for forked in waiting:
            forked.channel.close()
            os.close(forked.stderr_fd)
            remove_tree(forked.scratch)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are inherited by the next process up on Linux alone")
def test_the_dead_are_not_left_to_process_1() -> None:
    script = HEIR.format(path=[p for p in sys.path if p])
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.splitlines() == ["correct", "runtime_error", "none is left"], done.stderr


def test_the_layers_are_those_of_the_doctor(bare: ForkServers) -> None:
    assert bare.isolation == doctor_layers()
