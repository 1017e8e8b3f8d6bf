"""Rewards of verdicts, baselines, and when a guardrail stops learning."""

from __future__ import annotations

import math
from typing import cast

import pytest

from longodds.evaluator.measuring import Measuring
from longodds.strategies.guardrails import Limits, Reading, tripped
from longodds.strategies.rewards import Baselines, reward_of
from longodds.types import FEW_PAIRS_LABEL, UNTIMED_LABEL, Status, Verdict


def verdict(speedup, low=None, high=None, status=Status.CORRECT, labels=()):
    return Verdict("t", status, speedup=speedup, ci_low=low, ci_high=high, labels=labels)


def test_a_gain_that_noise_can_produce_is_no_reward():
    assert reward_of(verdict(1.3, 0.9, 1.6)) == 1.0
    assert reward_of(verdict(1.3, 1.1, 1.6)) == 1.3
    assert reward_of(verdict(0.5, 0.4, 0.6)) == 0.5
    assert reward_of(verdict(1.3)) == 1.0  # no interval, no claim
    assert reward_of(verdict(None)) == 1.0
    assert reward_of(verdict(1.3, 0.9, 1.6), "speedup") == 1.3
    assert reward_of(verdict(7.0, 6.0, 8.0), "correct") == 1.0


def test_no_slower_program_earns_more():
    parity, slower = verdict(0.99, 0.95, 1.03), verdict(0.9, 0.88, 0.92)
    loser = verdict(0.4, labels=(FEW_PAIRS_LABEL,))  # dropped after three pairs, without an interval
    endless = verdict(None, labels=(UNTIMED_LABEL,))
    assert [reward_of(v) for v in (parity, slower, loser, endless)] == [1.0, 0.9, 0.4, 0.0]
    assert reward_of(verdict(1.5, labels=(FEW_PAIRS_LABEL,))) == 1.0  # the time was over; no interval, no claim
    assert reward_of(endless, "speedup") == 0.0
    assert reward_of(endless, "correct") == reward_of(loser, "correct") == 1.0
    assert UNTIMED_LABEL in Measuring.report(cast("Measuring", None), verdict(None), []).labels


@pytest.mark.parametrize("status", [s for s in Status if s is not Status.CORRECT])
def test_nothing_but_correct_is_rewarded(status):
    for kind in ("verified", "speedup", "correct"):
        assert reward_of(verdict(9.0, 8.0, 10.0, status), kind) == 0.0


def test_a_task_baseline_is_fixed_in_its_first_round_and_blind_to_order():
    one, other = Baselines("task"), Baselines("task")
    assert one.normalise("a", [24.0, 0.0, 12.0, 24.0]) == [1.0, 0.0, 0.5, 1.0]
    assert other.normalise("a", [0.0, 24.0, 24.0, 12.0]) == [0.0, 1.0, 1.0, 0.5]
    assert one.normalise("a", [48.0]) == [2.0]
    assert one.normalise("b", [0.0, 0.0]) == [0.0, 0.0]
    assert one.normalise("b", [4.0]) == [1.0]  # its first round with a reward


def test_the_running_median_depends_on_order_as_the_seed_release_does():
    found = Baselines("running-median").normalise("a", [24.0, 24.0, 0.0, 12.0])
    assert found == [24.0, 1.0, 0.0, 0.5]
    long = Baselines("running-median")
    long.normalise("a", [100.0] + [2.0] * 32)
    assert long.normalise("a", [2.0]) == [1.0]  # the 100 is forgotten after 32
    assert Baselines("none").normalise("a", [3.0, 0.0]) == [3.0, 0.0]


def readings(*rewards, kl=0.0, entropy=1.0):
    return [Reading(i, kl if i else None, entropy, r) for i, r in enumerate(rewards)]


def test_guardrails():
    limits = Limits(max_kl=0.5, min_entropy=0.1)
    assert tripped(readings(1.0, 1.0, kl=0.4), limits) is None
    assert "KL" in str(tripped(readings(1.0, 1.0, kl=0.6), limits))
    assert "entropy" in str(tripped(readings(1.0, 1.0, entropy=0.05), limits))
    assert tripped(readings(1.0, 0.0), limits) is None
    assert "no reward" in str(tripped(readings(1.0, 0.0, 0.0), limits))
    assert tripped(readings(0.0, 0.0, 0.0), limits) is None  # there never was any
    for bad in (math.nan, math.inf):
        assert "not a number" in str(tripped(readings(1.0, bad), limits))
        assert "not a number" in str(tripped(readings(1.0, 1.0, kl=bad), limits))
