"""The naive ways of timing, which the control shows beside the evaluator's own."""

from __future__ import annotations

import threading

import pytest
from small_task import RIGHT, TASK

from longodds.evaluator.oracle import Oracle
from longodds.evaluator.problem import Problem


def test_inputs_are_drawn_by_one_thread(oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing replaces functions of PyTorch's for all threads; contents that are not kept are drawn again."""
    problem, drawn = oracle.problem(TASK), list[threading.Thread]()
    draw = Problem._draw
    problem.release()
    problem._bank.most = 0

    def noted(self: Problem, *args: object) -> list[object]:
        drawn.append(threading.current_thread())
        return draw(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Problem, "_draw", noted)
    found = oracle.naive.speedups(problem, [RIGHT] * 3)
    assert {len(values) for values in found.values()} == {3}
    assert set(drawn) == {threading.main_thread()}
