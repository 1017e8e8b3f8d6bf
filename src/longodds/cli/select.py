"""`longodds select RUN...`: all selection strategies on finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longodds.cli.console import (
    bar,
    json_stdout,
    make_table,
    number,
    print_table,
    print_text,
    write_json,
)
from longodds.cli.report import in_common

if TYPE_CHECKING:
    from collections.abc import Sequence


def select(
    *runs: Path,
    unit: Literal["program", "sample"] = "program",
    seed: int = 0,
    race: Literal["stored", "live"] = "stored",
    json: bool = False,
) -> None:
    """Compare all selection strategies on finished runs; needs no model and no GPU.

    Parameters
    ----------
    runs
        Run directories; several are analysed together, a replicate being a run and a seed.
    unit
        What is chosen among: distinct programs, or samples.
    seed
        Breaks ties and drives the bootstrap.
    race
        Where the pairs of a race come from: drawn from the stored intervals, or timed here and now (live).
    json
        One JSON document on stdout.
    """
    from longodds.strategies.selecting import select as compute

    with json_stdout(json) as out:
        document = compute(*runs, unit=unit, seed=seed) if race == "stored" else _live(runs, unit, seed)
        if json:
            write_json(out, document)
        else:
            print_selection(document, runs)


def _live(runs: tuple[Path, ...], unit: Literal["program", "sample"], seed: int) -> dict[str, Any]:
    from longodds.strategies.selecting import select_live

    with bar("racing") as told:
        return select_live(*runs, unit=unit, seed=seed, told=told)


def print_selection(document: dict[str, Any], runs: Sequence[Path]) -> None:
    """The verdict sentence, then the strategies, the tasks and the price of a choice, and how it was all measured."""
    from longodds.report import render_fast_p, render_table, render_tasks

    print_text(document["verdict"]["sentence"] + "\n")
    print_table(render_table(document))
    print_table(render_fast_p(document))
    print_table(render_tasks(document))
    _print_price(document["price"])
    print_measured(runs)
    for warning in document["warnings"]:
        print_text(f"note: {warning}")


def print_measured(runs: Sequence[Path]) -> None:
    """Device, reference, settings and labels behind the timings of these runs: no speedup means anything without."""
    from longodds.report import measurement_facts
    from longodds.store import RunDir

    held = [RunDir.open(run) for run in runs]
    verdicts = [row.verdict for run in held for row in run.verdicts().values()]
    config, manifest = in_common([run.config for run in held]), in_common([run.manifest for run in held])
    rows = [list(fact) for fact in measurement_facts(verdicts, config, manifest)]
    print_table(make_table("how it was measured", ["", ""], rows))


def _print_price(price: dict[str, Any]) -> None:
    """What each way of choosing spends per cell, and from which price of a timing likelihood pays."""
    rows = [
        [w["name"], *(number(w[f]) for f in ("timed", "pairs", "device_seconds", "fast", "geomean_speedup"))]
        for w in price["ways"]
    ]
    columns = ["way of choosing", "timed", "pairs", "device-seconds", "fast", "geomean speedup"]
    print_table(make_table("the price of a choice, means over cells", columns, rows, right="lrrrrr"))
    for row in price["break_even"]:
        if row["strategy"] != "surprisal":
            continue
        rival = {"oracle": "timing all correct ones", "race": "racing them"}[row["against"]]
        if row["price"] is None:
            print_text(f"surprisal against {rival}: {row['reason']}")
            continue
        text = f"surprisal against {rival} of fewer samples: pays where a timing costs over {row['price']:.3g} samples"
        if row["device_seconds"] is not None and row["measured"] is not None:
            text += f" ({row['device_seconds']:.3g} s here; a timing takes {row['measured']:.3g} s)"
        print_text(text)
    print_text(price["note"])
