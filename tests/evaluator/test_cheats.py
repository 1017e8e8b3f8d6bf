"""A representative handful of the attacks in tests/cheats, one of each class; all of them are in test_cheats_all.py."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cheat_bench import Bench, open_bench
from cheat_corpus import CHEATS, disguise, load_programs, load_task

from longodds.types import Status

PROGRAMS = {p.name: p for p in load_programs()}
CONTROLS = {p.name: p for p in load_programs(CHEATS / "controls")}
FEW = (
    "channel_negative_time",
    "channel_prints_verdict",
    "correctness_float16",
    "correctness_in_a_tuple",
    "correctness_no_maximum",
    "process_daemon",
    "process_truncates_shared_input",
    "process_unix_socket_out",
    "reference_patches_evaluator",
    "timing_cache_by_version",
)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as bench:
        yield bench


@pytest.mark.parametrize("name", FEW)
def test_a_disguised_cheat_is_caught(bench: Bench, name: str) -> None:
    bench.attack(PROGRAMS[name], seed=1)


def test_disguised_control_is_still_correct(bench: Bench) -> None:
    program = CONTROLS["softmax_chatty"]
    verdict = bench.evaluator.evaluate(program.task, disguise(program.source, seed=2), timed=False)
    assert verdict.status is Status.CORRECT, verdict.message


def test_the_bench_sees_what_is_left(bench: Bench) -> None:
    assert bench.left() == []
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], cwd=bench.folder)
    try:
        (bench.folder / "something").mkdir()
        assert {text.split()[0] for text in bench.left()} == {"folders"}
        descriptors = [os.open(os.devnull, os.O_RDONLY) for _ in range(60)]
        seen = {text.split()[1] for text in bench.left() if text[0].isdigit()}
        for descriptor in descriptors:
            os.close(descriptor)
        assert seen == {"descriptors,"}
    finally:
        process.kill()
        process.wait()
        (bench.folder / "something").rmdir()
    honest = CONTROLS["softmax_same"]
    suspect = replace(honest, header=honest.header | {"expect": "incorrect", "timed": "no"})
    with pytest.raises(AssertionError, match="correct"):  # nobody is waved through
        bench.attack(suspect)


def test_corpus_is_complete_and_well_formed() -> None:
    classes = {p.name.split("_")[0] for p in PROGRAMS.values()}
    assert classes == {"channel", "correctness", "process", "reference", "timing"}
    assert len(PROGRAMS) >= 50
    known = {s.value for s in Status} - {"infra_error"}
    for program in PROGRAMS.values():
        assert {"attack", "task", "expect"} <= set(program.header), program.name
        assert program.expected and program.expected <= known, program.name
        assert load_task(program.header["task"]).reference, program.name
        assert program.header.get("honest", "layernorm_fused") in CONTROLS, program.name
        assert f"{program.header['task']}_same" in CONTROLS, program.name


def test_a_disguise_leaves_no_name_and_no_text() -> None:
    secret = "def helper(first):\n    label = 'readable'\n    return first, label\n\nclass ModelNew:\n    pass\n"
    text = disguise(secret, seed=3)
    assert not any(word in text for word in ("helper", "first", "label", "readable", "ModelNew"))
    loaded: dict[str, object] = {}
    exec(text, loaded)
    made = [v for k, v in loaded.items() if callable(v) and not k.startswith("_")]
    assert len(made) == 2 and "ModelNew" in loaded
    function = next(f for f in made if f is not loaded["ModelNew"])
    assert function(7) == (7, "readable")  # type: ignore[operator]
    assert ast.parse(text)
