"""Figures about runs rather than one pool of samples: teaser, adaptation, over-sharpening, cost, A/A control.

Each takes a document as the commands print it (`select`, `compare`, `probe`, `calibrate`) or rows of `metrics.jsonl`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from longodds.analysis.adaptation import best_step
from longodds.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    SERIES,
    STYLE,
    log2_axis,
    new_figure,
    percent_axis,
)
from longodds.report.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEASER = (
    ("surprisal-top3", BLUE, "D"),
    ("random-top3", GREY, "D"),
    ("surprisal", BLUE, "o"),
    ("random", GREY, "o"),
    ("most-confident", ORANGE, "s"),
)
AXES = {
    "samples": "samples per task",
    "tokens": "tokens per task",
    "flops": "FLOPs per task",
    "device-seconds": "device-seconds per task",
    "cost": "money per task",
}


def arm_figures(
    result: dict[str, Any],
    *,
    comparison: Mapping[str, Any] | None = None,
    probe: Mapping[str, Any] | None = None,
    calibration: Mapping[str, Any] | None = None,
    metrics: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> dict[str, Figure]:
    """Figures by name; one that would show nothing is left out. metrics: rows of metrics.jsonl by run."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        made = {
            "teaser": teaser(result),
            "frontier": None if comparison is None else cost_frontier(comparison),
            "adaptation": adaptation(trajectories(metrics or {})),
            "sharpening": None if probe is None else rho_trajectory(probe),
            "control": None if calibration is None else aa_control(calibration),
        }
    return {name: figure for name, figure in made.items() if figure is not None}


# --- the teaser ----------------------------------------------------------------------------------


def teaser(result: Mapping[str, Any]) -> Figure | None:
    """Best-of-N by K up to the K of a cell, and there what each way of choosing without timing everything gets, with
    intervals."""
    metric = result["verdict"]["metric"]
    curve = "any_of_k_sig" if metric == "fast_1_sig" else "any_of_k"
    rows = [r for r in result["scaling"] if r[curve] is not None and r["k"] <= result["k"]]
    shares = {s["name"]: s for s in result["strategies"] if s[metric] is not None}
    if len(rows) < 2 or "random" not in shares:
        return None
    figure = new_figure(7.2, 3.7)
    ax = figure.add_subplot()
    ks = [r["k"] for r in rows]
    ax.plot(ks, [r[curve] for r in rows], "-o", color=INK, markersize=4, linewidth=1.5)
    if all(r[f"{curve}_ci"] for r in rows):
        low, high = zip(*(r[f"{curve}_ci"] for r in rows), strict=True)
        ax.fill_between(ks, low, high, color=INK, alpha=0.1, linewidth=0)
    ax.axhline(rows[0][curve], color=GREY, linewidth=0.9, linestyle=(0, (1, 2)))
    log2_axis(ax, ks)
    end = ks[-1]
    marks = [(n, c, m, shares[n]) for n, c, m in TEASER if n in shares]
    spread = math.log2(end / ks[0]) * 0.035
    for i, (_, colour, marker, s) in enumerate(marks):
        x = end * 2 ** (spread * (i + 1.2))
        if s["ci"]:
            ax.plot([x, x], s["ci"], color=colour, linewidth=1.2, alpha=0.75)
        ax.plot([x], [s[metric]], marker, color=colour, markersize=6.5)
    edge = end * 2 ** (spread * (len(marks) + 1.2))
    labels = [("timing every one", INK, rows[-1][curve])] + [(n, c, s[metric]) for n, c, _, s in marks]
    for (text, colour, y), at in zip(labels, _apart([y for _, _, y in labels], 0.058), strict=True):
        label = f"{text}  {100 * y:.0f} %"
        ax.annotate(label, (edge, at), color=INK if colour == GREY else colour, fontsize=8.5, va="center")
    ax.set_xlim(ks[0] * 0.94, edge * 2 ** (spread * 8))
    ax.set_ylim(0, 1.04)
    percent_axis(ax.yaxis)
    ax.grid(axis="y")
    ax.spines["bottom"].set_bounds(ks[0], end)
    ax.set_ylabel("tasks with a faster program")
    return figure


