"""The terminal browser of `inspect`: tasks, programs, one program. Keys in, a picture out; no terminal here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.report.text import number, percent, times, visible

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from longodds.report.view import RunView

TASKS, PROGRAMS, DETAIL = range(3)
MOVES = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -10, "pagedown": 10}
ENDS = {"home": 0, "g": 0, "end": 1 << 30, "G": 1 << 30}
WIDE = 96  # columns from which on there is room for what chose a program
FRAME = 5  # lines of title, head and foot
HELP = {
    TASKS: "enter: programs   /: filter   q: quit",
    PROGRAMS: "enter: program   escape: tasks   /: filter   q: quit",
    DETAIL: "d: difference or whole program   escape: programs   q: quit",
}


class Walker:
    """The state of the browser: where one is, and what is filtered."""

    def __init__(self, view: RunView) -> None:
        self.view = view
        self.level = TASKS
        self.at = [0, 0, 0]
        self.filters = ["", "", ""]
        self.typing = False
        self.as_difference = True
        self._tasks = view.tasks()

    def press(self, key: str) -> bool:
        """One key by name (`up`, `enter`, `escape`, `backspace`, or the character). False: the browser is left."""
        if self.typing:
            self._type(key)
            return True
        if key == "q":
            return False
        if key in MOVES:
            self._move(self.at[self.level] + MOVES[key])
        elif key in ENDS:
            self._move(ENDS[key])
        elif key in ("enter", "right", "l"):
            if self.level < DETAIL and self._rows():
                self.level += 1
                self.at[self.level], self.filters[self.level] = 0, ""
        elif key in ("escape", "left", "h", "backspace"):
            self._back()
        elif key == "/" and self.level < DETAIL:
            self.typing = True
        elif key == "d":
            self.as_difference, self.at[DETAIL] = not self.as_difference, 0
        return True

    def _back(self) -> None:
        if self.filters[self.level]:
            self.filters[self.level] = ""
        elif self.level > TASKS:
            self.level -= 1

    def _type(self, key: str) -> None:
        text = self.filters[self.level]
        if key in ("enter", "escape"):
            self.typing = False
            text = text if key == "enter" else ""
        elif key == "backspace":
            text = text[:-1]
        elif len(key) == 1:
            text += key
        self.filters[self.level], self.at[self.level] = text, 0

    def _move(self, to: int) -> None:
        last = (len(self._lines()) if self.level == DETAIL else len(self._rows())) - 1
        self.at[self.level] = max(0, min(to, last))

    # --- what is there ---------------------------------------------------------------------------

    @property
    def task_id(self) -> str:
        """The task that one is in."""
        return self._filtered(TASKS)[self.at[TASKS]]["task_id"]

    @property
    def program(self) -> dict[str, Any]:
        """The program that one is at."""
        return self._filtered(PROGRAMS)[self.at[PROGRAMS]]

    def _rows(self) -> list[dict[str, Any]]:
        return self._filtered(min(self.level, PROGRAMS))

    def _filtered(self, level: int) -> list[dict[str, Any]]:
        words = self.filters[level].lower().split()
        if level == TASKS:
            return [t for t in self._tasks if all(w in t["task_id"].lower() for w in words)]
        rows = self.view.programs(self.task_id)
        return [r for r in rows if all(w in f"{r['d']} {r['st']} {r['m']} {r['x']}".lower() for w in words)]

    def _lines(self) -> list[tuple[str, str]]:
        p = self.program
        if self.as_difference:
            return self.view.difference(self.task_id, p)
        return [(" ", line) for line in p["x"].splitlines()]

    # --- the picture -----------------------------------------------------------------------------

    def render(self, width: int, height: int) -> Group:
        """The screen, at most `height` lines."""
        from rich.console import Group
        from rich.text import Text

        room = max(height - FRAME, 3)
        body = self._detail(room) if self.level == DETAIL else self._list(room, width)
        search = f"/{self.filters[self.level]}" + ("_" if self.typing else "")
        foot = search if self.typing or self.filters[self.level] else ""
        return Group(
            Text(visible(self._title())[:width], style="bold", no_wrap=True),
            body,
            Text(f"{foot + '   ' if foot else ''}{HELP[self.level]}"[:width], style="dim", no_wrap=True),
        )

    def _title(self) -> str:
        if self.level == TASKS:
            return f"{self.view.name}: {len(self._rows())} tasks"
        if self.level == PROGRAMS:
            return f"{self.task_id}: {len(self._rows())} programs, most surprising first"
        return f"{self.task_id}: program {self.program['d']}"

    def _list(self, room: int, width: int) -> Table:
        rows, at = self._rows(), self.at[self.level]
        first = max(0, min(at - room // 2, len(rows) - room))
        shown = rows[first : first + room]
        table = task_table(shown) if self.level == TASKS else program_table(shown, first, width)
        if shown:
            table.rows[at - first].style = "reverse"
        return table

    def _detail(self, room: int) -> Text:
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        for line in program_facts(self.program):
            text.append(visible(line) + "\n")
        lines = self._lines()
        left = max(room - 4, 3)
        for kind, line in lines[self.at[DETAIL] : self.at[DETAIL] + left]:
            style = {"+": "green", "-": "red"}.get(kind, "")
            text.append((f"{kind} " if self.as_difference else "") + line.expandtabs(4) + "\n", style=style)
        return text


def _table(*columns: tuple[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name, side in columns:
        table.add_column(name, justify="right" if side == "r" else "left", no_wrap=True, overflow="ellipsis")
    return table


def task_table(rows: list[dict[str, Any]]) -> Table:
    """One line a task."""
    from rich.text import Text

    names = (("task", "l"), ("correct", "r"), ("programs", "r"), ("fast_1", "r"), ("fast_1_sig", "r"), ("best", "r"))
    table = _table(*names, ("its lower bound", "r"))
    for t in rows:
        table.add_row(
            Text(visible(t["task_id"])),
            f"{t['correct']}/{t['judged']}",
            str(t["programs"]),
            percent(t["fast_1"]),
            percent(t["fast_1_sig"]),
            times(t["best_speedup"]),
            times(t["best_ci_low"]),
        )
    return table


def program_table(rows: list[dict[str, Any]], first: int = 0, width: int | None = None) -> Table:
    """One line a program, numbered from `first` + 1, with the digest whole.

    width: characters that a line has, so that what chose a program is shortened, and left out of a narrow one.
    """
    from rich.text import Text

    names = (("#", "r"), ("surprisal", "r"), ("status", "l"), ("speedup", "r"), ("99 % interval", "r"), ("tokens", "r"))
    chosen = width is None or width >= WIDE
    table = _table(*names, ("samples", "r"), ("digest", "l"), *([("chosen by", "l")] if chosen else []))
    table.columns[7].min_width = max((len(p["d"]) for p in rows), default=0) or None
    one_line = width is not None
    if one_line:
        table.columns[-1 if chosen else 2].no_wrap = False  # this column gives way; its cells stay in one line
    for i, p in enumerate(rows, start=first + 1):
        interval = "–" if p["lo"] is None or p["hi"] is None else f"{times(p['lo'])[:-1]} to {times(p['hi'])}"
        cells = (
            str(i),
            number(p["s"], 3),
            Text(p["st"].replace("_", " "), no_wrap=one_line or None, overflow="ellipsis" if one_line else None),
            times(p["v"]),
            interval,
            number(p["n"], 0),
            str(p["c"]),
            Text(p["d"]),
        )
        by = Text(", ".join(p["by"]), no_wrap=one_line or None, overflow="ellipsis" if one_line else None)
        table.add_row(*cells, *([by] if chosen else []))
    return table


def program_facts(p: dict[str, Any]) -> list[str]:
    """Three lines on a program: verdict, likelihood, what was said."""
    speed = "not timed" if p["v"] is None else times(p["v"])
    if p["lo"] is not None and p["hi"] is not None:
        speed += f" (99 % interval {times(p['lo'])} to {times(p['hi'])})"
    said = " ".join(p["m"].split())
    return [
        f"{p['st'].replace('_', ' ')}   {speed}   {' '.join(p['l'])}".rstrip(),
        f"surprisal {number(p['s'], 3)} nats per token, {number(p['n'], 0)} tokens, {p['c']} samples"
        + (f"; chosen by {', '.join(p['by'])}" if p["by"] else ""),
        said,
    ]
