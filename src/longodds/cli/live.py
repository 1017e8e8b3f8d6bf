"""A run as it goes, drawn on stderr: two bars in a terminal, a line per finished task elsewhere."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

from longodds.cli.console import note_line, one_line, stderr_console

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bars
    from rich.progress import TaskID

    from longodds.types import Verdict


class LiveProgress:
    """A `strategies.progress.Progress` that people watch; a context manager."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        console = stderr_console()
        self._bars: Bars | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bars = Progress(*columns, console=console)
        self._sampled: TaskID | None = None
        self._judged: TaskID | None = None
        self._verdicts: Counter[str] = Counter()
        self._faster = 0
        self._cell: tuple[str, int] | None = None
        self._cell_counts: Counter[str] = Counter()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish_cell()
        if self._bars is not None:
            self._bars.stop()

    # --- events --------------------------------------------------------------------------------

    def begin(self, *, cells: int, samples: int, sampled: int, judged: int) -> None:
        if self._bars is not None:
            self._sampled = self._bars.add_task("sampled", total=samples, completed=sampled)
            self._judged = self._bars.add_task("judged", total=samples, completed=judged)
        if sampled:
            self.note(f"resuming: {sampled} of {samples} samples are there, {judged} judged")
        elif self._bars is None:
            note_line(f"{cells} cells (task x seed), {samples} samples")

    def stage(self, text: str) -> None:
        if self._bars is not None and self._sampled is not None:
            self._bars.update(self._sampled, description=f"sampled   [dim]{_escape(text)}[/dim]")
        elif self._bars is not None:
            self._bars.console.print(_escape(text), style="dim")

    def sampled(self, task_id: str, seed: int, count: int) -> None:
        if self._bars is not None and self._sampled is not None:
            self._bars.advance(self._sampled, count)

    def judged(self, task_id: str, seed: int, verdict: Verdict, *, repeated: bool) -> None:
        self._verdicts[verdict.status.value] += 1
        self._faster += verdict.ci_low is not None and verdict.ci_low > 1
        if self._bars is not None and self._judged is not None:
            counts = ", ".join(f"{n} {name}" for name, n in self._verdicts.most_common())
            text = f"judged    [dim]{self._faster} verified faster; {_escape(counts)}[/dim]"
            self._bars.update(self._judged, advance=1, description=text)
        if self._cell != (task_id, seed):
            self._finish_cell()
            self._cell = (task_id, seed)
        self._cell_counts[verdict.status.value] += 1

    def note(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(_escape(text))
        else:
            note_line(text)

    def _finish_cell(self) -> None:
        if self._bars is None and self._cell is not None:
            counts = ", ".join(f"{n} {name}" for name, n in self._cell_counts.most_common())
            note_line(f"{self._cell[0]}, seed {self._cell[1]}: {counts}")
        self._cell = None
        self._cell_counts = Counter()


def _escape(text: str) -> str:
    from rich.markup import escape

    return escape(one_line(text))
