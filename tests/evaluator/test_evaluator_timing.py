"""What timings are made of, decided by and calibrated with; real processes where a clock or a log is concerned."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import simulate_timing

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator, stats, unchanged
from longodds.evaluator.bounding import Bound
from longodds.evaluator.calibrate import FAMILIES, FAMILY, Log, Plan, between_process_sd, calibrate
from longodds.evaluator.calibration import Calibration
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.controls import reworded, slowed
from longodds.evaluator.cores import lease
from longodds.evaluator.sides import Cheat, Spent
from longodds.evaluator.timing import Pairs, audit
from longodds.types import REMEASURED, Status, Task, Verdict, digest_text

REFERENCE = """
import torch
import torch.nn as nn

class Model(nn.Module):
    def forward(self, x):
        return torch.exp(x)

def get_inputs():
    return [torch.rand(64, 2048)]

def get_init_inputs():
    return []
"""
TASK = Task("test/exp", "test", REFERENCE, digest_text(REFERENCE))
US = 1000.0


def pairs_of(*spent: tuple[Spent, Spent], usual: float = 0.0) -> Pairs:
    pairs = Pairs(spent=list(spent))
    pairs.settle(usual)
    return pairs


# --- clocks --------------------------------------------------------------------------------------


def test_waits_for_a_core_do_not_count_and_sleeping_does() -> None:
    quiet = Spent(own=1000 * US, cpu=1100 * US, wall=1200 * US, wait=20 * US)
    assert quiet.busy == pytest.approx(1000 * US)
    preempted = Spent(own=4000 * US, cpu=1100 * US, wall=4300 * US, wait=3050 * US, off=3000 * US)
    assert preempted.busy == pytest.approx(1000 * US)
    assert preempted.outside == pytest.approx(100 * US)
    woken_late = Spent(own=1000 * US, cpu=1100 * US, wall=9000 * US, wait=8000 * US)
    assert woken_late.busy == pytest.approx(1000 * US)
    asleep = Spent(own=4000 * US, cpu=1100 * US, wall=4300 * US, wait=10 * US, off=3000 * US)
    assert asleep.busy > 3900 * US


def test_a_forged_timer_gains_no_more_than_the_cost_of_asking() -> None:
    reference = Spent(own=2000 * US, cpu=2100 * US, wall=2300 * US)
    for forged in (
        Spent(own=20 * US, cpu=2100 * US, wall=2300 * US),
        Spent(own=2200 * US, cpu=2100 * US, wall=9000 * US, wait=6000 * US, off=2200 * US),
    ):
        pairs = pairs_of((reference, forged), usual=50 * US)  # a pair has two answers of each side
        assert math.exp(pairs.d[0]) < 2000 / (2100 - 2 * (2 * 50 + 50) - 1)
        assert pairs.outer[0] < 0  # the CPU clock gives no credit at all
    waited = Spent(own=2500 * US, cpu=2100 * US, wall=2800 * US, wait=500 * US, off=500 * US)  # 100 us outside
    assert pairs_of((waited, replace(waited, cpu=2080 * US)), usual=0.0).outer[0] < 0
    assert pairs_of((waited, replace(waited, cpu=1900 * US)), usual=0.0).outer[0] > 0.04
    honest = pairs_of((reference, Spent(own=1000 * US, cpu=1100 * US, wall=1300 * US)), usual=50 * US)
    assert math.exp(honest.d[0]) == pytest.approx(2.0)


def test_the_bound_of_batches_covers_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for count, least in ((4, 0.92), (8, 0.95), (16, 0.95), (32, 0.93)):
        lows = [Bound(cpu=list(rng.normal(0, 0.02, count))).low() for _ in range(2000)]
        assert np.mean(np.array(lows) < 0) > least
    assert math.isinf(Bound(cpu=[0.1, 0.1, 0.1]).low())


def test_on_a_gpu_a_gain_may_rest_on_what_asking_costs_but_hardly_on_chance() -> None:
    rng = np.random.default_rng(0)

    def granted(gain: float, share: float, noise: float, count: int) -> list[Bound]:
        """Bounds of studies: a true gain, asking's share of a batch, noise of a batch; count of batches."""
        found: list[Bound] = []
        for _ in range(1000):
            ratios = gain + rng.normal(0, noise, count)
            bound = Bound(cpu=list(ratios - 0.1 * share), strict=list(ratios - 0.5 * share))
            if bound.low() > 0:
                found.append(bound)
        return found

    # A timer that lies about nothing gained, where asking costs next to nothing, and where it costs something.
    for count in (4, 8, 16, 32):
        assert len(granted(0.0, 0.0, 0.003, count)) < 15
        assert len(granted(0.0, 0.02, 0.003, count)) < 10
    thin = granted(0.03, 0.08, 0.003, 8)
    assert len(thin) == 1000
    assert all(b.thin for b in thin)
    plain = granted(0.5, 0.08, 0.003, 4)
    assert len(plain) == 1000
    assert not any(b.thin for b in plain)
    assert granted(0.03, 0.08, 0.003, 4) == []  # four batches are too few for it