def _apart(values: Sequence[float], gap: float) -> list[float]:
    """Heights for labels: as near to the values as `gap` between neighbours allows, inside [0, 1]."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed: list[float] = []
    for i in order:
        placed.append(max(values[i], placed[-1] + gap) if placed else values[i])
    ceiling = 1.0
    for j in reversed(range(len(placed))):
        placed[j] = min(placed[j], ceiling)
        ceiling = placed[j] - gap
    heights = dict(zip(order, placed, strict=True))
    return [heights[i] for i in range(len(values))]


# --- adaptation ----------------------------------------------------------------------------------


def trajectories(metrics: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Adaptation runs among those: one entry a run, seed and learning rate, `steps` and `share` of fast samples.

    best: position of the step that Best-of-Adaptation takes; None for `rlvr`, which takes the last. share: of rollouts;
    of held-out samples where only some steps have these: there rollouts are of other tasks at each step. metric: what
    was counted.
    """
    found: dict[tuple[str, Any, Any], dict[int, Mapping[str, Any]]] = {}
    for run, rows in metrics.items():
        for row in rows:
            if row.get("lr") is not None and isinstance(row.get("step"), int):
                found.setdefault((run, row.get("seed"), row["lr"]), {})[row["step"]] = row
    out: list[dict[str, Any]] = []
    for (run, seed, lr), by_step in found.items():
        looked = [t for t in sorted(by_step) if by_step[t].get("held_out")]
        sparse = 0 < len(looked) < len(by_step)
        steps = looked if sparse else sorted(by_step)
        counts = [by_step[t]["held_out"] if sparse else by_step[t] for t in steps]
        metric = "fast_1_sig" if all(c.get("fast_1_sig") is not None for c in counts) else "fast_1"
        share = [_share(c, metric) for c in counts]
        if len(steps) < 2 or any(v is None for v in share):
            continue
        taken = best_step([by_step[t] for t in sorted(by_step)])
        best = None if by_step[steps[0]].get("strategy") == "rlvr" else steps.index(taken)
        kl = [by_step[t].get("kl") for t in steps]
        names = {"run": run, "seed": seed, "lr": lr, "metric": metric, "held_out": bool(looked), "sparse": sparse}
        out.append({**names, "steps": steps, "share": share, "best": best, "kl": kl})
    return sorted(out, key=lambda t: (-float(t["lr"]), t["run"], str(t["seed"])))


def _share(row: Mapping[str, Any], metric: str) -> float | None:
    count, n = row.get(metric), row.get("n")
    if count is None or n == 0:
        return None
    return float(count) / n if n else float(count)


def adaptation(found: Sequence[dict[str, Any]]) -> Figure | None:
    """Share of fast samples by step, a line a run, coloured by learning rate; a star where Best-of-Adaptation stops."""
    if not found:
        return None
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 3.4)
    ax = figure.add_subplot()
    rates = list(dict.fromkeys(t["lr"] for t in found))
    named: set[Any] = set()
    for t in found:
        colour, marker = SERIES[rates.index(t["lr"]) % len(SERIES)]
        label = None if t["lr"] in named else f"learning rate {t['lr']:g}"
        named.add(t["lr"])
        ax.plot(t["steps"], t["share"], "-", marker=marker, color=colour, markersize=4, alpha=0.85, label=label)
        if t["best"] is not None:
            x, y = t["steps"][t["best"]], t["share"][t["best"]]
            ax.plot([x], [y], "*", color=colour, markersize=14, markeredgecolor=INK, markeredgewidth=0.7, zorder=5)
    if any(t["best"] is not None for t in found):
        star = "Best-of-Adaptation" + (" (held out)" if all(t["held_out"] for t in found) else "")
        ax.plot([], [], "*", color="none", markeredgecolor=INK, markersize=11, label=star)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("gradient steps (0: the policy as it was)")
    ax.set_ylim(0, min(1.02, max(0.1, 1.35 * max(max(t["share"]) for t in found))))
    percent_axis(ax.yaxis)
    ax.grid(axis="y")
    ax.set_ylabel("held-out samples that are fast" if all(t["sparse"] for t in found) else "samples that are fast")
    ax.legend(fontsize=8.5, ncols=2, loc="upper left")
    return figure


# --- over-sharpening -----------------------------------------------------------------------------


def rho_trajectory(probe: Mapping[str, Any]) -> Figure | None:
    """Rank correlation of surprisal and speedup under each checkpoint: all samples, the high-surprisal quartile, and
    the runs with shuffled rewards as the null."""
    points = [p for p in probe["checkpoints"] if p["rho"] is not None]
    if not points:
        return None
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 3.4)
    ax = figure.add_subplot()
    _line(ax, points, "rho", BLUE, "-o", "all samples")
    _line(ax, points, "rho_high_surprisal_quartile", ORANGE, "--s", "high-surprisal quartile of each task")
    null = [p for p in (probe.get("null") or {}).get("checkpoints") or [] if p.get("rho") is not None]
    if null:
        _line(ax, null, "rho", GREY, ":x", "shuffled rewards")
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("gradient steps")
    ax.set_ylabel("rank correlation\nof surprisal and speedup")
    ax.margins(y=0.18)
    ax.grid(axis="y")
    ax.legend(fontsize=8.5)
    return figure


