"""How the oracle waits for a process: without sleep at first where it is told so, and no longer than that."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest

from longodds.evaluator import frames
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.process import ChildTimeout, Process


class Polls:
    """Notes for how long each poll may sleep (ms)."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.real = select.poll

    def __call__(self) -> Any:
        poller = self.real()

        def poll(ms: float) -> list[tuple[int, int]]:
            self.slept.append(ms)
            return poller.poll(ms)

        return SimpleNamespace(register=poller.register, unregister=poller.unregister, poll=poll)


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> Polls:
    polls = Polls()
    monkeypatch.setattr(select, "poll", polls)
    return polls


@pytest.fixture
def process() -> Generator[tuple[Process, Any]]:
    """A process that is only its channel, and the channel's other end."""
    ours, theirs = frames.pair()
    read, write = os.pipe()
    made = Process.__new__(Process)
    made.channel, made.forked, made.spin_s = ours, SimpleNamespace(stderr_fd=read), 0.0  # type: ignore[assignment]
    made._watch = lambda: None  # type: ignore[method-assign]
    yield made, theirs
    for fd in (read, write):
        os.close(fd)
    ours.close()
    theirs.close()


def answer_after(seconds: float, channel: Any) -> None:
    time.sleep(seconds)
    channel.send(frames.encode(Frame(Kind.DONE)))


@pytest.mark.parametrize(("spin_s", "after_s"), [(0.0, 0.0), (0.0, 0.2), (0.05, 0.2), (60.0, 0.2)])
def test_an_answer_is_waited_for(polls: Polls, process: tuple[Process, Any], spin_s: float, after_s: float) -> None:
    made, theirs = process
    made.spin_s = spin_s
    teller = threading.Thread(target=answer_after, args=(after_s, theirs))
    teller.start()
    assert made.wait(10.0).kind is Kind.DONE
    teller.join()
    assert (0 in polls.slept) is (spin_s > 0)
    assert (max(polls.slept) > 0) is (spin_s < 1)  # beyond the spin it sleeps


def test_a_wait_without_sleep_ends_with_its_time(process: tuple[Process, Any]) -> None:
    made, _ = process
    made.spin_s = 60.0
    with pytest.raises(ChildTimeout):
        made.wait(0.1)
