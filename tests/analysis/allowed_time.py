"""Limits of CPU time that mean the same on a slow or shared core."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator

_YARDSTICK_S = 0.12  # CPU seconds of the loop below on an idle core of 2024


@contextlib.contextmanager
def allowed_seconds(limit: float) -> Generator[None]:
    """The block may take `limit` seconds of CPU on an idle core of 2024, in proportion more on a slower one.

    A shared core's clock counts others' work too, so the core is measured before and after the block.
    """
    before, start = _slowdown(), time.process_time()
    yield
    spent = time.process_time() - start
    slower = max(before, _slowdown())
    assert spent < limit * slower, f"{spent:.1f} s where {limit:g} s are allowed, on a core {slower:.1f} times slower"


def _slowdown() -> float:
    start = time.process_time()
    sum(i * i for i in range(2_000_000))
    return max(1.0, (time.process_time() - start) / _YARDSTICK_S)
