"""`longodds select RUN...`: all selection strategies on finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from longodds.cli.console import json_stdout, print_table, print_text, write_json


def select(*runs: Path, unit: Literal["program", "sample"] = "program", seed: int = 0, json: bool = False) -> None:
    """Compare all selection strategies on finished runs; needs no model and no GPU.

    Parameters
    ----------
    runs
        Run directories; several are analysed together, a replicate being a run and a seed.
    unit
        What is chosen among: distinct programs, or samples.
    seed
        Breaks ties and drives the bootstrap.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.selecting import select as compute

    with json_stdout(json) as out:
        document = compute(*runs, unit=unit, seed=seed)
        if json:
            write_json(out, document)
        else:
            print_selection(document)


def print_selection(document: dict[str, Any]) -> None:
    """The verdict sentence, then the strategies and the tasks."""
    from longodds.report import render_table, render_tasks

    print_text(document["verdict"]["sentence"] + "\n")
    print_table(render_table(document))
    print_table(render_tasks(document))
    for warning in document["warnings"]:
        print_text(f"note: {warning}")
