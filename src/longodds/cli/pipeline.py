"""`longodds pipeline DIR`: the stages of a recipe, each by its own command, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from longodds.cli.console import json_stdout, note_line, print_text, write_json
from longodds.cli.flags import EvaluationFlags, PolicyFlags, SamplingFlags, StoppingBudgetFlags, TaskFlags, given

if TYPE_CHECKING:
    from longodds.strategies.stages import Stage

_TASKS, _POLICY, _SAMPLING, _EVALUATION, _BUDGET = (
    Group.create_ordered(name) for name in ("Tasks", "Policy", "Sampling", "Evaluation", "Budget of a stage")
)
_BUDGETS = ("max_seconds", "max_cost")


def pipeline(
    directory: Path,
    /,
    *,
    config: Path,
    tasks: Annotated[TaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[StoppingBudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> int:
    """Run the stages of a recipe one after another; a stage may begin from an earlier one's checkpoint (`run:NAME`).

    Each stage is an ordinary run, in DIR/NAME. The same command skips stages that are finished and resumes the one that
    is not. Flags replace keys that all stages share. At the end DIR/report.html compares the arms.

    Parameters
    ----------
    directory
        Where the runs go, each in a folder of its stage's name.
    config
        A recipe (TOML) with shared keys and a [[stage]] for each command.
    json
        One JSON document on stdout.
    """
    from longodds.cli.report import make_report
    from longodds.environment import read_environment
    from longodds.strategies.stages import finished, mark_finished, read_stages

    flags = given([tasks, policy, sampling, evaluation, budget])
    stages = read_stages(config, directory, flags=flags, defaults={"max_pairs": read_environment().max_pairs})
    with json_stdout(json) as out:
        rows: list[dict[str, Any]] = []
        for stage in stages:
            row: dict[str, Any] = {"name": stage.name, "command": stage.command, "run": str(stage.path)}
            if finished(stage):
                note_line(f"stage {stage.name}: is finished")
                rows.append({**row, "finished": True, "skipped": True, "stopped": None})
                continue
            note_line(f"stage {stage.name}: {stage.command}")
            stopped = _run(stage, show=not json)["stopped"]
            ended = stopped not in _BUDGETS
            rows.append({**row, "finished": ended, "skipped": False, "stopped": stopped})
            if not ended:
                note_line(f"stage {stage.name}: stopped by {stopped}; the same command goes on")
                break
            mark_finished(stage)
        whole = len(rows) == len(stages) and all(row["finished"] for row in rows)
        # What trains on other tasks is no arm among those that are judged on the same.
        arms = [stage.path for stage in stages if stage.command != "rlvr"]
        report = str(make_report(arms, directory / "report.html")) if whole and arms else None
        document = {"directory": str(directory), "complete": whole, "stages": rows, "report": report}
        if json:
            write_json(out, document)
        elif report:
            print_text(f"\nreport on all arms: {report}")
    return 0


def _run(stage: Stage, *, show: bool) -> dict[str, Any]:
    """The stage's own command; its document."""
    from longodds.cli.adapt import adapt_and_summarise
    from longodds.cli.best_of_n import run_and_summarise
    from longodds.cli.refine import refine_and_summarise
    from longodds.strategies import adapt
    from longodds.strategies.learning_settings import LearningSettings
    from longodds.strategies.refine_settings import RefineSettings

    if isinstance(stage.settings, LearningSettings):
        return adapt_and_summarise(getattr(adapt, stage.command), stage.path, stage.settings, show=show)
    if isinstance(stage.settings, RefineSettings):
        return refine_and_summarise(stage.path, stage.settings, show=show)
    return run_and_summarise(stage.path, stage.settings, re_evaluate=False, show=show)
