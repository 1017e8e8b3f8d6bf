"""Runs that learn: test-time training and self-distillation on the tasks that are asked for, and the outer loop on a
train half."""

from __future__ import annotations

import contextlib
import random
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.analysis.adaptation import best_step, worth
from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.budget import Budget, write_cost
from longodds.strategies.learning_settings import SDPOSettings
from longodds.strategies.lessons import Distilled, Rewarded, averaging
from longodds.strategies.opening import open_settings_evaluator, prepare_policy
from longodds.strategies.planning import choose_tasks
from longodds.strategies.policies import base_of, open_learner
from longodds.strategies.progress import Silent
from longodds.strategies.provenance import describe_attempt
from longodds.strategies.resuming import Owed, add_tasks, refuse_mixture, sampling_params
from longodds.strategies.rounds import Learned, Round, Rounds
from longodds.strategies.sampling import Asked, ask, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from longodds.learning import Learner
    from longodds.strategies.learning_settings import LearningSettings, RLVRSettings, TTTSettings
    from longodds.strategies.lessons import Lessons
    from longodds.strategies.progress import Progress
    from longodds.types import Evaluator, Task


@dataclass(frozen=True, slots=True)
class Adapted:
    """What an attempt left behind.

    steps: rounds whose samples are all judged, step 0 among them, of `expected`. best: the step that Best-of-Adaptation
    takes (of `rlvr` the last that no guardrail rejected); stopped: why learning ended before its last step; rows: of
    `metrics.jsonl`, one a step.
    """

    path: Path
    steps: int
    expected: int
    best: int
    stopped: str | None
    rows: list[dict[str, Any]]
    resumed: bool

    @property
    def complete(self) -> bool:
        return self.steps == self.expected


def ttt(
    path: Path | str,
    settings: TTTSettings,
    *,
    learner: Learner | None = None,
    evaluator: Evaluator | None = None,
    tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
) -> Adapted:
    """Runs, or resumes, test-time training in the run directory `path`: N tasks x K samples a step, one policy for all.

    The best step is chosen by samples that were not learned from, and earliest of equals (Best-of-Adaptation). learner,
    evaluator, tasks: used instead of those that the settings name (and left open). Raises UserError for the caller's
    mistakes, InfraError when policy, learner or evaluator fail; the run is resumable always.
    """
    return _adapt(path, settings, Rewarded(settings), learner, evaluator, tasks, progress)


def sdpo(
    path: Path | str,
    settings: SDPOSettings,
    *,
    learner: Learner | None = None,
    evaluator: Evaluator | None = None,
    tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
) -> Adapted:
    """Runs, or resumes, self-distillation policy optimisation: `ttt`, but a token's advantage is teacher minus student.

    The teacher is the same model, told more (`longodds.strategies.lessons.Distilled`). Raises as `ttt`, and UserError
    for teacher `ema` with a learner whose adapters can't be averaged.
    """
    return _adapt(path, settings, Distilled(settings), learner, evaluator, tasks, progress)


def _adapt(
    path: Path | str,
    settings: TTTSettings | SDPOSettings,
    lessons: Lessons,
    learner: Learner | None,
    evaluator: Evaluator | None,
    tasks: Sequence[Task] | None,
    progress: Progress | None,
) -> Adapted:
    progress = progress or Silent()
    chosen = list(tasks) if tasks is not None else choose_tasks(settings, note=progress.note)
    asked = ask(chosen, settings)
    check = tuple((a, settings.held_out) for a in asked) if settings.held_out else ()
    plan = [Round(step, tuple(asked), check) for step in range(settings.steps + 1)]
    halt = _regressed if settings.stop_at_regression else _never
    with _opened(path, settings, asked, plan, learner, evaluator, progress, halt) as (run, trained, judge):
        width = settings.k + settings.held_out
        loop = Rounds(
            run,
            settings,
            plan,
            trained,
            judge,
            progress,
            lessons=lessons,
            strategy=_kind(settings),
            base=base_of(settings.policy),
            width=width,
            halt=halt,
            budget=Budget(run, settings, progress),
        )
        return _adapted(run, loop.go(), len(plan))


def rlvr(
    path: Path | str,
    settings: RLVRSettings,
    *,
    learner: Learner | None = None,
    evaluator: Evaluator | None = None,
    tasks: Sequence[Task] | None = None,
    eval_tasks: Sequence[Task] | None = None,
    progress: Progress | None = None,
) -> Adapted:
    """Runs, or resumes, reinforcement learning with verifiable rewards: batches of train tasks, epoch after epoch, the
    policy judged on the eval half at times. tasks, eval_tasks: used instead of those that the settings name. Raises as
    `ttt`, and UserError for a task that is in both."""
    progress = progress or Silent()
    chosen = list(tasks) if tasks is not None else choose_tasks(settings, note=progress.note)
    if eval_tasks is None:
        other = settings.model_copy(update={"subset": "eval", "problem_ids": None, "max_tasks": settings.eval_tasks})
        # Of files that are no problems the train half has told.
        eval_tasks = choose_tasks(other, note=lambda _said: None) if tasks is None else []
    if both := sorted({t.id for t in chosen} & {t.id for t in eval_tasks}):
        raise UserError(f"{both[0]}: is trained on and judged by; leave it out of one of them")
    asked, looked = ask(chosen, settings), ask(list(eval_tasks), settings)
    plan = _epochs(asked, looked, settings)
    with _opened(path, settings, [*asked, *looked], plan, learner, evaluator, progress) as (run, trained, judge):
        width = settings.k + settings.eval_k
        loop = Rounds(
            run,
            settings,
            plan,
            trained,
            judge,
            progress,
            lessons=Rewarded(settings),
            strategy="rlvr",
            base=base_of(settings.policy),
            width=width,
            budget=Budget(run, settings, progress),
        )
        return _adapted(run, loop.go(), len(plan))