def _line(ax: Axes, rows: Iterable[Mapping[str, Any]], key: str, colour: str, style: str, label: str) -> None:
    known = [r for r in rows if r.get(key) is not None]
    if not known:
        return
    x = [r["step"] for r in known]
    ax.plot(x, [r[key] for r in known], style, color=colour, markersize=4.5, label=label)
    banded = [(r["step"], *r[f"{key}_ci"]) for r in known if r.get(f"{key}_ci")]
    if banded:
        at, low, high = zip(*banded, strict=True)
        ax.fill_between(at, low, high, color=colour, alpha=0.14, linewidth=0)


# --- cost ----------------------------------------------------------------------------------------


def cost_frontier(comparison: Mapping[str, Any]) -> Figure | None:
    """What each arm reaches at a budget. Filled marks: better than every other arm there by an adjusted test."""
    runs = [a["run"] for a in comparison["arms"]]
    rows = [r for r in comparison["frontier"] if r["budget"] and r["budget"] > 0]
    if not rows or not runs:
        return None
    figure = new_figure(6.4, 3.6)
    ax = figure.add_subplot()
    for i, run in enumerate(runs):
        colour, marker = SERIES[i % len(SERIES)]
        mine = [(r["budget"], a, r["best"] == run) for r in rows for a in r["arms"] if a["run"] == run]
        known = [(x, a, best) for x, a, best in mine if a["value"] is not None]
        if not known:
            continue
        x, y = [k[0] for k in known], [k[1]["value"] for k in known]
        ax.plot(x, y, "-", color=colour, linewidth=1.4)
        for filled in (True, False):
            part = [(k[0], k[1]["value"]) for k in known if k[2] == filled]
            if part:
                face = colour if filled else "none"
                ax.plot(*zip(*part, strict=True), marker, color=colour, markerfacecolor=face, markersize=6)
        name = visible(run)
        ax.plot([], [], "-", marker=marker, color=colour, label=name if len(name) <= 36 else "…" + name[-35:])
        banded = [(k[0], *k[1]["ci"]) for k in known if k[1].get("ci")]
        if banded:
            at, low, high = zip(*banded, strict=True)
            ax.fill_between(at, low, high, color=colour, alpha=0.13, linewidth=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(f"budget, {AXES.get(comparison['axis'], comparison['axis'])}")
    ax.set_ylim(0, 1.02)
    percent_axis(ax.yaxis)
    ax.grid()
    ax.set_ylabel("tasks with a faster program")
    legend = ax.legend(fontsize=8.5)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


# --- the A/A control -----------------------------------------------------------------------------


def aa_control(calibration: Mapping[str, Any]) -> Figure | None:
    """How often a program is called faster, by how much the reference was slowed for it: 0 is an unchanged program."""
    if not calibration.get("n"):
        return None
    power = sorted(calibration.get("power") or [], key=lambda r: r["slowdown"])
    figure = new_figure(6.4, 3.1)
    ax = figure.add_subplot()
    positions = list(range(len(power) + 1))
    y = [calibration["false_faster_rate"], *(r["called_faster"] for r in power)]
    intervals = [calibration["ci"], *(_wilson(r["called_faster"], r.get("n")) for r in power)]
    for x, value, ci in zip(positions, y, intervals, strict=True):
        colour = RED if x == 0 else GREEN
        if ci:
            ax.plot([x, x], ci, color=colour, linewidth=1.6)
            ax.plot([x, x], ci, "_", color=colour, markersize=9)
        ax.plot([x], [value], "o" if x else "D", color=colour, markersize=7)
        ax.annotate(f"{100 * value:.3g} %", (x, value), xytext=(9, 0), textcoords="offset points", va="center")
    first = f"unchanged\n({calibration['false_faster']} of {calibration['n']:,})"
    ax.set_xticks(positions, [first, *(f"{100 * r['slowdown']:.3g} % slower\nreference" for r in power)], fontsize=8.5)
    ax.set_xlim(-0.4, len(power) + 0.6)
    ax.set_ylim(-0.04, 1.06)
    percent_axis(ax.yaxis)
    ax.grid(axis="y")
    ax.set_ylabel("programs called faster")
    return figure


def _wilson(share: float, n: int | None, z: float = 1.959964) -> tuple[float, float] | None:
    """95 % interval of a share (Wilson 1927)."""
    if not n:
        return None
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, middle - half), min(1.0, middle + half)
