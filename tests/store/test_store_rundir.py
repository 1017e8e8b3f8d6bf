"""Run directories: created once, resumed only by the same config, read while written, exact both ways."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from longodds.errors import InfraError, UserError
from longodds.store import RunDir, TaskRecord, VerdictRow, cost_document, derive_cost, owed_indices, sample_id
from longodds.store.rows import sample_from_row, sample_to_row, task_from_row, task_to_row
from longodds.types import Completion, Cost, Message, Prompt, Sample, Status, Task, Verdict, digest_text

TASK = Task("cpu/t", "cpu", "class Model: ...", digest_text("class Model: ..."), {"family": "f"})
CONFIG = {"k": 2, "temperature": 0.8}
MANIFEST = {"policy": {"name": "fake", "parameters": 10}}


def make_sample(index: int, seed: int = 0, **more) -> Sample:
    completion = Completion((1, 2, 3), (-0.5, -0.25, -1e-7), (-0.4, -0.2, -0.1), (0, 2), "text", "stop", "v1")
    fields = {
        "sample_id": sample_id(TASK, seed=seed, strategy="best_of_n", step=0, index=index),
        "task_id": TASK.id,
        "seed": seed,
        "index": index,
        "strategy": "best_of_n",
        "step": 0,
        "completion": completion,
        "program": "p",
        "program_digest": "d",
    }
    return Sample(**{**fields, **more})


def test_created_then_resumed_then_read(tmp_path):
    path = tmp_path / "runs" / "a"
    prompt = Prompt(text="def f():", stop_regex="x", style="forward-body")
    with RunDir.create_or_resume(path, CONFIG, MANIFEST) as run:
        assert not run.resumed
        run.add_tasks([TaskRecord(TASK, prompt, (5, 6, 7))])
        run.append_samples([make_sample(0), make_sample(1)], seconds=3.0)
        run.append_verdicts(
            [VerdictRow(make_sample(0).sample_id, Verdict(TASK.id, Status.CORRECT, speedup=2.0, pairs=8))]
        )
        run.append_metrics({"a": 1})
        run.log("hello")
    with RunDir.create_or_resume(path, CONFIG, {"policy": {"name": "other"}}) as run:
        assert run.resumed
        assert run.repaired == {}
        run.add_tasks([TaskRecord(TASK, prompt, (5, 6, 7))])
    run = RunDir.open(path)
    assert run.config == CONFIG
    assert run.manifest["policy"] == MANIFEST["policy"]
    assert len(run.manifest["attempts"]) == 2
    assert run.tasks() == {TASK.id: TASK}
    assert run.records()[TASK.id] == TaskRecord(TASK, prompt, (5, 6, 7))
    first, second = run.samples()
    assert first.verdict == Verdict(TASK.id, Status.CORRECT, speedup=2.0, pairs=8)
    assert second == make_sample(1)
    assert run.metrics() == [{"a": 1}]
    assert (path / "logs" / "attempt_1.log").read_text().endswith("hello\n")
    with pytest.raises(RuntimeError, match="opened for reading"):
        run.append_samples([make_sample(2)])


def test_the_manifest_names_the_machine_that_judged_last(tmp_path):
    path = tmp_path / "a"
    first = {"policy": {"version": "v1"}, "device_name": "A", "evaluator": "e1", "isolation": {"landlock": "on"}}
    again = {"policy": {"version": "v1", "probed": 2}, "device_name": "B", "evaluator": "e2"}  # --re-evaluate
    for manifest in (first, again, {"device_name": "C"}):  # at C there was nothing to do
        RunDir.create_or_resume(path, CONFIG, manifest).close()
    whole = RunDir.open(path).manifest
    assert (whole["device_name"], whole["evaluator"], whole["policy"]) == ("B", "e2", {"version": "v1"})
    assert "isolation" not in whole  # as that evaluator was not isolated by this
    assert whole["started"] == whole["attempts"][0]["started"]
    assert [a["device_name"] for a in whole["attempts"]] == ["A", "B", "C"]


@pytest.mark.parametrize("call", ["os.pwrite", "os.ftruncate", "pathlib.Path.mkdir"])
def test_a_full_disk_is_no_mistake_of_the_caller(tmp_path, monkeypatch, call):
    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(call, full)
        with pytest.raises(InfraError, match="No space left"):
            RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST)
    RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST).close()  # the lock was let go


def test_another_config_names_the_keys_and_changes_nothing(tmp_path):
    RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST).close()
    before = {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=r"another config: k \(2, now 3\)") as caught:
        RunDir.create_or_resume(tmp_path / "a", {**CONFIG, "k": 3}, MANIFEST)
    assert "temperature" not in str(caught.value)
    assert before == {p: p.read_bytes() for p in (tmp_path / "a").rglob("*") if p.is_file()}


def test_what_is_no_run_directory(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "notes.txt").write_text("mine")
    for path, words in {"file": "is a file", "file/x": "is a file", "dir": "no run directory"}.items():
        with pytest.raises(UserError, match=words):
            RunDir.create_or_resume(tmp_path / path, CONFIG, MANIFEST)
    with pytest.raises(UserError, match="no such run directory"):
        RunDir.open(tmp_path / "absent")
    with pytest.raises(UserError, match="is no run directory"):
        RunDir.open(tmp_path / "dir")
    assert [p.name for p in (tmp_path / "dir").iterdir()] == ["notes.txt"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="no permission"):
        RunDir.check(tmp_path / "a", CONFIG)
    tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a file system that refuses new directories")
def test_a_directory_that_cannot_be_made():
    with pytest.raises(UserError, match=r"/proc/none/run: (cannot be created|no permission)"):
        RunDir.create_or_resume("/proc/none/run", CONFIG, MANIFEST)


def test_a_run_killed_while_it_was_created_is_begun_again(tmp_path):
    path = tmp_path / "a"
    RunDir.create_or_resume(path, CONFIG, MANIFEST).close()
    (path / "config.json").unlink()
    for name in ("tasks", "samples", "verdicts", "metrics"):
        (path / f"{name}.jsonl").unlink()
    assert not RunDir.check(path, {"k": 9})
    with RunDir.create_or_resume(path, {"k": 9}, MANIFEST) as run:
        assert run.config == {"k": 9}


def test_one_writer_and_any_reader(tmp_path):
    code = f"""
