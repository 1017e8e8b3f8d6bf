"""KernelBench from a checkout, a file, the hub: what loads, which version it is, what is named when it fails."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from longodds.errors import UserError
from longodds.tasks import describe_source, load_split, load_suite, load_task, make_split, render_split, task_name

ROOT = os.environ.get("LONGODDS_KERNELBENCH", "")
needs_checkout = pytest.mark.skipif(
    not (ROOT and Path(ROOT).is_dir()), reason="LONGODDS_KERNELBENCH names no checkout of KernelBench"
)
PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, A, B):
        return torch.diag(A) @ B


def get_inputs():
    return [torch.rand(8), torch.rand(8, 4)]


def get_init_inputs():
    return []
"""
CHANGED = PROBLEM.replace("torch.diag(A) @ B", "A.unsqueeze(1) * B")


def checkout(root: Path, *, level: int = 1, nested: bool = True, problems: dict[int, str]) -> Path:
    folder = root / "KernelBench" / f"level{level}" if nested else root / f"level{level}"
    folder.mkdir(parents=True)
    for number, text in problems.items():
        (folder / f"{number}_Problem_{number}_.py").write_text(text)
    return root


def rows(problems: dict[int, str], level: int = 1) -> list[dict]:
    named = [{"code": t, "level": level, "name": f"{n}_Problem_{n}_", "problem_id": n} for n, t in problems.items()]
    return [*named, {"code": PROBLEM, "level": level + 1, "name": "1_Other", "problem_id": 1}]


