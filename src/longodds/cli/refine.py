"""`longodds refine RUN`: attempts that are told what came of the ones before them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from longodds.cli.best_of_n import conclude
from longodds.cli.console import json_stdout, write_json
from longodds.cli.flags import BudgetFlags, EvaluationFlags, PolicyFlags, SamplingFlags, TaskFlags, given, helped
from longodds.strategies.refine_settings import RefineSettings

_REVISION, _TASKS, _POLICY, _SAMPLING, _EVALUATION, _BUDGET = (
    Group.create_ordered(name) for name in ("Revision", "Tasks", "Policy", "Sampling", "Evaluation", "Budget")
)


@dataclass(frozen=True, kw_only=True)
class RevisionFlags:
    chains: Annotated[int | None, helped("chains", RefineSettings)] = None
    history: Annotated[int | None, helped("history", RefineSettings)] = None
    revise: Annotated[Literal["last", "best"] | None, helped("revise", RefineSettings)] = None
    tokens: Annotated[int | None, helped("tokens", RefineSettings)] = None
    match: Annotated[str | None, helped("match", RefineSettings)] = None


def refine(
    run: Path,
    /,
    *,
    config: Path | None = None,
    revision: Annotated[RevisionFlags | None, Parameter(name="*", group=_REVISION)] = None,
    tasks: Annotated[TaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[BudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> int:
    """Sequential revision: judge an attempt, tell the model what came of it, let it try again.

    A model is told status, a bounded message and the speedup with its interval. With --match a cell takes as many
    tokens as Best-of-N did. Resumes a run that is there; can be interrupted or killed at any moment.

    Parameters
    ----------
    run
        Run directory, made if it is not there.
    config
        A recipe (TOML) that sets any of the settings below; flags override it. Recipes of best-of-n will do.
    json
        One JSON document on stdout.
    """
    from longodds.config import resolve
    from longodds.environment import read_environment

    flags = given([revision, tasks, policy, sampling, evaluation, budget])
    settings = resolve(RefineSettings, recipe=config, flags=flags, defaults={"max_pairs": read_environment().max_pairs})
    with json_stdout(json) as out:
        document = refine_and_summarise(run, settings, show=not json)
        if json:
            write_json(out, document)
    return 0


def refine_and_summarise(run: Path, settings: RefineSettings, *, show: bool) -> dict[str, Any]:
    """Runs or resumes, with progress on stderr; returns the document of `refine --json`, printed if `show`."""
    from longodds.cli.live import LiveProgress
    from longodds.strategies.refine import refine as go

    with LiveProgress() as progress:
        outcome = go(run, settings, progress=progress)
    return conclude(run, outcome, show=show)
