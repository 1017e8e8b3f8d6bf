"""Best-of-N on services, through the command line and the real store: killed with SIGKILL in the middle of sampling and
repeated; refused before anything is written; no secret anywhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cli_runner import SRC, files, longodds
from tiny_model import PROBLEM

from longodds.store import RunDir

# The loopback services are the policy tests' own.
sys.path.append(str(Path(__file__).resolve().parents[1] / "policy"))

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from loopback import Loopback

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::FutureWarning")]

SECRET = "tml-secret-of-the-test"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tiny_models import save_llama

    root = tmp_path_factory.mktemp("remote")
    (root / "problems").mkdir()
    for n in range(3):
        (root / "problems" / f"shifted_sine_{n}.py").write_text(PROBLEM.format(n=n))
    save_llama(root / "tiny")
    return root


@pytest.fixture(scope="module", params=["tinker", "openai"])
def service(request: pytest.FixtureRequest, place: Path) -> Iterator[tuple[str, Any]]:
    from reference_model import ReferenceModel

    model = ReferenceModel(place / "tiny")
    if request.param == "tinker":
        from loopback_tinker import LoopbackTinker

        running: Loopback = LoopbackTinker(model, mode="tempered", accept=SECRET)
    else:
        from loopback_openai import LoopbackOpenAI

        running = LoopbackOpenAI(model, mode="top-p", accept=SECRET)
    with running:
        yield request.param, running


def command(run: str, kind: str, service: Any) -> list[str]:
    spec, url = ("tinker:tiny/llama-1m", service.url) if kind == "tinker" else ("openai:tiny-1m", f"{service.url}/v1")
    return [
        *("best-of-n", run, "--suite", "dir:problems", "--k", "8", "--seed", "0", "--max-tokens", "6"),
        *("--time", "none", "--batch-size", "2", "--policy", spec, "--base-url", url, "--tokenizer", "tiny"),
    ]


KEYS = {"TINKER_API_KEY": SECRET, "OPENAI_API_KEY": SECRET}


def killed(argv: list[str], place: Path, when: Callable[[], bool]) -> None:
    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", **KEYS}
    p = subprocess.Popen(
        [sys.executable, "-m", "longodds", *argv],
        cwd=place,
        env=env,
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None and not when():
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, "it was still running"


def test_killed_in_the_middle_of_sampling_and_repeated(place: Path, service: tuple[str, Any]) -> None:
    kind, running = service
    argv = command(f"killed-{kind}", kind, running)
    rows = place / f"killed-{kind}" / "samples.jsonl"
    running.seconds = 0.2  # so that the kill finds a request under way
    killed(argv, place, lambda: rows.exists() and rows.read_bytes().count(b"\n") >= 4)
    running.seconds = 0.0
    before = [line for line in rows.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    assert 4 <= len(before) < 24
    done = longodds(*argv, "--json", cwd=place, timeout=280, **KEYS)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["samples"], document["complete"]) == (24, True)
    after = rows.read_bytes().splitlines(keepends=True)
    assert after[: len(before)] == before, "nothing lost"
    ids = [json.loads(line)["sample_id"] for line in after]
    assert len(ids) == len(set(ids)) == 24, "nothing doubled"
    run = RunDir.open(place / f"killed-{kind}")
    assert all(s.completion.logprobs and s.completion.returned_logprobs for s in run.samples())
    probed = run.manifest["policy"]["logprobs"]
    assert (probed["mode"], probed["rescoring"]) == ("tempered" if kind == "tinker" else "top-p", True)
    told = document["logprobs"]
    assert (told["mode"], told["rescored"], told["without"]) == (probed["mode"], 24, 0)
    assert document["cost"]["charged"]["scored_tokens"] > 0
    asked = len(running.requests)
    again = longodds(*argv, "--json", cwd=place, timeout=280, **KEYS)
    assert again.returncode == 0, again.stderr
    assert len(running.requests) == asked, "a finished run asks nobody"
    for name, content in files(place / f"killed-{kind}").items():
        assert SECRET.encode() not in content, name
    assert SECRET not in done.stdout + done.stderr


def test_a_service_that_goes_away_leaves_a_run_that_goes_on(place: Path, service: tuple[str, Any]) -> None:
    kind, running = service
    argv = command(f"refused-{kind}", kind, running)
    wrong = longodds(*argv, cwd=place, **{name: "tml-other-key" for name in KEYS})
    assert wrong.returncode == 2, wrong.stderr
    assert len(wrong.stderr.strip().splitlines()) == 1
    assert "tml-other-key" not in wrong.stderr
    running.stop()
    gone = longodds(*argv, cwd=place, timeout=60, **KEYS)
    running.start()
    assert gone.returncode == 3, gone.stderr
    assert "cannot be reached" in gone.stderr
    assert not (place / f"refused-{kind}").exists(), "nothing was written"
    mode, running.mode = running.mode, "none"
    blind = longodds(*argv, cwd=place, timeout=120, **KEYS)
    running.mode = mode
    assert blind.returncode == 2, blind.stderr
    assert "log-probabilities" in blind.stderr
    assert not (place / f"refused-{kind}").exists()


def test_without_a_key_one_line_says_so(place: Path) -> None:
    for spec, variable in (("tinker:openai/gpt-oss-20b", "TINKER_API_KEY"), ("openai:gpt-x", "OPENAI_API_KEY")):
        bare = {"TINKER_API_KEY": "", "OPENAI_API_KEY": "", "OPENAI_BASE_URL": "", "TINKER_BASE_URL": ""}
        done = longodds("best-of-n", "nokey", "--suite", "dir:problems", "--policy", spec, cwd=place, **bare)
        assert done.returncode == 2
        assert variable in done.stderr
        assert "--policy" in done.stderr or "--base-url" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    said = longodds("doctor", "--json", cwd=place, **KEYS)
    assert json.loads(said.stdout)["keys"]["TINKER_API_KEY"] is True
    assert SECRET not in said.stdout + said.stderr
