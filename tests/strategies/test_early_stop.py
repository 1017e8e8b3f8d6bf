"""An early stop of a cell: the bound against the truth, and a run that stops, is killed, and goes on as before."""

from __future__ import annotations

import itertools
import json
import random
import statistics

import pytest
from run_fakes import FakeEvaluator, FakePolicy, Recorder, make_tasks

from longodds.cli.report import make_report
from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.comparing import compare
from longodds.strategies.early import expected_gain
from longodds.strategies.selecting import select
from longodds.types import Completion, Sample, Status, Verdict

TASKS = make_tasks(3)


def sample(speedup, *, correct=True, told=True):
    low, high = (speedup - 0.01, speedup + 0.01) if told else (0.5, 2 * speedup)
    status = Status.CORRECT if correct else Status.INCORRECT
    verdict = Verdict("t", status, speedup=speedup, ci_low=low, ci_high=high)
    return Sample("id", "t", 0, 0, "s", 0, Completion((), (), (), (0, 0), "", "stop", "v"), "p", "d", verdict)


def test_the_gain_is_that_of_the_last_ones_over_all_orders():
    speedups = [1.0, 1.7, 0.4, 2.5, 1.1, 1.7]
    for more in (1, 2, 3):
        before = [max(1.0, *subset) for subset in itertools.combinations(speedups, len(speedups) - more)]
        want = 2.5 / statistics.fmean(before) - 1
        assert expected_gain([sample(s) for s in speedups], more) == pytest.approx(want)
    assert expected_gain([sample(s) for s in speedups], 6) == pytest.approx(1.5)  # against the reference


def test_what_counts_and_what_does_not():
    assert expected_gain([sample(3.0, correct=False)] * 9) is None  # nothing is known of what a success is worth
    assert expected_gain([sample(3.0, told=False), *[sample(1.0)] * 8]) == 0.0  # noise is no gain
    assert expected_gain([sample(2.0)] * 9 + [sample(9.0, correct=False)]) == 0.0


def test_it_bounds_what_more_samples_give():
    """Over many draws of 16 samples the estimate is at least the mean gain of 8 more: its definition's claim."""
    draw = random.Random(0)

    def world():
        return draw.choice([0.5, 1.0, 1.0, 1.0, 1.2, 1.5, draw.uniform(1, 4)])

    estimates, truths = [], []
    for _ in range(400):
        first, then = [world() for _ in range(16)], [world() for _ in range(8)]
        estimates.append(expected_gain([sample(s) for s in first]))
        truths.append(max(1.0, *first, *then) / max(1.0, *first) - 1)
    assert statistics.fmean(truths) < statistics.fmean(estimates) < 3 * statistics.fmean(truths)


# --- in a run ------------------------------------------------------------------------------------


def go(path, *, policy=None, evaluator=None, progress=None, **flags):
    base = {"suite": "fake", "k": 32, "seeds": [0, 1], "batch_size": 5, "stop_gain": 0.05, **flags}
    settings = resolve(BestOfNSettings, flags=base)
    policy, evaluator = policy or FakePolicy(), evaluator or FakeEvaluator()
    return best_of_n(path, settings, policy=policy, evaluator=evaluator, tasks=TASKS, progress=progress)


def contents(path):
    return [(s.sample_id, s.completion.text) for s in RunDir.open(path).samples()]


def test_cells_stop_where_more_would_not_help(tmp_path):
    recorder = Recorder()
    outcome = go(tmp_path / "r", progress=recorder)
    assert outcome.complete
    assert outcome.samples == outcome.expected < 3 * 2 * 32
    run = RunDir.open(tmp_path / "r")
    rows = {(m["task_id"], m["seed"]): m for m in run.metrics()}
    assert len(rows) == 6
    whole = go(tmp_path / "whole", stop_gain=None)
    assert whole.samples == 192
    every = RunDir.open(tmp_path / "whole").samples()
    for (task_id, seed), row in rows.items():
        cell = sorted((s for s in every if (s.task_id, s.seed) == (task_id, seed)), key=lambda s: s.index)
        # the first look at which the rule says stop, on the same samples drawn without it
        gains = {n: expected_gain(cell[:n]) for n in (8, 16, 24)}
        first = next((n for n, gain in gains.items() if gain is not None and gain < 0.05), 32)
        assert row["n"] == first
        assert row.get("expected_gain") == (gains[first] if first < 32 else None)
    assert sum("are not drawn" in note for note in recorder.notes) == sum("expected_gain" in r for r in rows.values())
    cost = json.loads((tmp_path / "r" / "cost.json").read_text())["charged"]
    assert cost["sampled_tokens"] == sum(len(s.completion.token_ids) for s in run.samples())
    assert select(tmp_path / "r")["n_cells"] == 6


