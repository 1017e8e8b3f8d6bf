"""`ttt`, `sdpo`, `rlvr` and `pipeline` through the command line, a real model in training, the real evaluator: the tiny
recipes end to end, killed with SIGKILL in the middle and repeated, and a checkpoint as a policy."""

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
from tiny_model import make_place

from longodds.store import RunDir

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--suite", "dir:problems", "--policy", "hf:tiny", "--dtype", "fp32", "--time", "none", "--reward", "correct"]
FLAGS += ["--k", "8", "--lr", "2e-3", "--max-tokens", "32", "--max-kl", "50", "--no-cache"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapt")
    make_place(root)
    return root


def command(kind: str, run: str) -> list[str]:
    recipe = str(ROOT / "recipes" / f"{kind}-tiny.toml")
    named = ["--problem-ids", "shifted_sine_0,shifted_sine_1"] if kind != "rlvr" else []  # of the recipe: the suite's
    return [kind, run, "--config", recipe, *FLAGS, "--split", f"{kind}.json", *named]


def kept(run: Path) -> tuple[list[str], list[tuple[int, ...]]]:
    held = RunDir.open(run)
    return [c.policy_version for c in held.checkpoints()], [s.completion.token_ids for s in held.samples()]


def test_best_of_n_in_small(place: Path) -> None:
    recipe = str(ROOT / "recipes" / "best_of_n-tiny.toml")
    flags = ["--suite", "dir:problems", "--problem-ids", "shifted_sine_0,shifted_sine_1", "--split", "ttt.json"]
    model = ["--policy", "hf:tiny", "--dtype", "fp32", "--max-tokens", "32", "--no-cache"]
    done = longodds("best-of-n", "small", "--config", recipe, *flags, *model, "--json", cwd=place, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["complete"], document["samples"], document["tasks"]) == (True, 16, 2)
    assert 0 < document["statuses"]["correct"] < 16


@pytest.mark.parametrize("kind", ["ttt", "sdpo"])
def test_it_learns_is_killed_and_goes_on_as_if_nothing_had_happened(place: Path, kind: str) -> None:
    whole, killed = f"{kind}_whole", f"{kind}_killed"
    done = longodds(*command(kind, whole), "--json", cwd=place, timeout=280)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["complete"], document["steps"], document["stopped"]) == (True, 3, None)
    rows = document["trajectory"]
    assert 0 < rows[0]["correct"] < rows[0]["n"], "it wrote right and wrong programs, so there was something to learn"
    assert rows[-1]["correct"] > rows[0]["correct"]
    assert rows[-1]["kl"] > 0
    assert document["cost"]["charged"]["trained_tokens"] > 0
    assert Path(place / document["report"]).exists()

    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "LONGODDS_CACHE": str(place / "no-cache")}
    argv = [sys.executable, "-m", "longodds", *command(kind, killed)]
    p = subprocess.Popen(argv, cwd=place, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    samples, deadline = place / killed / "samples.jsonl", time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None:
        if samples.exists() and samples.read_bytes().count(b"\n") >= 24:  # in the second round
            break
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, "it was still running"
    again = longodds(*command(kind, killed), "--json", cwd=place, timeout=280)
    assert again.returncode == 0, again.stderr
    assert kept(place / killed) == kept(place / whole)

    policy = f"run:{whole}@{document['best_step']}"
    flags = ["--suite", "dir:problems", "--k", "4", "--seed", "1", "--max-tokens", "32", "--time", "none"]
    drawn = longodds(
        "best-of-n", f"{kind}_after", *flags, "--policy", policy, "--dtype", "fp32", cwd=place, timeout=280
    )
    assert drawn.returncode == 0, drawn.stderr
    versions = {s.completion.policy_version for s in RunDir.open(place / f"{kind}_after").samples()}
    by_step = {c.step: c.policy_version for c in RunDir.open(place / whole).checkpoints()}
    assert versions == {by_step[document["best_step"]]}


def test_the_outer_loop_end_to_end(place: Path) -> None:
    done = longodds(*command("rlvr", "outer"), "--json", cwd=place, timeout=280)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["complete"], document["steps"]) == (True, 3)
    by_task = {t: {s.step for s in RunDir.open(place / "outer").samples() if s.task_id.endswith(t)} for t in "01"}
    assert by_task == {"0": {0, 1}, "1": {0, 2}}, "learned on the train half, looked at the other"
    assert document["trajectory"][0]["held_out"]["n"] == 2
    # No step follows the last one: its KL is that of what was looked at, not of nothing.
    assert [bool(row["kl"]) for row in document["trajectory"]] == [False, True, True]


