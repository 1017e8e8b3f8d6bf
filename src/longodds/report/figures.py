"""The figures of one `select` document, drawn with matplotlib's object interface (no pyplot, no global state)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.report.browser import count_statuses
from longodds.report.style import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    ORANGE,
    PURPLE,
    RED,
    STYLE,
    log2_axis,
    new_figure,
    percent_axis,
)
from longodds.report.text import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATUS_COLOURS = {
    "correct": GREEN,
    "incorrect": ORANGE,
    "compile_error": PURPLE,
    "runtime_error": BLUE,
    "timeout": GREY,
    "rejected": RED,
    "infra_error": INK,
}
MAX_PANELS = 24
MAX_POINTS = 120


def build_figures(result: dict[str, Any], points: dict[str, list[dict[str, Any]]]) -> dict[str, Figure]:
    """Figures by name from the document of `select`. points: per task, its programs as the candidate browser has them.

    A figure that would show nothing is left out.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        made = {
            "selection": selection_bars(result),
            "scaling": scaling_curve(result),
            "best-speedup": best_speedup(result),
            "strategies-by-k": strategies_by_k(result),
            "profile": surprisal_profile(result),
            "scatter": surprisal_against_speedup(result, points),
            "statuses": status_counts(result, points),
        }
    return {name: figure for name, figure in made.items() if figure is not None}


