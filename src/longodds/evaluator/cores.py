"""The lease of a CPU core: evaluators on one machine time on different cores, or their verdicts say that they do not.

Two that time on the same core make each other wait, and what they measure scatters more.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

SHARED, SHARED_GPU = "shared_core", "shared_gpu"  # the verdict's labels


@dataclass
class CoreLease:
    """A core that this process holds until it ends or lets go. core: None where processes can't be pinned.

    shared: another evaluator on this machine holds it too; label: what a verdict then says.
    """

    core: int | None
    shared: bool
    _held: socket.socket | None = None
    label: str = SHARED

    def __enter__(self) -> CoreLease:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def lease(wanted: int | None = None) -> CoreLease:
    """Lease `wanted`, or else a free core: the last one allowed first, since interrupts tend to the first."""
    if not hasattr(os, "sched_getaffinity"):
        return CoreLease(wanted, shared=False)
    order = sorted(os.sched_getaffinity(0), reverse=True) if wanted is None else [wanted]
    for core in order:
        held = _hold(f"core-{core}")
        if held is not None:
            return CoreLease(core, shared=False, _held=held)
    return CoreLease(order[0], shared=True)


def lease_gpu(uuid: str) -> CoreLease:
    """Lease a GPU, by the number that its maker gave it."""
    held = _hold(f"gpu-{uuid}")
    return CoreLease(None, shared=held is None, _held=held, label=SHARED_GPU)


def _hold(name: str) -> socket.socket | None:
    """What nobody else holds while this is open; None if somebody does."""
    held = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        # An abstract name goes with its process, also by kill -9, and needs no folder that all users may write. It is
        # known within a network namespace: containers don't see each other's.
        held.bind(f"\0longodds-{name}")
    except OSError:
        held.close()
        return None
    return held


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
