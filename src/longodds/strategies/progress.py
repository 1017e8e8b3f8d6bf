"""What a strategy tells while it runs. Strategies print nothing; the command line draws this, tests record it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from longodds.types import Verdict


class Progress(Protocol):
    """Receives events in the order in which they happen, from one thread."""

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
