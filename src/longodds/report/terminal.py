"""The terminal's view of a `select` document, as rich tables; printing them is the CLI's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.report.text import number, percent, percent_interval, times, times_interval, visible

if TYPE_CHECKING:
    from rich.table import Table


def render_table(result: dict[str, Any], *, all_strategies: bool = False) -> Table:
    """Strategies with the share of cells whose choice is fast, its 95 % interval, speedups and timings spent.

    all_strategies: the `sum-` variants too. Headline first: strategies that time one candidate, then three, then all.
    """
    from rich.table import Table
    from rich.text import Text

    metric = result["verdict"]["metric"]
    table = Table(
        title=f"{result['n_tasks']} tasks, {result['n_cells']} cells (task x seed), K = {result['k']}",
        caption=f"share of cells whose choice is fast, interval of {metric}; a cell with nothing correct counts 0",
    )
    columns = (
        "strategy",
        "fast_1",
        "fast_1_sig",
        "95 % interval",
        "fast_1.05_sig",
        "geomean speedup",
        "its interval",
        "timings",
    )
    for name in columns:
        table.add_column(name, justify="left" if name == "strategy" else "right", no_wrap=True)
    rows = [s for s in result["strategies"] if all_strategies or not s["name"].startswith("sum-")]
    for s in sorted(rows, key=lambda s: (s["timed_evaluations"], -(s[metric] or 0.0))):
        table.add_row(
            Text(s["name"]),
            percent(s["fast_1"]),
            percent(s["fast_1_sig"]),
            percent_interval(s["ci"]),
            percent(s["fast_1.05_sig"]),
            times(s["geomean_speedup"]),
            times_interval(s["geomean_speedup_ci"]),
            number(s["timed_evaluations"], 0),
            style="bold" if s["name"] in ("surprisal", "random") else "",
        )
    return table


def render_fast_p(result: dict[str, Any]) -> Table:
    """One line a suite: the share of samples that are correct and faster than p, by the point and the lower bound."""
    from rich.table import Table
    from rich.text import Text

    rows = result["fast_p"]
    table = Table(title="share of samples above p: by the point speedup / by its lower bound")
    table.add_column("suite")
    for name in ("correct", *(f"fast_{cell['p']:g}" for cell in rows[0]["fast_p"])):
        table.add_column(name, justify="right")
    for row in rows:
        cells = (f"{percent(c['fast_p'])} / {percent(c['fast_p_sig'])}" for c in row["fast_p"])
        table.add_row(Text(visible(row["suite"])), percent(row["correct"]), *cells)
    return table


def render_tasks(result: dict[str, Any]) -> Table:
    """One line a task: samples, correct, distinct, best speedup and what surprisal chose."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="tasks",
        caption="speedups; random, surprisal: of the choice, geometric mean over seeds (exact over choices)",
    )
    for name in ("task", "correct", "distinct", "best", "its lower bound", "random", "surprisal", "rank correlation"):
        table.add_column(name, justify="left" if name == "task" else "right")
    for row in result["per_task"]:
        table.add_row(
            Text(visible(row["task_id"])),
            f"{row['n_correct']}/{row['n_samples']}",
            str(row["n_distinct"]),
            times(row["best_speedup"]),
            times(row["best_ci_low"]),
            times(row["speedups"]["random"]),
            times(row["speedups"]["surprisal"]),
            number(row["spearman"]),
        )
    return table
