"""Best-of-N: every sample a verdict, equal programs run once, resumable wherever it stops."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from run_fakes import FakeEvaluator, FakePolicy, Recorder, make_tasks

from longodds.analysis import select_runs
from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.selection import to_candidates
from longodds.store import RunDir, derive_cost, judging_seconds
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.estimate import estimate
from longodds.strategies.planning import parse_time
from longodds.types import Status

TASKS = make_tasks(3)


def settings(**flags) -> BestOfNSettings:
    return resolve(BestOfNSettings, flags={"suite": "fake", "k": 12, "seeds": [0, 1], "batch_size": 5, **flags})


def run_fresh(path, policy=None, evaluator=None, *, tasks=TASKS, progress=None, **flags):
    policy = policy or FakePolicy()
    evaluator = evaluator or FakeEvaluator()
    outcome = best_of_n(path, settings(**flags), policy=policy, evaluator=evaluator, tasks=tasks, progress=progress)
    return outcome, policy, evaluator


def contents(path) -> list[tuple]:
    return sorted(
        (s.sample_id, s.program, s.verdict and s.verdict.status, s.verdict and s.verdict.speedup)
        for s in RunDir.open(path).samples()
    )


def test_every_sample_has_a_verdict_and_equal_programs_run_once(tmp_path):
    progress = Recorder()
    outcome, policy, evaluator = run_fresh(tmp_path / "a", progress=progress)
    assert outcome.complete
    assert outcome.expected == 3 * 2 * 12
    run = RunDir.open(tmp_path / "a")
    samples = run.samples()
    assert len({s.sample_id for s in samples}) == len(samples) == 72
    assert Counter((s.task_id, s.seed) for s in samples) == {(t.id, s): 12 for t in TASKS for s in (0, 1)}
    assert all(s.verdict is not None for s in samples)
    assert len(evaluator.ran) == len({(s.task_id, s.program_digest) for s in samples})
    rows = {r.sample_id: r for r in run.verdict_rows()}
    by_id = {s.sample_id: s for s in samples}
    duplicates = [r for r in rows.values() if r.duplicate_of]
    assert len(duplicates) == 72 - len(evaluator.ran)
    for row in duplicates:
        origin = rows[row.duplicate_of]
        assert origin.duplicate_of is None
        assert origin.verdict == row.verdict
        assert by_id[row.duplicate_of].program_digest == by_id[row.sample_id].program_digest
    assert progress.count == {"sampled": 72, "judged": 72, "repeated": len(duplicates)}
    assert [len(c.indices) for c in policy.calls] == [5, 5, 2] * 6
    cost = json.loads((tmp_path / "a" / "cost.json").read_text())
    assert len(evaluator.again) == 3
    assert cost["charged"]["evaluations"] == 72 + 3
    assert cost["run"]["evaluations"] == len(evaluator.ran) + 3
    assert cost["run"]["prompt_tokens"] == 3 * cost["charged"]["prompt_tokens"]
    assert cost["charged"]["flops"] == 2000 * (cost["charged"]["prompt_tokens"] + cost["charged"]["sampled_tokens"])


@pytest.mark.parametrize("luck", [False, True])
def test_the_winner_of_a_task_is_measured_again_and_decides(tmp_path, luck):
    evaluator = FakeEvaluator()
    evaluator.luck = luck
    run_fresh(tmp_path / "a", evaluator=evaluator)
    samples = RunDir.open(tmp_path / "a").samples()
    for task in TASKS:
        mine = [s for s in samples if s.task_id == task.id]
        again = [call for call in evaluator.again if call[0] == task.id]
        assert [among for _, _, among in again] == [len({s.program_digest for s in mine})]
        winners = [s for s in mine if s.verdict.remeasured_among]
        assert {s.program for s in winners} == {again[0][1]}
        assert all((s.verdict.ci_low > 1) != luck for s in winners)
        assert all("torch.add" in s.program for s in winners)
    last = select_runs(samples)["scaling"][-1]
    assert last["any_of_k"] == 1.0
    assert last["any_of_k_sig"] == (0.0 if luck else 1.0)


def test_a_winner_is_measured_again_once_even_if_the_run_goes_on(tmp_path):
    first, again = FakeEvaluator(), FakeEvaluator()
    first.broken, first.stays_broken = "torch.add", False
    run_fresh(tmp_path / "a", evaluator=first)
    run_fresh(tmp_path / "a", evaluator=again)
    assert len(first.again) == 3
    assert not again.again


def test_a_torn_write_of_a_winner_is_made_whole(tmp_path):
    run_fresh(tmp_path / "a")
    path = tmp_path / "a" / "verdicts.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    last = next(i for i, r in enumerate(rows) if "remeasured" in r["labels"])
    group = [
        i
        for i in range(last, len(rows))
        if "remeasured" in rows[i]["labels"] and rows[i]["task_id"] == rows[last]["task_id"]
    ]
    assert len(group) > 1, "the winner has no copies: this test shows nothing"
    kept = [r for i, r in enumerate(rows) if i not in group[1:]]
    path.write_text("".join(json.dumps(r) + "\n" for r in kept))
    again = FakeEvaluator()
    run_fresh(tmp_path / "a", evaluator=again)
    assert not again.again
    for task in TASKS:
        mine = [s for s in RunDir.open(tmp_path / "a").samples() if s.task_id == task.id]
        winner = {s.program_digest for s in mine if s.verdict.remeasured_among}
        assert len(winner) == 1
        assert all(s.verdict.remeasured_among for s in mine if s.program_digest in winner)


def test_a_lost_row_of_a_task_is_written_again(tmp_path):
    run_fresh(tmp_path / "a")
    cost = RunDir.open(tmp_path / "a").cost()["charged"]
    path = tmp_path / "a" / "tasks.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    run_fresh(tmp_path / "a")
    assert set(RunDir.open(tmp_path / "a").records()) == {t.id for t in TASKS}
    assert RunDir.open(tmp_path / "a").cost()["charged"] == cost


def test_metrics_say_what_the_samples_say(tmp_path):
    run_fresh(tmp_path / "a")
    run = RunDir.open(tmp_path / "a")
    metrics = run.metrics()
    assert len(metrics) == 6
    for row in metrics:
        cell = [s.verdict for s in run.samples() if (s.task_id, s.seed) == (row["task_id"], row["seed"])]
        assert row["n"] == len(cell) == 12
        assert sum(row["statuses"].values()) == 12
        assert row["fast_1"] == sum((v.speedup or 0) > 1 for v in cell)
        assert row["fast_1_sig"] == sum((v.ci_low or 0) > 1 for v in cell)


def test_a_finished_run_is_finished(tmp_path):
    run_fresh(tmp_path / "a")
    before = contents(tmp_path / "a")
    outcome, policy, evaluator = run_fresh(tmp_path / "a")
    assert outcome.complete
    assert outcome.resumed
    assert (policy.calls, evaluator.ran) == ([], [])
    assert contents(tmp_path / "a") == before
    assert len(RunDir.open(tmp_path / "a").metrics()) == 6


@pytest.mark.parametrize("calls", [0, 1, 4, 9])
def test_interrupted_while_sampling(tmp_path, calls):
    run_fresh(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run_fresh(tmp_path / "a", FakePolicy(fail_after=calls))
    assert (tmp_path / "a" / "cost.json").exists()
    drawn = {s.sample_id for s in RunDir.open(tmp_path / "a").samples()}
    _, policy, _ = run_fresh(tmp_path / "a")
    assert sum(len(c.indices) for c in policy.calls) == 72 - len(drawn)
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


@pytest.mark.parametrize("stop_after", [0, 1, 7, 13])
def test_interrupted_while_judging_keeps_finished_verdicts(tmp_path, stop_after):
    _, _, whole = run_fresh(tmp_path / "whole")
    first = FakeEvaluator()
    first.stop_after = stop_after
    with pytest.raises(KeyboardInterrupt):
        run_fresh(tmp_path / "a", evaluator=first)
    _, _, second = run_fresh(tmp_path / "a")
    assert len(first.ran) + len(second.ran) == len(whole.ran), "nothing is run twice"
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")


def test_a_run_that_goes_on_with_other_prompts_says_so(tmp_path):
    class Dated(FakePolicy):
        today = 1

        def encode(self, prompt):
            return [self.today, *super().encode(prompt)]

    with pytest.raises(KeyboardInterrupt):
        run_fresh(tmp_path / "a", Dated(fail_after=2))
    same, later = Recorder(), Recorder()
    with pytest.raises(KeyboardInterrupt):
        run_fresh(tmp_path / "a", Dated(fail_after=2), progress=same)
    Dated.today = 2
    outcome, _, _ = run_fresh(tmp_path / "a", Dated(), progress=later)
    assert outcome.complete, "it remains resumable"
    assert not [n for n in same.notes if "other tokens" in n]
    (note,) = [n for n in later.notes if "other tokens" in n]
    assert f"(task {TASKS[0].id}; 3 in all;" in note and "\n" not in note


def test_infrastructure_failures_are_retried_and_owed_again(tmp_path):
    progress = Recorder()
    outcome, _, _ = run_fresh(tmp_path / "once", evaluator=FakeEvaluator(broken="return x * 1"), progress=progress)
    assert outcome.complete
    assert any("got no verdict" in n for n in progress.notes)
    stubborn = FakeEvaluator(broken="return x * 1")
    stubborn.stays_broken = True
    outcome, _, _ = run_fresh(tmp_path / "a", evaluator=stubborn)
    bad = [s for s in RunDir.open(tmp_path / "a").samples() if s.verdict.status is Status.INFRA_ERROR]
    assert outcome.unjudged == len(bad) > 0
    assert not outcome.complete
    outcome, _, evaluator = run_fresh(tmp_path / "a")
    assert outcome.complete
    assert {p for _, p, _ in evaluator.ran} <= {s.program for s in bad}
    assert contents(tmp_path / "a") == contents(tmp_path / "once")


def test_a_task_that_cannot_be_judged_by_is_named_and_the_others_are_done(tmp_path):
    class Picky(FakeEvaluator):
        def evaluate(self, task, program, *, timed=True):
            if task.id == "fake/t1":
                raise UserError("its reference raises: no")
            return super().evaluate(task, program, timed=timed)

    class Local(FakePolicy):
        device = "cpu"  # where programs are timed: nothing is sampled ahead, so nothing is sampled in vain

    progress = Recorder()
    outcome, policy, _ = run_fresh(tmp_path / "a", Local(), evaluator=Picky(), progress=progress)
    assert outcome.unusable == {"fake/t1": "its reference raises: no"}
    assert not outcome.complete
    assert outcome.unjudged == 0
    assert any("fake/t1 cannot be judged by" in n for n in progress.notes)
    assert sum(c.task_digest == TASKS[1].digest and c.seed == 1 for c in policy.calls) == 0
    samples = RunDir.open(tmp_path / "a").samples()
    assert all(s.verdict is not None for s in samples if s.task_id != "fake/t1")
    assert sum(s.task_id != "fake/t1" for s in samples) == 48


def test_time_none_times_nothing_and_is_complete(tmp_path):
    outcome, _, evaluator = run_fresh(tmp_path / "a", time="none")
    assert outcome.complete
    assert not any(timed for _, _, timed in evaluator.ran)
    _, _, again = run_fresh(tmp_path / "a", time="none")
    assert again.ran == []


@pytest.mark.parametrize("strategy", ["surprisal", "most-confident", "random"])
def test_time_top_times_what_the_strategy_names_and_nothing_else(tmp_path, strategy):
    outcome, _, evaluator = run_fresh(tmp_path / "a", time=f"top:2:{strategy}", seeds=[0])
    assert outcome.complete
    plan = parse_time(f"top:2:{strategy}")
    samples = RunDir.open(tmp_path / "a").samples()
    for task in TASKS:
        cell = [s for s in samples if s.task_id == task.id]
        chosen = set(plan.selector(0).rank(to_candidates(cell))[:2])
        timed = {s.program_digest for s in cell if s.verdict.speedup is not None}
        assert timed == chosen
    assert sum(timed for _, _, timed in evaluator.ran) == sum(
        len({s.program_digest for s in samples if s.task_id == t.id and s.verdict.speedup}) for t in TASKS
    )
    _, _, again = run_fresh(tmp_path / "a", time=f"top:2:{strategy}", seeds=[0])
    assert again.ran == []


def test_a_chosen_program_that_timing_proves_wrong_makes_room(tmp_path):
    evaluator = FakeEvaluator(wrong_when_timed="torch.add")
    outcome, _, _ = run_fresh(tmp_path / "a", evaluator=evaluator, time="top:1:surprisal", seeds=[0])
    assert outcome.complete
    for task in TASKS:
        cell = [s for s in RunDir.open(tmp_path / "a").samples() if s.task_id == task.id]
        correct = {s.program_digest for s in cell if s.verdict.correct}
        timed = {s.program_digest for s in cell if s.verdict.speedup is not None}
        assert len(timed) == min(1, len(correct))


def test_max_seconds_keeps_what_was_paid_for_and_the_same_command_goes_on(tmp_path):
    ticks = iter(range(10_000))
    progress = Recorder()
    outcome = best_of_n(
        tmp_path / "a",
        settings(max_seconds=4.0),
        policy=FakePolicy(),
        evaluator=FakeEvaluator(),
        tasks=TASKS,
        progress=progress,
        clock=lambda: float(next(ticks)),
    )
    assert outcome.stopped == "max_seconds"
    assert 0 < outcome.samples < outcome.expected
    assert outcome.unjudged == 0
    assert any("4 seconds are over" in n for n in progress.notes)
    outcome, _, _ = run_fresh(tmp_path / "a", max_seconds=1000.0)
    assert outcome.complete


def test_max_cost_counts_money(tmp_path):
    outcome, _, _ = run_fresh(tmp_path / "a", max_cost=50e-6, price_sampled=1.0)
    assert outcome.stopped == "max_cost"
    cost = json.loads((tmp_path / "a" / "cost.json").read_text())
    assert 50e-6 <= cost["run"]["money"] < 100e-6


def test_another_config_other_weights_another_evaluator_and_changed_tasks_are_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run_fresh(tmp_path / "a", FakePolicy(fail_after=12))  # so far ahead that the first cell is surely judged
    before = contents(tmp_path / "a")
    with pytest.raises(UserError, match=r"another config: k \(12, now 13\)"):
        run_fresh(tmp_path / "a", k=13)
    with pytest.raises(UserError, match="other weights of fake"):
        run_fresh(tmp_path / "a", FakePolicy("v2"))
    with pytest.raises(UserError, match=r"another evaluator .* --re-evaluate, or give another RUN"):
        run_fresh(tmp_path / "a", evaluator=FakeEvaluator("e2"))
    with pytest.raises(UserError, match="tasks that are not asked for"):
        run_fresh(tmp_path / "a", tasks=TASKS[1:])
    changed = make_tasks(3)
    object.__setattr__(changed[0], "digest", "other")
    with pytest.raises(UserError, match="task fake/t0 has changed"):
        run_fresh(tmp_path / "a", tasks=changed)
    assert contents(tmp_path / "a") == before
    assert run_fresh(tmp_path / "a")[0].complete


def test_re_evaluate_measures_all_again_with_the_other_evaluator(tmp_path):
    run_fresh(tmp_path / "a")
    other = FakeEvaluator("e2")
    best_of_n(tmp_path / "a", settings(), policy=FakePolicy(), evaluator=other, tasks=TASKS, re_evaluate=True)
    samples = RunDir.open(tmp_path / "a").samples()
    assert {s.verdict.evaluator for s in samples} == {"e2"}
    assert len(other.ran) == len({(s.task_id, s.program_digest) for s in samples})
    rows = [r for r in RunDir.open(tmp_path / "a").verdict_rows() if not r.verdict.remeasured_among]
    assert len(rows) == 144
    assert {r.verdict.evaluator for r in rows} == {"e1", "e2"}


def test_what_was_judged_again_is_charged_once_and_was_run_twice(tmp_path):
    run_fresh(tmp_path / "a")
    first, seconds = derive_cost(RunDir.open(tmp_path / "a")), judging_seconds(RunDir.open(tmp_path / "a"))
    for times, digest in ((2, "e2"), (3, "e1")):  # and back again
        again = FakeEvaluator(digest)
        best_of_n(tmp_path / "a", settings(), policy=FakePolicy(), evaluator=again, tasks=TASKS, re_evaluate=True)
        cost = derive_cost(RunDir.open(tmp_path / "a"))
        assert cost["charged"] == first["charged"]
        assert cost["run"].evaluations == times * first["run"].evaluations
        now = judging_seconds(RunDir.open(tmp_path / "a"))
        assert {k: c for k, (c, _) in now.items()} == {k: c for k, (c, _) in seconds.items()}
        assert sum(r for _, r in now.values()) == times * sum(r for _, r in seconds.values())


def test_nothing_is_written_when_the_policy_cannot_be_opened(tmp_path):
    with pytest.raises(UserError, match="unknown policy 'nonsense'"):
        best_of_n(tmp_path / "a", settings(policy="nonsense"), evaluator=FakeEvaluator(), tasks=TASKS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["some", "top:0:surprisal", "top:3:speed", "top:3", "top:-1:surprisal"])
def test_a_bad_time_plan_is_one_line(tmp_path, text):
    with pytest.raises(UserError, match="--time") as caught:
        run_fresh(tmp_path / "a", time=text)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_estimate_is_an_upper_bound(tmp_path):
    s = settings(price_sampled=2.0, max_tokens=10)
    bound = estimate(s, policy=FakePolicy(), tasks=TASKS)
    run_fresh(tmp_path / "a", max_tokens=10)
    cost = json.loads((tmp_path / "a" / "cost.json").read_text())["run"]
    assert (bound.samples, bound.prompt_tokens) == (72, cost["prompt_tokens"])
    assert bound.max_sampled_tokens == 720 >= cost["sampled_tokens"]
    assert bound.max_flops >= cost["flops"]
    assert bound.max_money == pytest.approx(720 * 2 / 1e6)


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from run_fakes import FakeEvaluator, FakePolicy, make_tasks
from longodds.analysis import select_runs
from longodds.config import BestOfNSettings, resolve
from longodds.strategies.best_of_n import best_of_n

class SlowPolicy(FakePolicy):
    def sample(self, *a):
        time.sleep(0.01)
        return super().sample(*a)

class SlowEvaluator(FakeEvaluator):
    def evaluate(self, *a, **k):
        time.sleep(0.005)
        return super().evaluate(*a, **k)

print("ready", flush=True)
s = resolve(BestOfNSettings, flags={"suite": "fake", "k": 12, "seeds": [0, 1], "batch_size": 5})
best_of_n(sys.argv[2], s, policy=SlowPolicy(), evaluator=SlowEvaluator(), tasks=make_tasks(3))
"""


