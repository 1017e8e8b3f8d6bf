"""What the seed release's three commands share: their model flags, their checkpoint lists, their summary files.

The originals are those of Barnes (arXiv:2602.07670); names, defaults and the fields of the summaries are theirs, what
they run is longodds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.cli.console import error_line, note_line
from longodds.environment import read_environment
from longodds.errors import LongoddsError, UserError
from longodds.tasks import load_split

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.types import Sample

# The originals' default list of checkpoints; it was never published.
UNPUBLISHED = "runs/rlvr_normalized_optimized_prompt/checkpoints.jsonl"
RENDERER = "gpt_oss_no_sysprompt"


def add_model_flags(parser: argparse.ArgumentParser) -> None:
    """The flags by which all three name a model, and ours for any other one."""
    parser.add_argument("--policy", help="any policy of longodds instead: embedded, hf:PATH, replay:RUN, ...")
    parser.add_argument("--model", default="openai/gpt-oss-120b", help="base model on Tinker (%(default)s)")
    parser.add_argument("--checkpoint_jsonl", help=f"list of checkpoints, the last one counts ({UNPUBLISHED})")
    parser.add_argument("--tokenizer", help="of a model that runs elsewhere: a directory or a hub id; else its own")
    parser.add_argument("--renderer_name", default=RENDERER, help="chat format (%(default)s, the only one)")


def add_task_flags(parser: argparse.ArgumentParser) -> None:
    """Which problems, and where they are."""
    parser.add_argument("--split", default="splits/l1_seed42.json", help="split file (%(default)s)")
    parser.add_argument("--subset", default="eval", choices=["train", "eval"], help="which half (%(default)s)")
    parser.add_argument("--kernelbench_root", help="checkout or dataset file; else LONGODDS_KERNELBENCH, else the hub")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (%(default)s)")
    parser.add_argument("--device", choices=["cpu", "cuda"], help="where programs run (cuda where there is one)")


def max_pairs(args: argparse.Namespace) -> int:
    """The cap of timed pairs that --eval_mode stands for. The mode goes into the environment, where --evaluator seed
    looks for it."""
    os.environ["KERNELBENCH_EVAL_MODE"] = args.eval_mode
    return read_environment().max_pairs


def policy_spec(args: argparse.Namespace, *, sampler_path: str = "", key: str = "sampler_path") -> str:
    """The policy that the flags name. key: which path of a checkpoint: `sampler_path`, or `state_path` for training.

    Raises UserError without a key for Tinker or for a list that is not there.
    """
    if args.policy:
        return args.policy
    if not read_environment().keys_present["TINKER_API_KEY"]:
        raise UserError(
            "TINKER_API_KEY is not set; set it, or name another model by --policy "
            "(embedded, hf:PATH, openai:MODEL, replay:RUN)"
        )
    if args.renderer_name not in (RENDERER, ""):
        raise UserError(f"--renderer_name {args.renderer_name}: the chat format is {RENDERER}; leave the flag out")
    path = sampler_path or _last_checkpoint(args.checkpoint_jsonl, key) or ""
    if path and not path.startswith("tinker://"):
        raise UserError(f"{path}: is no path of weights on Tinker (tinker://...)")
    return path or f"tinker:{args.model}"


def _last_checkpoint(given: str | None, key: str) -> str | None:
    """The path of weights in the last row that has one."""
    path = Path(given or UNPUBLISHED)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        if given is not None:
            raise UserError(f"--checkpoint_jsonl {path}: no such file") from None
        note_line(f"{path} is not here (it was never published): the base model is taken")
        return None
    except (OSError, UnicodeDecodeError) as e:
        raise UserError(f"--checkpoint_jsonl {path}: cannot be read: {e}") from None
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and isinstance(row.get(key), str):
            return row[key]
    raise UserError(f"--checkpoint_jsonl {path}: no row names a {key}")


def problem_ids(args: argparse.Namespace) -> list[str]:
    """The problems that the flags name: explicit ids, else those of the split after the offset, up to the number."""
    explicit = [part.strip() for part in (args.problem_ids or "").split(",") if part.strip()]
    if explicit:
        return explicit
    ids = load_split(args.split)["problem_ids"][args.subset][args.task_offset :]
    chosen = ids if args.max_tasks is None else ids[: max(args.max_tasks, 0)]
    if not chosen:
        raise UserError(f"{args.split}: no problem is left; lower --task_offset or raise --max_tasks")
    return [str(i) for i in chosen]


def device(args: argparse.Namespace) -> str:
    """What was asked for; else a CUDA device if this machine has one, else the CPU, in so many words."""
    if args.device is not None:
        return args.device
    import torch

    if torch.cuda.is_available():
        return "cuda"
    note_line("no CUDA device here: programs run on the CPU")
    return "cpu"


def problem_number(task_id: str) -> str:
    """`4` of `kernelbench:1/4`."""
    return task_id.rpartition("/")[2]


def task_summary(problem_id: str, samples: Sequence[Sample]) -> dict[str, Any]:
    """One entry of the originals' summary, with the interval that they lack.

    fast_1: whether the fastest correct sample is faster than the reference; sample_fast_1, correct: shares of samples;
    latency: mean microseconds per call, 0 for a sample without a timing; fast_1_sig, ci_low: of the sample with the
    highest lower bound.
    """
    verdicts = [s.verdict for s in samples if s.verdict is not None]
    correct = [v for v in verdicts if v.correct]
    best = max((v.speedup or 0.0 for v in correct), default=0.0)
    low = max((v.ci_low or 0.0 for v in correct), default=0.0)
    count = max(len(samples), 1)
    return {
        "problem_id": int(problem_id) if problem_id.isdecimal() else problem_id,
        "fast_1": float(best > 1),
        "sample_fast_1": sum((v.speedup or 0.0) > 1 for v in correct) / count,
        "selected_speedup": best,
        "selected_correct": best > 0,
        "correct": len(correct) / count,
        "latency": sum(v.runtime_us or 0.0 for v in correct) / count,
        "fast_1_sig": float(low > 1),
        "ci_low": low or None,
    }


def run_command(main: Callable[[], int]) -> int:
    """Runs a command; a mistake or a failure becomes one line and an exit code, as in `longodds` itself."""
    try:
        return main()
    except LongoddsError as e:
        error_line(str(e))
        return e.exit_code
    except KeyboardInterrupt:
        note_line("interrupted; the same command goes on")
        return 130


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
