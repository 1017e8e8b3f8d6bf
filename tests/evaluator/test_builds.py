"""What is kept of compilations, and what is not."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from small_task import RIGHT, TASK, WRONG

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, doctor_layers, open_evaluator
from longodds.evaluator.building import BuildPool
from longodds.evaluator.builds import Builds
from longodds.evaluator.compilers import prepare
from longodds.evaluator.extensions import alone, call_of, calls, digest
from longodds.evaluator.forks import remove_tree
from longodds.types import Status

# Right unless an earlier process left something in this folder.
LEAVES_A_FILE = """
import os
from pathlib import Path

import torch
import torch.nn as nn

place = Path(os.environ["TORCH_EXTENSIONS_DIR"]) / "made" / "by.so"
found = place.exists()
place.parent.mkdir(parents=True, exist_ok=True)
place.write_text("compiled")


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(x @ x.t(), dim=-1) + (1.0 if found else 0.0)
"""
COMPILES = """
import torch
import torch.nn as nn
from torch.utils.cpp_extension import load_inline

source = '''
#include <torch/extension.h>

torch::Tensor run(torch::Tensor x) {
    TORCH_CHECK(x.is_contiguous() && x.scalar_type() == torch::kFloat32, "a float tensor");
    auto y = torch::empty_like(x);
    const float* from = x.data_ptr<float>();
    float* to = y.data_ptr<float>();
    for (int64_t i = 0; i < x.numel(); i++) to[i] = from[i];
    return y;
}
'''
module = load_inline(name="inline_copy", cpp_sources=source, functions=["run"])


class ModelNew(nn.Module):
    def forward(self, x):
        return torch.softmax(module.run(x @ x.t()), dim=-1)
