"""How many CPU threads a policy should use."""

from __future__ import annotations

import os


def read_load_average() -> float | None:
    """Runnable processes averaged over the last minute, or None where the system doesn't say (Windows)."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def available_cores() -> int:
    """CPU cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def choose_threads(load_average: float | None, cores: int) -> int:
    """One thread when the machine is busy or its load is unknown, otherwise one per core.

    OpenMP's barriers spin: when another process holds one of the cores, every matrix product waits at its
    barrier for a thread that isn't running. Two threads on two cores with one busy neighbour took 20 times
    as long as one thread (911 ms against 44 ms for one set of small products), so too few threads cost
    little and too many cost everything.
    """
    if load_average is None or load_average > 0.5 * cores:
        return 1
    return cores
