"""Test-time training and the outer loop on a table of logits: rounds, the choice of a step, guardrails, resuming."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from run_fakes import FakeEvaluator, Recorder, make_tasks
from tabular import TabularLearner

from longodds.analysis.arms import build_curves
from longodds.config import resolve
from longodds.errors import InfraError, UserError
from longodds.store import RunDir, derive_cost
from longodds.strategies import adapt
from longodds.strategies.adapt import rlvr, ttt
from longodds.strategies.comparing import read_arm
from longodds.strategies.learning_settings import RLVRSettings, SDPOSettings, TTTSettings

FLAGS = {"suite": "fake", "k": 6, "held_out": 3, "lr": 0.3, "temperature": 1.0, "steps": 3, "max_kl": 50.0}


def go(path, *, learner=None, evaluator=None, progress=None, tasks=2, **flags):
    settings = resolve(TTTSettings, flags={**FLAGS, **flags})
    return ttt(
        path,
        settings,
        learner=learner or TabularLearner(),
        evaluator=evaluator or FakeEvaluator(),
        tasks=make_tasks(tasks),
        progress=progress,
    )


def test_every_round_is_sampled_judged_and_learned_from(tmp_path):
    learner = TabularLearner()
    done = go(tmp_path / "r", learner=learner)
    assert (done.complete, done.stopped, done.resumed, learner.steps) == (True, None, False, 3)
    run = RunDir.open(tmp_path / "r")
    samples = run.samples()
    assert sorted((s.step, s.task_id, s.index - 9 * s.step) for s in samples) == [
        (t, f"fake/t{n}", i) for t in range(4) for n in range(2) for i in range(9)
    ]
    assert all(s.verdict is not None for s in samples)
    kept = run.checkpoints()
    assert [c.step for c in kept] == [0, 1, 2, 3]
    assert all((tmp_path / "r" / str(c.path)).is_dir() for c in kept)
    versions = {c.step: c.policy_version for c in kept}
    assert len(set(versions.values())) == 4
    assert all(s.completion.policy_version == versions[s.step] for s in samples)
    assert [r["step"] for r in done.rows] == [0, 1, 2, 3] == [r["step"] for r in run.metrics()]
    assert all(r["n"] == 12 and r["held_out"]["n"] == 6 and r["lr"] == 0.3 for r in done.rows)
    assert done.rows[0]["kl"] is None and done.rows[3]["kl"] > 0


@pytest.mark.parametrize("loop", ["ttt", "rlvr"])
def test_a_run_keeps_to_one_evaluator(tmp_path, loop):
    start = {"ttt": go, "rlvr": outer}[loop]
    stopped = FakeEvaluator()
    stopped.stop_after = 9
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path / "r", evaluator=stopped)
    before = {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()}
    with pytest.raises(UserError, match=r"another evaluator .*; give another RUN$"):
        start(tmp_path / "r", evaluator=FakeEvaluator("e2"))
    assert {p: p.read_bytes() for p in (tmp_path / "r").rglob("*") if p.is_file()} == before
    assert start(tmp_path / "r").complete
    assert start(tmp_path / "r", evaluator=FakeEvaluator("e2")).complete  # nothing is owed
    assert RunDir.open(tmp_path / "r").manifest["evaluator"] == "e1"


def test_a_run_that_a_guardrail_ended_owes_another_evaluator_nothing(tmp_path):
    ended = go(tmp_path / "r", max_kl=0.01)
    assert not ended.complete and ended.stopped
    again = go(tmp_path / "r", max_kl=0.01, evaluator=FakeEvaluator("e2"))
    assert (again.stopped, again.steps) == (ended.stopped, ended.steps)


def test_what_is_held_out_is_never_learned_from(tmp_path):
    class Watching(TabularLearner):
        def forward_backward(self, data, loss="importance_sampling", config=None):
            seen.extend(data)
            return super().forward_backward(data, loss, config)

    seen = []
    go(tmp_path / "r", learner=Watching(), steps=1, advantage="loo", baseline="none", k=6, held_out=30)
    first = [s for s in RunDir.open(tmp_path / "r").samples() if s.step == 0 and s.index < 6]
    assert 0 < len(seen) <= len(first) == 12
    assert {d.token_ids for d in seen} <= {s.completion.token_ids for s in first}


def test_advantages_follow_from_verdicts(tmp_path):
    """One task, leave-one-out: what a token is told is its program's reward less the mean of the others'."""

    class Watching(TabularLearner):
        def forward_backward(self, data, loss="importance_sampling", config=None):
            seen.extend(data)
            return super().forward_backward(data, loss, config)

    seen = []
    go(tmp_path / "r", learner=Watching(), steps=1, tasks=1, advantage="loo", baseline="none", k=8, held_out=0)
    samples = [s for s in RunDir.open(tmp_path / "r").samples() if s.step == 0]
    rewards = [2.0 if "torch.add" in s.program else float(s.verdict.correct) for s in samples]
    want = {}
    for i, s in enumerate(samples):
        want[s.completion.token_ids] = rewards[i] - (sum(rewards) - rewards[i]) / 7
    assert len(set(rewards)) > 1
    assert {d.token_ids: d.advantages[0] for d in seen} == pytest.approx(
        {k: v for k, v in want.items() if abs(v) > 1e-12}
    )


def test_the_cost_of_learning_is_charged(tmp_path):
    go(tmp_path / "r")
    run = RunDir.open(tmp_path / "r")
    cost = json.loads((tmp_path / "r" / "cost.json").read_text())["charged"]
    assert cost["sampled_tokens"] == cost["evaluations"] == 4 * 2 * 9  # held-out rollouts are paid for
    kept = run.checkpoints()
    assert cost["trained_tokens"] == sum(c.metrics["trained_tokens"] for c in kept if c.step) > 0
    assert cost["scored_tokens"] == sum(c.metrics.get("scored_tokens", 0) for c in kept) == 3 * (12 + 2 * 8)
    prompts = 8 * 4 * 2  # a prompt per task and step
    assert cost["prompt_tokens"] == prompts
    flops = 2 * 10 * (prompts + cost["sampled_tokens"] + cost["scored_tokens"]) + 6 * 10 * cost["trained_tokens"]
    assert cost["flops"] == flops


@pytest.mark.parametrize("advantage", ["global", "group", "loo", "entropic"])
def test_stopped_anywhere_and_again_gives_the_same_run(tmp_path, advantage):
    whole = go(tmp_path / "whole", advantage=advantage)
    same = [s.completion.token_ids for s in RunDir.open(tmp_path / "whole").samples()]
    versions = [c.policy_version for c in RunDir.open(tmp_path / "whole").checkpoints()]
    for stop in (1, 4, 7, 11):
        path = tmp_path / str(stop)
        stopped = FakeEvaluator()
        stopped.stop_after = stop
        with pytest.raises(KeyboardInterrupt):
            go(path, evaluator=stopped, advantage=advantage)
        again = go(path, advantage=advantage)
        assert again.resumed and again.complete
        run = RunDir.open(path)
        assert [s.completion.token_ids for s in run.samples()] == same
        assert [c.policy_version for c in run.checkpoints()] == versions
        assert [r["mean_reward"] for r in again.rows] == [r["mean_reward"] for r in whole.rows]
    before = (tmp_path / "whole" / "samples.jsonl").read_bytes()
    assert go(tmp_path / "whole", advantage=advantage).complete
    assert (tmp_path / "whole" / "samples.jsonl").read_bytes() == before


def test_killed_between_the_weights_and_their_row(tmp_path):
    """The folder of a checkpoint is there, its row is not: the step is taken again, to the same weights."""

    class Falls(TabularLearner):
        def save_state(self, directory):
            super().save_state(directory)
            if directory.name == "step_0002":
                raise KeyboardInterrupt

    go(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "r", learner=Falls())
    assert [c.step for c in RunDir.open(tmp_path / "r").checkpoints()] == [0, 1]
    go(tmp_path / "r")
    versions = [[c.policy_version for c in RunDir.open(tmp_path / name).checkpoints()] for name in ("r", "whole")]
    assert versions[0] == versions[1]


def test_the_best_step_is_that_of_held_out_samples_the_earliest_of_equals(tmp_path):
    done = go(tmp_path / "r", steps=6)
    shares = [r["held_out"]["fast_1_sig"] for r in done.rows]
    worths = [(r["held_out"]["fast_1_sig"], r["held_out"]["mean_reward"]) for r in done.rows]
    assert worths[done.best] == max(worths)
    assert done.best == worths.index(max(worths))
    assert max(shares) > 0
    same = go(tmp_path / "same", steps=6, held_out=0)
    assert all(r["held_out"] is None for r in same.rows)
    own = [(r["fast_1_sig"], r["mean_reward"]) for r in same.rows]
    assert same.best == own.index(max(own))


def test_a_regression_stops_where_that_is_asked_for(tmp_path):
    class Unlearns(TabularLearner):
        def optim_step(self, params=None):
            if self.steps == 1:
                self.gradient = {k: -20 * g for k, g in self.gradient.items()}
                self.moments.clear()
            return super().optim_step(params)

    flags = {"steps": 6, "lr": 3.0, "k": 24, "held_out": 24}
    done = go(tmp_path / "r", learner=Unlearns(), stop_at_regression=True, **flags)
    assert done.stopped is not None and "worse" in done.stopped
    assert not done.complete
    assert (done.rows[-1]["step"], done.best) == (2, 1)
    assert go(tmp_path / "on", learner=Unlearns(), **flags).complete


def test_a_guardrail_stops_learning_and_marks_the_checkpoint(tmp_path):
    recorder = Recorder()
    done = go(tmp_path / "r", lr=5.0, max_kl=0.4, progress=recorder)
    assert done.stopped is not None and "KL" in done.stopped
    assert any("KL" in note for note in recorder.notes)
    kept = RunDir.open(tmp_path / "r").checkpoints()
    assert [c.rejected for c in kept] == [False] * (len(kept) - 1) + [True]
    again = go(tmp_path / "r", lr=5.0, max_kl=0.4)
    assert again.stopped == done.stopped
    assert [c.step for c in RunDir.open(tmp_path / "r").checkpoints()] == [c.step for c in kept]


@pytest.mark.parametrize("max_kl", [0.1, 0.4])
def test_no_policy_that_a_guardrail_rejected_is_taken(tmp_path, max_kl):
    done = go(tmp_path / "r", lr=5.0, max_kl=max_kl)
    rejected = {c.step for c in RunDir.open(tmp_path / "r").checkpoints() if c.rejected}
    assert rejected and done.best not in rejected


def test_a_step_is_learned_from_whole_or_not_at_all(tmp_path):
    once = FakeEvaluator(broken="torch.add")
    assert go(tmp_path / "r", evaluator=once).complete  # tried again, and judged
    assert [r["n"] for r in go(tmp_path / "r").rows] == [12] * 4
    ever = FakeEvaluator(broken="torch.add")
    ever.stays_broken = True
    with pytest.raises(InfraError, match="samples of step 0 got no verdict"):
        go(tmp_path / "s", evaluator=ever)
    run = RunDir.open(tmp_path / "s")
    assert not run.metrics() and [c.step for c in run.checkpoints()] == [0]
    assert go(tmp_path / "s").rows == go(tmp_path / "r").rows


def test_without_intervals_steps_are_compared_by_point_speedups(tmp_path):
    class Plain(FakeEvaluator):
        def evaluate(self, task, program, *, timed=True):
            return replace(super().evaluate(task, program, timed=timed), ci_low=None, ci_high=None)

    done = go(tmp_path / "r", steps=6, evaluator=Plain())
    held = [r["held_out"] for r in done.rows]
    assert {h["fast_1_sig"] for h in held if h["correct"]} == {None}
    worths = [(h["fast_1"], h["mean_reward"]) for h in held]
    assert done.best == worths.index(max(worths)) and max(worths)[0] > 0


def test_killed_between_the_cost_of_a_kl_and_its_row(tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    go(whole)
    real = RunDir.append_metrics

    def falls(run, row):
        if row["step"] == 2:
            raise KeyboardInterrupt
        real(run, row)

    with monkeypatch.context() as patched:
        patched.setattr(RunDir, "append_metrics", falls)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / "r")
    go(tmp_path / "r")
    scored = [[c.metrics.get("scored_tokens") for c in RunDir.open(p).checkpoints()] for p in (tmp_path / "r", whole)]
    assert scored[0] == scored[1]


def test_a_loss_that_is_no_number_never_reaches_the_weights(tmp_path):
    class Breaks(TabularLearner):
        def forward_backward(self, data, loss="importance_sampling", config=None):
            done = super().forward_backward(data, loss, config)
            return type(done)(float("nan"), done.logprobs, done.trained_tokens) if self.steps else done

    learner = Breaks()
    done = go(tmp_path / "r", learner=learner)
    assert (done.stopped, learner.steps) == ("the loss is not a number", 1)
    assert [c.step for c in RunDir.open(tmp_path / "r").checkpoints()] == [0, 1]


def test_a_budget_ends_sampling_and_the_same_command_goes_on(tmp_path):
    done = go(tmp_path / "r", max_seconds=1e-9)
    assert not done.complete and done.stopped == "max_seconds"
    assert go(tmp_path / "r").complete


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"lr": -1e-5}, "--lr: must be at least 0"),
        ({"advantage": "best"}, "--advantage"),
        ({"steps": 0}, "--steps"),
        ({"seeds": [0, 1]}, "one seed"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"time": "none"}, "needs timings"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, flags, said):
    with pytest.raises(UserError, match=said):
        go(tmp_path / "r", **flags)
    assert not (tmp_path / "r").exists()


def test_a_service_trains_any_rank_with_its_own_alpha(monkeypatch):
    monkeypatch.setattr(adapt, "open_learner", lambda _spec, _options, lora, **_: lora)

    def opened(policy):
        return adapt._open(resolve(TTTSettings, flags={**FLAGS, "policy": policy, "rank": 8}))

    assert (opened("tinker:some/model").rank, opened("tinker:some/model").alpha) == (8, 32.0)
    assert opened("embedded").alpha == 16.0


def test_only_the_outer_loop_goes_on_with_the_optimiser_of_a_run(monkeypatch):
    monkeypatch.setattr(adapt, "open_learner", lambda *_, optimizer: optimizer)
    assert [adapt._open(resolve(kind)) for kind in (TTTSettings, SDPOSettings, RLVRSettings)] == [False, False, True]


def test_a_run_of_other_settings_is_refused(tmp_path):
    go(tmp_path / "r", steps=1)
    with pytest.raises(UserError, match=r"lr \(0.3, now 0.2\)"):
        go(tmp_path / "r", steps=1, lr=0.2)


# --- the outer loop ------------------------------------------------------------------------------


def outer(path, *, tasks=4, looked=2, learner=None, evaluator=None, **flags):
    base = {"suite": "fake", "k": 6, "lr": 0.3, "temperature": 1.0, "steps": 5, "max_kl": 50.0, "batch_tasks": 3}
    settings = resolve(RLVRSettings, flags={**base, "eval_every": 2, "eval_k": 4, **flags})
    every = make_tasks(tasks + looked)
    return rlvr(
        path,
        settings,
        learner=learner or TabularLearner(),
        evaluator=evaluator or FakeEvaluator(),
        tasks=every[:tasks],
        eval_tasks=every[tasks:],
    )


def test_each_task_once_an_epoch_and_the_eval_half_is_only_looked_at(tmp_path):
    learner = TabularLearner()
    done = outer(tmp_path / "r", learner=learner)
    assert done.complete and learner.steps == 5
    samples = RunDir.open(tmp_path / "r").samples()
    by_step = {t: {s.task_id for s in samples if s.step == t} for t in range(6)}
    train = [{t for t in by_step[i] if t < "fake/t4"} for i in range(6)]
    assert [len(t) for t in train] == [3, 1, 3, 1, 3, 0]
    assert train[0] | train[1] == train[2] | train[3] == {f"fake/t{i}" for i in range(4)}
    looked = [bool(by_step[i] & {"fake/t4", "fake/t5"}) for i in range(6)]
    assert looked == [True, False, True, False, True, True]
    assert all(r["held_out"]["n"] == 8 for r in done.rows if r["held_out"])
    # the eval half shares no prompt with what was learned
    assert len(learner.table) <= 4


def test_what_the_weights_were_learned_from_is_charged_to_the_tasks_they_are_used_on(tmp_path):
    outer(tmp_path / "r")
    run = RunDir.open(tmp_path / "r")
    arm, whole = read_arm("r", run), derive_cost(run)
    assert arm.learned_from == {f"fake/t{i}" for i in range(4)}
    for account in ("charged", "run"):
        charged = build_curves(arm, frozenset({"fake/t4", "fake/t5"})).cost[account]
        spent = whole[account]
        assert charged["samples"][-1] * 2 == pytest.approx(len(run.samples()))
        assert charged["device-seconds"][-1] * 2 == pytest.approx(spent.device_seconds)
        tokens = spent.prompt_tokens + spent.sampled_tokens + spent.scored_tokens + spent.trained_tokens
        assert charged["tokens"][-1] * 2 == pytest.approx(tokens)
    every = build_curves(arm, frozenset(f"fake/t{i}" for i in range(6))).cost["charged"]
    assert every["samples"].tolist() == list(range(1, len(every["samples"]) + 1))  # each pays for its own


def test_nothing_is_chosen_by_the_eval_half_and_nothing_of_it_is_learned(tmp_path):
    done = outer(tmp_path / "r")
    assert done.best == done.rows[-1]["step"] == 5
    with pytest.raises(UserError, match="subset: rlvr trains on the train half"):
        outer(tmp_path / "s", subset="eval")
    settings = resolve(RLVRSettings, flags={"suite": "fake"})
    with pytest.raises(UserError, match="fake/t0: is trained on and judged by"):
        rlvr(tmp_path / "s", settings, learner=TabularLearner(), tasks=make_tasks(2), eval_tasks=make_tasks(1))
    assert not (tmp_path / "s").exists()


def test_the_outer_loop_resumes(tmp_path):
    outer(tmp_path / "whole")
    stopped = FakeEvaluator()
    stopped.stop_after = 9
    with pytest.raises(KeyboardInterrupt):
        outer(tmp_path / "r", evaluator=stopped)
    assert outer(tmp_path / "r").complete
    versions = [[c.policy_version for c in RunDir.open(tmp_path / n).checkpoints()] for n in ("r", "whole")]
    assert versions[0] == versions[1]
