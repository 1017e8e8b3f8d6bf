"""`longodds ttt RUN`, `longodds sdpo RUN` and `longodds rlvr RUN`: runs that learn from what they sample."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from longodds.cli.console import json_stdout, print_text, write_json
from longodds.cli.flags import BudgetFlags, EvaluationFlags, PolicyFlags, SamplingFlags, TaskFlags, given, helped
from longodds.cli.report import make_report
from longodds.strategies.learning_settings import (
    LearningSettings,
    RewardedSettings,
    RLVRSettings,
    SDPOSettings,
    TTTSettings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.strategies.adapt import Adapted

_LEARNING, _TEACHER, _CHOICE, _TASKS, _POLICY, _SAMPLING, _EVALUATION, _BUDGET = (
    Group.create_ordered(name)
    for name in ("Learning", "Teacher", "Rounds", "Tasks", "Policy", "Sampling", "Evaluation", "Budget")
)


def _of(name: str, kind: type[LearningSettings] = LearningSettings) -> Parameter:
    return helped(name, kind)


@dataclass(frozen=True, kw_only=True)
class LearningFlags:
    updates: Annotated[int | None, _of("updates")] = None
    lr: Annotated[float | None, _of("lr")] = None
    loss: Annotated[Literal["importance_sampling", "ppo", "cispo"] | None, _of("loss")] = None
    reward: Annotated[Literal["verified", "speedup", "correct"] | None, _of("reward")] = None
    rank: Annotated[int | None, _of("rank")] = None
    grad_clip: Annotated[float | None, _of("grad_clip")] = None
    max_kl: Annotated[float | None, _of("max_kl")] = None
    min_entropy: Annotated[float | None, _of("min_entropy")] = None


@dataclass(frozen=True, kw_only=True)
class RewardFlags:
    advantage: Annotated[Literal["global", "group", "loo", "entropic"] | None, _of("advantage", RewardedSettings)] = (
        None
    )
    baseline: Annotated[Literal["none", "task", "running-median"] | None, _of("baseline", RewardedSettings)] = None
    shuffle_rewards: Annotated[bool | None, _of("shuffle_rewards", RewardedSettings)] = None


@dataclass(frozen=True, kw_only=True)
class TeacherFlags:
    feedback: Annotated[
        bool | None, _of("feedback", SDPOSettings), Parameter(negative=("--no-feedback", "--prompt-only"))
    ] = None
    solution: Annotated[bool | None, _of("solution", SDPOSettings), Parameter(name="--with-solution")] = None
    teacher: Annotated[Literal["student", "base", "ema"] | None, _of("teacher", SDPOSettings)] = None
    ema_decay: Annotated[float | None, _of("ema_decay", SDPOSettings)] = None
    beta: Annotated[float | None, _of("beta", SDPOSettings)] = None
    clip_advantage: Annotated[float | None, _of("clip_advantage", SDPOSettings)] = None


@dataclass(frozen=True, kw_only=True)
class TTTFlags:
    steps: Annotated[int | None, _of("steps", TTTSettings)] = None
    held_out: Annotated[int | None, _of("held_out", TTTSettings)] = None
    stop_at_regression: Annotated[bool | None, _of("stop_at_regression", TTTSettings)] = None


@dataclass(frozen=True, kw_only=True)
class RLVRFlags:
    steps: Annotated[int | None, _of("steps", RLVRSettings)] = None
    batch_tasks: Annotated[int | None, _of("batch_tasks", RLVRSettings)] = None
    eval_every: Annotated[int | None, _of("eval_every", RLVRSettings)] = None
    eval_k: Annotated[int | None, _of("eval_k", RLVRSettings)] = None
    eval_tasks: Annotated[int | None, _of("eval_tasks", RLVRSettings)] = None


@dataclass(frozen=True, kw_only=True)
class RLVRTaskFlags(TaskFlags):
    subset: Annotated[Literal["train", "eval"] | None, _of("subset", RLVRSettings)] = None


@dataclass(frozen=True, kw_only=True)
class RLVRSamplingFlags(SamplingFlags):
    k: Annotated[int | None, _of("k", RLVRSettings)] = None


def ttt(
    run: Path,
    /,
    *,
    config: Path | None = None,
    rounds: Annotated[TTTFlags | None, Parameter(name="*", group=_CHOICE)] = None,
    learning: Annotated[LearningFlags | None, Parameter(name="*", group=_LEARNING)] = None,
    rewards: Annotated[RewardFlags | None, Parameter(name="*", group=_LEARNING)] = None,
    tasks: Annotated[TaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[BudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> int:
    """Test-time training: sample, judge and learn on the very tasks, then take the best step.

    The best step is chosen by samples that were not learned from (Best-of-Adaptation). Every step's weights are kept:
    `run:RUN@STEP` is a policy. Resumes a run that is there; can be interrupted or killed at any moment.

    Parameters
    ----------
    run
        Run directory, made if it is not there. One run has one seed and one learning rate.
    config
        A recipe (TOML) that sets any of the settings below; flags override it.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.adapt import ttt as go

    flags = [rounds, learning, rewards, tasks, policy, sampling, evaluation, budget]
    return _run(go, TTTSettings, run, config, flags, json)


