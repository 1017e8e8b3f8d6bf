"""A run to go on with: what an earlier attempt left, and everything that the next one needs, opened in the right order.

Nothing is written before tasks, policy and evaluator are known to be usable, and nothing is opened that is not owed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.budget import write_cost
from longodds.strategies.opening import open_settings_evaluator, open_settings_policy, prepare_policy
from longodds.strategies.provenance import describe_attempt
from longodds.strategies.sampling import record
from longodds.types import SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from longodds.config import BestOfNSettings
    from longodds.store import TaskRecord
    from longodds.strategies.progress import Progress
    from longodds.strategies.sampling import Asked
    from longodds.types import Evaluator, Policy, Sample


@dataclass(frozen=True, slots=True)
class Owed:
    """What a run lacks. policy_version: of the samples that are there; evaluators: digests of their verdicts."""

    samples: bool
    verdicts: bool
    policy_version: str | None = None
    evaluators: frozenset[str] = field(default_factory=frozenset)

    @staticmethod
    def of(have: Sequence[Sample], *, samples: bool, verdicts: bool) -> Owed:
        version = have[0].completion.policy_version if have else None
        digests = frozenset(s.verdict.evaluator for s in have if s.verdict is not None and s.verdict.evaluator)
        return Owed(samples, verdicts, version, digests)


def check_tasks(run: RunDir, asked: Sequence[Asked]) -> None:
    """Raises UserError where a run has tasks that are not asked for now, or whose content has changed."""
    wanted = {a.task.id: a.task for a in asked}
    known = run.tasks()
    if strangers := [t for t in known if t not in wanted]:
        raise UserError(f"{run.path}: has tasks that are not asked for now (first: {strangers[0]}); give another RUN")
    for task_id, task in known.items():
        if task.digest != wanted[task_id].digest:
            raise UserError(f"{run.path}: task {task_id} has changed since this run began; give another RUN")


def add_tasks(run: RunDir, records: Sequence[TaskRecord], progress: Progress) -> None:
    """Adds tasks that the run does not have, and says which of the others have another prompt than they had."""
    if other := run.add_tasks(records):
        progress.note(
            f"{run.path}: prompts are other tokens than when the run began (task {other[0]}; {len(other)} in all; a "
            "chat template with today's date?), so samples drawn now are of other prompts; another RUN has one each"
        )


def sampling_params(s: BestOfNSettings) -> SamplingParams:
    return SamplingParams(temperature=s.temperature, max_tokens=s.max_tokens, top_p=s.top_p)


@contextlib.contextmanager
def opened(
    path: Path,
    settings: BestOfNSettings,
    config: Mapping[str, Any],
    asked: Sequence[Asked],
    owed: Owed,
    policy: Policy | None,
    evaluator: Evaluator | None,
    progress: Progress,
    *,
    re_evaluate: bool | None = None,
) -> Iterator[tuple[RunDir, Policy | None, Evaluator | None]]:
    """The run with what it owes opened; policy and evaluator that are given are used, and left open. At its end the
    cost is written. re_evaluate: None for a strategy that has no such flag.

    Raises UserError for the caller's mistakes, such as other weights or another evaluator than the run's.
    """
    with contextlib.ExitStack() as stack:
        if policy is None and owed.samples:
            progress.stage("loading the policy")
            policy = open_settings_policy(settings)
            stack.callback(policy.close)
        if policy is not None and owed.samples:
            for note in prepare_policy(policy, sampling_params(settings)):
                progress.note(note)
        isolation = None
        if evaluator is None and owed.verdicts:
            progress.stage("starting the evaluator")
            evaluator = local = open_settings_evaluator(settings, hidden=[path])
            stack.callback(local.close)
            isolation = local.isolation
        refuse_mixture(path, owed, policy, evaluator, re_evaluate=re_evaluate)
        manifest = describe_attempt(policy, evaluator, device=settings.device, isolation=isolation)
        records = record(asked, policy) if policy is not None and owed.samples else []
        run = stack.enter_context(RunDir.create_or_resume(path, config, manifest))
        for name, size in run.repaired.items():
            progress.note(f"{path / name}: dropped a torn tail of {size} bytes")
        add_tasks(run, records, progress)
        stack.callback(write_cost, run, settings)
        yield run, policy, evaluator


def refuse_mixture(
    path: Path, owed: Owed, policy: Policy | None, evaluator: Evaluator | None, *, re_evaluate: bool | None = None
) -> None:
    """Raises UserError where what is owed would come from other weights or another evaluator than what is there."""
    if owed.samples and policy is not None and owed.policy_version not in (None, policy.version):
        raise UserError(
            f"{path}: was sampled from other weights of {policy.name} ({owed.policy_version}, now {policy.version}); "
            "give another RUN"
        )
    if owed.verdicts and evaluator is not None and not re_evaluate and owed.evaluators - {evaluator.digest}:
        remedy = (
            "give another RUN" if re_evaluate is None else "judge all again with --re-evaluate, or give another RUN"
        )
        raise UserError(
            f"{path}: has verdicts of another evaluator (device, settings or versions differ), and the two cannot be "
            f"compared; {remedy}"
        )
