"""The dual loop as a drawing, from the settings of a run: an outer loop that trains, an inner one at test time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.report.style import BLUE, GREEN, GREY, INK, ORANGE, STYLE, new_figure
from longodds.report.text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 2.3, 1.06


def dual_loop(config: Mapping[str, Any], strategy: str = "best-of-n") -> Figure:
    """Boxes and arrows with the settings that each stands for. The loop that this run does not go through is dashed.

    config: a run's settings. strategy: `rlvr` goes through the outer loop; `ttt` and `sdpo` adapt in the inner one.
    """
    import matplotlib

    with matplotlib.rc_context(STYLE):
        figure = new_figure(9.4, 3.9)
        ax = figure.add_subplot()
        ax.set_xlim(0, 13.4)
        ax.set_ylim(0.05, 5.35)
        ax.axis("off")
        trains, adapts = strategy == "rlvr", strategy in ("ttt", "sdpo")
        rate = f"lr {config['lr']:g}, {config.get('steps', '?')} steps" if config.get("lr") is not None else ""
        boxes = {
            "tasks": (0.2, 1.9, "tasks", _tasks(config), INK),
            "policy": (3.6, 1.9, "policy", _short(config.get("policy")), BLUE),
            "samples": (7.0, 1.9, f"K = {config.get('k', '?')} programs", _sampling(config), BLUE),
            "evaluator": (10.6, 1.9, "evaluator", _evaluation(config), GREEN),
            "choice": (10.6, 0.15, "choice", "among the correct ones", ORANGE),
        }
        for x, y, head, text, colour in boxes.values():
            _box(ax, x, y, head, text, colour)
        middle = 1.9 + HEIGHT / 2
        for start, end in ((2.5, 3.6), (5.9, 7.0), (9.3, 10.6)):
            _arrow(ax, (start, middle), (end, middle), INK)
        _arrow(ax, (10.6 + WIDTH / 2, 1.9), (10.6 + WIDTH / 2, 0.15 + HEIGHT), INK)
        top = 1.9 + HEIGHT
        _loop(
            ax, 11.4, 5.0, top, 4.05, f"inner loop, at test time: {strategy if adapts else 'ttt, sdpo'}", rate, adapts
        )
        _loop(ax, 12.1, 4.4, top, 5.0, "outer loop, on training tasks: rlvr", rate, trains)
    return figure


def _box(ax: Axes, x: float, y: float, head: str, text: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    shape = "round,pad=0,rounding_size=0.12"
    ax.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, shape, facecolor=colour, alpha=0.12, linewidth=0))
    ax.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, shape, facecolor="none", edgecolor=colour, linewidth=1.3))
    ax.text(x + WIDTH / 2, y + HEIGHT * 0.69, head, ha="center", va="center", weight="bold", fontsize=9.5)
    ax.text(x + WIDTH / 2, y + HEIGHT * 0.3, text, ha="center", va="center", fontsize=8, parse_math=False)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": colour, "linewidth": 1.2, "shrinkA": 2})


def _loop(ax: Axes, right: float, left: float, low: float, high: float, name: str, rate: str, used: bool) -> None:
    """From the evaluator up, back and down to the policy."""
    colour, dash = (INK, "-") if used else (GREY, (0, (3, 3)))
    ax.plot([right, right, left, left], [low, high, high, low + 0.16], color=colour, linestyle=dash, linewidth=1.3)
    _arrow(ax, (left, low + 0.3), (left, low), colour)
    text = name + (f" ({rate})" if used and rate else "") + ("" if used else ": not in this run")
    ax.text((right + left) / 2, high + 0.16, text, ha="center", va="center", fontsize=8.5, color=colour)


def _tasks(config: Mapping[str, Any]) -> str:
    parts = [str(config.get("suite", "?")), str(config["subset"]) if config.get("subset") else ""]
    named = config.get("problem_ids") or ()
    count = config.get("max_tasks") or len(named)
    return _short(" ".join(p for p in (*parts, f"({count})" if count else "") if p))


def _sampling(config: Mapping[str, Any]) -> str:
    seeds = config.get("seeds") or [config.get("seed", 0)]
    return f"T = {config.get('temperature', '?')}, {len(seeds)} seed{'s' if len(seeds) != 1 else ''}"


def _evaluation(config: Mapping[str, Any]) -> str:
    return _short(f"{config.get('device', '?')}, {config.get('reference', '?')}, time {config.get('time', 'all')}")


def _short(value: Any, limit: int = 24) -> str:
    text = visible(str(value if value is not None else "?"))
    return text if len(text) <= limit else text[: limit - 1] + "…"
