"""What is kept of compilations, and what is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_task import TASK

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator
from longodds.evaluator.builds import Builds
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
    assert list((tmp_path / "builds").iterdir()) == []
