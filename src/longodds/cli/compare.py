"""`longodds compare RUN...`: arms at matched cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longodds.cli.console import json_stdout, make_table, number, print_table, print_text, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def compare(
    *runs: Path,
    axis: Literal["samples", "tokens", "flops", "device-seconds", "cost"] = "samples",
    seed: int = 0,
    json: bool = False,
) -> None:
    """Compare runs at matched cost: frontier, equivalent K, paired tests.

    Parameters
    ----------
    runs
        Run directories, each an arm.
    axis
        What is matched: samples, tokens, flops, device-seconds or cost (money).
    seed
        Drives the bootstrap.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.comparing import compare as compute

    with json_stdout(json) as out:
        document: Mapping[str, Any] = compute(*runs, axis=axis, seed=seed)
        if json:
            write_json(out, document)
        else:
            print_comparison(document)


def print_comparison(document: Mapping[str, Any]) -> None:
    """The sentence, then the arms at their ends and the frontier."""
    print_text(document["sentence"] + "\n")
    metric, axis = document["metric"], document["axis"]
    rows = []
    for arm in document["arms"]:
        last = arm["curve"][-1]
        equivalent = document["equivalent_k"][arm["run"]].get(metric)
        rows.append(
            [
                arm["run"],
                arm["strategy"],
                str(arm["n"]),
                number(arm["per_sample"]),
                number(last[metric]),
                number(last["expected_best_speedup"]),
                number(last["cost"][axis]),
                equivalent if isinstance(equivalent, str) else number(equivalent),
            ]
        )
    columns = ["arm", "strategy", "n", "per sample", metric, "best speedup", axis, "equivalent K"]
    print_table(make_table(f"{document['n_tasks']} tasks; cost per task, charged", columns, rows, right="llrrrrrr"))
    names = [arm["run"] for arm in document["arms"]]
    rows = [
        [number(row["budget"], 4), *(number(a["value"]) for a in row["arms"]), row["best"] or "can't tell"]
        for row in document["frontier"]
    ]
    print_table(make_table(f"{metric} at a budget in {axis} per task", ["budget", *names, "best"], rows, right="r" * 9))
    for warning in document["warnings"]:
        print_text(f"note: {warning}")
