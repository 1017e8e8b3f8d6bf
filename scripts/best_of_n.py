"""Best-of-N with the seed release's command line: `python -m scripts.best_of_n --split splits/l1_seed42.json --k 64`.

A thin wrapper of `longodds best-of-n`: --log_path is the run directory, and the same command resumes it. Beside what a
run holds it writes the original's best_of_n_summary.json and best_of_n_compute.json. The sound evaluator decides how
often it measures; --eval_mode (else KERNELBENCH_EVAL_MODE) sets its cap of timed pairs (fast 16, full 64) and the calls
of --evaluator seed.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

from scripts import seed

from longodds.cli.best_of_n import run_and_summarise
from longodds.cli.console import note_line
from longodds.config import BestOfNSettings, resolve
from longodds.environment import read_environment
from longodds.store import RunDir


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The original's flags and defaults, and those that its README uses."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    seed.add_task_flags(parser)
    seed.add_model_flags(parser)
    parser.add_argument("--k", type=int, default=32, help="samples per problem (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.25, help="(%(default)s)")
    parser.add_argument("--max_tokens", type=int, default=1024, help="new tokens per sample (%(default)s)")
    parser.add_argument("--max_tasks", type=int, default=1, help="problems (%(default)s)")
    parser.add_argument("--task_offset", type=int, default=0, help="skip the first problems of the split")
    parser.add_argument("--problem_ids", default="", help="problems instead of the split's, separated by commas")
    parser.add_argument("--log_path", default="runs/best_of_n", help="run directory (%(default)s)")
    parser.add_argument("--sampler_path", default="", help="a tinker:// path instead of a list of checkpoints")
    parser.add_argument(
        "--eval_mode", default=read_environment().eval_mode, choices=["full", "fast"], help="(%(default)s)"
    )
    parser.add_argument("--num_correct_trials", type=int, help="accepted; the evaluator decides")
    parser.add_argument("--num_perf_trials", type=int, help="accepted; the evaluator decides")
    parser.add_argument("--level", type=int, default=1, choices=[1, 2, 3, 4], help="of KernelBench (%(default)s)")
    parser.add_argument("--evaluator", default="sound", choices=["sound", "seed"], help="how programs are judged")
    parser.add_argument("--eval_workers", type=int, default=4, help="programs at once, with --evaluator seed")
    parser.add_argument("--prefetch", type=int, default=2, help="accepted; the samples of a problem are one request")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    args = parse(arguments)
    policy = seed.policy_spec(args, sampler_path=args.sampler_path)
    for name in ("num_correct_trials", "num_perf_trials"):
        if getattr(args, name) is not None:
            note_line(f"--{name} has no effect: the evaluator decides how often it measures")
    settings = resolve(
        BestOfNSettings,
        flags={
            "suite": f"kernelbench:{args.level}",
            "kernelbench_root": args.kernelbench_root,
            "problem_ids": seed.problem_ids(args),
            "policy": policy,
            "tokenizer": args.tokenizer,
            "form": "chat",
            "k": args.k,
            "temperature": args.temperature,
            "max_tokens": args.max_tokens,
            "seeds": [args.seed],
            "batch_size": args.k,
            "evaluator": args.evaluator,
            "eval_workers": args.eval_workers if args.evaluator == "seed" else 1,
            "device": seed.device(args),
            "max_pairs": seed.max_pairs(args),
        },
    )
    path = Path(args.log_path)
    began = time.monotonic()
    run_and_summarise(path, settings, re_evaluate=False, show=True)
    write_summary(path, wall_clock_s=time.monotonic() - began)
    return 0


def write_summary(path: Path, *, wall_clock_s: float) -> None:
    """best_of_n_summary.json and best_of_n_compute.json, made of the run; seconds are of this attempt."""
    run = RunDir.open(path)
    cells = defaultdict(list)
    for sample in run.samples():
        cells[sample.task_id].append(sample)
    summary = [seed.task_summary(task_id.rpartition("/")[2], samples) for task_id, samples in cells.items()]
    for i, entry in enumerate(summary, 1):
        seed.say(
            f"[{i}/{len(summary)}] Task {entry['problem_id']}: fast_1={entry['fast_1']:.0f}, "
            f"speedup={entry['selected_speedup']:.2f}x"
        )
    rollouts = sum(len(samples) for samples in cells.values())
    prompts = {task_id: len(record.prompt_token_ids) for task_id, record in run.records().items()}
    compute = {
        "total_rollouts": rollouts,
        "total_prompt_tokens": sum(prompts[task_id] * len(samples) for task_id, samples in cells.items()),
        "total_completion_tokens": sum(len(s.completion.token_ids) for c in cells.values() for s in c),
        "wall_clock_s": wall_clock_s,
    }
    for name, document in (("best_of_n_summary.json", summary), ("best_of_n_compute.json", compute)):
        (path / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        seed.say(f"Wrote {path / name}")


if __name__ == "__main__":
    raise SystemExit(seed.run_command(main))
