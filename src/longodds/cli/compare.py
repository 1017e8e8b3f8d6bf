"""`longodds compare RUN...`: arms at matched cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longodds.cli.console import json_stdout, make_table, number, print_table, print_text, write_json
from longodds.cli.select import print_measured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


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
            print_comparison(document, runs)


def print_comparison(document: Mapping[str, Any], runs: Sequence[Path]) -> None:
    """The sentence, then the arms at their ends and the frontier, with their intervals, and how it was all measured."""
    from longodds.report import equivalent
    from longodds.report.text import percent, times

    print_text(document["sentence"] + "\n")
    metric, axis = document["metric"], document["axis"]
    interval = "ci" if metric == "any_of_k" else f"{metric}_ci"
    rows = []
    for arm in document["arms"]:
        last = arm["curve"][-1]
        rows.append(
            [
                arm["run"],
                arm["strategy"],
                str(arm["n"]),
                _within(percent, arm["per_sample"], arm["per_sample_ci"]),
                _within(percent, last[metric], last[interval]),
                _within(times, last["expected_best_speedup"], last["expected_best_speedup_ci"]),
                number(last["cost"][axis]),
                equivalent(document, arm["run"]),
            ]
        )
    columns = ["arm", "strategy", "n", "per sample", metric, "best speedup", axis, "equivalent K"]
    title = (
        f"{document['n_tasks']} tasks; best speedup: geometric mean over tasks; cost per task, charged; "
        "in brackets 95 % intervals over tasks (what a sequence reaches: over its seeds)"
    )
    print_table(make_table(title, columns, rows, right="llrrrrrr"))
    names = [arm["run"] for arm in document["arms"]]
    rows = [
        [
            number(row["budget"], 4),
            *(_within(percent, a["value"], a["ci"]) for a in row["arms"]),
            row["best"] or "can't tell",
        ]
        for row in document["frontier"]
    ]
    print_table(
        make_table(
            f"{metric} at a budget in {axis} per task; 95 % intervals over tasks",
            ["budget", *names, "best"],
            rows,
            right="r" * 9,
        )
    )
    print_measured(runs)
    for warning in document["warnings"]:
        print_text(f"note: {warning}")


def _within(text: Callable[[float | None], str], value: float | None, interval: Sequence[float] | None) -> str:
    """A figure with its interval, where it has one."""
    return text(value) if interval is None else f"{text(value)} ({text(interval[0])} to {text(interval[1])})"
