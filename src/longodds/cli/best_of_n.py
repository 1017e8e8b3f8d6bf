"""`longodds best-of-n RUN`: sample, judge, select, report."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from longodds.cli.console import json_stdout, note_line, print_text, write_json
from longodds.cli.flags import EvaluationFlags, PolicyFlags, SamplingFlags, StoppingBudgetFlags, TaskFlags, given
from longodds.cli.report import make_report
from longodds.cli.select import print_selection
from longodds.errors import InfraError, UserError
from longodds.types import Status

if TYPE_CHECKING:
    from longodds.config import BestOfNSettings
    from longodds.store import RunDir
    from longodds.strategies.best_of_n import Outcome
    from longodds.types import Sample, Verdict

_TASKS, _POLICY, _SAMPLING, _EVALUATION, _BUDGET = (
    Group.create_ordered(name) for name in ("Tasks", "Policy", "Sampling", "Evaluation", "Budget")
)


def best_of_n(
    run: Path,
    /,
    *,
    config: Path | None = None,
    tasks: Annotated[TaskFlags | None, Parameter(name="*", group=_TASKS)] = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[StoppingBudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    estimate: bool = False,
    re_evaluate: bool = False,
    json: bool = False,
) -> int:
    """Sample K programs per task and seed, judge every one, select, report.

    Resumes a run that is there, if the settings that decide its content are equal. Can be interrupted or killed at
    any moment.

    Parameters
    ----------
    run
        Run directory, made if it is not there.
    config
        A recipe (TOML) that sets any of the settings below; flags override it.
    estimate
        Say what the run could cost at most, and stop.
    re_evaluate
        Judge samples again whose verdicts another device, version or evaluator setting gave.
    json
        One JSON document on stdout.
    """
    from longodds.config import BestOfNSettings, resolve
    from longodds.environment import read_environment

    flags = given([tasks, policy, sampling, evaluation, budget])
    settings = resolve(
        BestOfNSettings, recipe=config, flags=flags, defaults={"max_pairs": read_environment().max_pairs}
    )
    with json_stdout(json) as out:
        if estimate:
            document = _estimate(settings, show=not json)
        else:
            document = run_and_summarise(run, settings, re_evaluate=re_evaluate, show=not json)
        if json:
            write_json(out, document)
    return 0


def _estimate(settings: BestOfNSettings, *, show: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from longodds.strategies.estimate import estimate

    bound = asdict(estimate(settings, note=note_line))
    if show:
        print_text("at most:")
        for name, value in bound.items():
            if value is not None:
                print_text(f"  {name.removeprefix('max_').replace('_', ' '):16} {value:,.6g}")
    return bound


def run_and_summarise(run: Path, settings: BestOfNSettings, *, re_evaluate: bool, show: bool) -> dict[str, Any]:
    """Runs or resumes, with progress on stderr; returns the document of `best-of-n --json`, printed if `show`.

    A task that cannot be judged by is named and counted; it is an error only where no task could be. Raises UserError,
    InfraError.
    """
    from longodds.cli.live import LiveProgress
    from longodds.strategies.best_of_n import best_of_n as go

    with LiveProgress() as progress:
        outcome = go(run, settings, progress=progress, re_evaluate=re_evaluate)
    return conclude(run, outcome, show=show)


def conclude(run: Path, outcome: Outcome, *, show: bool) -> dict[str, Any]:
    """The document of an attempt that came to its end, printed if `show`, and what is to be said of it besides. Raises
    as `run_and_summarise`."""
    document = summarise(run, outcome, show=show)
    if outcome.unjudged:
        raise InfraError(
            f"{outcome.unjudged} of {outcome.samples} samples got no verdict; what was done is kept, and the same "
            "command tries them again"
        )
    if outcome.unusable:
        task, why = next(iter(outcome.unusable.items()))
        more = f" and {len(outcome.unusable) - 1} more" if len(outcome.unusable) > 1 else ""
        line = f"{task}{more} cannot be judged by ({why})"
        if len(outcome.unusable) == document["tasks"]:
            raise UserError(line)
        note_line(f"{line}; the others are done")
    return document


def summarise(run: Path, outcome: Outcome, *, show: bool) -> dict[str, Any]:
    """What a finished or stopped attempt left in its run, in one document; printed as a few lines if `show`."""
    from longodds.store import RunDir
    from longodds.strategies.logprobs import logprob_report

    held = RunDir.open(run)
    samples = held.samples()
    statuses = Counter(s.verdict.status.value for s in samples if s.verdict is not None)
    faster = [s for s in samples if s.verdict is not None and s.verdict.correct and (s.verdict.ci_low or 0.0) > 1]
    document = {
        "run": str(run),
        "complete": outcome.complete,
        "stopped": outcome.stopped,
        "samples": outcome.samples,
        "expected": outcome.expected,
        "distinct": len({(s.task_id, s.program_digest) for s in samples}),
        "tasks": len({s.task_id for s in samples}),
        "statuses": dict(statuses.most_common()),
        "unusable": dict(outcome.unusable),
        "verified_faster": len(faster),
        "tasks_verified_faster": _verified(samples),
        "cost": held.cost(),
        "logprobs": logprob_report(held, samples),
        "selection": _selection(held, run, samples),
        "report": None,
    }
    if document["selection"] is not None:
        document["report"] = str(make_report([run], run / "report.html", result=document["selection"]))
    if show:
        print_text(_sentences(document))
        if document["selection"] is not None:
            print_text("")
            print_selection(document["selection"], [run])
            print_text(f"\nreport: {document['report']}")
    return document


def _verified(samples: list[Sample]) -> int:
    """Tasks with a program that is verified faster; where the best was measured again, that decides."""
    tasks: dict[str, list[Verdict]] = {}
    for s in samples:
        if s.verdict is not None and s.verdict.correct:
            tasks.setdefault(s.task_id, []).append(s.verdict)
    return sum(
        any((v.ci_low or 0.0) > 1 for v in [v for v in verdicts if v.remeasured_among] or verdicts)
        for verdicts in tasks.values()
    )


def _selection(held: RunDir, run: Path, samples: list[Sample]) -> dict[str, Any] | None:
    """What `select --json` would print; None where nothing has been judged yet."""
    from longodds.analysis.scaling import early_stops
    from longodds.strategies.selecting import select

    if not any(s.verdict is not None and s.verdict.status is not Status.INFRA_ERROR for s in samples):
        return None
    document = select({str(run): samples})
    document["warnings"] += early_stops({str(run): held.metrics()})
    return document


def _sentences(d: dict[str, Any]) -> str:
    n = d["samples"]
    correct = d["statuses"].get("correct", 0)
    share = f" ({100 * correct / n:.0f} %)" if n else ""
    counts = ", ".join(f"{count} {name}" for name, count in d["statuses"].items())
    told = _logprob_sentence(d["logprobs"])
    return (
        f"{d['run']}: {n} of {d['expected']} samples on {d['tasks']} tasks, {d['distinct']} distinct programs\n"
        f"{correct} correct{share}, {d['verified_faster']} verified faster than the reference, "
        f"on {d['tasks_verified_faster']} tasks\n"
        f"verdicts: {counts or 'none'}{told}"
    )


def _logprob_sentence(report: dict[str, Any] | None) -> str:
    if report is None or report["mode"] == "raw":
        return ""
    line = f"\nlog-probabilities of the service: {report['mode']}; {report['rescored']} samples were scored again"
    if report["without"]:
        line += f", {report['without']} have no surprisal (the service cannot score)"
    flips = report["flips"]
    if flips["cells"]:
        line += f"; by the returned ones {flips['flipped']} of {flips['cells']} surprisal choices would be others"
    return line
