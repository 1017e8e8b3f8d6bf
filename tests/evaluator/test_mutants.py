"""Wrong programs are not CORRECT: a few in every run, well over a hundred when slow tests run."""

from __future__ import annotations

import zlib
from collections import Counter

import pytest
import torch
from cheat_bench import own_core
from mutants import Bench, Variant, candidates, group, is_mutant
from programs import tasks

from longodds.evaluator import EvaluatorSettings, open_evaluator
from longodds.types import Status

SEED = 7
QUICK = ("factor_interactions", "widen_then_squeeze", "gaussian_kernel_matrix", "leaky_integrator_states")
PER_TASK = 5
EACH = 2


@pytest.fixture(scope="module")
def evaluator():
    with open_evaluator(EvaluatorSettings(seed=SEED, core=own_core())) as opened:
        yield opened


@pytest.fixture(autouse=True)
def plain_torch():
    """Benches turn grad mode off; changed programs may warn."""
    threads, grad = torch.get_num_threads(), torch.is_grad_enabled()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_grad_enabled(grad)


def choose(bench: Bench, seen: Counter[str], count: int) -> list[Variant]:
    """`count` true mutants of a task, of the kinds that were taken least often so far."""
    chosen: list[Variant] = []
    for variant in sorted(candidates(bench.name), key=lambda v: seen[group(v.kind)]):
        if len(chosen) == count:
            break
        if seen[group(variant.kind)] <= min(seen.values(), default=0) + 3 and is_mutant(bench, variant):
            seen[group(variant.kind)] += 1
            chosen.append(variant)
    return chosen


def accepted(evaluator, name: str, variants: list[Variant]) -> list[str]:
    return [
        v.name for v in variants if evaluator.evaluate(tasks()[name], v.program, timed=False).status is Status.CORRECT
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", QUICK)
def test_quick_mutants_are_not_correct(evaluator, name):
    found = choose(Bench(name, SEED), Counter(), PER_TASK)
    assert len(found) == PER_TASK
    assert accepted(evaluator, name, found) == []


def test_an_equivalent_change_is_no_mutant():
    """Operands of a product in another order give the same function; a scale of 1.0001 does not."""
    bench = Bench("factor_interactions", SEED)
    by_kind = {v.kind: v for v in candidates("factor_interactions")}
    right = Variant("factor_interactions", "reference", "unchanged", bench_program())
    assert not is_mutant(bench, right)
    assert is_mutant(bench, by_kind["scaled_by_1e-4"])
    assert is_mutant(bench, by_kind["narrow_tf32_inputs"])


def bench_program() -> str:
    from programs import bases

    return bases("factor_interactions")["gold"]


@pytest.mark.corpus
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(tasks()))
def test_mutants_of_all_problems_are_not_correct(evaluator, name):
    # Each problem starts elsewhere among the kinds, so that all of them are met.
    turns = Counter({group(v.kind): zlib.crc32(f"{name} {group(v.kind)}".encode()) % 4 for v in candidates(name)})
    found = choose(Bench(name, SEED), turns, EACH)
    assert len(found) == EACH
    assert accepted(evaluator, name, found) == []


def test_there_are_enough_problems_for_the_mutants():
    assert EACH * len(tasks()) >= 150
