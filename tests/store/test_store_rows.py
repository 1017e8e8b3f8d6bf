"""Rows that something else has changed: the line and the field are named, wherever the run is read."""

from __future__ import annotations

import json
import math

import pytest

from longodds.errors import UserError
from longodds.store import RunDir, export_samples, import_samples
from longodds.strategies.reading import open_runs, read_table

FIELDS = [
    ("samples", "seed", "a", "a whole number"),
    ("samples", "task_id", ["t"], "a string"),
    ("samples", "sample_id", 5, "a string"),
    ("samples", "logprobs", 0.5, "a list of finite numbers"),
    ("samples", "logprobs", [-0.5, math.nan], "a list of finite numbers"),
    ("samples", "logprobs", ["x"], "a list of finite numbers"),
    ("samples", "score_span", [0], "a list of two whole numbers"),
    ("samples", "metadata", 5, "an object"),
    ("samples", "top_logprobs", [1], "a list of lists of finite numbers"),
    ("samples", "prompt_tokens", "x", "a finite number"),
    ("verdicts", "speedup", "x", "a finite number"),
    ("verdicts", "speedup", math.nan, "a finite number"),
    ("verdicts", "ci_low", math.inf, "a finite number"),
    ("verdicts", "labels", 5, "a list"),
    ("verdicts", "sample_id", ["a"], "a string"),
]


@pytest.fixture
def run(tmp_path):
    row = {"task_id": "a/t", "correct": True, "speedup": 1.5, "logprobs": [-0.5, -1.0], "program": "x = 1"}
    (tmp_path / "s.jsonl").write_text("".join(json.dumps(row | {"seed": i}) + "\n" for i in range(3)))
    import_samples(tmp_path / "s.jsonl", tmp_path / "run")
    return tmp_path / "run"


def change(path, field, value) -> None:
    """In line 2."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[1][field] = value
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(("file", "field", "value", "kind"), FIELDS, ids=lambda x: str(x)[:20])
def test_a_field_of_another_kind_is_named_with_its_line(run, file, field, value, kind):
    change(run / f"{file}.jsonl", field, value)
    for read in (
        lambda: RunDir.open(run).samples(),
        lambda: list(RunDir.open(run).judged_rows()),
        lambda: read_table(open_runs([run])),
        lambda: export_samples(run, run.parent / "out.jsonl"),
    ):
        with pytest.raises(UserError) as caught:
            read()
        assert f"{file}.jsonl: a row cannot be read (line 2): field '{field}': must be {kind}, not " in str(
            caught.value
        )
    assert not (run.parent / "out.jsonl").exists()


@pytest.mark.parametrize(("field", "value"), [("prompt", 5), ("prompt", {"style": "x", "messages": [1]}), ("suite", 5)])
def test_a_task_that_is_none_is_named_with_its_line(run, field, value):
    path = run / "tasks.jsonl"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}) + "\n")
    with pytest.raises(UserError, match=r"tasks\.jsonl: a row cannot be read \(line 1\): "):
        RunDir.open(run).records()


def test_metrics_of_another_kind_are_named_with_their_line(run):
    (run / "metrics.jsonl").write_text('{"step": 0}\n{"step": "x"}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl: a row cannot be read \(line 2\): field 'step'"):
        RunDir.open(run).metrics()


@pytest.mark.parametrize("attempts", [5, [5], "x", None])
def test_a_manifest_of_something_else_is_named(run, attempts):
    path = run / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"attempts": attempts}))
    with pytest.raises(UserError, match=r"manifest\.json: field 'attempts': must be a list of objects"):
        RunDir.open(run)


def test_a_missing_field_is_named_with_its_line(run):
    path = run / "samples.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    del rows[2]["program"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"samples\.jsonl: a row lacks the field 'program' \(line 3\)"):
        RunDir.open(run).samples()