def test_the_dual_loop_is_killed_and_goes_on_with_what_is_missing(place: Path) -> None:
    recipe = str(ROOT / "recipes" / "dual_loop-tiny.toml")
    argv = ["pipeline", "dual", "--config", recipe, "--suite", "dir:problems", "--split", "rlvr.json"]
    argv += ["--policy", "hf:tiny", "--dtype", "fp32", "--no-cache"]
    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1", "LONGODDS_CACHE": str(place / "no-cache")}
    start = [sys.executable, "-m", "longodds", *argv]
    p = subprocess.Popen(start, cwd=place, env=env, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    reached, deadline = place / "dual" / "ttt" / "samples.jsonl", time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None and not reached.exists():
        time.sleep(0.01)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, "it was still running"

    again = longodds(*argv, "--json", cwd=place, timeout=280)
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert document["complete"]
    skipped = {row["name"]: row["skipped"] for row in document["stages"]}
    assert skipped == {"outer": True, "best_of_n": True, "ttt": False, "sdpo": False, "refine": False}
    runs = {name: RunDir.open(place / "dual" / name) for name in skipped}
    trained = runs["outer"].checkpoints()[-1].policy_version
    for name in ("best_of_n", "ttt", "sdpo", "refine"):
        assert {s.completion.policy_version for s in runs[name].samples() if s.step == 0} == {trained}, name
    tokens = {n: runs[n].cost()["charged"] for n in ("best_of_n", "refine")}
    spent = {n: c["prompt_tokens"] + c["sampled_tokens"] for n, c in tokens.items()}
    assert 0 < spent["refine"] <= spent["best_of_n"]
    assert (place / document["report"]).stat().st_size > 10_000

    done = longodds(*argv, "--json", cwd=place)
    assert all(row["skipped"] for row in json.loads(done.stdout)["stages"])
    other = longodds(*argv, "--temperature", "0.5", cwd=place)
    assert other.returncode == 2
    assert "temperature (1.0, now 0.5)" in other.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--lr", "-1"], "--lr: must be at least 0"),
        (["--steps", "0"], "--steps"),
        (["--advantage", "best"], "advantage"),
        (["--policy", "replay:ttt_whole"], "cannot be trained; name a model"),
    ],
)
def test_bad_input_is_one_line(place: Path, more: list[str], said: str) -> None:
    refused(place, "ttt", more, said)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--teacher", "oracle"], "teacher"),
        (["--clip-advantage", "-1"], "--clip-advantage: must be at least 0"),
        (["--ema-decay", "1"], "--ema-decay: must be less than 1"),
        (["--advantage", "group"], "--advantage"),
    ],
)
def test_bad_input_of_sdpo_is_one_line(place: Path, more: list[str], said: str) -> None:
    refused(place, "sdpo", more, said)


def test_other_commands_take_a_run_of_sdpo(place: Path) -> None:
    run = str(place / "sdpo_whole")
    chosen = longodds("select", run, "--json", cwd=place)
    assert json.loads(chosen.stdout)["n_samples"] == len(RunDir.open(place / "sdpo_whole").samples())
    compared = longodds("compare", "ttt_whole", "sdpo_whole", "--json", cwd=place)
    assert [arm["strategy"] for arm in json.loads(compared.stdout)["arms"]] == ["ttt", "sdpo"]
    reported = longodds("report", "ttt_whole", "sdpo_whole", "--out", "both.html", cwd=place)
    assert reported.returncode == 0, reported.stderr
    assert (place / "both.html").stat().st_size > 10_000


def refused(place: Path, kind: str, more: list[str], said: str) -> None:
    argv = command(kind, "never")
    if more[0] in argv:
        at = argv.index(more[0])
        del argv[at : at + 2]
    done = longodds(*argv, *more, cwd=place, timeout=120)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (place / "never").exists()
