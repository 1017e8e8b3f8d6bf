"""fast_p per suite, against counting by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from longodds.analysis.fast_p import THRESHOLDS, fast_p_table, suite_of
from longodds.analysis.pool import TaskPool


def pool(task_id: str, rows: list[tuple[bool, float, float]]) -> TaskPool:
    zeros = np.zeros(len(rows))
    numbers = np.arange(len(rows), dtype=np.intp)
    correct = np.array([r[0] for r in rows])
    speedup, low = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    return TaskPool(task_id, correct, speedup, low, zeros, zeros, zeros, zeros, numbers * 0, numbers, correct & False)


def test_by_hand():
    nan = math.nan
    one = [(True, 1.1, 1.01), (True, 0.9, 0.85), (False, nan, nan), (True, 2.0, 1.9)]
    two = [(True, 1.0, 1.0), (False, nan, nan)]
    rows = fast_p_table([pool("kernelbench:2/1", two), pool("kernelbench:1/4", one), pool("kernelbench:1/5", two)])
    assert [(r["suite"], r["n_tasks"], r["n_samples"]) for r in rows] == [
        ("kernelbench:1", 2, 6),
        ("kernelbench:2", 1, 2),
    ]
    assert rows[0]["correct"] == pytest.approx(4 / 6)
    by_p = {cell["p"]: (cell["fast_p"] * 6, cell["fast_p_sig"] * 6) for cell in rows[0]["fast_p"]}
    expected = {0.5: (4, 4), 0.8: (4, 4), 1.0: (2, 2), 1.05: (2, 1), 1.2: (1, 1), 1.5: (1, 1), 2.0: (0, 0)}
    assert {p: (round(a, 9), round(b, 9)) for p, (a, b) in by_p.items()} == expected
    assert tuple(by_p) == THRESHOLDS


def test_what_was_not_timed_is_unknown():
    rows = fast_p_table([pool("cpu/a", [(True, math.nan, math.nan), (False, math.nan, math.nan)])])
    assert all(math.isnan(cell["fast_p"]) and math.isnan(cell["fast_p_sig"]) for cell in rows[0]["fast_p"])
    assert rows[0]["correct"] == 0.5


def test_suites():
    assert suite_of("kernelbench:1/4") == "kernelbench:1"
    assert suite_of("dir:a/b/c") == "dir:a/b"
    assert suite_of("file:a/b.py") == "file:a/b.py"
