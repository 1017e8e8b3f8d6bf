"""`longodds import FILE RUN` and `longodds export RUN --to FILE`: samples of other origin in, ours out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from longodds.cli.console import counted, json_stdout, note_line, print_text, write_json

if TYPE_CHECKING:
    from longodds.store import Exported, Imported


def import_(file: Path, run: Path, *, json: bool = False) -> None:
    """Make a run of samples from elsewhere, for select, report, compare and inspect.

    Parameters
    ----------
    file
        JSON lines or Parquet, one row a sample: task_id, correct, speedup, and logprobs or mean_logprob with n_tokens;
        optional program, seed, ci_low, ci_high. Anything else is kept as metadata.
    run
        The run directory to write.
    json
        One JSON document on stdout.
    """
    from longodds.store import import_samples

    with json_stdout(json) as out:
        with counted("importing samples") as progress:
            done = import_samples(file, run, progress=progress)
        if json:
            write_json(out, _imported(done))
        else:
            print_text(_said(done))


def export(run: Path, *, to: Path, json: bool = False) -> None:
    """Write the judged samples of a run as one table that `datasets.load_dataset` and `longodds import` read.

    Parameters
    ----------
    run
        A run directory.
    to
        The file to write, .parquet or .jsonl.
    json
        One JSON document on stdout.
    """
    from longodds.store import export_samples

    with json_stdout(json) as out:
        with counted("exporting samples") as progress:
            done = export_samples(run, to, progress=progress)
        if done.left_out:
            note_line(f"{done.left_out} samples without a verdict are left out")
        if json:
            write_json(out, _exported(run, done))
        else:
            print_text(f"{done.file}: {done.rows:,} samples, {len(done.columns)} columns")


def _imported(done: Imported) -> dict[str, object]:
    return {
        "run": str(done.run),
        "samples": done.samples,
        "tasks": done.tasks,
        "cells": done.cells,
        "correct": done.correct,
        "timed": done.timed,
        "with_intervals": done.with_intervals,
        "metadata": list(done.metadata),
        "programs_compared_as": "text" if done.as_text else "normalised",
        "resumed": done.resumed,
    }


def _exported(run: Path, done: Exported) -> dict[str, object]:
    return {
        "run": str(run),
        "file": str(done.file),
        "rows": done.rows,
        "left_out": done.left_out,
        "columns": list(done.columns),
    }


def _said(done: Imported) -> str:
    lines = [
        f"{done.run}: {done.samples:,} samples of {done.tasks:,} tasks, {done.cells:,} cells (task x seed); "
        f"{done.correct:,} correct, {done.timed:,} timed"
    ]
    if done.timed > done.with_intervals:
        lines.append(f"{done.timed - done.with_intervals:,} speedups have no interval: the _sig figures will be null")
    if not done.programs:
        lines.append("no programs: each sample counts as a program of its own")
    elif done.as_text:
        lines.append("programs are told apart as texts: there are too many to compare them without comments and names")
    if done.metadata:
        lines.append(f"kept as metadata: {', '.join(done.metadata)}")
    return "\n".join(lines)
