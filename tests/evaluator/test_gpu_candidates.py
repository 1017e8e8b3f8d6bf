"""The candidates of the bench on a GPU are what the bench says of them; here on a CPU, on small problems."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from scripts import bench_gpu
from scripts.bench_gpu import PROBLEMS, extrapolated, kernelbench, off, theirs
from scripts.gpu_candidates import INLINE, RIGHT, Candidate, candidates
from scripts.keyed_log import KeyedLog

from longodds.types import Task, digest_text

_REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.ln = nn.LayerNorm(*shape) if shape else None

    def forward(self, {names}):
        return {body}
"""
INPUTS: dict[int, Any] = {
    4: lambda: (torch.randn(6, 8), torch.randn(8, 1)),
    5: lambda: (torch.randn(6, 8), 3.14),
    12: lambda: (torch.randn(6), torch.randn(6, 6)),
    14: lambda: (torch.randn(6, 6).triu(), torch.randn(6, 6).triu()),
    15: lambda: (torch.randn(6, 6).tril(), torch.randn(6, 6).tril()),
    40: lambda: (torch.randn(2, 3, 4, 4),),
}


def reference(number: int) -> str:
    names = "A, B" if number in (4, 5, 12, 14, 15) else "x"
    body = RIGHT[number][0] if number in RIGHT else {21: "torch.sigmoid(x)", 26: "nn.functional.gelu(x)"}[number]
    return _REFERENCE.format(names=names, body=body)


@pytest.mark.parametrize("number", PROBLEMS)
def test_candidates_are_of_the_kinds_that_are_said(number: int) -> None:
    text = reference(number)
    found = candidates(number, text)
    assert Counter(c.kind for c in found) == {"right": 51, "wrong": 4, "raises": 4, "hostile": 3, "no python": 2}
    assert len({c.text for c in found}) == 32
    assert found == candidates(number, text)
    inputs = INPUTS.get(number, lambda: (torch.randn(6, 8),))()
    shape = [(3, 4, 4)] if number == 40 else []
    space: dict[str, Any] = {}
    exec(compile(text, "<reference>", "exec"), space)
    want = space["Model"](*shape)(*inputs)
    for candidate in {c.text: c for c in found}.values():
        if candidate.kind == "no python":
            with pytest.raises(SyntaxError):
                compile(candidate.text, "<candidate>", "exec")
            continue
        code, own = compile(candidate.text, "<candidate>", "exec"), dict[str, Any]()
        if "load_inline" in candidate.text or candidate.kind == "hostile":
            continue
        exec(code, own)
        model = own["ModelNew"](*shape)
        if candidate.kind == "raises":
            with pytest.raises((NameError, ValueError)):
                model(*inputs)
            continue
        got = model(*inputs)
        right = got.shape == want.shape and torch.allclose(got, want, atol=1e-5)
        assert right == (candidate.kind == "right"), candidate.text


def row(seconds: float, before_s: float, trial_s: float) -> dict[str, float]:
    return {"seconds": seconds, "before_s": before_s, "trial_s": trial_s}


def test_what_was_not_measured_of_every_kind_is_not_extrapolated(tmp_path: Path) -> None:
    text = reference(21)
    task, log, trials = Task("kernelbench:1/21", "k", text, digest_text(text)), KeyedLog(tmp_path / "log"), (5, 50)
    assert 21 in INLINE
    rows = {"right": (70.0, 50.0, 4.0), "right again": (6.0, 1.0, 4.0)}
    for kind, told in rows.items():
        assert extrapolated(task, 21, log, trials, 64) is None
        log.add(f"theirs 21 {trials} {kind}", **row(*told))
    assert extrapolated(task, 21, log, trials, 64) is None
    log.add(f"theirs 21 {trials} no python", **row(0.5, 0.5, 0.0))
    right = 70 + 3 * 4  # three trials more
    wrong = 0.5 + 5 * 4  # loading and its trials
    rest = 24 * right + 27 * (right - 49) + 2 * 0.5
    assert extrapolated(task, 21, KeyedLog(tmp_path / "log"), trials, 64) == rest + 4 * wrong + 4 * 0.5
    log.add(f"theirs 21 {trials} raises", **row(3.0, 2.0, 0.0))
    assert extrapolated(task, 21, KeyedLog(tmp_path / "log"), trials, 64) == rest + 4 * wrong + 4 * 3


FAKE = """
import time
def set_seed(number):
    pass
def run_and_check_correctness(count, program):
    for _ in range(count):
        for _ in range(3):
            set_seed(0)
        time.sleep(0.1)
        if program == "raises":
            raise RuntimeError("it raises")
def eval_kernel_against_ref(reference, program, num_correct_trials, measure_performance, **_):
    time.sleep(0.2)
    set_seed(1)
    if program == "no python":
        raise SyntaxError("no python")
    run_and_check_correctness(num_correct_trials, program)
    if measure_performance:
        set_seed(2)
        time.sleep(0.3)
"""


@pytest.mark.slow
def test_theirs_is_asked_for_little_and_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "src" / "kernelbench"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "eval.py").write_text(FAKE)
    task, log, trials = Task("kernelbench:1/12", "k", "", ""), KeyedLog(tmp_path / "log"), (5, 50)
    kinds = ["right"] * 50 + ["wrong", "raises", "no python", "hostile"]
    monkeypatch.setattr(bench_gpu, "candidates", lambda number, reference: [Candidate(kind, kind) for kind in kinds])
    with kernelbench(tmp_path) as ask:
        theirs(ask, task, 12, log, trials)
        asked = len(log.rows)
        theirs(ask, task, 12, log, trials)
    assert asked == len(log.rows) == 5
    right = log.rows[f"theirs 12 {trials} right"]
    assert right["trials"] == 2
    assert right["trial_s"] == pytest.approx(0.1, abs=0.08)
    assert right["seconds"] == pytest.approx(0.7, abs=0.3)
    assert log.rows[f"theirs 12 {trials} raises"]["trials"] == 1
    assert extrapolated(task, 12, log, trials, 64) == pytest.approx(50 * 1.0 + 0.7 + 0.3 + 0.2, rel=0.3)
    found = off(12, log, trials)
    assert found == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize(
    ("option", "said"), [("--ways=x", "--ways: x is none of"), ("--problems=4,7", "--problems: 7 is none of")]
)
def test_what_the_bench_does_not_know_is_named(
    option: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench_gpu", "--kernelbench-root", "none", option])
    with pytest.raises(SystemExit) as ended:
        bench_gpu.main()
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