def sdpo(
    run: Path,
    /,
    *,
    config: Path | None = None,
    rounds: Annotated[TTTFlags | None, Parameter(name="*", group=_CHOICE)] = None,
    learning: Annotated[LearningFlags | None, Parameter(name="*", group=_LEARNING)] = None,
    teacher: Annotated[TeacherFlags | None, Parameter(name="*", group=_TEACHER)] = None,
    tasks: Annotated[TaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[BudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> int:
    """Self-distillation policy optimisation: learn what the same model says when it is told what came of its samples.

    A token's advantage is its log-probability under the teacher less that under the student. The best step is chosen
    by samples that were not learned from. Every step's weights are kept: `run:RUN@STEP` is a policy. Resumes a run that
    is there; can be interrupted or killed at any moment.

    Parameters
    ----------
    run
        Run directory, made if it is not there. One run has one seed and one learning rate.
    config
        A recipe (TOML) that sets any of the settings below; flags override it.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.adapt import sdpo as go

    flags = [rounds, learning, teacher, tasks, policy, sampling, evaluation, budget]
    return _run(go, SDPOSettings, run, config, flags, json)


def rlvr(
    run: Path,
    /,
    *,
    config: Path | None = None,
    rounds: Annotated[RLVRFlags | None, Parameter(name="*", group=_CHOICE)] = None,
    learning: Annotated[LearningFlags | None, Parameter(name="*", group=_LEARNING)] = None,
    rewards: Annotated[RewardFlags | None, Parameter(name="*", group=_LEARNING)] = None,
    tasks: Annotated[RLVRTaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[RLVRSamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[BudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> int:
    """Reinforcement learning with verifiable rewards on the train half, judged on the eval half.

    Every step's weights are kept: `run:RUN@STEP` is a policy, for `best-of-n` and `ttt` too. Resumes a run that is
    there; can be interrupted or killed at any moment.

    Parameters
    ----------
    run
        Run directory, made if it is not there. One run has one seed and one learning rate.
    config
        A recipe (TOML) that sets any of the settings below; flags override it.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.adapt import rlvr as go

    flags = [rounds, learning, rewards, tasks, policy, sampling, evaluation, budget]
    return _run(go, RLVRSettings, run, config, flags, json)


def _run(
    go: Any,
    kind: type[LearningSettings],
    run: Path,
    config: Path | None,
    flags: Sequence[object | None],
    json: bool,
) -> int:
    from longodds.config import resolve
    from longodds.environment import read_environment

    defaults = {"max_pairs": read_environment().max_pairs}
    settings = resolve(kind, recipe=config, flags=given(flags), defaults=defaults)
    with json_stdout(json) as out:
        document = adapt_and_summarise(go, run, settings, show=not json)
        if json:
            write_json(out, document)
    return 0


def adapt_and_summarise(go: Any, run: Path, settings: LearningSettings, *, show: bool) -> dict[str, Any]:
    """Runs or resumes, with progress on stderr; returns the document of `ttt --json`, printed if `show`. go: one of
    `longodds.strategies.adapt`."""
    from longodds.cli.live import LiveProgress

    with LiveProgress() as progress:
        done = go(run, settings, progress=progress)
    document = _document(done)
    if show:
        print_text(_sentences(document))
    return document


def _document(done: Adapted) -> dict[str, Any]:
    from longodds.store import RunDir

    held = RunDir.open(done.path)
    judged = any(s.verdict is not None for s in held.samples())
    return {
        "run": str(done.path),
        "complete": done.complete,
        "stopped": done.stopped,
        "steps": done.steps,
        "expected": done.expected,
        "best_step": done.best,
        "policy": f"run:{done.path}@{done.best}",
        "trajectory": done.rows,
        "cost": held.cost(),
        "report": str(make_report([done.path], done.path / "report.html")) if judged else None,
    }


def _sentences(d: dict[str, Any]) -> str:
    lines = [f"{d['run']}: {d['steps']} of {d['expected']} steps judged" + _ended(d["stopped"])]
    fast = "fast_1_sig" if all(_known(r, "fast_1_sig") for r in d["trajectory"]) else "fast_1"
    lines.append(f"step  correct  {fast:>10}  reward      KL  held-out {fast}")
    for row in d["trajectory"]:
        held = row["held_out"]
        kl = "     –" if row["kl"] is None else f"{row['kl']:6.4f}"
        share = "–" if not held else f"{_percent(held, fast)} of {held['n']}"
        lines.append(
            f"{row['step']:4}  {_percent(row, 'correct'):>7}  {_percent(row, fast):>10}  "
            f"{row['mean_reward']:6.3f}  {kl}  {share}"
        )
    if fast == "fast_1":
        lines.append("some speedups have no interval: steps are compared by point speedups")
    rlvr = any(row["strategy"] == "rlvr" for row in d["trajectory"])
    lines.append(f"{'last good' if rlvr else 'best'} step: {d['best_step']} (policy {d['policy']})")
    if d["report"]:
        lines.append(f"report: {d['report']}")
    return "\n".join(lines)


def _known(row: dict[str, Any], name: str) -> bool:
    return all(counts[name] is not None for counts in (row, row["held_out"]) if counts)


def _percent(row: dict[str, Any], name: str) -> str:
    return f"{100 * row[name] / max(row['n'], 1):.0f} %"


def _ended(stopped: str | None) -> str:
    return "" if stopped is None else f"; learning ended: {stopped}"
