"""`--time` for every strategy, resumed wherever it stops; verdicts from the cache are charged and not run."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from run_fakes import FakeEvaluator, FakePolicy, Recorder, make_tasks

from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator
from longodds.selection import STRATEGIES, to_candidates
from longodds.selection.selectors import NEEDS_TOP_LOGPROBS
from longodds.store import RunDir
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.judging import Judge, Ledger
from longodds.strategies.planning import parse_time
from longodds.strategies.selecting import read_runs
from longodds.types import CACHED_LABEL, SEED_LABEL, Evaluator, Status

TASKS = make_tasks(2)
USABLE = [name for name in STRATEGIES if name not in NEEDS_TOP_LOGPROBS]


def go(path: Path, judge: Evaluator, time: str = "all", k: int = 12, **flags: object) -> None:
    asked = {"suite": "fake", "k": k, "seeds": [0], "batch_size": 5, "time": time, **flags}
    tasks = TASKS if k == 12 else TASKS[1:]
    best_of_n(path, resolve(BestOfNSettings, flags=asked), policy=FakePolicy(), evaluator=judge, tasks=tasks)


def said(path: Path) -> list[tuple]:
    return sorted(
        (s.sample_id, s.verdict and s.verdict.status, s.verdict and s.verdict.speedup)
        for s in RunDir.open(path).samples()
    )


@pytest.mark.parametrize("strategy", USABLE)
@pytest.mark.parametrize("m", [1, 2, 99])
def test_what_the_strategy_chooses_is_timed_and_nothing_else(tmp_path: Path, strategy: str, m: int) -> None:
    evaluator = FakeEvaluator()
    go(tmp_path, evaluator, f"top:{m}:{strategy}")
    plan = parse_time(f"top:{m}:{strategy}")
    for task in TASKS:
        cell = [s for s in RunDir.open(tmp_path).samples() if s.task_id == task.id]
        correct = {s.program_digest for s in cell if s.verdict is not None and s.verdict.correct}
        timed = {s.program_digest for s in cell if s.verdict is not None and s.verdict.speedup is not None}
        assert timed == set(plan.selector(0).rank(to_candidates(cell))[:m])
        assert len(timed) == min(m, len(correct))
        assert sum(1 for name, _, was_timed in evaluator.ran if was_timed and name == task.id) == len(timed)


@pytest.mark.parametrize("time", ["all", "none", "top:2:surprisal", "top:1:random"])
def test_stopped_at_any_evaluation_and_resumed_it_says_the_same_and_runs_nothing_twice(
    tmp_path: Path, time: str
) -> None:
    whole = FakeEvaluator()
    go(tmp_path / "whole", whole, time)
    for stop in range(len(whole.ran)):
        path = tmp_path / str(stop)
        stopped, resumed = FakeEvaluator(), FakeEvaluator()
        stopped.stop_after = stop
        with pytest.raises(KeyboardInterrupt):
            go(path, stopped, time)
        go(path, resumed, time)
        assert said(path) == said(tmp_path / "whole")
        assert sorted(stopped.ran + resumed.ran) == sorted(whole.ran)


def test_verdicts_from_the_cache_are_charged_at_their_cost_and_not_run(tmp_path: Path) -> None:
    with open_evaluator(EvaluatorSettings(max_pairs=16), cache=tmp_path / "cache") as evaluator:
        for name in ("first", "second"):
            go(tmp_path / name, evaluator, "none", k=8)
    runs = [RunDir.open(tmp_path / name) for name in ("first", "second")]
    costs = [json.loads((tmp_path / name / "cost.json").read_text()) for name in ("first", "second")]
    first, second = ({s.sample_id: s.verdict for s in run.samples()} for run in runs)
    for key, verdict in first.items():
        again = second[key]
        assert verdict is not None and again is not None
        kept = verdict.status in (Status.CORRECT, Status.INCORRECT, Status.COMPILE_ERROR)
        assert again.status is verdict.status
        assert (CACHED_LABEL in again.labels, CACHED_LABEL in verdict.labels) == (kept, False)
        assert again.seconds == verdict.seconds or not kept
    owed = len({s.program_digest for s in runs[1].samples() if s.verdict and CACHED_LABEL not in s.verdict.labels})
    assert [c["charged"]["evaluations"] for c in costs] == [8, 8]
    assert costs[1]["run"]["evaluations"] == owed < costs[0]["run"]["evaluations"]
    assert 0 < costs[0]["run"]["device_seconds"] <= costs[0]["charged"]["device_seconds"]
    assert costs[1]["run"]["device_seconds"] < costs[1]["charged"]["device_seconds"]


class SeedLike(FakeEvaluator):
    """Verdicts with the label of KernelBench's way."""

    def evaluate(self, task, program, *, timed=True):  # type: ignore[no-untyped-def]
        from dataclasses import replace

        verdict = super().evaluate(task, program, timed=timed)
        return replace(verdict, labels=(SEED_LABEL,), ci_low=None, ci_high=None)


def test_seed_and_sound_verdicts_are_never_put_together(tmp_path: Path) -> None:
    go(tmp_path / "a", FakeEvaluator("sound"))
    go(tmp_path / "b", SeedLike("seed"), evaluator="seed")
    assert len(read_runs(tmp_path / "b")) == 1
    with pytest.raises(UserError, match=r"b was judged with --evaluator seed and .*a was not"):
        read_runs(tmp_path / "a", tmp_path / "b")
    with pytest.raises(UserError, match="evaluator"):
        go(tmp_path / "a", SeedLike("seed"), evaluator="seed")


def test_the_number_of_evaluators_is_no_part_of_a_run(tmp_path: Path) -> None:
    alone, many = (resolve(BestOfNSettings, flags={"eval_workers": n, "suite": "cpu"}) for n in (1, 4))
    assert alone.identity() == many.identity()


def test_cells_are_judged_side_by_side_and_all_are_written(tmp_path: Path) -> None:
    """Four cells at a time: each waits in the evaluator until all four are there."""

    class Meeting(FakeEvaluator):
        def __init__(self) -> None:
            super().__init__()
            self.barrier = threading.Barrier(4, timeout=30)

        def evaluate_many(self, task, programs, *, timed=True):
            self.barrier.wait()
            yield from super().evaluate_many(task, programs, timed=timed)

    asked = {"suite": "fake", "k": 6, "seeds": [0], "time": "all"}
    settings = resolve(BestOfNSettings, flags=asked)
    best_of_n(tmp_path / "run", settings, policy=FakePolicy(), evaluator=FakeEvaluator("other"), tasks=make_tasks(4))
    with RunDir.create_or_resume(tmp_path / "run", settings.identity(), {}) as run:
        samples = run.samples()
        cells = [
            (task, 0, [s for s in samples if s.task_id == name and s.seed == 0]) for name, task in run.tasks().items()
        ]
        ledger, recorder = Ledger(run, samples, accept="e1"), Recorder()  # what another evaluator said is owed again
        Judge(ledger, Meeting(), parse_time("all"), recorder, side_by_side=4).cells(cells)
        wanted = {s.sample_id for _, _, cell in cells for s in cell}
        assert {key for key, row in run.verdicts().items() if row.verdict.evaluator == "e1"} == wanted
        assert recorder.count["judged"] == len(wanted)
