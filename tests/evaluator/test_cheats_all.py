"""Every attack of tests/cheats, as it is and in disguise, and every honest control, in one evaluator."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import pytest
from cheat_bench import Bench, open_bench
from cheat_corpus import CHEATS, Program, disguise, load_programs

from longodds.types import Status

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
PROGRAMS = load_programs()
CONTROLS = load_programs(CHEATS / "controls")
# What a machine that is busy, or was never calibrated, may say of an honest program.
HONEST_LABELS = {"uncalibrated", "few_pairs", "unconfirmed"}


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


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.name)
def test_cheat_is_caught(bench: Bench, program: Program) -> None:
    bench.attack(program)


@pytest.mark.parametrize("program", [p for p in PROGRAMS if "plain-only" not in p.header], ids=lambda p: p.name)
def test_disguised_cheat_is_caught(bench: Bench, program: Program) -> None:
    bench.attack(program, disguise(program.source, seed=zlib.crc32(program.name.encode())))
