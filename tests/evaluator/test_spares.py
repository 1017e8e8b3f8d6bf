"""Processes started ahead of their programs, here on a CPU, where nothing needs them: judged alike, nothing left."""

from __future__ import annotations

import os
import signal
import time

import pytest
from small_task import RAISES, RIGHT, TASK, WRONG, alive

from longodds.evaluator import forks
from longodds.evaluator.oracle import Oracle
from longodds.types import Status

CHECKS = RIGHT.replace("return torch", "import os\n        assert CHECK\n        return torch")
ALONE = CHECKS.replace("CHECK", "os.listdir('.') == ['program.py'], os.listdir('.')")
THERE = CHECKS.replace("CHECK", "__file__.endswith('/program.py') and 'ModelNew' in open(__file__).read()")


@pytest.fixture
def oracle(oracle: Oracle) -> Oracle:
    oracle.processes.ahead = True
    return oracle


def test_programs_get_the_same_verdicts_from_a_process_that_waited(oracle: Oracle) -> None:
    spares, used = oracle.processes.spares, list[int]()
    for program, status in (
        (RIGHT, Status.CORRECT),
        (WRONG, Status.INCORRECT),
        (ALONE, Status.CORRECT),
        (RAISES, Status.RUNTIME_ERROR),
        (THERE, Status.CORRECT),
        ("def (", Status.COMPILE_ERROR),
    ):
        waiting = [spare.forked.pid for _, spare in spares._kept]
        used += waiting[:1]
        verdict = oracle.judge(TASK, program, timed=False)
        assert verdict.status is status, verdict.message
        assert len(spares._kept) == 1
        assert spares._kept[0][1].forked.pid not in waiting
    assert len(used) == len(set(used)) == 5
    assert not [pid for pid in used if alive(pid)]


def test_what_is_started_ahead_is_at_rest_before_a_timing(oracle: Oracle) -> None:
    assert oracle.judge(TASK, RIGHT, timed=True).correct
    oracle.processes.expect(0, 2)
    kept = [spare for _, spare in oracle.processes.spares._kept]
    assert len(kept) == 2
    assert oracle.device.disturbed()
    oracle.processes.settle()
    assert not oracle.device.disturbed()
    assert all(spare.warm and alive(spare.forked.pid) for spare in kept)
    assert oracle.judge(TASK, WRONG, timed=True).status is Status.INCORRECT
    assert [alive(spare.forked.pid) for spare in kept] == [False, True]  # the oldest first


def test_a_process_that_did_not_live_to_see_its_program_is_replaced(oracle: Oracle) -> None:
    assert oracle.judge(TASK, RIGHT, timed=False).correct
    spare = oracle.processes.spares._kept[0][1]
    os.kill(spare.forked.pid, signal.SIGKILL)
    while alive(spare.forked.pid):
        time.sleep(0.01)
    assert oracle.judge(TASK, RIGHT, timed=False).correct
    oracle.processes.servers.get(0).close()  # and with it those that it forked
    assert oracle.judge(TASK, RIGHT, timed=False).correct


@pytest.mark.parametrize("ahead", [True, False])
def test_a_fork_server_that_has_served_for_long_is_replaced_between_programs(
    oracle: Oracle, monkeypatch: pytest.MonkeyPatch, *, ahead: bool
) -> None:
    oracle.processes.ahead = ahead
    monkeypatch.setattr(forks, "_FORKS", 2)
    used = set[int]()
    for _ in range(4):
        # Each forks more than twice; a server that ended beside them would take a program with it.
        verdict = oracle.judge(TASK, RIGHT, timed=True)
        assert verdict.correct, verdict.message
        process = oracle.processes.servers.get(0).process
        used |= {process.pid} if process else set()
    assert len(used) >= 3
