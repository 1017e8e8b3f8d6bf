"""`refine` through the command line, a real model and the real evaluator; killed with SIGKILL and repeated.

The model is a Llama of two layers that knows two things by heart: a wrong answer to the plain question, and the right
one where the wrong one and what came of it are shown.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_runner import SRC, longodds
from tiny_model import PROBLEM, teach

from longodds.prompts import Attempt, build_prompt, feedback, revision_prompt
from longodds.store import RunDir
from longodds.tasks import load_suite
from longodds.types import Status, Verdict

pytestmark = pytest.mark.slow
WRONG, RIGHT = " return x.cos() + 0", " return x.sin() + 0"
FLAGS = ["--suite", "dir:problems", "--policy", "hf:tiny", "--dtype", "fp32", "--time", "none", "--no-cache"]
FLAGS += ["--max-tokens", "32", "--temperature", "0.2", "--seed", "0"]


def lessons(problems: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for task in load_suite(f"dir:{problems}"):
        message = (
            "output[0, 0]: got 1, expected 2 (off by 1, allowed 1e-6); 6398 of 6400 elements beyond (inputs: base)"
        )
        told = feedback(Verdict(task.id, Status.INCORRECT, message=message))
        base = build_prompt(task)
        for attempts, answer in (([], WRONG), ([Attempt(WRONG, told)], RIGHT)):
            found.append((revision_prompt(task, base, attempts).text or "", answer + "\n\n"))
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("refine")
    (root / "problems").mkdir()
    (root / "problems" / "shifted_sine_0.py").write_text(PROBLEM.format(n=0))
    teach(root / "tiny", lessons(root / "problems"))
    return root


def test_a_model_that_reads_its_feedback_is_killed_and_gets_there(place: Path) -> None:
    drawn = longodds("best-of-n", "bon", *FLAGS, "--k", "40", "--json", cwd=place, timeout=280)
    assert drawn.returncode == 0, drawn.stderr
    assert json.loads(drawn.stdout)["statuses"] == {"incorrect": 40}

    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "LONGODDS_CACHE": str(place / "no-cache")}
    argv = [sys.executable, "-m", "longodds", "refine", "r", *FLAGS, "--k", "2"]
    p = subprocess.Popen(argv, cwd=place, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    samples, deadline = place / "r" / "samples.jsonl", time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None:
        if samples.exists() and samples.read_bytes().count(b"\n") >= 1:
            break
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, "it was still running"
    done = longodds("refine", "r", *FLAGS, "--k", "2", "--json", cwd=place, timeout=280)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["samples"], document["expected"], document["complete"]) == (2, 2, True)
    held = RunDir.open(place / "r").samples()
    assert [s.verdict.status.value for s in held if s.verdict] == ["incorrect", "correct"]
    prompts = document["cost"]["charged"]["prompt_tokens"]
    assert prompts > json.loads(drawn.stdout)["cost"]["charged"]["prompt_tokens"] * 2
    assert (place / "r" / "report.html").exists()

    matched = longodds("refine", "m", *FLAGS, "--match", "bon", "--json", cwd=place, timeout=280)
    assert matched.returncode == 0, matched.stderr
    other = json.loads(matched.stdout)
    assert other["complete"] and other["statuses"]["correct"] == 1
    costs = [d["cost"]["charged"] for d in (other, json.loads(drawn.stdout))]
    ours, theirs = (c["prompt_tokens"] + c["sampled_tokens"] for c in costs)
    assert 0.5 * theirs < ours <= theirs
    compared = longodds("compare", "bon", "r", "--axis", "tokens", "--json", cwd=place, timeout=120)
    assert compared.returncode == 0, compared.stderr
    assert [a["strategy"] for a in json.loads(compared.stdout)["arms"]] == ["best_of_n", "refine"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--chains", "0"], "--chains: must be at least 1"),
        (["--tokens", "100", "--match", "bon"], "give one"),
        (["--match", "nowhere"], "nowhere: no such run directory"),
        (["--revise", "all"], "--revise"),
        (["--time", "top:1:surprisal"], "give all or none"),
    ],
)
def test_bad_input_is_one_line(place: Path, more: list[str], said: str) -> None:
    done = longodds("refine", "never", "--suite", "dir:problems", *more, cwd=place, timeout=120)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "never").exists()
