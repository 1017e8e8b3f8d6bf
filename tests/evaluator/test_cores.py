"""Evaluators on one machine lease different cores, whatever ends their processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from longodds.evaluator.cores import lease

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="processes can't be pinned here")


@pytest.fixture
def cores(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Two cores that no evaluator beside this test can hold."""
    pretended = [1_000_000 + os.getpid() * 2, 1_000_001 + os.getpid() * 2]
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(pretended))
    return pretended


def test_each_takes_another_core_until_none_is_left(cores: list[int]) -> None:
    with lease() as first, lease() as second:
        assert [(x.core, x.shared) for x in (first, second)] == [(cores[1], False), (cores[0], False)]
        with lease() as third:
            assert (third.core, third.shared) == (cores[1], True)
        first.close()
        with lease() as fourth:
            assert (fourth.core, fourth.shared) == (cores[1], False)


def test_a_core_that_is_asked_for_is_used_and_said_to_be_shared(cores: list[int]) -> None:
    with lease(cores[0]) as first, lease(cores[0]) as again:
        assert (first.core, first.shared, again.core, again.shared) == (cores[0], False, cores[0], True)
    with lease(cores[0]) as later:
        assert not later.shared


def test_a_killed_process_holds_nothing(cores: list[int]) -> None:
    program = f"from longodds.evaluator.cores import lease; x = lease({cores[1]}); print(x.shared, flush=True); input()"
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"False\n"
    with lease() as other:
        assert other.core == cores[0]
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with lease() as other:
        assert other.core == cores[1]
