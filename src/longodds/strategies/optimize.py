"""Make my own module faster: Best-of-N on one file, and the best program that is verified to be faster."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.config import BestOfNSettings
from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.best_of_n import Outcome, best_of_n
from longodds.strategies.headroom import Headroom, measure_headroom
from longodds.strategies.opening import open_sound_evaluator
from longodds.strategies.progress import Progress, Silent
from longodds.strategies.standalone import check_out, standalone, write_out
from longodds.tasks import read_module, task_name
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.evaluator import LocalEvaluator
    from longodds.types import Policy, Sample, Task, Verdict

BEST = "best.py"  # in the run directory, unless another place is named


@dataclass(frozen=True, slots=True)
class Optimized:
    """What came of it.

    best: the program that was measured again and is faster, None where none is; verdict: of that measurement, its
    interval at 1 % divided by `distinct`, the number of distinct programs. out: the file that was written. headroom:
    what could be gained at most, as far as that can be told. outcome: of the run. statuses: number of verdicts by
    status. reasons: the message of one verdict of each status that has any.
    """

    task: Task
    run: Path
    settings: BestOfNSettings
    headroom: Headroom
    outcome: Outcome
    statuses: dict[str, int]
    reasons: dict[str, str]
    distinct: int
    best: Sample | None = None
    verdict: Verdict | None = None
    out: Path | None = None

    @property
    def program(self) -> str | None:
        return None if self.best is None else self.best.program

    def to_json(self) -> dict[str, Any]:
        """The document of `optimize --json`."""
        s, h = self.settings, self.headroom
        return {
            "task_id": self.task.id,
            "run": str(self.run),
            "found": self.best is not None,
            "program": self.program,
            "verdict": None if self.verdict is None else self.verdict.to_json(),
            "out": None if self.out is None else str(self.out),
            "samples": self.outcome.samples,
            "expected": self.outcome.expected,
            "stopped": self.outcome.stopped,
            "correct": self.statuses.get("correct", 0),
            "distinct": self.distinct,
            "statuses": self.statuses,
            "reasons": self.reasons,
            "headroom": {
                "reference_us": h.reference_us,
                "floor_us": h.floor_us,
                "moved_bytes": h.moved_bytes,
                "at_most": h.at_most,
                "little": h.little,
            },
            "settings": {
                "policy": s.policy,
                "k": s.k,
                "seeds": list(s.seeds),
                "temperature": s.temperature,
                "top_p": s.top_p,
                "max_tokens": s.max_tokens,
                "style": s.style,
                "device": s.device,
                "reference": s.reference,
            },
        }


def optimize(
    module: Path | str,
    *,
    class_name: str | None = None,
    inputs: str | None = None,
    init_inputs: str | None = None,
    run: Path | str | None = None,
    out: Path | str | None = None,
    settings: BestOfNSettings | None = None,
    policy: Policy | None = None,
    evaluator: LocalEvaluator | None = None,
    progress: Progress | None = None,
) -> Optimized:
    """Samples programs for one module, judges every one, measures the best again and writes it with a check of its own.

    module, class_name, inputs, init_inputs: as in `longodds.tasks.read_module`. run: run directory, resumed if it is
    there (`runs/optimize-NAME`). out: where the winner is written (`best.py` in the run); a file there that is not an
    earlier winner is never touched. settings: of the run (32 samples); what it says of tasks is replaced by the module.
    policy, evaluator: used, and left open, instead of those that settings name.
    Raises UserError before anything is sampled or written for a module that cannot be read, run or judged by, and for
    settings under which nothing could be verified; InfraError as `best_of_n`.
    """
    task = read_module(Path(module), class_name=class_name, inputs=inputs, init_inputs=init_inputs)
    settings = _for_task(settings or BestOfNSettings(k=32, max_pairs=read_environment().max_pairs), task)
    path = Path(run) if run is not None else Path("runs") / f"optimize-{task_name(task).replace(':', '-')}"
    where = path / BEST if out is None else Path(out)
    RunDir.check(path, settings.identity())
    check_out(where, named=out is not None)
    progress = progress or Silent()
    with contextlib.ExitStack() as stack:
        if evaluator is None:
            progress.stage("starting the evaluator")
            evaluator = open_sound_evaluator(settings, hidden=[path])
            stack.callback(evaluator.close)
        progress.stage("timing the module as it is")
        headroom = measure_headroom(evaluator, task)
        progress.note(headroom.sentence())
        outcome = best_of_n(path, settings, policy=policy, evaluator=evaluator, tasks=[task], progress=progress)
        samples = RunDir.open(path).samples()
        best, verdict = _winner(task, samples, evaluator)
    verdicts = [s.verdict for s in samples if s.verdict is not None]
    if best is not None and verdict is not None:
        about = _about(task, Path(module), settings, verdict, len(samples))
        text = standalone(best.program, task.reference, about=about, device=settings.device)
        write_out(where, text)
    return Optimized(
        task=task,
        run=path,
        settings=settings,
        headroom=headroom,
        outcome=outcome,
        statuses=dict(Counter(v.status.value for v in verdicts)),
        reasons={v.status.value: v.message for v in reversed(verdicts) if v.message},
        distinct=len({s.program_digest for s in samples}),
        best=best,
        verdict=verdict,
        out=None if best is None else where,
    )


def _for_task(settings: BestOfNSettings, task: Task) -> BestOfNSettings:
    if settings.evaluator != "sound" or settings.time == "none":
        raise UserError("optimize verifies what it finds: leave evaluator at sound, and time at all or top:M:STRATEGY")
    own = {"suite": task.suite, "kernelbench_root": None, "scale": 1, "split": None, "subset": None}
    return settings.model_copy(update={**own, "problem_ids": None, "max_tasks": None})


def _winner(task: Task, samples: Sequence[Sample], evaluator: LocalEvaluator) -> tuple[Sample | None, Verdict | None]:
    """The best program and its verdict as the best of all distinct ones; (None, None) where it is not faster then.

    A run that came to its end has measured it again. One that a budget ended has not, so that is done here.
    """
    judged = [s for s in samples if s.verdict is not None and s.verdict.status is not Status.INFRA_ERROR]
    among = len({s.program_digest for s in judged})
    again = [s for s in judged if s.verdict is not None and s.verdict.remeasured_among >= among]
    faster = [s for s in judged if s.verdict is not None and s.verdict.correct and (s.verdict.ci_low or 0.0) > 1]
    best = max(again or faster, key=lambda s: (s.verdict and s.verdict.ci_low) or 0.0, default=None)
    if best is None:
        return None, None
    verdict = best.verdict if again else evaluator.remeasure(task, best.program, among=among)
    if verdict is None or not verdict.correct or (verdict.ci_low or 0.0) <= 1:
        return None, None
    return best, verdict


def _about(task: Task, module: Path, settings: BestOfNSettings, v: Verdict, samples: int) -> list[str]:
    from longodds.evaluator import device_name

    named = task.metadata.get("class")
    original = module.name if named == "Model" else f"{named} of {module.name}, called Model below"
    where = device_name() + ", one core" if settings.device == "cpu" else settings.device
    unsure = f"; {', '.join(v.labels)}" if v.labels else ""
    return [
        f"ModelNew, a faster {original}.",
        f"Measured {v.speedup:.3f}x (from {v.ci_low:.3f} to {v.ci_high:.3f} at 99 % for the best of "
        f"{max(v.remeasured_among, 1)} programs, {v.pairs} pairs)",
        f"against the {settings.reference} reference on {where}{unsure}.",
        f"Chosen among {samples} samples of {settings.policy} (temperature {settings.temperature:g}).",
        "Run this file to compare it with the original on random inputs and to time both; it needs torch alone.",
    ]
