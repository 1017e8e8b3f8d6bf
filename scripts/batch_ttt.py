"""Test-time training with the seed release's command line: `python -m scripts.batch_ttt --split splits/l1_seed42.json`.

A thin wrapper of `longodds ttt` that learns as the original does: advantages over all samples of a step, rewards
divided by a running median, no guard against drift, the best step chosen by the rollouts themselves. --log_path is the
run directory, and the same command resumes it. Beside what a run holds it writes the original's batch_ttt_summary.json,
boa_selected.json and batch_ttt_compute.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from scripts import adapting, seed

from longodds.cli.live import LiveProgress
from longodds.config import resolve
from longodds.store import RunDir
from longodds.strategies.adapt import Adapted, ttt
from longodds.strategies.learning_settings import TTTSettings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The original's flags and defaults, and those that its README uses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    adapting.add_flags(parser, steps=8, log_path="runs/batch_ttt")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    flags = adapting.settings_flags(args) | {"advantage": "global", "baseline": "running-median"}
    settings = resolve(TTTSettings, flags=flags)
    path, began = Path(args.log_path), time.monotonic()
    with LiveProgress() as progress:
        done = ttt(path, settings, progress=progress)
    adapting.said(done)
    write_summary(path, args, settings, done, wall_clock_s=time.monotonic() - began)
    return 0


def write_summary(
    path: Path, args: argparse.Namespace, settings: TTTSettings, done: Adapted, *, wall_clock_s: float
) -> None:
    """The original's three files, made of the run; seconds are of this attempt."""
    run = RunDir.open(path)
    rows, checkpoints = adapting.summarise(run, "ttt")
    config = adapting.config_document(args, settings)
    chosen = next(row for row in rows if row["step_idx"] == done.best)
    best: dict[str, dict[str, Any]] = {}
    for row in rows:
        for name, share in row["per_task_fast_1"].items():
            if share > best.get(name, {"fast_1": 0.0})["fast_1"] or name not in best:
                best[name] = {"fast_1": share, "step": row["step_idx"]}
    oracle = {name: found["fast_1"] for name, found in best.items()}
    adapting.write(
        path / "boa_selected.json",
        {
            "algorithm": "Best-of-Adaptation (BoA)",
            "selection_criterion": "most rollouts that are verified faster, then the mean reward; earliest of equals",
            "selected_step": done.best,
            "selected_checkpoint": checkpoints.get(str(done.best)),
            "selected_metrics": {
                name: chosen[name] for name in ("aggregate_fast_1", "aggregate_correct", "per_task_fast_1")
            },
            "all_steps_fast_1": [row["aggregate_fast_1"] for row in rows],
            "config": {**config, "tasks": list(settings.problem_ids or ())},
        },
    )
    adapting.write(
        path / "batch_ttt_summary.json",
        {
            "config": config,
            "problem_ids": list(settings.problem_ids or ()),
            "step_summaries": rows,
            "checkpoint_paths": checkpoints,
            "boa_selected": {
                "step": done.best,
                "checkpoint": checkpoints.get(str(done.best)),
                "fast_1": chosen["aggregate_fast_1"],
            },
            "oracle": {
                "per_task_fast_1": oracle,
                "aggregate_fast_1": sum(oracle.values()) / max(len(oracle), 1),
                "best_steps": {name: found["step"] for name, found in best.items()},
            },
            "final_checkpoint": rows[-1]["checkpoint_path"],
        },
    )
    rollouts, prompt, completion = adapting.tokens(run)
    adapting.write(
        path / "batch_ttt_compute.json",
        {
            "total_rollouts": rollouts,
            "total_prompt_tokens": prompt,
            "total_completion_tokens": completion,
            "wall_clock_s": wall_clock_s,
        },
    )


if __name__ == "__main__":
    raise SystemExit(seed.run_command(main))