@pytest.mark.parametrize(("gain", "claimed"), [(0.375, 0.375), (0.1, 0.375)], ids=["honest", "hides three quarters"])
def test_a_claim_is_cut_by_what_is_hidden_and_not_by_chance(gain: float, claimed: float) -> None:
    rng, most = np.random.default_rng(0), list[float]()
    for _ in range(1000):
        bound = Bound()
        for count in (4, 8, 16, 32):
            while len(bound) < count:
                ratio = rng.normal(gain, 0.07)  # as seen of calls of 24 us
                bound.cpu.append(ratio)
                bound.wall.append(ratio)
            if bound.settles(claimed):
                break
        most.append(min(bound.most() + stats.SLACK, claimed))
    share_cut = np.mean(np.array(most) < claimed - 0.02)
    assert share_cut < 0.04 if gain == claimed else share_cut == 1
    assert np.mean(most) < gain + stats.SLACK + 0.01


def test_no_claim_goes_beyond_the_best_ratio_of_walls() -> None:
    assert Bound(cpu=[0.5] * 4, wall=[-0.1, 0.02, 0.0, 0.01]).most() == pytest.approx(0.02)
    assert Bound(cpu=[0.1] * 4, wall=[0.0, 2.0, 0.3, -1.0]).most() == pytest.approx(0.1)


def test_time_outside_the_timer_is_held_against_a_program_that_makes_a_habit_of_it() -> None:
    honest = Spent(own=60_000 * US, cpu=60_500 * US, wall=61_000 * US)
    robbed = Spent(own=60_000 * US, cpu=69_000 * US, wall=70_000 * US)  # a host took the core away outside the timer
    bound = Bound()
    for i in range(64):
        bound.accuse(robbed if i % 3 == 0 else honest, usual=200 * US, answers=2, calls=10)
    bound = Bound()
    for spent in (honest, robbed, robbed):
        bound.accuse(spent, usual=200 * US, answers=2, calls=10)
    with pytest.raises(Cheat, match="for 10 calls"):
        bound.accuse(robbed, usual=200 * US, answers=2, calls=10)


def test_an_audit_needs_most_of_several_answers() -> None:
    own, usual, much = [900.0 * US] * 8, 150.0 * US, 5_000.0 * US
    audit(own, [usual] * 4 + [much] * 4, usual)
    audit(own[:2], [much] * 2, usual)
    with pytest.raises(Cheat, match="5000 us of CPU per answer"):
        audit(own, [usual] * 3 + [much] * 5, usual)