def selection_bars(result: dict[str, Any]) -> Figure | None:
    """Share of cells whose choice is fast, by strategy, with 95 % intervals; grouped by timings per cell."""
    metric = result["verdict"]["metric"]
    rows = [s for s in result["strategies"] if s[metric] is not None and not s["name"].startswith("sum-")]
    if not rows:
        return None
    groups = {"oracle": 0, "random-top3": 1, "surprisal-top3": 1, "confident-top3": 1}
    rows.sort(key=lambda s: (groups.get(s["name"], 2), -s[metric]))
    rows.reverse()
    figure = new_figure(6.4, 0.32 * len(rows) + 0.8)
    ax = figure.add_subplot()
    for y, s in enumerate(rows):
        base = s["name"].startswith("random")
        colour = GREY if base or s["name"] == "oracle" else BLUE if "surprisal" in s["name"] else ORANGE
        ax.barh(y, s[metric], height=0.66, color=colour, alpha=0.9, hatch="///" if base else None, edgecolor=GRID)
        if s["ci"] is not None:
            low, high = s["ci"]
            ax.plot([low, high], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
            ax.plot([low, high], [y, y], "|", color=INK, markersize=7)
    baseline = next((s[metric] for s in rows if s["name"] == "random"), None)
    if baseline is not None:
        ax.axvline(baseline, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_yticks(range(len(rows)), [s["name"] for s in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.0)
    ax.grid(axis="x")
    percent_axis(ax.xaxis)
    ax.set_xlabel(f"cells whose choice is fast ({metric})")
    return figure


def scaling_curve(result: dict[str, Any]) -> Figure | None:
    """any-of-K on a log2 axis: decided on intervals (solid) and on points (dashed), with bands over tasks."""
    rows = result["scaling"]
    if not rows or rows[0]["any_of_k"] is None:
        return None
    figure = new_figure(6.4, 3.4)
    ax = figure.add_subplot()
    ks = [r["k"] for r in rows]
    series = (("any_of_k_sig", BLUE, "-", "o", "verified faster"), ("any_of_k", ORANGE, "--", "s", "point speedup > 1"))
    for name, colour, dash, marker, label in series:
        if rows[0][name] is None:
            continue
        ax.plot(ks, [r[name] for r in rows], dash, color=colour, marker=marker, markersize=4.5, label=label)
        if all(r[f"{name}_ci"] for r in rows):
            low, high = zip(*(r[f"{name}_ci"] for r in rows), strict=True)
            ax.fill_between(ks, low, high, color=colour, alpha=0.16, linewidth=0)
    log2_axis(ax, ks)
    ax.set_ylim(0, 1.02)
    ax.grid()
    percent_axis(ax.yaxis)
    ax.set_ylabel("tasks with a faster program")
    ax.legend(loc="lower right" if rows[-1]["any_of_k"] > 0.5 else "upper left")
    return figure


def strategies_by_k(result: dict[str, Any]) -> Figure | None:
    """Share of fast choices by K: one timing (solid) and three (dashed)."""
    rows = result["selection_scaling"]
    if not rows or not any(rows[-1][name] for name in rows[-1] if name != "k"):
        return None
    figure = new_figure(6.4, 3.4)
    ax = figure.add_subplot()
    ks = [r["k"] for r in rows]
    series = (
        ("surprisal", BLUE, "-", "o"),
        ("most-confident", ORANGE, "-", "s"),
        ("random", GREY, "-", "x"),
        ("surprisal-top3", BLUE, "--", "o"),
        ("confident-top3", ORANGE, "--", "s"),
        ("random-top3", GREY, "--", "x"),
    )
    for name, colour, dash, marker in series:
        ax.plot(ks, [r[name] for r in rows], dash, color=colour, marker=marker, markersize=4.5, label=name)
    log2_axis(ax, ks)
    ax.set_ylim(0, 1.02)
    ax.grid()
    percent_axis(ax.yaxis)
    ax.set_ylabel("choices that are fast")
    ax.legend(ncols=2, fontsize=9)
    return figure


def surprisal_profile(result: dict[str, Any]) -> Figure | None:
    """Share of fast candidates in each quarter of within-task surprisal, with 95 % intervals."""
    rows = result["likelihood"]["profile"]
    if not rows:
        return None
    figure = new_figure(6.4, 2.9)
    ax = figure.add_subplot()
    x = [r["quantile"] for r in rows]
    ax.plot(x, [r["fast_1"] for r in rows], "-o", color=BLUE)
    for r in rows:
        if r["ci"]:
            ax.plot([r["quantile"]] * 2, r["ci"], color=BLUE, linewidth=1.4)
            ax.plot([r["quantile"]] * 2, r["ci"], "_", color=BLUE, markersize=9)
    labels = {1: "lowest quarter\n(confident)", len(x): "highest quarter\n(surprising)"}
    ax.set_xticks(x, [labels.get(i, f"quarter {i}") for i in x])
    ax.set_xlim(0.6, len(x) + 0.4)
    ax.set_ylim(0, 1.02)
    ax.grid(axis="y")
    percent_axis(ax.yaxis)
    ax.set_ylabel("correct candidates\nfaster than the reference")
    return figure


def surprisal_against_speedup(result: dict[str, Any], points: dict[str, list[dict[str, Any]]]) -> Figure | None:
    """One panel per task (the first 24 with at least two timed programs): surprisal against speedup."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    panels: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for row in result["per_task"]:
        timed = [p for p in points.get(row["task_id"], []) if p["v"] is not None and p["s"] is not None]
        if len(timed) >= 2:
            panels.append((row, timed[:: max(1, len(timed) // MAX_POINTS)]))
    panels = panels[:MAX_PANELS]
    if not panels:
        return None
    columns = min(4, len(panels))
    lines = -(-len(panels) // columns)
    figure = new_figure(2.5 * columns, 2.0 * lines + 0.3)
    for i, (row, timed) in enumerate(panels):
        ax = figure.add_subplot(lines, columns, i + 1)
        for fast, marker, colour in ((True, "o", BLUE), (False, "x", ORANGE)):
            chosen = [p for p in timed if (p["v"] > 1) == fast]
            ax.plot([p["s"] for p in chosen], [p["v"] for p in chosen], marker, color=colour, markersize=4, alpha=0.85)
        ax.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.set_yscale("log", base=2)
        ax.margins(0.1)
        ticks = _speedup_ticks([p["v"] for p in timed])
        ax.set_yticks(ticks, [f"{t:g}x" for t in ticks])
        ax.yaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.grid()
        name = _name(row["task_id"], 28)
        rho = "" if row["spearman"] is None else f"\nrank correlation {row['spearman']:+.2f}"
        ax.set_title(name + rho, fontsize=8, parse_math=False)
        ax.tick_params(labelsize=8)
    figure.supxlabel("surprisal (nats per token)", fontsize=9)
    figure.supylabel("speedup (log scale)", fontsize=9)
    return figure


def _speedup_ticks(speedups: list[float]) -> list[float]:
    """1 and a few round speedups on both sides of it that the data reach."""
    low, high = min(*speedups, 0.9), max(*speedups, 1.1)
    for steps in (
        (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2),
        (0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4),
        (0.1, 0.25, 0.5, 1, 2, 4, 8),
        (0.01, 0.1, 1, 10, 100),
    ):
        inside = [t for t in steps if low <= t <= high]
        if steps[0] <= low * 1.01 and high <= steps[-1] * 1.01 and len(inside) <= 5:
            return inside
    return [t for t in (0.001, 0.01, 0.1, 1, 10, 100, 1000) if low <= t <= high]


def best_speedup(result: dict[str, Any]) -> Figure | None:
    """Expected best speedup of K on a log2 axis, geometric mean over tasks, with the band over tasks."""
    rows = result["scaling"]
    if not rows or rows[0]["expected_best_speedup"] is None:
        return None
    figure = new_figure(6.4, 3.4)
    ax = figure.add_subplot()
    ks = [r["k"] for r in rows]
    ax.plot(ks, [r["expected_best_speedup"] for r in rows], "-o", color=GREEN, markersize=4.5)
    if all(r["expected_best_speedup_ci"] for r in rows):
        low, high = zip(*(r["expected_best_speedup_ci"] for r in rows), strict=True)
        ax.fill_between(ks, low, high, color=GREEN, alpha=0.16, linewidth=0)
    log2_axis(ax, ks)
    ax.yaxis.set_major_formatter("{x:g}x")
    ax.grid()
    ax.set_ylabel("expected best speedup")
    return figure


def status_counts(result: dict[str, Any], points: dict[str, list[dict[str, Any]]]) -> Figure | None:
    """What became of the samples of each task (the 30 with the fewest correct, if there are more)."""
    tasks = sorted(result["per_task"], key=lambda r: r["n_correct"] / max(r["n_samples"], 1))[:30]
    if not tasks:
        return None
    figure = new_figure(6.4, 0.24 * len(tasks) + 1.1)
    ax = figure.add_subplot()
    counts = [count_statuses(points.get(t["task_id"], [])) for t in tasks]
    left = [0.0] * len(tasks)
    for status, colour in STATUS_COLOURS.items():
        shares = [c.get(status, 0) / max(sum(c.values()), 1) for c in counts]
        if any(shares):
            label = status.replace("_", " ")
            ax.barh(range(len(tasks)), shares, left=left, height=0.7, color=colour, label=label, edgecolor=GRID)
            left = [a + b for a, b in zip(left, shares, strict=True)]
    ax.set_yticks(range(len(tasks)), [_name(t["task_id"], 34) for t in tasks], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1)
    percent_axis(ax.xaxis)
    ax.set_xlabel("samples")
    figure.legend(
        loc="outside upper center", ncols=len(ax.containers), fontsize=8.5, handlelength=1.2, columnspacing=1.2
    )
    return figure


def _name(task_id: str, limit: int) -> str:
    """A task without its suite, on one line, nothing in it that a reader can't see."""
    name = " ".join(visible(task_id.split("/", 1)[-1]).split())
    return name if len(name) < limit else name[: limit - 2] + "…"
