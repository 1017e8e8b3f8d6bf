"""`longodds inspect`: tasks, programs of a task, one program; as a listing, JSON, a browser; and what it refuses."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time

import pytest
from cli_runner import SRC, files, longodds

from longodds.store import import_samples

HOSTILE = "x = 1  # \x1b[31mred\x1b[0m\n"


def row(task, i, *, correct, program, logprob, **more):
    return {"task_id": task, "correct": correct, "program": program, "logprobs": [logprob] * (3 + i), **more}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run of two tasks: one with three distinct programs of which one is written twice, one with a hostile text."""
    folder = tmp_path_factory.mktemp("inspect")
    rows = [
        row("own/first", 0, correct=True, program="y = 2 * x\n", logprob=-0.1, speedup=1.5, ci_low=1.4, ci_high=1.6),
        row("own/first", 0, correct=True, program="y = 2 * x\n", logprob=-0.1, speedup=1.5, ci_low=1.4, ci_high=1.6),
        row("own/first", 1, correct=True, program="y = x + x\n", logprob=-2.0, speedup=0.8, ci_low=0.7, ci_high=0.9),
        row("own/first", 2, correct=False, program="y = x\n", logprob=-1.0),
        row("own/second", 0, correct=False, program=HOSTILE, logprob=-0.5),
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    import_samples(folder / "rows.jsonl", folder / "run")
    return folder


def document(place, *arguments):
    done = longodds("inspect", "run", *arguments, "--json", cwd=place)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def test_the_run(place):
    found = document(place)
    assert (found["n_tasks"], found["samples"], found["judged"], found["correct"], found["timed"]) == (2, 5, 5, 3, 3)
    first, second = found["tasks"]
    assert (first["task_id"], first["programs"], first["correct"]) == ("own/first", 3, 3)
    assert first["fast_1"] == pytest.approx(2 / 4)
    assert (first["best_speedup"], first["best_ci_low"]) == (1.5, 1.4)
    assert (second["task_id"], second["correct"], second["best_speedup"]) == ("own/second", 0, None)


def test_a_task_by_a_part_of_its_name_most_surprising_program_first(place):
    found = document(place, "first")
    assert found["task_id"] == "own/first"
    assert [p["program"].strip() for p in found["list"]] == ["y = x + x", "y = x", "y = 2 * x"]
    assert [p["samples"] for p in found["list"]] == [1, 1, 2]
    assert [p["surprisal"] for p in found["list"]] == pytest.approx([2.0, 1.0, 0.1])


def test_a_program_by_its_number_or_its_digest(place):
    by_number = document(place, "first", "1")
    assert by_number["program"].strip() == "y = x + x"
    by_digest = document(place, "first", by_number["program_digest"][:8])
    assert by_digest == by_number
    assert any(line.startswith("+") and "x + x" in line for line in by_number["difference"])


def test_the_listing_says_the_same_and_obeys_no_program(place):
    for arguments, wanted in (
        ((), ["2 tasks, 5 samples, 5 judged, 3 correct", "own/first", "1.50x"]),
        (("first",), ["distinct programs, most surprising first"]),
        (("second", "1"), ["red"]),
    ):
        done = longodds("inspect", "run", *arguments, cwd=place)
        assert done.returncode == 0, done.stderr
        assert all(text in done.stdout for text in wanted)
        assert "\x1b" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nothing-there",), "nothing-there"),
        (("run", "third"), "third"),
        (("run", "own"), "own"),  # both tasks have it
        (("run", "first", "9"), "9"),
        (("run", "first", "zzzz"), "zzzz"),
    ],
)
def test_what_is_not_there_is_one_line(place, arguments, said):
    before = files(place)
    done = longodds("inspect", *arguments, cwd=place)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
    assert files(place) == before


def test_the_browser_opens_a_program_and_is_left(place):
    """In a terminal of its own: enter opens the first task, then a program; escape goes back, q leaves."""
    control, terminal = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(SRC), "TERM": "xterm", "COLUMNS": "100", "LINES": "30"}
    command = [sys.executable, "-m", "longodds", "inspect", "run"]
    with subprocess.Popen(command, cwd=place, env=env, stdin=terminal, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        try:
            assert b"own/second" in read_until(control, b"own/second")
            os.write(control, b"\r")
            assert b"0.80x" in read_until(control, b"0.80x")
            os.write(control, b"\r")
            assert b"x + x" in read_until(control, b"x + x")
            for shown in (b"0.80x", b"own/second"):
                os.write(control, b"\x1b")
                assert shown in read_until(control, shown)
            os.write(control, b"q")
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()
            os.close(control)


def read_until(descriptor, wanted, seconds=30.0):
    """What a terminal shows until it shows `wanted`, or the time is over."""
    seen, deadline = b"", time.monotonic() + seconds
    while wanted not in seen and time.monotonic() < deadline:
        if select.select([descriptor], [], [], 0.1)[0]:
            seen += os.read(descriptor, 65536)
    return seen
