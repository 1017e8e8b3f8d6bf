"""`longodds report RUN...`: one self-contained page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.cli.console import json_stdout, print_text, write_json
from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


def report(*runs: Path, out: Path, figures: Path | None = None, seed: int = 0, json: bool = False) -> None:
    """Write one self-contained page about finished runs.

    Parameters
    ----------
    runs
        Run directories.
    out
        The HTML file to write.
    figures
        Directory that also gets the figures as SVG and PDF.
    seed
        Breaks ties and drives the bootstrap.
    json
        One JSON document on stdout.
    """
    if out.is_dir():
        raise UserError(f"{out}: is a directory; --out names a file")
    with json_stdout(json) as stream:
        path = make_report(runs, out, figures=figures, seed=seed)
        if json:
            write_json(stream, {"report": str(path), "figures": None if figures is None else str(figures)})
        else:
            print_text(f"report: {path}")


def make_report(
    runs: Sequence[Path],
    out: Path,
    *,
    figures: Path | None = None,
    seed: int = 0,
    result: dict[str, Any] | None = None,
) -> Path:
    """The page of one run or several. result: the document of `select`, where it is at hand."""
    from longodds.report import write_report
    from longodds.store import RunDir
    from longodds.strategies.selecting import read_runs, read_tasks

    held = [RunDir.open(run) for run in runs]
    return write_report(
        out,
        samples=read_runs(*runs),
        tasks=read_tasks(*runs),
        config=in_common([run.config for run in held]),
        manifest=in_common([_without_attempts(run.manifest) for run in held]),
        figures_dir=figures,
        result=result,
        seed=seed,
    )


def in_common(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Keys of all documents: the value where all agree, the list of values where they differ."""
    merged: dict[str, Any] = {}
    for key in dict.fromkeys(k for d in documents for k in d):
        values = [d.get(key) for d in documents]
        merged[key] = values[0] if all(v == values[0] for v in values) else values
    return merged


def _without_attempts(manifest: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in manifest.items() if k != "attempts"}