def test_curves_of_cells_that_stopped_come_with_a_warning(tmp_path):
    """Where a cell stops depends on its outcomes, so that no subset of its samples is a fair one."""
    go(tmp_path / "r")
    go(tmp_path / "whole", stop_gain=None)
    ended = sum("expected_gain" in m for m in RunDir.open(tmp_path / "r").metrics())
    want = f"{tmp_path / 'r'}: --stop-gain ended {ended} cells"
    for document in (select(tmp_path / "r", tmp_path / "whole"), compare(tmp_path / "r", tmp_path / "whole")):
        assert [w for w in document["warnings"] if "--stop-gain" in w and w.startswith(want)]
        assert sum("--stop-gain" in w for w in document["warnings"]) == 1
    make_report([tmp_path / "r"], tmp_path / "page.html", result=select(tmp_path / "r"))
    page = (tmp_path / "page.html").read_text()
    assert page.count("--stop-gain ended") == 1
    make_report([tmp_path / "r"], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page


@pytest.mark.parametrize("stop", [0, 4, 7, 11])
def test_stopped_anywhere_and_again_gives_the_same_run(tmp_path, stop):
    go(tmp_path / "whole")
    stopped = FakeEvaluator()
    stopped.stop_after = stop
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "r", evaluator=stopped)
    assert go(tmp_path / "r").complete
    assert contents(tmp_path / "r") == contents(tmp_path / "whole")
    again = FakePolicy()
    assert go(tmp_path / "r", policy=again).complete
    assert not again.calls


def test_a_winner_that_proves_slower_does_not_open_its_cell_again(tmp_path):
    evaluator = FakeEvaluator()
    evaluator.luck = True
    first = go(tmp_path / "r", evaluator=evaluator)
    assert evaluator.again
    again = FakePolicy()
    assert go(tmp_path / "r", policy=again).samples == first.samples
    assert not again.calls


def test_hopeless_cells_go_on_and_failures_of_ours_decide_nothing(tmp_path):
    class Wrong(FakePolicy):
        def _one(self, key, index):
            return Completion((1,), (-0.1,), (-0.1,), (0, 1), "return x - 7", "stop", self.version)

    assert go(tmp_path / "wrong", policy=Wrong()).samples == 192
    broken = FakeEvaluator(broken="torch.add")
    broken.stays_broken = True
    assert go(tmp_path / "broken", evaluator=broken).unjudged
    assert go(tmp_path / "broken").complete


def test_without_it_nothing_changes_in_what_a_run_is():
    plain = resolve(BestOfNSettings, flags={"suite": "fake"})
    assert "stop_gain" not in plain.identity()  # runs of before keep their digest
    assert resolve(BestOfNSettings, flags={"suite": "fake", "stop_gain": 0.1}).identity()["stop_gain"] == 0.1


@pytest.mark.parametrize("flags", [{"time": "none"}, {"time": "top:3:surprisal"}, {"evaluator": "seed"}])
def test_it_needs_intervals(flags):
    with pytest.raises(UserError, match="stop_gain needs timings with intervals"):
        resolve(BestOfNSettings, flags={"suite": "fake", "stop_gain": 0.1, **flags})


def test_budgets_count_for_it_too(tmp_path):
    outcome = go(tmp_path / "r", max_seconds=1e-9)
    assert (outcome.stopped, outcome.samples) == ("max_seconds", 0)
    outcome = go(tmp_path / "r", price_sampled=1e6, max_cost=40.0)
    assert outcome.stopped == "max_cost" and 0 < outcome.samples < outcome.expected
    assert all(s.verdict is not None for s in RunDir.open(tmp_path / "r").samples())
    assert go(tmp_path / "r").complete
    go(tmp_path / "whole")
    assert sorted(contents(tmp_path / "r")) == sorted(contents(tmp_path / "whole"))