def _epochs(asked: list[Asked], looked: list[Asked], settings: RLVRSettings) -> list[Round]:
    """Batches of shuffled tasks, each task once an epoch; the last round is only looked at."""
    draw = random.Random(settings.seeds[0])
    batches: list[tuple[Asked, ...]] = []
    while len(batches) < settings.steps:
        order = draw.sample(asked, len(asked))
        batches += [tuple(order[i : i + settings.batch_tasks]) for i in range(0, len(order), settings.batch_tasks)]
    look = tuple((a, settings.eval_k) for a in looked)
    last = settings.steps
    at = [Round(t, batches[t], look if t % settings.eval_every == 0 else ()) for t in range(last)]
    return [*at, Round(last, (), look) if looked else Round(last, batches[0])]


@contextlib.contextmanager
def _opened(
    path: Path | str,
    settings: LearningSettings,
    asked: Sequence[Asked],
    plan: Sequence[Round],
    learner: Learner | None,
    evaluator: Evaluator | None,
    progress: Progress,
    halt: Callable[[list[dict[str, Any]]], str | None] | None = None,
) -> Iterator[tuple[RunDir, Learner, Evaluator]]:
    """The run, what learns and what judges. Nothing is written before all of them are known to be usable."""
    path = Path(path)
    config = {"kind": _kind(settings), **settings.identity()}
    resumes = RunDir.check(path, config)
    with contextlib.ExitStack() as stack:
        if learner is None:
            progress.stage("loading the model to be trained")
            learner = _open(settings)
            stack.callback(learner.close)
        if isinstance(settings, SDPOSettings) and settings.teacher == "ema":
            averaging(learner)
        policy = learner.snapshot()
        for note in prepare_policy(policy, sampling_params(settings)):
            progress.note(note)
        isolation = None
        if evaluator is None:
            progress.stage("starting the evaluator")
            evaluator = opened = open_settings_evaluator(settings, hidden=[path])
            stack.callback(opened.close)
            isolation = opened.isolation
        owed = _owed(path, plan, halt or _never) if resumes else Owed(True, True)
        refuse_mixture(path, owed, None, evaluator)
        judges = evaluator if owed.verdicts else None
        manifest = describe_attempt(policy, judges, device=settings.device, isolation=isolation if judges else None)
        records = record(asked, policy)
        run = stack.enter_context(RunDir.create_or_resume(path, config, manifest))
        add_tasks(run, records, progress)
        stack.callback(write_cost, run, settings)
        yield run, learner, evaluator


def _owed(path: Path, plan: Sequence[Round], halt: Callable[[list[dict[str, Any]]], str | None]) -> Owed:
    """The verdicts of a run that is there, and whether it may need more: not after its last step or an early end.
    Weights change from step to step, so there is no version to keep to."""
    run = RunDir.open(path)
    rows, kept = run.metrics(), run.checkpoints()
    rejected = bool(kept) and kept[-1].rejected
    over = bool(rows) and (rows[-1].get("step") == plan[-1].step or rejected or halt(rows) is not None)
    return replace(Owed.of(run.samples(), samples=not over, verdicts=not over), policy_version=None)


def _kind(settings: LearningSettings) -> str:
    return type(settings).__name__.removesuffix("Settings").lower()


def _open(settings: LearningSettings) -> Learner:
    from longodds.policy import LoraOptions, OpenOptions, parse_policy_spec

    env = read_environment()
    lora = LoraOptions(rank=settings.rank)  # alpha 32, the only one that a Tinker service trains with
    if parse_policy_spec(base_of(settings.policy)).kind != "tinker":
        lora = replace(lora, alpha=2.0 * settings.rank)
    return open_learner(
        settings.policy,
        OpenOptions(
            dtype=settings.dtype,
            device=settings.policy_device,
            cache_dir=env.cache_dir,
            threads=settings.threads or env.threads,
            base_url=settings.base_url,
            tokenizer=settings.tokenizer,
        ),
        lora,
        # The outer loop goes on; an inner one of a few steps would mostly follow the moments of other gradients.
        optimizer=_kind(settings) == "rlvr",
    )


def _regressed(rows: list[dict[str, Any]]) -> str | None:
    if len(rows) < 2 or worth(rows[-1]) >= worth(rows[-2]):
        return None
    return f"step {rows[-1]['step']} is worse than step {rows[-2]['step']} (stop_at_regression)"


def _never(_rows: list[dict[str, Any]]) -> None:
    return None


def _adapted(run: RunDir, learned: Learned, expected: int) -> Adapted:
    rejected = {c.step for c in run.checkpoints() if c.rejected}
    best = best_step([{**r, "rejected": r["step"] in rejected} for r in learned.rows])
    return Adapted(run.path, len(learned.rows), expected, best, learned.stopped, learned.rows, run.resumed)