from longodds.store import RunDir
import sys
RunDir.open({str(tmp_path / "a")!r}).samples()
try:
    RunDir.create_or_resume({str(tmp_path / "a")!r}, {CONFIG!r}, {{}})
except Exception as e:
    print(type(e).__name__, e)
"""
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST):
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        assert out.startswith("UserError")
        assert f"another longodds is writing this run (process {os.getpid()})" in out
        with pytest.raises(UserError, match="another longodds"):
            RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out == ""


def test_torn_tails_are_repaired_on_open_and_owed_again(tmp_path):
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        run.append_samples([make_sample(0), make_sample(1)])
    samples = tmp_path / "a" / "samples.jsonl"
    samples.write_bytes(samples.read_bytes()[:-5])
    assert [s.index for s in RunDir.open(tmp_path / "a").samples()] == [0]
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        assert run.repaired["samples.jsonl"] > 0
        owed = owed_indices(TASK, seed=0, strategy="best_of_n", step=0, k=4, have=run.sampled_ids())
        assert owed == [1, 2, 3]
        run.append_samples([make_sample(i) for i in owed])
    assert [s.index for s in RunDir.open(tmp_path / "a").samples()] == [0, 1, 2, 3]


def test_what_is_owed_goes_by_task_content(tmp_path):
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        run.append_samples([make_sample(0)])
        changed = dataclasses.replace(TASK, digest="other")
        have = run.sampled_ids()
        assert owed_indices(TASK, seed=0, strategy="best_of_n", step=0, k=2, have=have) == [1]
        assert owed_indices(changed, seed=0, strategy="best_of_n", step=0, k=2, have=have) == [0, 1]
        assert owed_indices(TASK, seed=1, strategy="best_of_n", step=0, k=2, have=have) == [0, 1]
        run.add_tasks([TaskRecord(TASK)])
        with pytest.raises(UserError, match="task cpu/t has changed"):
            run.add_tasks([TaskRecord(changed)])


def test_prompts_of_other_tokens_are_told_and_the_first_are_kept(tmp_path):
    other = dataclasses.replace(TASK, id="cpu/u")
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        assert run.add_tasks([TaskRecord(TASK, Prompt(text="x"), (5, 6)), TaskRecord(other, None, (-1, -1))]) == []
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        assert run.add_tasks([TaskRecord(TASK, Prompt(text="x"), (5, 6))]) == []
        assert run.add_tasks([TaskRecord(TASK), TaskRecord(other, None, (1, 2))]) == [], "ids that are not known"
        assert run.add_tasks([TaskRecord(TASK, Prompt(text="x"), (5, 7))]) == [TASK.id]
        assert [r.prompt_token_ids for r in run.records().values()] == [(5, 6), (-1, -1)]


def test_the_latest_verdict_counts_but_infra_never_replaces_an_answer(tmp_path):
    key = make_sample(0).sample_id
    infra = Verdict(TASK.id, Status.INFRA_ERROR, message="gone")
    slow, fast = (Verdict(TASK.id, Status.CORRECT, speedup=x) for x in (1.0, 2.0))
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        run.append_samples([make_sample(0)])
        for verdict, expected in [(infra, infra), (slow, slow), (infra, slow), (fast, fast)]:
            run.append_verdicts([VerdictRow(key, verdict)])
            assert run.samples()[0].verdict == expected
        assert len(run.verdict_rows()) == 4


def test_what_is_settled_and_what_is_still_to_time():
    row = VerdictRow("s", Verdict("t", Status.CORRECT), timed=False)
    assert row.settled
    assert not row.has_timing
    assert VerdictRow("s", Verdict("t", Status.INCORRECT), timed=False).has_timing
    assert VerdictRow("s", Verdict("t", Status.CORRECT), timed=True).has_timing
    assert not VerdictRow("s", Verdict("t", Status.INFRA_ERROR), timed=True).settled


def test_a_sample_id_twice_counts_once(tmp_path):
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        run.append_samples([make_sample(0)])
        run.append_samples([make_sample(0), make_sample(1)])
        assert [s.index for s in run.samples()] == [0, 1]
        assert len(list(run.sample_rows())) == 2


def test_log_probabilities_that_are_not_finite_are_refused(tmp_path):
    bad = Completion((1,), (float("-inf"),), (-0.1,), (0, 1), "", "stop", "v")
    with (
        RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run,
        pytest.raises(InfraError, match="cpu/t, seed 0, sample 3: the policy gave a log-probability"),
    ):
        run.append_samples([make_sample(3, completion=bad)])


def test_cost_is_charged_beside_run(tmp_path):
    ok = Verdict(TASK.id, Status.CORRECT, pairs=8, seconds=2.0)
    with RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST) as run:
        run.add_tasks([TaskRecord(TASK, Prompt(text="x"), (1, 2, 3, 4))])
        run.append_samples([make_sample(0), make_sample(1)], seconds=1.0)
        run.append_samples([make_sample(2)], seconds=1.0)
        ids = [make_sample(i).sample_id for i in range(3)]
        run.append_verdicts([VerdictRow(ids[0], ok), VerdictRow(ids[1], ok, duplicate_of=ids[0])])
        run.append_verdicts([VerdictRow(ids[2], Verdict(TASK.id, Status.INFRA_ERROR, seconds=5.0))])
        run.append_verdicts([VerdictRow(ids[2], Verdict(TASK.id, Status.INCORRECT, seconds=1.0))])
        costs = derive_cost(run)
    charged, ran = costs["charged"], costs["run"]
    assert (charged.prompt_tokens, charged.sampled_tokens, charged.flops) == (4, 9, 2 * 10 * 13)
    assert (ran.prompt_tokens, ran.sampled_tokens, ran.flops) == (8, 9, 2 * 10 * 17)
    assert (charged.evaluations, charged.timings, charged.device_seconds) == (3, 2, 2 + 2 * 2 + 1)
    assert (ran.evaluations, ran.timings, ran.device_seconds) == (3, 1, 2 + 2 + 5 + 1)
    document = cost_document(costs, {"price_sampled": 1e6, "price_prompt": 0.0})
    assert document["charged"]["money"] == 9.0
    assert "money" not in cost_document(costs, {"price_sampled": 0.0})["run"]
    learned = {"run": ran + Cost(trained_tokens=5, device_seconds=3600.0)}  # its tokens have no price
    assert "money" not in cost_document(learned, {"price_sampled": 1e6})["run"]
    assert cost_document(learned, {"price_device": 2.0})["run"]["money"] > 2.0


LOGPROB = st.floats(max_value=0, width=32, allow_infinity=False)


@given(
    pairs=st.lists(st.tuples(st.integers(0, 2**31), LOGPROB, LOGPROB), max_size=8),
    text=st.text(st.characters()),
    program=st.text(st.characters()),
)
def test_samples_come_back_exactly_in_float32(pairs, text, program):
    ids, raw, tempered = zip(*pairs, strict=True) if pairs else ((), (), ())
    completion = Completion(ids, raw, tempered, (0, len(ids)), text, "length", "v")
    sample = make_sample(0, completion=completion, program=program)
    back = sample_from_row(json.loads(json.dumps(sample_to_row(sample))))
    for name in ("logprobs", "sampling_logprobs"):
        was, now = (np.array(getattr(s.completion, name), dtype=np.float32) for s in (sample, back))
        assert np.array_equal(was, now)
    same = {"logprobs": (), "sampling_logprobs": ()}
    without = [dataclasses.replace(s, completion=dataclasses.replace(s.completion, **same)) for s in (sample, back)]
    assert without[0] == without[1]


def test_chat_prompts_come_back():
    prompt = Prompt(messages=(Message("system", "a"), Message("user", "b")), style="module")
    record = TaskRecord(TASK, prompt, (1,))
    assert task_from_row(json.loads(json.dumps(task_to_row(record)))) == record
    assert task_from_row(task_to_row(TaskRecord(TASK))) == TaskRecord(TASK)


@pytest.mark.parametrize("line", ['{"sample_id": "x"}', '{"no": "id"}', '{"sample_id":"x","task_id":"t","seed":0}'])
def test_a_row_of_something_else_is_named(tmp_path, line):
    RunDir.create_or_resume(tmp_path / "a", CONFIG, MANIFEST).close()
    (tmp_path / "a" / "samples.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"samples\.jsonl: a row lacks the field"):
        RunDir.open(tmp_path / "a").samples()
