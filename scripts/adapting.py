"""What the seed release's two commands that learn share: their flags, and their summaries, made of a run."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts import seed

from longodds.cli.console import note_line
from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.rewards import Baselines, reward_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.strategies.adapt import Adapted
    from longodds.strategies.learning_settings import LearningSettings
    from longodds.types import Sample

_WINDOW = 32
_UNGUARDED = 1e6  # nats per token: the originals learn on, whatever becomes of the policy


def add_flags(parser: argparse.ArgumentParser, *, steps: int, log_path: str) -> None:
    """The flags and defaults that both have in common."""
    seed.add_task_flags(parser)
    seed.add_model_flags(parser)
    parser.add_argument("--batch_size", type=int, default=5, help="problems per step, at most (%(default)s)")
    parser.add_argument("--k", type=int, default=32, help="samples per problem and step (%(default)s)")
    parser.add_argument("--steps", type=int, default=steps, help="updates (%(default)s)")
    parser.add_argument("--temperature", type=float, default=0.25, help="(%(default)s)")
    parser.add_argument("--max_tokens", type=int, default=1024, help="new tokens per sample (%(default)s)")
    parser.add_argument("--lora_rank", type=int, default=16, help="(%(default)s)")
    parser.add_argument("--learning_rate", type=float, default=1e-5, help="of Adam (%(default)s)")
    parser.add_argument("--max_tasks", type=int, default=5, help="problems (%(default)s)")
    parser.add_argument("--task_offset", type=int, default=0, help="skip the first problems of the split")
    parser.add_argument("--problem_ids", default="", help="problems instead of the split's, separated by commas")
    parser.add_argument("--log_path", default=log_path, help="run directory (%(default)s)")
    parser.add_argument("--eval_mode", default="fast", choices=["full", "fast"], help="(%(default)s)")
    parser.add_argument("--num_correct_trials", type=int, default=1, help="accepted; the evaluator decides")
    parser.add_argument("--num_perf_trials", type=int, default=5, help="accepted; the evaluator decides")
    parser.add_argument("--baseline_window", type=int, default=_WINDOW, help="of the running median (only %(default)s)")
    parser.add_argument("--correct_bonus", type=float, default=0.0, help="(only %(default)s)")
    parser.add_argument("--level", type=int, default=1, choices=[1, 2, 3, 4], help="of KernelBench (%(default)s)")
    parser.add_argument("--evaluator", default="sound", choices=["sound", "seed"], help="how programs are judged")


def settings_flags(args: argparse.Namespace) -> dict[str, Any]:
    """Settings that both have in common: the originals' way of learning. Raises UserError."""
    policy = seed.policy_spec(args, key="state_path")
    if args.baseline_window != _WINDOW:
        raise UserError(f"--baseline_window {args.baseline_window}: only the original's {_WINDOW} is here")
    if args.correct_bonus:
        raise UserError(f"--correct_bonus {args.correct_bonus:g}: only the original's default of 0 is here")
    if args.batch_size < 1:
        raise UserError(f"--batch_size {args.batch_size}: must be at least 1")
    if (args.num_correct_trials, args.num_perf_trials) != (1, 5):
        note_line("--num_correct_trials and --num_perf_trials have no effect: the evaluator decides")
    return {
        "suite": f"kernelbench:{args.level}",
        "kernelbench_root": args.kernelbench_root,
        "problem_ids": seed.problem_ids(args)[: args.batch_size],
        "policy": policy,
        "tokenizer": args.tokenizer,
        "form": "chat",
        "k": args.k,
        "steps": args.steps,
        "temperature": args.temperature,
        "max_tokens": args.max_tokens,
        "rank": args.lora_rank,
        "lr": args.learning_rate,
        "seeds": [args.seed],
        "batch_size": args.k,
        "evaluator": args.evaluator,
        "device": seed.device(args),
        "max_pairs": seed.max_pairs(args),
        "reward": "speedup",
        "held_out": 0,
        "max_kl": _UNGUARDED,
    }


def config_document(args: argparse.Namespace, settings: LearningSettings) -> dict[str, Any]:
    """The originals' `config`."""
    return {
        "model": args.policy or args.model,
        "renderer_name": args.renderer_name,
        "batch_size": len(settings.problem_ids or ()),
        "k": args.k,
        "steps": args.steps,
        "temperature": args.temperature,
        "max_tokens": args.max_tokens,
        "lora_rank": args.lora_rank,
        "learning_rate": args.learning_rate,
        "checkpoint": args.checkpoint_jsonl or seed.UNPUBLISHED,
    }


def summarise(run: RunDir, strategy: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """(the originals' row of every step, checkpoints by step), with counts of verified gains beside theirs.

    The originals name a step's checkpoint by where it is: on Tinker, else as a policy of this run.
    """
    steps: dict[int, dict[str, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in run.samples():
        if sample.strategy == strategy and sample.verdict is not None:
            steps[sample.step][seed.problem_number(sample.task_id)].append(sample)
    paths = {c.step: c.path if c.kind == "tinker" and c.path else f"run:{run.path}@{c.step}" for c in run.checkpoints()}
    baselines = Baselines("running-median")
    rows: list[dict[str, Any]] = []
    for step, tasks in sorted(steps.items()):
        rewards = [
            r
            for name, samples in tasks.items()
            for r in baselines.normalise(name, [reward_of(s.verdict, "speedup") for s in samples if s.verdict])
        ]
        everything = [s for samples in tasks.values() for s in samples]
        speedups = [s.verdict.speedup or 0.0 for s in everything if s.verdict is not None and s.verdict.correct]
        rows.append(
            {
                "step_idx": step,
                "aggregate_fast_1": _share(everything, "fast_1"),
                "aggregate_correct": _share(everything, "correct"),
                "aggregate_speedup": sum(speedups) / max(len(speedups), 1),
                "aggregate_reward": sum(rewards) / max(len(rewards), 1),
                "per_task_fast_1": {name: _share(samples, "fast_1") for name, samples in tasks.items()},
                "per_task_correct": {name: _share(samples, "correct") for name, samples in tasks.items()},
                "n_samples": len(everything),
                "checkpoint_path": paths.get(step),
                "aggregate_fast_1_sig": _share(everything, "fast_1_sig"),
            }
        )
        seed.say(f"Step {step}: agg_fast_1={rows[-1]['aggregate_fast_1']:.3f}, per_task={rows[-1]['per_task_fast_1']}")
    return rows, {str(step): path for step, path in sorted(paths.items())}


def _share(samples: Sequence[Sample], what: str) -> float:
    verdicts = [s.verdict for s in samples if s.verdict is not None and s.verdict.correct]
    hits = {
        "correct": len(verdicts),
        "fast_1": sum((v.speedup or 0.0) > 1 for v in verdicts),
        "fast_1_sig": sum((v.ci_low or 0.0) > 1 for v in verdicts),
    }
    return hits[what] / max(len(samples), 1)


def tokens(run: RunDir) -> tuple[int, int, int]:
    """Rollouts, their prompt tokens and their completion tokens."""
    prompts = {task_id: len(record.prompt_token_ids) for task_id, record in run.records().items()}
    samples = run.samples()
    return (
        len(samples),
        sum(prompts[s.task_id] for s in samples),
        sum(len(s.completion.token_ids) for s in samples),
    )


def said(done: Adapted) -> None:
    """What a person should know besides: whether learning ended before its last step."""
    if done.stopped is not None:
        note_line(f"learning ended early: {done.stopped}")


def write(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    seed.say(f"Wrote {path}")
