"""Every attack of tests/cheats, as it is and in disguise, and every honest control, in one evaluator."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import pytest
from _pytest.mark.structures import ParameterSet
from cheat_bench import Bench, open_bench
from cheat_corpus import CHEATS, Program, load_programs

from longodds.types import Status

pytestmark = [pytest.mark.corpus, pytest.mark.timeout(300)]
PROGRAMS = load_programs()
CONTROLS = load_programs(CHEATS / "controls")
# What a machine that is busy, or was never calibrated, may say of an honest program.
HONEST_LABELS = {"uncalibrated", "few_pairs", "shared_core", "unconfirmed"}


def with_marks(programs: Sequence[Program]) -> list[ParameterSet]:
    """Each program as a parameter; one that is known to get through must do so, or its header is out of date.

    One that gets through only sometimes is allowed to fail.
    """
    open_holes = {
        p.name: pytest.mark.xfail(
            strict=not p.header["not-covered"].startswith("sometimes"),
            raises=AssertionError,
            reason=p.header["not-covered"],
        )
        for p in programs
        if "not-covered" in p.header
    }
    return [pytest.param(p, id=p.name, marks=[open_holes[p.name]] if p.name in open_holes else []) for p in programs]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with open_bench() as bench:
        yield bench


@pytest.mark.parametrize("program", CONTROLS, ids=lambda p: p.name)
def test_control_is_correct_without_a_flag(bench: Bench, program: Program) -> None:
    verdict = bench.control(program.name)
    assert verdict.status is Status.CORRECT, verdict.message
    assert set(verdict.labels) <= HONEST_LABELS
    bench.assert_nothing_left()


def test_honest_gain_is_seen(bench: Bench) -> None:
    verdict = bench.control("layernorm_fused")
    assert verdict.speedup is not None and verdict.speedup > 1.3


@pytest.mark.parametrize("program", with_marks(PROGRAMS))
def test_cheat_is_caught(bench: Bench, program: Program) -> None:
    bench.attack(program)


@pytest.mark.parametrize("program", with_marks([p for p in PROGRAMS if "plain-only" not in p.header]))
def test_disguised_cheat_is_caught(bench: Bench, program: Program) -> None:
    bench.attack(program, seed=zlib.crc32(program.name.encode()))