def error_of(call, *args, **kwargs) -> str:
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No checkout in the environment, and a hub that cannot be reached."""
    monkeypatch.delenv("LONGODDS_KERNELBENCH", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


@pytest.mark.parametrize("nested", [True, False])
def test_both_layouts_of_a_checkout(tmp_path, nested):
    root = checkout(tmp_path, nested=nested, problems={10: PROBLEM, 2: CHANGED})
    tasks = load_suite("kernelbench:1", kernelbench_root=str(root))
    assert [t.id for t in tasks] == ["kernelbench:1/2", "kernelbench:1/10"]
    assert [task_name(t) for t in tasks] == ["2", "10"]
    assert tasks[0].reference == CHANGED
    assert tasks[1].metadata["file"] == "10_Problem_10_"
    assert load_task("kernelbench:1/10", kernelbench_root=str(root)) == tasks[1]


def test_the_environment_names_the_checkout(alone, tmp_path):
    alone.setenv("LONGODDS_KERNELBENCH", str(checkout(tmp_path / "kb", problems={1: PROBLEM})))
    assert load_suite("kernelbench:1")[0].reference == PROBLEM


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "directory"])
def test_equal_content_from_another_source_is_the_same_task(tmp_path, kind):
    problems = {12: PROBLEM, 4: CHANGED}
    root = checkout(tmp_path / "checkout", problems=problems)
    path = tmp_path / "level_1.jsonl"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows(problems))) + "\n")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        path = tmp_path / "data" / "level_1-00000-of-00001.parquet"
        path.parent.mkdir()
        parquet.write_table(pyarrow.Table.from_pylist(rows(problems)), path)
    given = path.parents[1] if kind == "directory" else path
    ours = load_suite("kernelbench:1", kernelbench_root=str(given))
    theirs = load_suite("kernelbench:1", kernelbench_root=str(root))
    assert [(t.id, t.digest, t.reference) for t in ours] == [(t.id, t.digest, t.reference) for t in theirs]
    assert ours[0].metadata["source"]["digest"] == theirs[0].metadata["source"]["digest"]
    assert ours[0].metadata["source"]["kind"] == "file"


def test_versions_are_told_apart(tmp_path):
    old = load_suite("kernelbench:1", kernelbench_root=str(checkout(tmp_path / "a", problems={12: PROBLEM})))
    new = load_suite("kernelbench:1", kernelbench_root=str(checkout(tmp_path / "b", problems={12: CHANGED})))
    assert old[0].id == new[0].id
    assert old[0].digest != new[0].digest
    assert old[0].metadata["source"]["digest"] != new[0].metadata["source"]["digest"]
    assert "content" in describe_source(old[0].metadata["source"])


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_checkout_says_its_commit_and_that_it_was_changed(tmp_path):
    root = checkout(tmp_path / "kb", problems={1: PROBLEM})
    (root / "README.md").write_text("hello")
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "first")
    commit = git(root, "rev-parse", "HEAD")[:8]

    def version() -> str:
        return load_suite("kernelbench:1", kernelbench_root=str(root))[0].metadata["source"]["version"]

    assert version() == commit
    (root / "README.md").write_text("not a problem")
    assert version() == commit
    (root / "KernelBench/level1/1_Problem_1_.py").write_text(CHANGED)
    assert version() == f"{commit}-changed"


def test_a_copy_inside_another_repository_has_no_commit_of_its_own(tmp_path):
    git(tmp_path, "init", "-q")
    root = checkout(tmp_path / "deep" / "down" / "kb", problems={1: PROBLEM})
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "first")
    assert load_suite("kernelbench:1", kernelbench_root=str(root))[0].metadata["source"]["version"] is None


def test_a_problem_that_is_none_is_skipped_and_named(tmp_path):
    root = checkout(tmp_path, problems={1: "def (", 2: PROBLEM, 3: PROBLEM.replace("get_inputs", "inputs")})
    skipped = []
    tasks = load_suite("kernelbench:1", kernelbench_root=str(root), on_skip=skipped.append)
    assert [t.id for t in tasks] == ["kernelbench:1/2"]
    assert ["1_Problem_1_.py" in skipped[0].reason, "get_inputs" in skipped[1].reason] == [True, True]
    assert "1_Problem_1_.py" in error_of(load_task, "kernelbench:1/1", kernelbench_root=str(root))


def test_what_is_no_source(tmp_path, alone):
    (tmp_path / "empty").mkdir()
    both = ["--kernelbench-root", "LONGODDS_KERNELBENCH", "longodds[hub]"]
    for given, words in (
        ("nowhere", ["nowhere", "no such checkout", *both]),
        ("empty", ["KernelBench/level1", *both]),
    ):
        message = error_of(load_suite, "kernelbench:1", kernelbench_root=str(tmp_path / given))
        assert all(word in message for word in words), message
    assert "levels kernelbench:1 to kernelbench:4" in error_of(load_suite, "kernelbench:5")
    root = str(checkout(tmp_path / "kb", problems={1: PROBLEM, 2: PROBLEM}))
    assert "did you mean kernelbench:1/2?" in error_of(load_task, "kernelbench:1/22", kernelbench_root=root)
    assert "level 3" in error_of(load_suite, "kernelbench:3", kernelbench_root=root)


def test_without_the_extra_both_remedies_are_named(alone):
    alone.setitem(__import__("sys").modules, "huggingface_hub", None)
    message = error_of(load_suite, "kernelbench:1")
    assert all(w in message for w in ("--kernelbench-root", "LONGODDS_KERNELBENCH", "pip install 'longodds[hub]'"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "k.jsonl:1: not JSON"),
        ("[1]", "k.jsonl:1: must be a JSON object"),
        ('{"level": 1, "name": "1_a", "problem_id": 1}', "k.jsonl:1: field 'code'"),
        ('{"code": "", "level": "1", "name": "1_a", "problem_id": 1}', "k.jsonl:1: field 'level'"),
        ('{"code": "", "level": 2, "name": "1_a", "problem_id": 1}', "no problem of level 1"),
        ('{"code": "", "level": 1, "name": "1_a", "problem_id": 1}\n' * 2, "is there twice"),
    ],
)
def test_a_bad_table_is_named_with_its_row(tmp_path, text, words):
    path = tmp_path / "k.jsonl"
    path.write_text(text)
    assert words in error_of(load_suite, "kernelbench:1", kernelbench_root=str(path))


def test_a_parquet_file_that_is_none(tmp_path):
    pytest.importorskip("pyarrow")
    path = tmp_path / "k.parquet"
    path.write_bytes(b"nothing")
    assert "k.parquet: not a Parquet file" in error_of(load_suite, "kernelbench:1", kernelbench_root=str(path))


def test_the_committed_splits_are_what_split_make_gives(tmp_path):
    folder = Path(__file__).parents[2] / "splits"
    for level, seed in ((1, 42), (1, 43), (1, 44), (2, 42)):
        path = folder / f"l{level}_seed{seed}.json"
        assert path.read_text() == render_split(make_split(f"kernelbench:{level}", seed))
        assert set(load_split(path)) == {"level", "seed", "problem_ids", "split_hash"}
    assert {p.name for p in folder.iterdir()} == {
        "l1_seed42.json",
        "l1_seed43.json",
        "l1_seed44.json",
        "l2_seed42.json",
    }


@needs_checkout
def test_a_checkout_gives_the_same_splits():
    for suite, seed in (("kernelbench:1", 44), ("kernelbench:2", 42)):
        assert make_split(suite, seed, kernelbench_root=ROOT) == make_split(suite, seed)


@needs_checkout
@pytest.mark.parametrize(("level", "size"), [(1, 100), (2, 100), (3, 50), (4, 20)])
def test_every_problem_of_the_checkout_loads(level, size):
    skipped = []
    tasks = load_suite(f"kernelbench:{level}", kernelbench_root=ROOT, on_skip=skipped.append)
    assert not skipped
    assert [task_name(t) for t in tasks] == [str(i) for i in range(1, size + 1)]
