"""A module made faster by the real evaluator: a known faster program wins, an unchanged one does not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

import longodds as lo
from longodds.config import config_digest
from longodds.store import RunDir
from longodds.strategies.progress import Silent
from longodds.strategies.standalone import MARK, check_out, standalone, write_out
from longodds.tasks import read_module
from longodds.types import Completion

MODULE = '''import torch
from torch import nn


class Trace(nn.Module):
    """tr(A B) with "scaled" rows: a \\\\ and \'\'\' and """.replace("x", "y")

    def __init__(self, size):
        super().__init__()
        self.scale = nn.Parameter(torch.randn(size))

    def forward(self, left, right):
        return torch.diagonal(torch.bmm(left * self.scale, right), dim1=1, dim2=2).sum(-1)
'''.replace('.replace("x", "y")', "")
INPUTS = "[torch.randn(8, 256, 256), torch.randn(8, 256, 256)]"
SAME = "return torch.diagonal(torch.bmm(left * self.scale, right), dim1=1, dim2=2).sum(-1)"
FASTER = "return (left * self.scale * right.transpose(1, 2)).sum(dim=(1, 2))"
WRONG = "return left.sum(dim=(1, 2))"


class Scripted:
    """Sample i is body i of a list."""

    name, version, parameters = "scripted", "v1", 1

    def __init__(self, *bodies: str) -> None:
        self.bodies = bodies

    def encode(self, prompt):
        return [1, 2, 3]

    def sample(self, prompt, params, key):
        return [
            Completion((1, 2), (-0.5, -0.5), (-0.5, -0.5), (0, 2), self.bodies[i % len(self.bodies)], "stop", "v1")
            for i in key.indices
        ]

    def compute_logprobs(self, prompt, token_ids):
        raise NotImplementedError

    def close(self):
        pass


def run_optimize(place, *bodies, run, **options):
    settings = lo.BestOfNSettings(k=len(bodies), cache=False)
    return lo.optimize(
        place / "trace.py",
        inputs=INPUTS,
        init_inputs="[256]",
        run=place / run,
        settings=settings,
        policy=Scripted(*bodies),
        **options,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("optimize")
    (root / "trace.py").write_text(MODULE)
    return root


def execute(path, *arguments):
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-I", "-W", "error::SyntaxWarning", str(path), *arguments]
    return subprocess.run(command, cwd=path.parent, env=env, capture_output=True, text=True, timeout=120, check=False)


def test_the_faster_program_wins_and_its_file_stands_alone(place):
    out = place / "best.py"
    done = run_optimize(place, WRONG, SAME, FASTER, "return (", run="found", out=out)
    assert done.best is not None
    assert done.best.index == 2
    assert done.verdict.remeasured_among == done.distinct == 4
    assert done.verdict.ci_low > 1
    assert done.statuses == {"incorrect": 1, "correct": 2, "compile_error": 1}
    assert set(done.reasons) == {"incorrect", "compile_error"} and all(done.reasons.values())
    assert done.headroom.at_most > done.verdict.ci_low
    document = json.loads(json.dumps(done.to_json()))
    assert (document["found"], document["correct"], document["out"]) == (True, 2, str(out))
    text = out.read_text()
    assert text.startswith(MARK)
    assert "Trace of trace.py, called Model below" in text
    checked = execute(out)
    assert checked.returncode == 0, checked.stderr
    assert "same results: largest error" in checked.stdout
    speedup = re.search(
        r"speedup ([0-9.]+)x \(95 % interval ([0-9.]+) to ([0-9.]+), 51 interleaved pairs\)", checked.stdout
    )
    assert speedup is not None, checked.stdout
    middle, low, high = map(float, speedup.groups())
    assert 1 < low <= middle <= high
    # Resumed, nothing is drawn again and the file of ours is written again.
    again = run_optimize(place, WRONG, SAME, FASTER, "return (", run="found", out=out)
    assert again.best.sample_id == done.best.sample_id
    assert again.verdict == done.verdict
    assert len(RunDir.open(place / "found").samples()) == 4


def test_an_unchanged_program_is_not_faster(place):
    done = run_optimize(place, SAME, WRONG, run="none")
    assert done.best is None
    assert done.out is None
    assert done.statuses == {"correct": 1, "incorrect": 1}
    assert not (place / "none" / "best.py").exists()


def test_a_module_without_headroom_is_told_early(place):
    (place / "add.py").write_text(
        "import torch\nclass M(torch.nn.Module):\n    def forward(self, x):\n        return -x\n"
    )
    settings = lo.BestOfNSettings(k=1, cache=False)
    notes = []

    class Told(Silent):
        def begin(self, **plan):
            notes.append("begin")

        def note(self, text):
            notes.append(text)

    # What else the machine does may slow all four readings of the module and none of the copy: it gets three attempts.
    for attempt in range(3):
        notes.clear()
        done = lo.optimize(
            place / "add.py",
            inputs="torch.randn(4)",
            run=place / f"add-{attempt}",
            settings=settings,
            policy=Scripted("return -x"),
            progress=Told(),
        )
        if done.headroom.little:
            break
    assert done.headroom.little
    assert "the overhead of a call" in notes[0]
    assert "little to gain" in notes[0]
    assert "begin" in notes[1:]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": lo.BestOfNSettings(evaluator="seed")}, ["leave evaluator at sound"]),
        ({"settings": lo.BestOfNSettings(time="none")}, ["time at all"]),
        ({"out": "mine.py"}, ["--out", "not of longodds' making"]),
        ({"out": "trace.py"}, ["--out", "not of longodds' making"]),
        ({"out": "nowhere/best.py"}, ["no directory"]),
        ({"out": "."}, ["is a directory"]),
        ({"out": "x" * 300}, ["--out", "cannot be written: File name too long"]),
        ({"out": "dangling.py"}, ["--out", "cannot be written: No such file"]),
    ],
)
def test_mistakes_before_any_work(place, monkeypatch, options, words):
    monkeypatch.chdir(place)
    (place / "mine.py").write_text("precious = 1\n")
    (place / "dangling.py").unlink(missing_ok=True)
    (place / "dangling.py").symlink_to("nowhere/best.py")
    with pytest.raises(lo.UserError) as caught:
        lo.optimize("trace.py", inputs=INPUTS, init_inputs="256", run="never", policy=Scripted(SAME), **options)
    assert all(word in str(caught.value) for word in words), caught.value
    assert not (place / "never").exists()
    assert (place / "mine.py").read_text() == "precious = 1\n"
    assert (place / "trace.py").read_text() == MODULE


def test_a_file_of_yours_at_the_usual_place_is_not_overwritten(place):
    (place / "kept").mkdir()
    (place / "kept" / "best.py").write_text("precious = 1\n")
    task = read_module(place / "trace.py", inputs=INPUTS, init_inputs="[256]")
    identity = lo.BestOfNSettings(k=1, cache=False, suite=task.suite).identity()
    (place / "kept" / "config.json").write_text(json.dumps({"digest": config_digest(identity), "config": identity}))
    with pytest.raises(lo.UserError, match=r"kept/best\.py: exists and is not of longodds' making; .* --out"):
        run_optimize(place, FASTER, run="kept")
    assert sorted(p.name for p in (place / "kept").iterdir()) == ["best.py", "config.json"]
    assert (place / "kept" / "best.py").read_text() == "precious = 1\n"


def test_only_a_winner_may_be_written_over(tmp_path):
    out = tmp_path / "best.py"
    check_out(out)
    assert not out.exists(), "what may be written is tried and left as it was"
    write_out(out, f"{MARK}: a test\n")
    check_out(out)
    assert out.read_text() == f"{MARK}: a test\n"
    with pytest.raises(lo.InfraError, match=r"cannot be written: No such file .* the same command"):
        write_out(tmp_path / "gone" / "best.py", "")
    check_out(tmp_path / "later" / "best.py", named=False)
    assert [p.name for p in tmp_path.iterdir()] == ["best.py"]
    out.write_text("")  # as a kill may have left it
    check_out(out)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(lo.UserError, match="pipe: is no regular file"):
        check_out(tmp_path / "pipe")


def test_a_wrong_program_fails_its_check(tmp_path):
    head = (
        "import torch\nfrom torch import nn\n\n\nclass {}(nn.Module):\n    def forward(self, x):\n        return {}\n"
    )
    original = head.format("Model", "x.sin()") + (
        "def get_inputs():\n    return [torch.randn(64)]\ndef get_init_inputs():\n    return []\n"
    )
    for body, code, words in [
        ("x.sin()", 0, "same results: largest error 0 "),
        ("x.cos()", 1, "DIFFERENT: largest error"),
        ("x.sin() * (1 + 1e-3)", 1, "DIFFERENT: largest error"),
        ("x.sin().double()", 1, "DIFFERENT: (64,) torch.float64"),
        ("(x.sin(), x)", 1, "DIFFERENT: 2 outputs"),
    ]:
        program = head.format("ModelNew", body) + "\nif __name__ == '__main__':\n    raise SystemExit(7)\n"
        path = tmp_path / "best.py"
        path.write_text(standalone(program, original, about=["a test"], device="cpu"))
        checked = execute(path, "--pairs", "8")
        assert checked.returncode == code, (body, checked)
        assert words in checked.stdout + checked.stderr, (body, checked)
