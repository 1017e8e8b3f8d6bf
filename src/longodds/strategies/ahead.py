"""Two halves of a run at the same time: cells are sampled while earlier ones are judged.

Sampling stays in the caller's thread, so that Ctrl-C reaches it as ever; judging, which waits for other processes
nearly all of the time, has a thread of its own. A bounded queue between the two keeps memory bounded.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

_PATIENCE_S = 5.0


class Cancelled(Exception):
    """Raised in the judging thread when the other half has failed or was interrupted."""


class Ahead:
    """depth: cells that may wait, sampled and not judged, besides one in each half."""

    def __init__(self, depth: int = 2) -> None:
        self._depth = depth
        self._over = threading.Event()

    def check(self) -> None:
        """For the judging half, between two verdicts. Raises Cancelled when there is no use in going on."""
        if self._over.is_set():
            raise Cancelled

    def run(self, sampled: Iterator[T], judge: Callable[[T], None]) -> None:
        """Calls `judge`, in another thread, with everything that `sampled` yields, in order.

        What either half raises ends the other and is raised here. After an interrupt the verdict in flight is waited
        for a few seconds.
        """
        waiting: queue.Queue[T | None] = queue.Queue(self._depth)
        failed: list[BaseException] = []

        def work() -> None:
            try:
                while (cell := waiting.get()) is not None:
                    self.check()
                    judge(cell)
            except Cancelled:
                pass
            except BaseException as e:  # raised again in the caller's thread
                failed.append(e)
                self._over.set()

        thread = threading.Thread(target=work, name="judge", daemon=True)
        thread.start()
        try:
            for cell in sampled:
                self._put(waiting, cell)
                if self._over.is_set():
                    break
            self._put(waiting, None)
            while thread.is_alive():
                thread.join(0.2)  # in pieces, so that an interrupt is noticed
        except BaseException:
            self._over.set()
            self._put(waiting, None)
            thread.join(_PATIENCE_S)
            raise
        if failed:
            raise failed[0]

    def _put(self, waiting: queue.Queue[T | None], cell: T | None) -> None:
        while not self._over.is_set():
            try:
                waiting.put(cell, timeout=0.2)
            except queue.Full:
                continue
            return
        # The other half may be waiting for a cell that will not come.
        while True:
            try:
                waiting.put_nowait(None)
            except queue.Full:
                waiting.get_nowait()
            else:
                return