# --- decisions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("noise", "process"), [(0.005, 0.0), (0.005, 0.005), (0.03, 0.005), (0.08, 0.026)])
def test_unchanged_programs_are_not_called_faster_and_gains_are_seen(noise: float, process: float) -> None:
    rng = np.random.default_rng(0)

    def studies(gain: float, count: int) -> int:
        spread = max(process, 0.001)
        shape = (count, sum(simulate_timing.processes(spread)), stats.LOOKS[-1])
        d = math.log1p(gain) + process * rng.standard_normal((*shape[:2], 1)) + noise * rng.standard_normal(shape)
        return sum(simulate_timing.ours(parts, spread)[0] for parts in d)

    assert studies(0.0, 1000) <= 5
    assert studies(0.10, 200) >= 190


def test_the_same_is_dismissed_after_few_pairs_and_a_gain_is_not() -> None:
    rng = np.random.default_rng(0)
    same = [stats.screened(rng.normal(0, 0.005, 16).tolist(), 64, 0.005) for _ in range(200)]
    assert same.count(False) > 180
    slower = [stats.screened(rng.normal(-0.1, 0.01, 8).tolist(), 64, 0.005) for _ in range(200)]
    assert slower.count(False) == 200
    noisy = [stats.screened(rng.normal(0.1, 0.1, 16).tolist(), 64, 0.005) for _ in range(500)]
    assert noisy.count(False) < 25
    assert not stats.futile([0.0] * 3, 64, 0.005)


@pytest.mark.parametrize("fresh", [None, 1])
def test_on_a_gpu_unchanged_programs_are_not_called_faster_and_small_gains_are_seen(fresh: int | None) -> None:
    rng = np.random.default_rng(0)

    def studies(gain: float, count: int) -> list[tuple[bool, int, float]]:
        shape = (count, sum(simulate_timing.processes(0.001, "cuda", fresh)), stats.LOOKS[-1])
        fixed, noise = 0.001 * rng.standard_normal((*shape[:2], 1)), 0.002 * rng.standard_normal(shape)
        return [simulate_timing.ours(d, 0.001, "cuda", fresh) for d in np.log1p(gain) + fixed + noise]

    same = studies(0.0, 300)
    assert sum(faster for faster, _, _ in same) == 0
    assert np.quantile([abs(point) for _, _, point in same], 0.95) < 0.01
    assert np.mean([pairs for _, pairs, _ in same]) < 10
    assert sum(faster for faster, _, _ in studies(0.03, 50)) >= 45


def test_a_family_divides_the_level() -> None:
    rng = np.random.default_rng(0)
    parts = rng.normal(0.05, 0.02, (2, 64)).tolist()
    lows = [stats.claim(parts, 64, 0.005, m).low for m in (1, 4, 32)]
    assert lows == sorted(lows, reverse=True)
    assert lows[0] > lows[2]


def test_where_processes_differ_by_much_more_of_them_are_asked_and_one_may_disagree() -> None:
    counts = [
        Calibration(spread, labels).process_pairs(4) for spread, labels in ((0.01, ()), (0.03, ()), (0.03, ("x",)))
    ]
    assert counts == [4, 8, 4]
    for_it, against = [0.3, 0.31] * 4, [-0.01] * 8
    assert stats.confirmed([for_it] * 4, 32, 0.001)
    assert not stats.confirmed([for_it] * 3 + [against], 32, 0.001)
    assert stats.confirmed([for_it] * 7 + [against], 64, 0.001)
    assert not stats.confirmed([for_it] * 6 + [against] * 2, 64, 0.001)


