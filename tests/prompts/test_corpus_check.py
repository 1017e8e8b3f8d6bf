"""The check that every pair of the corpus passed refuses what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from scripts.corpus.check import Mismatch, check_pair
from scripts.corpus.fingerprint import op_chain
from scripts.corpus.template import FAMILIES, load_idioms

REFERENCE = """
import torch
import torch.nn as nn
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(4))
    def forward(self, x):
        return torch.relu(x + self.w) * 2
def get_inputs():
    return [torch.rand(3, 4)]
def get_init_inputs():
    return []
"""


def program(body: str) -> str:
    source = REFERENCE[: REFERENCE.index("def get_inputs")].replace("class Model(", "class ModelNew(")
    return source.replace("return torch.relu(x + self.w) * 2", body)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("return (x + self.w).relu_().mul_(2)", None),
        ("return (x + self.w) * 2", "differs"),  # right for what torch.rand draws, not for every input
        ("return torch.relu(x) * 2", "differs"),  # right while the parameter is zero
        ("return x.add_(self.w).relu_().mul_(2)", "inputs"),
        ("self.w.data.add_(1); return torch.relu(x + self.w - 1) * 2", "parameters"),
        ("return torch.relu(x + self.w)[:2] * 2", "shape"),
        ("return (torch.relu(x + self.w) * 2).half()", "d"),
        ("return torch.relu(x + torch.rand_like(x)) * 2", "differs"),
        ("raise KeyError(1)", "KeyError"),
        ("return None", "shape"),
    ],
)
def test_check(body: str, word: str | None):
    (verdict,) = check_pair(REFERENCE, [program(body)], 0)
    assert (verdict is None) if word is None else (verdict is not None and word in verdict)
    assert torch.get_default_dtype() == torch.float32


def test_a_view_of_an_input_is_refused():
    reference = REFERENCE.replace("torch.relu(x + self.w) * 2", "x.clone()")
    assert "view" in (check_pair(reference, [program("return x.view(3, 4)")], 0)[0] or "")


@pytest.mark.parametrize("body", ["x * 0 + 1", "x / 0", "None", "x.undefined"])
def test_unfit_references(body: str):
    with pytest.raises(Mismatch):
        check_pair(REFERENCE.replace("torch.relu(x + self.w) * 2", body), [], 0)


def test_op_chain_does_not_depend_on_spelling():
    other = REFERENCE.replace("torch.relu(x + self.w) * 2", "torch.mul((self.w).add(x).relu_(), 2)")
    assert op_chain(other, "a") == op_chain(REFERENCE, "b") == ("add", "relu", "mul")


def test_idioms_have_unique_names_and_ways_to_write_them():
    for family in FAMILIES:
        idioms = load_idioms(family)
        assert len({i.name for i in idioms}) == len(idioms) > 30
        assert all(i.refs for i in idioms)


def test_a_bad_idiom_file_names_its_line(tmp_path: Path):
    (tmp_path / "norms.txt").write_text("# a comment\n[ok] * -> *\n? X\n\n[broken * -> *\n")
    with pytest.raises(ValueError, match=r"norms.txt:5"):
        load_idioms("norms", tmp_path)
