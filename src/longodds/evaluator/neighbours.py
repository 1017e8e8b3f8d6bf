"""Whether other processes have work on a GPU, by what goes on after answers of references, who leave nothing behind."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator

_RECENT = 64
_TIMES, _SHARE, _TIMES_USUAL = 3, 0.1, 3.0


def habitual(left: int, asked: int, usual: float = 0.0) -> bool:
    """Whether so many of the answers asked for with work going on after them are no accident. usual: the share of
    references' that have."""
    return left > max(_TIMES, max(_SHARE, _TIMES_USUAL * usual) * asked)


class Neighbours:
    """Of one GPU. asked, busy: references' answers, and those after which there was work. suspected: a program was
    accused of leaving work behind, which may have been others'."""

    def __init__(self) -> None:
        self.asked = self.busy = 0
        self.suspected = False
        self._recent: deque[bool] = deque(maxlen=_RECENT)
        self._alone = False

    def note(self, *, busy: bool, rested: bool) -> None:
        """After a reference's answer. rested: the GPU was idle when it was asked. Where not, what goes on may be a
        program's of before, which must not become what is usual."""
        self.asked += 1
        self.busy += busy
        if rested or self._alone:
            self._recent.append(busy)

    @property
    def usual(self) -> float:
        """Share of the newest answers of references after which others had work."""
        return sum(self._recent) / len(self._recent) if self._recent else 0.0

    def since(self, asked: int, busy: int) -> bool:
        """Whether there was work of others again and again since the counts were these."""
        return habitual(self.busy - busy, self.asked - asked)

    @contextlib.contextmanager
    def listening(self) -> Generator[None]:
        """No program is there: all work is others'."""
        self._alone, self.suspected = True, False
        try:
            yield
        finally:
            self._alone = False
