"""Honest rewrites are CORRECT: a few in every run, several hundred over all bundled problems when slow tests run."""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from cheat_bench import own_core
from programs import Variant, tasks
from rewrites import HANDMADE, rewrites

from longodds.evaluator import EvaluatorSettings, open_evaluator
from longodds.types import Status

# Problems that are quick to prepare, each with rewrites of another sort.
QUICK = {
    "factor_interactions": ("square_of_sum", "field_by_field", "matmul_strassen", "sum_one_by_one", "load_reference"),
    "widen_then_squeeze": ("composed_in_init", "hook_composes_in_double", "conv2d_taps", "nested", "renamed"),
    "toeplitz_from_taps": ("fourier", "convolution", "matmul_split_k", "inputs_padded", "output_transposed"),
    "gaussian_kernel_matrix": (
        "expanded_square",
        "sum_interleaved",
        "exp_base_two",
        "float64_inside",
        "derived_in_init",
    ),
    "label_histogram": ("bincount", "comparisons", "sum_pairwise"),
}
SEED = 7


@pytest.fixture(scope="module")
def evaluator():
    with open_evaluator(EvaluatorSettings(seed=SEED, core=own_core())) as opened:
        yield opened


def refused(evaluator, name: str, variants: list[Variant]) -> list[str]:
    """Name and message of those that are not CORRECT."""
    verdicts = [(v, evaluator.evaluate(tasks()[name], v.program, timed=False)) for v in variants]
    return [f"{v.name}: {d.status}: {d.message}" for v, d in verdicts if d.status is not Status.CORRECT]


@pytest.mark.parametrize("name", QUICK)
def test_quick_rewrites_are_correct(evaluator, name):
    chosen = [v for v in rewrites(name) if v.kind in QUICK[name]]
    assert {v.kind for v in chosen} == set(QUICK[name])
    unchanged = [v for v in rewrites(name) if v.kind == "unchanged"]
    assert refused(evaluator, name, unchanged + chosen) == []


def rarest_first(name: str, seen: Counter[str], count: int) -> list[Variant]:
    """`count` rewrites of a task, of the kinds that were taken least often so far."""
    automatic = [v for v in rewrites(name) if v.base != "hand" and v.kind != "unchanged"]
    chosen: list[Variant] = []
    for _ in range(min(count, len(automatic))):
        best = min(range(len(automatic)), key=lambda i: seen[automatic[i].kind])
        chosen.append(automatic.pop(best))
        seen[chosen[-1].kind] += 1
    return chosen


@cache
def selection() -> dict[str, list[Variant]]:
    """Reference, gold and all rewrites by hand of every task, and automatic ones such that every kind occurs."""
    seen: Counter[str] = Counter()
    chosen: dict[str, list[Variant]] = {}
    for name in tasks():
        fixed = [v for v in rewrites(name) if v.base == "hand" or v.kind == "unchanged"]
        chosen[name] = fixed + rarest_first(name, seen, 3)
    return chosen


def test_there_are_enough_rewrites_of_every_kind():
    chosen = selection()
    assert sum(v.kind != "unchanged" for found in chosen.values() for v in found) >= 200
    every = {v.kind for name in tasks() for v in rewrites(name)}
    taken = {v.kind for found in chosen.values() for v in found}
    assert len(taken) >= 0.9 * len(every)
    assert set(HANDMADE) <= set(tasks())


@pytest.mark.corpus
@pytest.mark.parametrize("name", list(tasks()))
def test_all_rewrites_are_correct(evaluator, name):
    assert refused(evaluator, name, selection()[name]) == []
