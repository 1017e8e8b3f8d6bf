"""Sampling ahead of judging: it saves time, bounds memory, loses nothing, and does not disturb timings."""

from __future__ import annotations

import threading
import time

import pytest
from run_fakes import FakeEvaluator, FakePolicy, Recorder, make_tasks

from longodds.config import BestOfNSettings, resolve
from longodds.store import RunDir
from longodds.strategies.ahead import Ahead, Cancelled
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.planning import TimePlan, may_overlap

PAUSE = 0.2


class SlowPolicy(FakePolicy):
    def __init__(self, **options):
        super().__init__(**options)
        self.spans: list[tuple[float, float]] = []

    def sample(self, *a):
        began = time.monotonic()
        time.sleep(PAUSE)
        self.spans.append((began, time.monotonic()))
        return super().sample(*a)


class SlowEvaluator(FakeEvaluator):
    """A pause per task, whatever number of programs."""

    def __init__(self):
        super().__init__()
        self.spans: list[tuple[float, float]] = []

    def evaluate_many(self, task, programs, *, timed=True):
        began = time.monotonic()
        time.sleep(PAUSE)
        self.spans.append((began, time.monotonic()))
        yield from super().evaluate_many(task, programs, timed=timed)


def go(path, policy, evaluator, tasks, progress=None):
    s = resolve(BestOfNSettings, flags={"suite": "fake", "k": 4, "batch_size": 4})
    return best_of_n(path, s, policy=policy, evaluator=evaluator, tasks=tasks, progress=progress)


def test_tasks_are_sampled_while_earlier_ones_are_judged(tmp_path):
    """All but the first judging begins while sampling goes on: ten tasks take eleven pauses, not twenty."""
    policy, evaluator = SlowPolicy(), SlowEvaluator()
    outcome = go(tmp_path / "a", policy, evaluator, make_tasks(10))
    assert outcome.complete
    assert outcome.samples == 40
    assert len(policy.spans) == len(evaluator.spans) == 10
    beside = [any(s < end and began < e for s, e in policy.spans) for began, end in evaluator.spans]
    assert sum(beside) >= 7, "the last has nothing beside it, and a busy machine may delay some"


def test_a_local_model_does_not_disturb_the_timings_of_its_device():
    class Local(FakePolicy):
        device = "cpu"

    timed, untimed = TimePlan("all"), TimePlan("none")
    assert not may_overlap(Local(), timed, "cpu")
    assert may_overlap(Local(), untimed, "cpu")
    assert may_overlap(Local(), timed, "cuda")
    assert may_overlap(FakePolicy(), timed, "cpu")
    Local.device = "cuda:0"
    assert not may_overlap(Local(), timed, "cuda")
    assert may_overlap(Local(), timed, "cuda:1")


def test_sampling_is_only_so_far_ahead():
    ahead, judged, most = Ahead(depth=2), [], 0

    def sampled():
        nonlocal most
        for i in range(30):
            most = max(most, i - len(judged))
            yield i

    def judge(i):
        time.sleep(0.005)
        judged.append(i)

    ahead.run(sampled(), judge)
    assert judged == list(range(30))
    assert 1 <= most <= 2 + 2


def test_a_failure_of_either_half_ends_the_other():
    done: list[int] = []

    def endless():
        i = 0
        while True:
            yield i
            i += 1

    def fails(i):
        if i == 3:
            raise OSError("judge")

    with pytest.raises(OSError, match="judge"):
        Ahead().run(endless(), fails)

    ahead = Ahead()

    def interrupted():
        yield 0
        yield 1
        raise KeyboardInterrupt

    def slow(i):
        for _ in range(100):
            ahead.check()
            time.sleep(0.01)
        done.append(i)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ahead.run(interrupted(), slow)
    assert time.monotonic() - began < 3
    assert done == []
    with pytest.raises(Cancelled):
        ahead.check()
    assert all(t.name != "judge" for t in threading.enumerate())


def test_interrupted_sampling_keeps_what_is_judged_and_goes_on(tmp_path):
    evaluator = SlowEvaluator()
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "a", FakePolicy(fail_after=5), evaluator, make_tasks(8))
    held = RunDir.open(tmp_path / "a")
    assert len(held.samples()) == 20
    again = FakeEvaluator()
    recorder = Recorder()
    outcome = go(tmp_path / "a", FakePolicy(), again, make_tasks(8), recorder)
    assert outcome.complete
    assert len(RunDir.open(tmp_path / "a").samples()) == 32
    ran = [(task, program) for task, program, _ in evaluator.ran + again.ran]
    assert len(ran) == len(set(ran)), "nothing is run twice"