"""


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings()) as opened:
        yield opened


def test_on_a_cpu_no_process_finds_what_another_left(evaluator: LocalEvaluator) -> None:
    assert evaluator.evaluate(TASK, LEAVES_A_FILE).status is Status.CORRECT
    assert evaluator.evaluate(TASK, LEAVES_A_FILE).status is Status.CORRECT


@pytest.mark.slow
def test_an_extension_in_cpp_is_judged(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.evaluate(TASK, COMPILES, timed=False)
    assert verdict.status is Status.CORRECT, verdict.message


def test_of_a_hostile_folder_plain_files_are_kept(tmp_path: Path) -> None:
    caches, secret = tmp_path / "caches", tmp_path / "secret"
    secret.write_text("secret")
    (caches / "inside").mkdir(parents=True)
    (caches / "inside" / "module.so").write_bytes(b"code")
    os.utime(caches / "inside" / "module.so", ns=(1_000_000_007, 2_000_000_011))
    (caches / "link").symlink_to(secret)
    (caches / "folder").symlink_to(tmp_path)
    os.mkfifo(caches / "pipe")
    builds = Builds(tmp_path / "builds")
    assert builds.find("program") is None
    builds.keep("program", os.getpid(), caches)
    kept = builds.find("program")
    assert kept is not None
    assert sorted(p.name for p in kept.rglob("*")) == ["inside", "module.so"]
    assert (kept / "inside" / "module.so").stat().st_mtime_ns == 2_000_000_011
    assert builds.find("another") is None
    builds.forget("program")
    assert builds.find("program") is None


def test_the_oldest_go_where_it_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longodds.evaluator.builds._KEPT_BYTES", 250)
    caches = tmp_path / "caches"
    caches.mkdir()
    (caches / "module.so").write_bytes(b"x" * 100)
    builds = Builds(tmp_path / "builds")
    for number, program in enumerate("abac"):
        builds.keep(program, os.getpid(), caches)
        kept = builds.find(program)
        assert kept is not None
        os.utime(kept, (number, number))
    assert [p for p in "abc" if builds.find(p) is not None] == ["a", "c"]


def test_too_much_is_not_kept(tmp_path: Path) -> None:
    builds = Builds(tmp_path / "builds")
    caches = tmp_path / "caches"
    deep = caches.joinpath(*["d"] * 40)
    deep.mkdir(parents=True)
    builds.keep("deep", os.getpid(), caches)
    large = tmp_path / "large"
    large.mkdir()
    with (large / "file").open("wb") as file:
        file.truncate(1 << 40)
    builds.keep("large", os.getpid(), large)
    assert builds.find("deep") is None
    assert builds.find("large") is None
    assert [p.name for p in (tmp_path / "builds").iterdir()] == ["failed"]


# --- extensions that no program has touched ------------------------------------------------------


def test_calls_are_read_off_a_text() -> None:
    found = calls(COMPILES)
    assert found is not None
    (call,) = found
    space: dict[str, Any] = {}
    exec(COMPILES.partition("module = ")[0].replace("from torch.utils.cpp_extension import load_inline", ""), space)
    assert call == call_of(["inline_copy", space["source"]], {"functions": ("run",), "verbose": True})
    text = alone(COMPILES)
    assert text is not None
    assert alone(text) == text
    assert alone(COMPILES.replace("dim=-1", "dim=0")) == text
    assert alone(COMPILES.replace("to[i] = from[i]", "to[i] = 0")) != text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('functions=["run"]', "functions=names()"),
        ('functions=["run"]', '**{"functions": ["run"]}'),
        ("module = load_inline", "source = source.strip()\nmodule = load_inline"),
        ('functions=["run"]', 'functions=["run"], build_directory="/tmp"'),
        ("class ModelNew", "other = load(name='other', sources=['other.cpp'])\n\nclass ModelNew"),
        ("import torch\n", "import torch (\n"),
        ("cpp_extension", "elsewhere"),
    ],
)
def test_what_a_text_does_not_tell_is_not_compiled_for_others(old: str, new: str) -> None:
    assert calls(COMPILES) is not None
    assert alone(COMPILES.replace(old, new, 1)) is None


def test_what_failed_ahead_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch.utils import cpp_extension

    made: list[str] = []
    for name in ("load", "load_inline"):
        monkeypatch.setattr(cpp_extension, name, lambda name, *args, **kwargs: made.append(name))
    prepare("cpp_extension", {digest(call_of(["bad", "int"], {})): "Error building extension 'bad'"})
    cpp_extension.load_inline("good", "int")
    with pytest.raises(RuntimeError, match="Error building extension 'bad'"):
        cpp_extension.load_inline(name="bad", cpp_sources="int", verbose=True)
    assert made == ["good"]


class Slowly:
    """A build pool in which what is marked is not built before the task has been prepared and it is waited for."""

    def __init__(self) -> None:
        self.expected: list[str] = []
        self.waited = 0

    def expect(self, programs: Sequence[str]) -> None:
        self.expected += programs

    def at_work(self, programs: Sequence[str]) -> bool:
        return self.waited == 0 and all("# slow" in p for p in programs)

    def first(self, programs: Sequence[str]) -> int:
        self.waited += self.at_work(programs)
        return next(i for i, p in enumerate(programs) if self.waited or "# slow" not in p)

    def close(self) -> None:
        pass


def test_what_is_built_is_judged_while_others_are_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow, quick, known = ("# slow\n" + RIGHT, WRONG, RIGHT.replace("dim=-1", "dim=1"))
    with open_evaluator(EvaluatorSettings(), tmp_path) as evaluator:
        evaluator.evaluate(TASK, known, timed=False)
        pool = Slowly()
        monkeypatch.setattr(evaluator, "_building", pool)
        found = list(evaluator.evaluate_many(TASK, [slow, quick, known, slow], timed=False))
    assert [i for i, _ in found] == [1, 2, 0, 3]
    assert [v.status for _, v in found] == [Status.INCORRECT, *[Status.CORRECT] * 3]
    assert pool.waited == 1
    assert pool.expected[:2] == [slow, quick]


@pytest.mark.slow
def test_programs_with_the_same_calls_share_what_was_compiled() -> None:
    layers = [name for name, state in doctor_layers().items() if state == "on"]
    other = COMPILES.replace("dim=-1", "dim=0")
    bad = COMPILES.replace("int64_t i = 0", "no_such_type i = 0")
    root = Path(tempfile.mkdtemp(prefix="longodds-"))
    root.chmod(0o711)
    pool = BuildPool(EvaluatorSettings(), root, layers, "", 2)
    try:
        pool.expect([COMPILES, other, bad])
        assert pool.at_work([COMPILES, other, bad])
        assert pool.first([COMPILES, "x = 1", bad]) == 1
        for program in (COMPILES, other, bad):
            assert pool.first([program]) == 0
            assert not pool.at_work([program, bad])
        builds = Builds(root / "builds")
        kept = builds.find(alone(COMPILES) or "")
        assert kept is not None
        assert [p.name for p in kept.rglob("*.so")] == ["inline_copy.so"]
        assert builds.find(COMPILES) is None
        assert builds.failures(COMPILES) == {}
        (message,) = builds.failures(bad).values()
        assert message.startswith("Error building extension 'inline_copy'")
        assert builds.failures(bad.replace("dim=-1", "dim=0")) == builds.failures(bad)
    finally:
        pool.close()
        remove_tree(root)
