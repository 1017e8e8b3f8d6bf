"""Import and export: every mistake named by file, line and field with nothing written; what is right comes back."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longodds.analysis import select_runs
from longodds.analysis.arms import build_curves
from longodds.errors import UserError
from longodds.selection import surprisal_of
from longodds.store import RunDir, TaskRecord, VerdictRow, derive_cost, export_samples, import_samples
from longodds.store.foreign import check_row, read_foreign
from longodds.strategies.comparing import read_arm
from longodds.strategies.reading import open_runs
from longodds.types import Status

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))

from synthetic_samples import make_task, study

GOOD = {"task_id": "mine/a", "correct": True, "speedup": 1.5, "logprobs": [-0.5, -1.0]}


def lines(path: Path, *rows) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), encoding="utf-8")
    return path


def without(name, **more):
    return {**{k: v for k, v in GOOD.items() if k != name}, **more}


BAD = [
    ("field 'task_id': is missing (the row has correct, speedup, logprobs)", without("task_id")),
    ("field 'task_id': must be a string, not 4", {**GOOD, "task_id": 4}),
    ("field 'task_id': is empty", {**GOOD, "task_id": " "}),
    ("field 'task_id': is null", {**GOOD, "task_id": None}),
    ("field 'correct': is missing", without("correct")),
    ("field 'correct': must be true or false (or 1 or 0), not \"yes\"", {**GOOD, "correct": "yes"}),
    ("field 'correct': must be true or false (or 1 or 0), not 2", {**GOOD, "correct": 2}),
    ("field 'speedup': is missing", without("speedup")),
    ("field 'speedup': is null", {**GOOD, "speedup": None}),
    ("field 'speedup': must be a number, not \"fast\"", {**GOOD, "speedup": "fast"}),
    ("field 'speedup': must be a number, not true", {**GOOD, "speedup": True}),
    ("field 'speedup': must be a number, not a list", {**GOOD, "speedup": [1.5]}),
    ("field 'speedup': must be above 0, not -1.5", {**GOOD, "speedup": -1.5}),
    ("field 'speedup': must be above 0, not 0", {**GOOD, "speedup": 0}),
    ("field 'speedup': must be a finite number, not NaN", {**GOOD, "speedup": math.nan}),
    ("field 'speedup': must be a finite number, not Infinity", {**GOOD, "speedup": math.inf}),
    ("field 'speedup': must be a finite number", {**GOOD, "speedup": 10**400}),
    ("field 'ci_low': must be a finite number, not NaN", {**GOOD, "ci_low": math.nan}),
    ("field 'ci_high': must be a number, not \"2\"", {**GOOD, "ci_high": "2"}),
    ("field 'ci_low': must be at most ci_high", {**GOOD, "ci_low": 2.0, "ci_high": 1.0}),
    ("field 'ci_low': must be at most the speedup, and 1.6 is above 1.5", {**GOOD, "ci_low": 1.6, "ci_high": 1.7}),
    ("field 'ci_high': must be at least the speedup, and 1.4 is below 1.5", {**GOOD, "ci_high": 1.4}),
    ("field 'ci_high': must be at most 1e+09, not 1e+300", {**GOOD, "ci_high": 1e300}),
    ("field 'speedup': must be from 1e-09 to 1e+09, not 1e+308", {**GOOD, "speedup": 1e308}),
    ("field 'speedup': must be from 1e-09 to 1e+09, not 4.94066e-324", {**GOOD, "speedup": 5e-324}),
    ("field 'logprobs': item 1 must be at least -1e+06, not -1e+308", {**GOOD, "logprobs": [-0.5, -1e308]}),
    (
        "field 'mean_logprob': must be at least -1e+06, not -1e+308",
        without("logprobs", mean_logprob=-1e308, n_tokens=3),
    ),
    ("field 'task_id': holds half of a surrogate pair: \"a\\ud800\"", {**GOOD, "task_id": "a\ud800"}),
    ("field 'logprobs': is missing", without("logprobs")),
    ("field 'logprobs': is missing", without("logprobs", n_tokens=3)),
    ("field 'logprobs': must be a list of numbers, not -0.5", {**GOOD, "logprobs": -0.5}),
    ("field 'logprobs': item 1 must be a number, not null", {**GOOD, "logprobs": [-0.5, None]}),
    ("field 'logprobs': item 1 must be a finite number, not -Infinity", {**GOOD, "logprobs": [-0.5, -math.inf]}),
    ("field 'logprobs': item 0 must be a number, not \"x\"", {**GOOD, "logprobs": ["x"]}),
    ("field 'logprobs': item 0 must be at most 0, not 0.5", {**GOOD, "logprobs": [0.5]}),
    ("field 'logprobs': is empty", {**GOOD, "logprobs": []}),
    ("field 'n_tokens': is missing", without("logprobs", mean_logprob=-1.0)),
    ("field 'n_tokens': must be a whole number, not 2.5", without("logprobs", mean_logprob=-1.0, n_tokens=2.5)),
    ("field 'n_tokens': must be at least 1, not 0", without("logprobs", mean_logprob=-1.0, n_tokens=0)),
    ("field 'mean_logprob': must be at most 0, not 1", without("logprobs", mean_logprob=1.0, n_tokens=2)),
    ("field 'mean_logprob': must be a number, not true", without("logprobs", mean_logprob=True, n_tokens=2)),
    ("field 'program': must be a string, not 3", {**GOOD, "program": 3}),
    ("field 'seed': must be a whole number, not \"0\"", {**GOOD, "seed": "0"}),
    ("field 'seed': must be a whole number, not true", {**GOOD, "seed": True}),
    ("field 'seed': must be a whole number, not NaN", {**GOOD, "seed": math.nan}),
    ("field 'seed': is too large", {**GOOD, "seed": 1 << 63}),
    ("field 'speedup': is given twice", json.dumps(GOOD)[:-1] + ', "speedup": 2.0}'),
    ("not JSON", "{"),
    ("not JSON", '{"a": 1} {"b": 2}'),
    ("must be a JSON object, one a sample, not a list; write one object a line", "[1, 2]"),
    ("must be a JSON object, one a sample, not a number", "7"),
    ("nested too deeply", "[" * 100_000),
]


@pytest.mark.parametrize(("words", "row"), BAD, ids=[f"{i}-{w[:40]}" for i, (w, _) in enumerate(BAD)])
def test_a_row_that_cannot_be_used_is_named_and_nothing_is_written(tmp_path, words, row):
    file = lines(tmp_path / "s.jsonl", GOOD, row, GOOD)
    with pytest.raises(UserError) as caught:
        import_samples(file, tmp_path / "deep" / "run")
    text = str(caught.value)
    assert text.startswith(f"{file}:2: {words}")
    assert len(text) < 300
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.jsonl"]


def test_files_that_are_none(tmp_path):
    (tmp_path / "empty.jsonl").write_bytes(b"")
    (tmp_path / "blank.jsonl").write_bytes(b"\n\r\n \n")
    (tmp_path / "latin.jsonl").write_bytes(json.dumps(GOOD).encode() + b'\n{"task_id": "\xe9"}\n')
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing of the kind PAR1")
    pq.write_table(pa.table({"task_id": pa.array([], pa.string())}), tmp_path / "empty.parquet")
    for name, words in {
        "absent.jsonl": "absent.jsonl: no such file",
        ".": "is a directory",
        "empty.jsonl": "holds no samples",
        "blank.jsonl": "holds no samples",
        "empty.parquet": "holds no samples",
        "latin.jsonl": "latin.jsonl:2: not UTF-8",
        "broken.parquet": "not a readable Parquet file",
    }.items():
        with pytest.raises(UserError, match=words):
            import_samples(tmp_path / name, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_can_be_read_but_once_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(UserError, match="must be a regular file; it is read more than once"):
            import_samples(path, tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["pipe"]


def test_what_a_row_may_hold(tmp_path):
    rows = [
        {
            **GOOD,
            "program": "x = 1",
            "seed": 3,
            "ci_low": 1.4,
            "ci_high": 1.6,
            "note": "é🙂\ud800",
            "tags": [1, {"a": None}],
        },
        {"task_id": "mine/ü", "correct": 0, "speedup": "ignored", "mean_logprob": -2, "n_tokens": 7.0, "bad": math.nan},
        {
            "task_id": "mine/a",
            "correct": 1.0,
            "speedup": 2,
            "logprobs": [0, -1],
            "seed": 3.0,
            "program": "x = 1  # same",
        },
        {"task_id": "mine/a", "correct": False, "logprobs": [], "status": "timeout", "ci_low": "ignored"},
        {"task_id": "mine/a", "correct": False, "logprobs": [-1e-9, 1e-7], "status": "my own word"},
        {"task_id": "mine/a", "correct": True, "timed": False, "logprobs": [-1.0]},
    ]
    file = tmp_path / "s.jsonl"
    text = "\ufeff" + "\r\n".join(json.dumps(r, ensure_ascii=i != 1) for i, r in enumerate(rows[:3])) + "\r\n\r\n"
    file.write_bytes((text + "\n".join(json.dumps(r) for r in rows[3:])).encode("utf-8"))
    done = import_samples(file, tmp_path / "run")
    assert (done.samples, done.tasks, done.cells, done.correct, done.timed, done.with_intervals) == (6, 2, 3, 3, 2, 1)
    first, wrong, same, late, own, untimed = RunDir.open(tmp_path / "run").samples()
    assert first.verdict and first.verdict.speedup == 1.5 and first.verdict.ci_low == 1.4 and first.seed == 3
    assert first.metadata == {"note": "é🙂\ud800", "tags": [1, {"a": None}]}
    assert surprisal_of(first.completion) == (0.75, 1.5, 2)
    assert wrong.task_id == "mine/ü" and wrong.verdict and wrong.verdict.status is Status.INCORRECT
    assert wrong.verdict.speedup is None and wrong.metadata == {"bad": None}
    assert surprisal_of(wrong.completion) == (2.0, 14.0, 7)
    assert same.program_digest == first.program_digest and same.index == 1
    assert late.verdict and late.verdict.status is Status.TIMEOUT and math.isnan(surprisal_of(late.completion)[0])
    assert own.verdict and own.verdict.status is Status.INCORRECT and own.metadata == {"status": "my own word"}
    assert untimed.verdict and untimed.verdict.correct and untimed.verdict.speedup is None
    assert own.program_digest != late.program_digest
    assert derive_cost(RunDir.open(tmp_path / "run"))["charged"].sampled_tokens == 2 + 7 + 2 + 0 + 2 + 1


def test_the_same_import_again_completes_it_and_another_is_refused(tmp_path):
    file = lines(tmp_path / "s.jsonl", *[{**GOOD, "seed": i} for i in range(5)])
    assert not import_samples(file, tmp_path / "run").resumed
    whole = {p.name: p.read_bytes() for p in (tmp_path / "run").glob("s*.jsonl")}
    for name in ("samples.jsonl", "verdicts.jsonl"):  # as a kill leaves them
        path = tmp_path / "run" / name
        path.write_bytes(path.read_bytes()[: -700 if name == "samples.jsonl" else -900])
    assert import_samples(file, tmp_path / "run").resumed
    again = RunDir.open(tmp_path / "run").samples()
    assert sorted(s.seed for s in again) == [0, 1, 2, 3, 4] and all(s.verdict for s in again)
    assert {n: sorted(b.splitlines()) for n, b in whole.items()} == {
        p.name: sorted(p.read_bytes().splitlines()) for p in (tmp_path / "run").glob("s*.jsonl")
    }
    lines(file, GOOD)
    with pytest.raises(UserError, match=r"run of another config: .*sha256"):
        import_samples(file, tmp_path / "run")


def test_parquet_is_read_as_json_lines_are(tmp_path):
    table = {
        "task_id": ["a", "a", "b"],
        "correct": pa.array([1, 0, 1], pa.int8()),
        "speedup": pa.array([1.25, math.nan, 3.0], pa.float32()),
        "logprobs": pa.array([[-0.5, -0.25], [], None], pa.list_(pa.float32())),
        "mean_logprob": [None, None, -1.5],
        "n_tokens": [None, None, 9],
        "when": pa.array([0, 1, None], pa.timestamp("s")),
        "raw": [b"\x00\xff", None, b""],
    }
    pq.write_table(pa.table(table), tmp_path / "s.parquet")
    rows = list(read_foreign(tmp_path / "s.parquet"))
    assert [r.logprobs for r in rows] == [[-0.5, -0.25], [], None]
    assert [(r.mean_logprob, r.n_tokens, r.speedup) for r in rows] == [(None, 2, 1.25), (None, 0, None), (-1.5, 9, 3.0)]
    assert rows[0].metadata == {"when": "1970-01-01T00:00:00", "raw": "00ff"}
    pq.write_table(pa.table({**table, "task_id": [1, 2, 3]}), tmp_path / "s.parquet")
    with pytest.raises(UserError, match=r"s\.parquet:1: field 'task_id': must be a string, not 1"):
        list(read_foreign(tmp_path / "s.parquet"))


def make_run(path: Path, samples, tasks: int) -> Path:
    with RunDir.create_or_resume(path, {"k": 1}, {}) as run:
        run.add_tasks(TaskRecord(make_task(i)) for i in range(tasks))
        run.append_samples(samples)
        for s in samples:
            if s.verdict is not None:
                run.append_verdicts([VerdictRow(s.sample_id, s.verdict)])
    return path


def comparable(samples):
    """The document of select without what an import can't know: the run's name, who judged, what a timing cost."""
    document = select_runs(samples)
    return {k: v for k, v in document.items() if k not in ("runs", "evaluators", "price")}


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_what_is_exported_and_imported_selects_the_same(tmp_path, suffix):
    run = make_run(tmp_path / "a", study("informative", tasks=4, k=10, seeds=2), 4)
    done = export_samples(run, tmp_path / f"out{suffix}")
    assert (done.rows, done.left_out) == (80, 0)
    import_samples(done.file, tmp_path / "b")
    a, b = (RunDir.open(tmp_path / name).samples() for name in "ab")
    assert comparable(a) == comparable(b)
    again = export_samples(tmp_path / "b", tmp_path / f"again{suffix}")
    assert set(again.columns) == set(done.columns)
    import_samples(again.file, tmp_path / "c")
    assert comparable(a) == comparable(RunDir.open(tmp_path / "c").samples())


def test_an_export_is_typed_and_keeps_metadata(tmp_path):
    rows = [
        {**GOOD, "n": 1, "mixed": "x", "text_": "é\ud800", "deep": {"a": [1]}, "rate": 1},
        without("logprobs", mean_logprob=-1.0, n_tokens=4, mixed=7, rate=0.5),
    ]
    import_samples(lines(tmp_path / "s.jsonl", *rows), tmp_path / "run")
    done = export_samples(tmp_path / "run", tmp_path / "deep" / "out.parquet")
    table = pq.read_table(done.file)
    kinds = {f.name: str(f.type) for f in table.schema}
    assert kinds["speedup"] == "double" and kinds["correct"] == "bool" and kinds["seed"] == "int64"
    assert kinds["logprobs"] == "list<element: double>" and kinds["token_ids"] == "list<element: int64>"
    assert (kinds["n"], kinds["mixed"], kinds["rate"]) == ("int64", "string", "double")
    first, second = table.to_pylist()
    assert first["text_"] == "é\\ud800" and first["deep"] == {"a": [1]} and first["mixed"] == '"x"'
    assert second["logprobs"] is None and second["mean_logprob"] == -1.0 and second["n_tokens"] == 4
    assert sorted(p.name for p in done.file.parent.iterdir()) == ["out.parquet"]


def test_an_imported_run_may_be_compared_with_what_its_original_may(tmp_path):
    learned = [dataclasses.replace(s, strategy="ttt", step=s.index // 5) for s in study("informative", tasks=2, k=10)]
    run = make_run(tmp_path / "a", learned, 2)
    file = export_samples(run, tmp_path / "a.jsonl").file
    backwards = lines(tmp_path / "b.jsonl", *reversed(file.read_text().splitlines()))
    for name, source in (("a1", file), ("b1", backwards)):
        import_samples(source, tmp_path / name)
        original, copy = (read_arm(n, RunDir.open(tmp_path / n)) for n in ("a", name))
        curves = [build_curves(arm, frozenset(arm.table.task_ids)) for arm in (original, copy)]
        assert [c.exchangeable for c in curves] == [False, False]
        assert curves[0].any_fast_sig.tolist() == curves[1].any_fast_sig.tolist()
        assert set(copy.table.evaluators) == set(original.table.evaluators) == {"dev0"}
        assert import_samples(source, tmp_path / name).resumed
        assert len(RunDir.open(tmp_path / name).samples()) == 20

    by_seed = [json.loads(row) | {"labels": ["evaluator:seed"]} for row in file.read_text().splitlines()]
    import_samples(lines(tmp_path / "seed.jsonl", *by_seed), tmp_path / "seed")
    with pytest.raises(UserError, match="was judged with --evaluator seed"):
        open_runs([tmp_path / "seed", tmp_path / "a"])
    mixed = lines(tmp_path / "mixed.jsonl", *by_seed, file.read_text().strip())
    with pytest.raises(UserError, match="verdicts of --evaluator seed and others"):
        import_samples(mixed, tmp_path / "mixed")
    assert not (tmp_path / "mixed").exists()


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_a_second_export_keeps_columns_that_bear_our_names(tmp_path, suffix):
    own = {"text": "mine", "index": 7, "step": 0, "evaluator": "judge", "labels": ["a"], "pairs": 3, "strategy": "x"}
    odd = {"text": 5, "index": "b", "step": -1, "evaluator": {}, "labels": "none", "pairs": 1.5, "strategy": None}
    import_samples(lines(tmp_path / "s.jsonl", {**GOOD, **own}, {**GOOD, **odd}), tmp_path / "run")
    first, second = RunDir.open(tmp_path / "run").samples()
    assert (first.index, first.verdict.evaluator, first.verdict.labels) == (0, "judge", ("a",))  # not all have an index
    assert (second.index, second.step, second.verdict.evaluator, second.verdict.labels) == (1, 0, "", ())
    export_samples(tmp_path / "run", tmp_path / f"out{suffix}")
    out = tmp_path / f"out{suffix}"
    rows = pq.read_table(out).to_pylist() if suffix == ".parquet" else map(json.loads, out.read_text().splitlines())
    kept, left = rows
    assert {name: kept[name] for name in own} == own
    assert (left["index"], left["evaluator"], left["labels"], left["strategy"]) == (1, "", [], "import")


def test_exports_that_cannot_be(tmp_path):
    run = make_run(tmp_path / "a", [], 1)
    for to, words in {"x.csv": r"must end in \.parquet or \.jsonl", "x.jsonl": "no judged samples"}.items():
        with pytest.raises(UserError, match=words):
            export_samples(run, tmp_path / to)
    (tmp_path / "dir.jsonl").mkdir()
    with pytest.raises(UserError, match="is a directory"):
        export_samples(run, tmp_path / "dir.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "dir.jsonl"]
    full = make_run(tmp_path / "b", study("informative", tasks=1, k=2), 1)
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file" / "x.jsonl", tmp_path / "file" / "deep" / "x.jsonl", Path("/proc/none/x.jsonl")):
        with pytest.raises(UserError, match=r"--to .*x\.jsonl: cannot be written: .*; name another place"):
            export_samples(full, place)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("suffix", ["parquet", "jsonl"])
def test_load_dataset_reads_an_export(tmp_path, suffix):
    run = make_run(tmp_path / "a", study("informative", tasks=2, k=4), 2)
    done = export_samples(run, tmp_path / f"out.{suffix}")
    kind = "parquet" if suffix == "parquet" else "json"
    code = (
        "import datasets, sys\n"
        f"d = datasets.load_dataset({kind!r}, data_files=sys.argv[1])['train']\n"
        "print(d.num_rows, d.features['speedup'].dtype, len(d[0]['logprobs']) == d[0]['n_tokens'])\n"
    )
    env = {**os.environ, "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1", "HF_HUB_OFFLINE": "1"}
    read = subprocess.run(
        [sys.executable, "-c", code, str(done.file)], capture_output=True, text=True, env=env, timeout=200, check=False
    )
    assert read.stdout.strip() == "8 float64 True", read.stderr


def read_or_named(file: Path):
    """The rows, or None where an error names the file."""
    try:
        return list(read_foreign(file))
    except UserError as e:
        if not str(e).startswith(str(file)):
            raise
        return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(st.text(max_size=3), x, max_size=2),
    max_leaves=4,
)
NAMES = st.sampled_from(
    [*GOOD, "mean_logprob", "n_tokens", "seed", "ci_low", "ci_high", "program", "status", "timed", "x"]
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.lists(st.dictionaries(NAMES, JSON, max_size=7) | JSON, max_size=2))
def test_any_json_is_either_read_or_named(tmp_path, rows):
    file = tmp_path / "s.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    read = read_or_named(file)
    if read is None:
        return
    assert len(read) == len(rows)
    for r in read:
        assert r.task_id.strip()
        assert (r.speedup is None) or (r.status is Status.CORRECT and 0 < r.speedup < math.inf)
        assert (r.logprobs is None) == (r.mean_logprob is not None)
        json.dumps(r.metadata, allow_nan=False)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.binary(max_size=200))
def test_any_bytes_are_either_read_or_named(tmp_path, data):
    for name, content in (
        ("s.jsonl", data),
        ("t.jsonl", json.dumps(GOOD).encode() + b"\n" + data),
        ("p", b"PAR1" + data),
    ):
        (tmp_path / name).write_bytes(content)
        rows = read_or_named(tmp_path / name)
        assert rows is None or (name == "t.jsonl" and len(rows) >= 1)


good_rows = st.fixed_dictionaries(
    {
        "task_id": st.text(min_size=1).filter(str.strip),
        "correct": st.booleans() | st.sampled_from([0, 1]),
        "speedup": st.floats(1e-9, 1e9),
        "logprobs": st.lists(st.floats(-1e6, 0), min_size=1, max_size=5),
    },
    optional={
        "seed": st.integers(-5, 5),
        "program": st.text(),
        "ci_low": st.floats(-1e9, 1e-9),
        "ci_high": st.just(1e9),
    },
)


@settings(deadline=None)
@given(good_rows)
def test_a_good_row_comes_back_as_it_was(row):
    got = check_row(json.loads(json.dumps(row)))
    assert got.task_id == row["task_id"] and got.seed == row.get("seed", 0) and got.program == row.get("program")
    assert (got.status is Status.CORRECT) == bool(row["correct"]) and got.logprobs == row["logprobs"]
    low = None if "ci_low" not in row else max(row["ci_low"], 0.0)
    expected = (row["speedup"], low, row.get("ci_high")) if row["correct"] else (None, None, None)
    assert (got.speedup, got.ci_low, got.ci_high) == expected
    assert got.metadata == {}


@pytest.mark.parametrize("name", ["samples.jsonl", "verdicts.jsonl"])
def test_files_of_a_run_are_not_written_over(tmp_path, name):
    run = make_run(tmp_path / "run", study("informative", tasks=2, k=4), 2)
    before = (run / name).read_bytes()
    (tmp_path / "link.jsonl").symlink_to(run / name)
    for to in (run / name, tmp_path / "link.jsonl"):
        with pytest.raises(UserError, match=r"is a file of the run .*; name another file"):
            export_samples(run, to)
    assert (run / name).read_bytes() == before
    assert export_samples(run, run / "mine.jsonl").rows == 8
