"""`longodds select RUN...`: all selection strategies on finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longodds.cli.console import json_stdout, make_table, number, print_table, print_text, write_json

if TYPE_CHECKING:
    from rich.table import Table


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
    """The verdict sentence, then the strategies."""
    print_text(document["verdict"]["sentence"] + "\n")
    print_table(strategy_table(document))
    for warning in document["warnings"]:
        print_text(f"note: {warning}")


def strategy_table(document: dict[str, Any]) -> Table:
    """Strategies by the share of cells whose choice is fast; `_sig` figures are decided on the interval's low end."""
    rows = [
        (
            row["name"],
            _share(row["fast_1"]),
            _share(row["fast_1_sig"]),
            "-" if row["ci"] is None else f"{_share(row['ci'][0])} to {_share(row['ci'][1])}",
            number(row["geomean_speedup"]),
            number(row["timed_evaluations"]),
        )
        for row in document["strategies"]
    ]
    title = (
        f"{document['n_tasks']} tasks, {document['n_cells']} cells, {document['n_samples']} samples; k {document['k']}"
    )
    columns = ["strategy", "fast_1", "fast_1_sig", "95 % interval", "geomean speedup", "timed"]
    return make_table(title, columns, rows, right="lrrrrr")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f} %"
