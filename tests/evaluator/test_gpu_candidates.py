"""The candidates of the bench on a GPU are what the bench says of them; here on a CPU, on small problems."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from scripts.bench_gpu import PROBLEMS, Log, extrapolated
from scripts.gpu_candidates import INLINE, RIGHT, candidates

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


def test_what_was_not_measured_of_every_kind_is_not_extrapolated(tmp_path) -> None:
    text = reference(21)
    task, log, trials = Task("kernelbench:1/21", "k", text, digest_text(text)), Log(tmp_path / "log"), (5, 50)
    assert 21 in INLINE
    for kind, seconds in (("right", 60.0), ("wrong", 2.0), ("raises", 1.0), ("no python", 0.0)):
        assert extrapolated(task, 21, log, trials, 64) is None
        log.add(f"theirs 21 {trials} {kind}", seconds=seconds)
    assert extrapolated(task, 21, log, trials, 64) is None
    log.add(f"theirs 21 {trials} right again", seconds=5.0)
    assert extrapolated(task, 21, Log(tmp_path / "log"), trials, 64) == 24 * 60 + 27 * 5 + 4 * 2 + 4 * 1
