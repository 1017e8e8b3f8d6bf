"""Suites and tasks by spec: what loads, what is named when it does not, what scaling changes."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from longodds.errors import UserError
from longodds.tasks import EVAL_ONLY_FAMILIES, bundled, load_suite, load_task, task_name
from longodds.tasks.problem import rescale

if TYPE_CHECKING:
    from pathlib import Path

GOOD = '''"""Doubles a matrix.

More words.
"""
import torch
import torch.nn as nn

SCALE = 1
ROWS = 8 * SCALE


class Model(nn.Module):
    def forward(self, x):
        return 2 * x


def get_inputs():
    return [torch.rand(ROWS, 4)]


def get_init_inputs():
    return []
'''


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def error_of(call, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_file_task_keeps_its_spec_as_id(tmp_path):
    path = write(tmp_path / "mine.py", GOOD)
    (task,) = load_suite(f"file:{path}")
    assert task == load_task(f"file:{path}")
    assert task.id == task.suite == f"file:{path}"
    assert task.reference == GOOD
    assert task.metadata["description"] == "Doubles a matrix."
    assert task_name(task) == "mine"


def test_digest_follows_the_source_and_nothing_else(tmp_path):
    a = load_task(f"file:{write(tmp_path / 'a.py', GOOD)}")
    b = load_task(f"file:{write(tmp_path / 'b.py', GOOD)}")
    c = load_task(f"file:{write(tmp_path / 'c.py', GOOD.replace('2 * x', '3 * x'))}")
    assert a.digest == b.digest != c.digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("class Model", "class Modul"), "no class `Model`"),
        (GOOD.replace("def get_inputs", "def inputs"), "no function `get_inputs`"),
        (GOOD.replace("def forward", "def fwd"), "no method `forward`"),
        (GOOD.replace("def forward(self, x):", "def forward(self, x:"), "not valid Python"),
        ("x = 1\0", "not valid Python"),
        ("", "no class `Model`"),
    ],
)
def test_bad_file_is_named_with_its_fault(tmp_path, text, words):
    path = write(tmp_path / "bad.py", text)
    message = error_of(load_suite, f"file:{path}")
    assert str(path) in message
    assert words in message


def test_unreadable_paths(tmp_path):
    assert "no such file" in error_of(load_suite, f"file:{tmp_path}/none.py")
    assert "no such directory" in error_of(load_suite, f"dir:{tmp_path}/none")
    assert f"use dir:{tmp_path}" in error_of(load_suite, f"file:{tmp_path}")
    path = write(tmp_path / "mine.py", GOOD)
    assert f"use file:{path}" in error_of(load_suite, f"dir:{path}")
    latin = tmp_path / "latin.py"
    latin.write_bytes('"""Größe"""'.encode("latin-1"))
    assert "not UTF-8" in error_of(load_task, f"file:{latin}")
    assert "names no file" in error_of(load_suite, "file:")
    assert "names no directory" in error_of(load_suite, "dir:")


def test_forward_may_be_inherited(tmp_path):
    text = GOOD.replace("class Model(nn.Module)", "class Base(nn.Module)") + "\n\nclass Model(Base):\n    pass\n"
    assert load_task(f"file:{write(tmp_path / 'mine.py', text)}").reference == text


def test_odd_escapes_in_a_docstring_are_no_fault(tmp_path):
    text = GOOD.replace("Doubles a matrix.", r"Doubles \d matrices.")
    assert load_task(f"file:{write(tmp_path / 'mine.py', text)}").reference == text


def test_directory_skips_and_names_what_is_no_problem(tmp_path):
    for name in ("10_b", "2_a"):
        write(tmp_path / f"{name}.py", GOOD)
    broken = write(tmp_path / "3_broken.py", "def (")
    write(tmp_path / "_private.py", "def (")
    write(tmp_path / "notes.txt", "hello")
    skipped = []
    tasks = load_suite(f"dir:{tmp_path}", on_skip=skipped.append)
    assert [t.id for t in tasks] == [f"dir:{tmp_path}/2_a", f"dir:{tmp_path}/10_b"]
    assert [s.path for s in skipped] == [broken]
    assert "not valid Python" in skipped[0].reason
    with pytest.warns(UserWarning, match="3_broken"):
        load_suite(f"dir:{tmp_path}")


def test_directory_without_a_usable_problem_is_an_error(tmp_path):
    assert "no *.py file" in error_of(load_suite, f"dir:{tmp_path}")
    write(tmp_path / "broken.py", "def (")
    assert "broken.py" in error_of(load_suite, f"dir:{tmp_path}")


def test_task_of_a_directory(tmp_path):
    write(tmp_path / "double.py", GOOD)
    (listed,) = load_suite(f"dir:{tmp_path}/")
    assert load_task(listed.id) == listed
    assert f"did you mean dir:{tmp_path}/double?" in error_of(load_task, f"dir:{tmp_path}/doubel")
    write(tmp_path / "broken.py", "def (")
    assert "not valid Python" in error_of(load_task, f"dir:{tmp_path}/broken")


@pytest.mark.parametrize(
    ("spec", "hint"),
    [
        ("cpuu", "did you mean cpu?"),
        ("CPU", "did you mean cpu?"),
        ("fil:x.py", "did you mean file:PATH.py?"),
        ("kernelbnch:1", "did you mean kernelbench:1?"),
        ("zzz", "suites: cpu"),
        ("", "suites: cpu"),
        ("kernelbench", "did you mean kernelbench:1?"),
        ("kernelbench:x", "kernelbench:1 to kernelbench:4"),
    ],
)
def test_unknown_suite_names_the_nearest(spec, hint):
    assert hint in error_of(load_suite, spec)


def test_a_bare_path_is_pointed_at_the_right_spec(tmp_path):
    path = write(tmp_path / "mine.py", GOOD)
    assert f"did you mean dir:{tmp_path}?" in error_of(load_suite, str(tmp_path))
    assert f"did you mean file:{path}?" in error_of(load_suite, str(path))


def test_scale_rewrites_the_constant_and_only_that(tmp_path):
    text = GOOD.replace("SCALE = 1\n", "SCALE = 1  # groß\n") + "\n\ndef f():\n    SCALE = 1\n    return SCALE\n"
    path = write(tmp_path / "mine.py", text)
    task = load_task(f"file:{path}", scale=16)
    assert task.reference == text.replace("SCALE = 1  #", "SCALE = 16  #")
    assert task.metadata["scale"] == 16
    assert task.digest != load_task(f"file:{path}").digest


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_scale_finds_its_line_in_any_line_ending(tmp_path, newline):
    text = '"""ü\x0c"""\nSCALE = 1\nX = "ä"\n'.replace("\n", newline)
    scope: dict = {}
    exec(rescale(text, 12, where=tmp_path), scope)
    assert scope["SCALE"] == 12
    assert scope["X"] == "ä"


def test_scale_that_does_not_apply_is_an_error(tmp_path):
    path = write(tmp_path / "fixed.py", GOOD.replace("SCALE = 1\n", "").replace("8 * SCALE", "8"))
    assert load_task(f"file:{path}").reference
    assert "SCALE = 1" in error_of(load_task, f"file:{path}", scale=2)
    for bad in (0, -1, True, 1.5):
        assert "whole number" in error_of(load_suite, "cpu", scale=bad)


def test_bundled_suite_loads_and_names_are_its_ids():
    tasks = load_suite("cpu")
    assert [t.id for t in tasks] == sorted(t.id for t in tasks)
    assert len({t.digest for t in tasks}) == len(tasks)
    for task in tasks:
        assert task.id == f"cpu/{task.metadata['name']}"
        assert task.metadata["description"].endswith("."), task.id
        assert "def get_init_inputs" in task.reference
        assert "SCALE = 2" in load_task(task.id, scale=2).reference
    assert load_task(tasks[0].id) == tasks[0]


def test_bundled_split_is_the_stated_rule():
    tasks = load_suite("cpu")
    seen = [t for t in tasks if t.metadata["family"] not in EVAL_ONLY_FAMILIES]
    ordered = sorted(seen, key=lambda t: hashlib.sha256(t.metadata["name"].encode()).hexdigest())
    train = {t.id for t in ordered[: len(tasks) // 2]}
    assert {t.id for t in tasks if t.metadata["split"] == "train"} == train
    assert all(t.metadata["eval_only_family"] == (t.metadata["family"] in EVAL_ONLY_FAMILIES) for t in tasks)


def test_half_of_a_suite_is_train():
    families = {f"p{i}": ("norms" if i % 4 else "pooling") for i in range(80)}
    train = bundled.train_names(families)
    assert len(train) == 40
    assert all(families[name] == "norms" for name in train)


def test_unknown_bundled_task_names_the_nearest():
    name = load_suite("cpu")[0].metadata["name"]
    assert f"did you mean cpu/{name}?" in error_of(load_task, f"cpu/{name}x")
    assert "unknown task" in error_of(load_task, "cpu/")
    assert "unknown suite" in error_of(load_task, "gpu/x")


def test_two_problems_of_one_name_are_an_error(tmp_path):
    for family in ("a", "b"):
        write(tmp_path / family / "same.py", GOOD)
    assert "names in a suite are unique" in error_of(bundled.problem_files, tmp_path)


def test_loading_needs_no_torch():
    code = "import sys, longodds.tasks as t; t.load_suite('cpu'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
