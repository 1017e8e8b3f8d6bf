"""What a strategy tells while it runs. Strategies print nothing; the command line draws this, tests record it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.types import Verdict


class Progress(Protocol):
    """Receives events in the order in which they happen; sampling and judging may tell from two threads, one at a time
    (`OneAtATime` sees to that)."""

    def begin(self, *, cells: int, samples: int, sampled: int, judged: int) -> None:
        """The plan: samples in total, and how many of them an earlier attempt drew and judged."""
        ...

    def stage(self, text: str) -> None:
        """What is being done now, in a few words."""
        ...

    def sampled(self, task_id: str, seed: int, count: int) -> None:
        """So many samples have been drawn and stored."""
        ...

    def judged(self, task_id: str, seed: int, verdict: Verdict, *, repeated: bool) -> None:
        """One sample has its verdict; repeated: an equal program's, so nothing was run."""
        ...

    def note(self, text: str) -> None:
        """Something worth keeping on the screen: a repaired file, a budget reached, a failure to be retried."""
        ...


class Silent:
    """A Progress that tells nobody."""

    def begin(self, *, cells: int, samples: int, sampled: int, judged: int) -> None: ...

    def stage(self, text: str) -> None: ...

    def sampled(self, task_id: str, seed: int, count: int) -> None: ...

    def judged(self, task_id: str, seed: int, verdict: Verdict, *, repeated: bool) -> None: ...

    def note(self, text: str) -> None: ...


class OneAtATime:
    """Passes events on to another Progress, never two at once.

    check: called after each verdict, in its thread; may raise.
    """

    def __init__(self, inner: Progress, check: Callable[[], None]) -> None:
        self._inner = inner
        self._check = check
        self._lock = threading.Lock()

    def begin(self, *, cells: int, samples: int, sampled: int, judged: int) -> None:
        with self._lock:
            self._inner.begin(cells=cells, samples=samples, sampled=sampled, judged=judged)

    def stage(self, text: str) -> None:
        with self._lock:
            self._inner.stage(text)

    def sampled(self, task_id: str, seed: int, count: int) -> None:
        with self._lock:
            self._inner.sampled(task_id, seed, count)

    def judged(self, task_id: str, seed: int, verdict: Verdict, *, repeated: bool) -> None:
        with self._lock:
            self._inner.judged(task_id, seed, verdict, repeated=repeated)
        self._check()

    def note(self, text: str) -> None:
        with self._lock:
            self._inner.note(text)
