"""Self-distillation with the seed release's command line: `python -m scripts.sdpo_train --split splits/l1_seed42.json`.

A thin wrapper of `longodds sdpo` that learns as the original does, advantages unclipped. --prompt_only, of the
original's README, is its --no_feedback. --log_path is the run directory, and the same command resumes it. Beside what a
run holds it writes the original's sdpo_batch_ttt_summary.json and sdpo_batch_ttt_compute.json.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from scripts import adapting, seed

from longodds.cli.live import LiveProgress
from longodds.config import resolve
from longodds.store import RunDir
from longodds.strategies.adapt import sdpo
from longodds.strategies.learning_settings import SDPOSettings


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The original's flags and defaults, and those that its README uses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    adapting.add_flags(parser, steps=1, log_path="runs/sdpo_batch_ttt")
    parser.add_argument("--no_feedback", "--prompt_only", action="store_true", help="tell the teacher no verdicts")
    parser.add_argument("--include_success_solution", action="store_true", help="show the teacher a correct program")
    parser.add_argument("--sdpo_coef", type=float, default=1.0, help="multiplies the advantages (%(default)s)")
    parser.add_argument(
        "--teacher_mode", default="student", choices=["student", "base"], help="whose weights teach (%(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    flags = adapting.settings_flags(args) | {
        "feedback": not args.no_feedback,
        "solution": args.include_success_solution,
        "beta": args.sdpo_coef,
        "teacher": args.teacher_mode,
        "clip_advantage": 0.0,
    }
    settings = resolve(SDPOSettings, flags=flags)
    path, began = Path(args.log_path), time.monotonic()
    with LiveProgress() as progress:
        done = sdpo(path, settings, progress=progress)
    adapting.said(done)
    write_summary(path, args, settings, wall_clock_s=time.monotonic() - began)
    return 0


def write_summary(path: Path, args: argparse.Namespace, settings: SDPOSettings, *, wall_clock_s: float) -> None:
    """The original's two files, made of the run; seconds are of this attempt. `scored_tokens`: read
    by the teacher, and for the divergence from step 0."""
    run = RunDir.open(path)
    rows, checkpoints = adapting.summarise(run, "sdpo")
    adapting.write(
        path / "sdpo_batch_ttt_summary.json",
        {
            "config": {
                **adapting.config_document(args, settings),
                "include_feedback": settings.feedback,
                "include_success_solution": settings.solution,
                "sdpo_coef": settings.beta,
                "teacher_mode": settings.teacher,
            },
            "problem_ids": list(settings.problem_ids or ()),
            "step_summaries": rows,
            "checkpoint_paths": checkpoints,
            "final_checkpoint": rows[-1]["checkpoint_path"],
        },
    )
    rollouts, prompt, completion = adapting.tokens(run)
    learned = [c.metrics for c in run.checkpoints()]
    adapting.write(
        path / "sdpo_batch_ttt_compute.json",
        {
            "total_rollouts": rollouts,
            "student_prompt_tokens": prompt,
            "student_completion_tokens": completion,
            "scored_tokens": int(sum(m.get("scored_tokens", 0.0) for m in learned)),
            "teacher_contexts": int(sum(m.get("teacher_contexts", 0.0) for m in learned)),
            "wall_clock_s": wall_clock_s,
        },
    )


if __name__ == "__main__":
    raise SystemExit(seed.run_command(main))
