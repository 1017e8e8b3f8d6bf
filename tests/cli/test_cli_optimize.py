"""`longodds optimize` as users meet it: a winner and its file, nothing faster, every mistake in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import files, longodds

import longodds as lo
from longodds.types import Completion

ROOT = Path(__file__).resolve().parents[2]
NAME = "trace_of_matrix_products"
PLAIN = "import torch\nfrom torch import nn\n\n\nclass {}(nn.Module):\n    def forward(self, x):\n        return {}\n"
GIVEN = "\n\ndef get_inputs():\n    return [torch.randn(4)]\n\n\ndef get_init_inputs():\n    return []\n"


class Scripted:
    """Sample i is text i of a list."""

    name, version, parameters = "scripted", "v1", 1

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def encode(self, prompt):
        return [1, 2, 3]

    def sample(self, prompt, params, key):
        scores = (-0.5, -0.5)
        return [Completion((1, 2), scores, scores, (0, 2), self.texts[i], "stop", "v1") for i in key.indices]

    def compute_logprobs(self, prompt, token_ids):
        raise NotImplementedError

    def close(self):
        pass


@pytest.fixture
def place(tmp_path):
    (tmp_path / "two.py").write_text(PLAIN.format("One", "x + 1") + PLAIN.format("Two", "x + 2"))
    (tmp_path / "bare.py").write_text(PLAIN.format("Model", "x + 1"))
    (tmp_path / "raises.py").write_text(PLAIN.format("Model", "x.no_such_method()") + GIVEN)
    (tmp_path / "text.py").write_text("def (:\n")
    (tmp_path / "fine.py").write_text(PLAIN.format("Model", "x + 1") + GIVEN)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none.py"], ["none.py: no such file"]),
        (["text.py"], ["text.py:1: not valid Python"]),
        (["two.py"], ["several modules", "--class", "One, Two"]),
        (["two.py", "--class", "Tow"], ["no class 'Tow'", "did you mean Two?"]),
        (["bare.py"], ["no function get_inputs", "--inputs", "<x>"]),
        (["raises.py"], ["raises.py", "no_such_method"]),
        (["fine.py", "--k", "0"], ["--k", "at least 1"]),
        (["fine.py", "--out", "two.py"], ["--out two.py", "not of longodds' making"]),
        (["fine.py", "--policy", "hf:nowhere"], ["nowhere"]),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(place, arguments, words):
    before = files(place)
    done = longodds("optimize", *arguments, cwd=place)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("longodds: error: ")
    assert all(word in lines[-1] for word in words), lines
    assert "Traceback" not in done.stderr
    assert {k: v for k, v in files(place).items() if not k.startswith("no-cache")} == before


@pytest.mark.slow
def test_a_gold_program_wins_and_an_unchanged_one_does_not(tmp_path):
    task = lo.load_task(f"cpu/{NAME}")
    (tmp_path / "mine.py").write_text(task.reference)
    gold = (ROOT / "tests" / "golds" / f"{NAME}.py").read_text()
    same = task.reference.replace("class Model(", "class ModelNew(").replace("super(Model,", "super(ModelNew,")
    settings = lo.BestOfNSettings(k=2, style="module", cache=False, time="none", suite=f"file:{tmp_path / 'mine.py'}")
    for name, texts in (("gold", (gold, same)), ("plain", (same, same))):
        lo.best_of_n(tmp_path / name, settings, policy=Scripted(*texts))
    common = ["--k", "2", "--style", "module", "--no-cache"]

    done = longodds(
        "optimize", tmp_path / "mine.py", "--policy", "replay:gold", *common, "--out", "best.py", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "us a call" in done.stderr
    assert "verified faster: " in done.stdout
    assert "class ModelNew" in done.stdout
    assert "python best.py" in done.stdout
    checked = subprocess.run(
        [sys.executable, "-I", "best.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "same results" in checked.stdout
    assert "speedup" in checked.stdout

    plain = longodds(
        "optimize", tmp_path / "mine.py", "--policy", "replay:plain", *common, "--run", "b", "--json", cwd=tmp_path
    )
    assert plain.returncode == 0, plain.stderr
    document = json.loads(plain.stdout)
    assert (document["found"], document["correct"], document["samples"], document["out"]) == (False, 2, 2, None)
    # The same command again ends at once with the same answer, in words this time.
    again = longodds("optimize", tmp_path / "mine.py", "--policy", "replay:plain", *common, "--run", "b", cwd=tmp_path)
    assert again.stdout.startswith("nothing faster was found: 2 of 2 samples were correct")
