"""The look of the figures, and how they are written: SVG for the page, SVG and PDF as files.

Colours are Okabe and Ito's, told apart by colour-blind readers; series differ in marker or dash as well. In the page
the colours become CSS variables and ink becomes `currentColor`, so that the same drawing is read in dark mode.
"""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID = "#1b1f24", "#d9dce1"
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#7f858d"
CSS_COLOURS = {
    INK: "currentColor",
    GRID: "var(--grid)",
    BLUE: "var(--blue)",
    ORANGE: "var(--orange)",
    GREEN: "var(--green)",
    RED: "var(--red)",
    PURPLE: "var(--purple)",
    GREY: "var(--grey)",
}
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "svg.hashsalt": "longodds",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}
# Series in order: colour and marker.
SERIES = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (RED, "D"), (PURPLE, "v"), (GREY, "x"))


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that size in inches. Call inside `matplotlib.rc_context(STYLE)`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def percent_axis(axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def log2_axis(ax: Axes, ks: Sequence[int]) -> None:
    from matplotlib.ticker import NullLocator

    ax.set_xscale("log", base=2)
    ax.set_xticks(list(ks), [str(k) for k in ks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("K, samples per task")


@contextlib.contextmanager
def _saving() -> Iterator[None]:
    """Around `savefig`. Names of tasks may be of any script and the font lacks most: an SVG holds text, which the
    reader's own fonts draw, and a PDF shows a box, so a line on stderr for each character helps nobody."""
    import matplotlib

    with warnings.catch_warnings(), matplotlib.rc_context(STYLE):
        warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from")
        yield


def to_svg(figure: Figure) -> str:
    """A standalone SVG document, the same bytes for the same figure."""
    buffer = io.StringIO()
    with _saving():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def inline_svg(svg: str, name: str, label: str) -> str:
    """The SVG as an element of the page: no prolog or metadata, ids of its own, page colours and fonts.

    label: escaped by the caller. Its style sheet would apply to the whole page, so it becomes a class.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.S)
    body = re.sub(r"<style[^>]*>.*?</style>", "", body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(xlink:href="|href="|url\()#', rf"\1#{name}-", body)
    for hexadecimal, css in CSS_COLOURS.items():
        body = body.replace(hexadecimal, css)
    body = re.sub(r"font: ([0-9.]+px)[^;\"]*", r"font-size: \1", body)
    head, rest = body.split(">", 1)
    box = re.search(r'viewBox="[^"]+"', head)
    width = re.search(r'width="([0-9.]+)pt"', head)
    size = f' style="max-width: {float(width.group(1)) * 1.25:.0f}px"' if width else ""
    xlink = ' xmlns:xlink="http://www.w3.org/1999/xlink"' if "xlink:" in rest else ""
    return f'<svg class="figure" role="img" aria-label="{label}" {box.group() if box else ""}{xlink}{size}>{rest}'


def save_figures(figures: dict[str, Figure], folder: Path) -> list[Path]:
    """Each figure as SVG and PDF in `folder`, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, figure in figures.items():
        svg = folder / f"{name}.svg"
        svg.write_text(to_svg(figure), encoding="utf-8")
        with _saving():
            figure.savefig(folder / f"{name}.pdf", metadata={"CreationDate": None})
        paths += [svg, folder / f"{name}.pdf"]
    return paths
