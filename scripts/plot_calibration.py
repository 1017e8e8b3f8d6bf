"""The figure of docs/evaluation.md: how far unchanged programs seem to be from a speedup of 1, by three ways of timing.

    python -m scripts.plot_calibration CALIBRATION.json docs/images/calibration.svg

CALIBRATION.json is the document that `longodds calibrate` keeps (its key `file` says where).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

WAYS = {
    "sound": ("longodds", "#1b6ca8"),
    "sequential": ("means, one after the other", "#c8553d"),
    "together": ("means, four at once", "#8a6d3b"),
}


def main(source: Path, target: Path) -> None:
    """Draw the share of unchanged programs whose error is below x, for every way in the document."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "longodds"  # equal data, equal file
    document = json.loads(source.read_text())
    figure, axes = plt.subplots(figsize=(7.2, 3.6), layout="constrained")
    for way, (label, colour) in WAYS.items():
        errors = np.sort(np.abs(np.asarray(document["speedups"][way]) - 1)) * 100
        share = np.arange(1, len(errors) + 1) / len(errors)
        faster = document if way == "sound" else document["naive"][way]
        text = f"{label}: {faster['false_faster']} of {faster['n']} called faster"
        axes.step(np.maximum(errors, 0.01), 100 * share, where="post", color=colour, label=text)
    axes.axhline(95, color="0.7", linewidth=0.8, linestyle=":")
    axes.set(
        xscale="log",
        xlabel="error of the speedup of an unchanged program (%)",
        ylabel="programs (%)",
        ylim=(0, 100),
        title=document["device"],
    )
    axes.legend(loc="lower right", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="what `longodds calibrate` wrote")
    parser.add_argument("target", type=Path, help="the SVG file to write")
    asked = parser.parse_args()
    try:
        main(asked.source, asked.target)
    except OSError as error:
        parser.error(f"{error.filename}: {error.strerror}")
    except (json.JSONDecodeError, KeyError) as error:
        parser.error(f"{asked.source}: no document of a whole `longodds calibrate` ({error})")