def test_the_spread_between_processes_is_never_zero(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    for groups in ([[0.0] * 16] * 4, rng.normal(0, 0.01, (4, 16)).tolist()):
        sd = stats.between_process_sd(groups)
        path = tmp_path / "calibration.json"
        path.write_text(json.dumps({"between_process_sd": sd}))
        assert Calibration.load(path, "cpu").spread >= 0.001
    assert min(stats.between_process_sd(rng.normal(0, 0.01, (6, 16)).tolist()) for _ in range(50)) > 0.001


def launch_gaps() -> list[dict[str, Any]]:
    """What was measured of process pairs of unchanged programs on an H200."""
    data = Path(__file__).parents[2] / "docs" / "data" / "launch_gaps_h200.jsonl"
    return [row for row in map(json.loads, data.read_text().splitlines()) if "d" in row]


def missed(rows: Sequence[dict[str, Any]], spread: Callable[[dict[str, Any]], float]) -> int:
    """Intervals of single process pairs that do not hold 1."""
    claims = [stats.claim([row["d"]], 64, spread(row)) for row in rows]
    return sum(not claim.low <= 0 <= claim.high for claim in claims)


def test_on_a_gpu_the_spread_grows_with_the_share_of_launches() -> None:
    rows, calibration = launch_gaps(), Calibration(stats.DEFAULT_SPREAD["cuda"])
    assert missed(rows, lambda row: calibration.spread) > 10
    assert missed(rows, lambda row: calibration.between(row["launches"], row["reference_us"])) == 0
    assert calibration.between(1, 2300.0) == calibration.between(0, 7.0) == calibration.spread  # no wider for these
    assert calibration.between(37, 91.0) > 0.03
    assert calibration.between(10_000, 10.0) == 0.06


def test_references_that_launch_slowly_make_no_program_faster() -> None:
    """A process keeps what it takes from kernel to kernel, and one reference stands for all programs of a task."""
    rng = np.random.default_rng(1)
    process, noise = 0.033 / math.sqrt(2), 0.003  # 37 kernels in 91 us
    faster = {0.005: 0, Calibration(0.005).between(37, 91.0): 0}
    for _ in range(60):
        screening, *fresh = rng.normal(0, process, 3)
        for _ in range(10):
            fixed = np.array([screening, *fresh, *fresh]) - rng.normal(0, process, 5)
            parts = fixed[:, None] + rng.normal(0, noise, (5, 64))
            for told in faster:
                faster[told] += simulate_timing.ours(parts, told, "cuda")[0]
    default, widened = faster.values()
    assert default > 10
    assert widened == 0


def test_calibration_leaves_out_what_launches_explain() -> None:
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in launch_gaps():
        by_task.setdefault(row["task"], []).append(row)
    assert between_process_sd(by_task, "cuda") < 0.005
    bare = {task: [{"d": row["d"]} for row in rows] for task, rows in by_task.items()}
    assert between_process_sd(bare, "cuda") > 0.02


# --- the control ---------------------------------------------------------------------------------


def tasks(count: int) -> list[Task]:
    return [Task(f"test/t{i}", "test", REFERENCE + f"\nN = {i}\n", str(i)) for i in range(count)]


@pytest.mark.parametrize(("n", "count"), [(1, 1), (8, 2), (200, 92), (500, 92), (500, 12), (500, 3)])
def test_a_plan_covers_its_verdicts_each_program_once(n: int, count: int) -> None:
    plan = Plan.of(tasks(count), n)
    unchanged = [(t.id, i) for t, i in plan.unchanged]
    assert len(set(unchanged)) == len(unchanged) >= n
    if n >= 200:
        assert plan.k == FAMILY
        assert len(plan.families) == min(FAMILIES, count)
    else:
        assert len(unchanged) < n + count
    for workers in (1, 2, 3):
        shares = [x for i in range(workers) for x in plan.share(i, workers).unchanged]
        assert sorted((t.id, i) for t, i in shares) == sorted(unchanged)


def test_rewording_changes_every_digest_and_nothing_else() -> None:
    texts = [reworded(TASK, i) for i in range(40)]
    assert len({digest_text(t) for t in texts}) == 40
    assert len({ast.dump(ast.parse(t)) for t in texts}) == 40
    assert slowed(TASK, 0.05).digest != TASK.digest


def test_a_log_goes_on_after_a_torn_row_and_starts_anew_under_another_header(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    with Log(path, {"n": 1}) as log:
        assert log.get("a", lambda: {"x": 1})["x"] == 1
        with pytest.raises(UserError, match=r"log\.jsonl: another `calibrate` writes it"):
            Log(path, {"n": 1})
    whole = path.read_bytes()
    with path.open("a") as file:
        file.write('{"key": "b", "x"')
    with Log(path, {"n": 1}) as again:
        assert path.read_bytes() == whole
        assert again.get("a", lambda: {"x": 2})["x"] == 1
        assert again.get("b", lambda: {"x": 3})["x"] == 3
    with Log(path, {"n": 1}) as again:
        assert again.rows.keys() == {"a", "b"}
    with path.open("a") as file:
        file.write('{"x": 1}\n')
    with pytest.raises(UserError, match=r"log\.jsonl: a line is no row of a control .*; remove the file"):
        Log(path, {"n": 1})
    with Log(path, {"n": 2}) as other:
        assert not other.rows


# --- real processes ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluator() -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(max_pairs=16)) as opened:
        yield opened


@pytest.mark.slow
def test_a_winner_is_measured_again_at_its_level(evaluator: LocalEvaluator) -> None:
    verdict = evaluator.remeasure(TASK, reworded(TASK, 0), among=32)
    assert verdict.status is Status.CORRECT, verdict.message
    assert REMEASURED in verdict.labels
    assert verdict.remeasured_among == 32
    assert verdict.ci_low is not None
    assert verdict.low_for(32) == verdict.ci_low


@pytest.mark.slow
def test_where_processes_differ_by_much_a_clear_loser_still_goes_early(tmp_path: Path) -> None:
    calibration = tmp_path / "calibration.json"
    calibration.write_text(json.dumps({"between_process_sd": 0.03}))
    slower = unchanged(TASK).replace("torch.exp(x)", "[torch.exp(x) for _ in range(6)][0]")
    with open_evaluator(EvaluatorSettings(calibration=calibration)) as opened:
        # What else happens on the machine during one of four pairs may ask for more of them: it gets three attempts.
        for _ in range(3):
            loser = opened.evaluate(TASK, slower)
            assert loser.status is Status.CORRECT, loser.message
            assert loser.speedup is not None and loser.speedup < 0.5
            if loser.pairs <= 4:
                break
        else:
            pytest.fail(str(loser))
        assert opened.evaluate(TASK, reworded(TASK, 0)).pairs >= 16


@pytest.mark.slow
def test_a_large_planted_gain_is_called_faster_by_every_clock() -> None:
    verdicts: list[Verdict] = []
    with open_evaluator(EvaluatorSettings()) as opened:
        # A machine that other work disturbs throughout a measurement may hide even this gain: it gets three.
        for i in range(3):
            verdicts.append(opened.evaluate_slowed(TASK, reworded(TASK, i), 2.0))
            assert verdicts[-1].ci_low is not None, verdicts[-1]
            assert verdicts[-1].clock_bound is not None
            if verdicts[-1].ci_low > 1 and verdicts[-1].clock_bound > 1:
                return
    pytest.fail(str(verdicts))


@pytest.mark.slow
def test_the_control_writes_its_document_and_measures_nothing_twice(tmp_path: Path) -> None:
    path = tmp_path / "calibration.json"
    with lease() as held:
        settings = EvaluatorSettings(max_pairs=16, core=held.core)
        document = calibrate([TASK], settings, n=2, path=path)
    log = path.with_suffix(".log.jsonl")
    rows = log.read_bytes()
    assert calibrate([TASK], settings, n=2, path=path) == document == json.loads(path.read_text())
    assert log.read_bytes() == rows
    assert document["n"] == document["shared_core"] == 2
    assert document["between_process_sd"] > 0
    assert {p["slowdown"] for p in document["power"]} == {0.03, 0.05, 0.1, 0.2}
    assert document["naive"]["sequential"]["n"] == document["naive"]["together"]["n"] >= 2
    assert document["any_of_k"]["tasks"] == 1
    assert Calibration.load(path, "cpu").labels == ()