def lines(path: Path) -> int:
    """Rows of samples and verdicts so far."""
    files = [path / "samples.jsonl", path / "verdicts.jsonl"]
    return sum(f.read_bytes().count(b"\n") for f in files if f.exists())


def test_kill_9_and_again_until_done(tmp_path):
    run_fresh(tmp_path / "whole")
    rng = random.Random(0)
    command = [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(tmp_path / "a")]
    verdicts: dict[str, Status] = {}
    for attempt in range(1, 7):
        enough = lines(tmp_path / "a") + rng.randrange(1, 30)
        p = subprocess.Popen(command, stdout=subprocess.PIPE, env=dict(os.environ))
        assert p.stdout is not None
        p.stdout.readline()
        while attempt < 6 and lines(tmp_path / "a") < enough and p.poll() is None:
            time.sleep(0.001)
        if attempt < 6:
            p.send_signal(signal.SIGKILL)
        p.wait()
        p.stdout.close()
        now = {s.sample_id: s.verdict for s in RunDir.open(tmp_path / "a").samples() if s.verdict}
        changed = {key for key, verdict in verdicts.items() if now.get(key) != verdict}
        assert all(now[key].remeasured_among for key in changed), "finished verdicts are kept, but for a winner's"
        verdicts = now
        if p.returncode == 0:
            break
        assert p.returncode == -signal.SIGKILL
    assert p.returncode == 0
    assert attempt > 3, "it was killed in the middle"
    assert contents(tmp_path / "a") == contents(tmp_path / "whole")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert len(manifest["attempts"]) == attempt


def test_a_prompt_beyond_the_context_is_told_before_a_run_is_made(tmp_path):
    settings = BestOfNSettings(suite="fake", k=2, max_tokens=256)
    for context, fits in ((100, False), (275, False), (276, True), (None, True)):
        policy, path = FakePolicy(), tmp_path / str(context)
        policy.context = context  # its prompts are of 20 tokens
        if fits:
            assert best_of_n(path, settings, policy=policy, evaluator=FakeEvaluator(), tasks=make_tasks(1)).complete
            continue
        with pytest.raises(
            UserError, match=f"20 tokens and 256 new ones are more than the context of 'fake', {context}"
        ):
            best_of_n(path, settings, policy=policy, evaluator=FakeEvaluator(), tasks=make_tasks(1))
        assert not path.exists()
