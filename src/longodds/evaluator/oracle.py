"""The trusted process that owns inputs, expected outputs, comparison and clock: one per device.

Talks to the controller in JSON lines over its own pipe (both ends are ours). For a request it forks a candidate,
checks it on every law, times it against a trusted child, and answers with a verdict.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from longodds.errors import InfraError, UserError
from longodds.evaluator import sandbox, stats
from longodds.evaluator.calibration import Calibration
from longodds.evaluator.children import Child, ChildEnded, ChildMemory, ChildTimeout, Zygote, remove_tree
from longodds.evaluator.frames import Kind
from longodds.evaluator.outcome import Judged, clean, judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.timing import TIMER_GAP, Meter, Pairs, Refused, Side, check_draw
from longodds.types import Status, Task, Verdict

_PROBLEMS_KEPT = 4
_FORKS_PER_ZYGOTE = 200


class Oracle:
    """Judges programs. Not for several threads."""

    def __init__(self, settings: EvaluatorSettings) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.secret = settings.seed if settings.seed is not None else int.from_bytes(os.urandom(6), "little")
        self.rng = random.Random(self.secret)
        self.root = Path(tempfile.mkdtemp(prefix="longodds-", dir=open_folder()))
        self.root.chmod(0o711)
        probe = self.root / "probe"
        probe.mkdir()
        hide = hidden_folders()
        self.isolation = sandbox.probe_layers(probe, hide)
        shutil.rmtree(probe)
        self.layers = tuple(name for name, state in self.isolation.items() if state == "on")
        core = settings.core if settings.core is not None else last_core()
        self.zygotes = [
            Zygote(core, self.layers, hide, settings.memory_limit(), self.root) for _ in range(stats.PROCESS_PAIRS + 1)
        ]
        self.zygotes[0].start()
        self.calibration = Calibration.load(settings.calibration, settings.device)
        self.digest = settings.digest(torch.__version__)
        self.problems: dict[str, Problem] = {}
        self.references: dict[str, Side] = {}

    # --- children -------------------------------------------------------------------------------

    def _zygote(self, number: int) -> Zygote:
        zygote = self.zygotes[number]
        if zygote.forks >= _FORKS_PER_ZYGOTE or (zygote.process is not None and zygote.process.poll() is not None):
            zygote.close()
            self.zygotes[number] = zygote = replace(zygote, forks=0, process=None, control=None, ready=False)
        return zygote

    @contextlib.contextmanager
    def _child(self, problem: Problem, program: str, entry: str, number: int) -> Generator[Child]:
        config = problem.child_config(entry, self.rng.getrandbits(31))
        child = self._zygote(number).spawn(program, config, problem.state, problem.input_bytes)
        try:
            yield child
        finally:
            child.close()

    def _ready(self, child: Child) -> None:
        """Wait until the program is loaded. Raises Refused and what Child.wait raises."""
        limit, start, used = self.settings.import_timeout_s, time.monotonic(), 0.0

        def extend() -> float:
            # A compiler at work is a descendant that uses CPU; only while one does may an import take longer.
            nonlocal used
            before, used = used, child.helpers_cpu_s()
            busy = used > before + 0.1 and time.monotonic() - start < self.settings.compile_timeout_s
            return time.monotonic() - start + 2.0 if busy else limit

        frame = child.wait(limit, extend=extend)
        child.freeze()
        if frame.kind is not Kind.READY:
            raise Refused(frame)

    def _reference(self, problem: Problem) -> Side:
        """The trusted child of a task on the first zygote, kept while the task is being worked on."""
        side = self.references.get(problem.task.digest)
        if side is None:
            self._forget_references()
            side = self._trusted(problem, 0)
            self.references[problem.task.digest] = side
        return side

    def _trusted(self, problem: Problem, number: int) -> Side:
        config = problem.child_config("Model", self.rng.getrandbits(31))
        child = self._zygote(number).spawn(problem.task.reference, config, problem.state, problem.input_bytes)
        try:
            self._ready(child)
        except (Refused, ChildEnded, ChildTimeout, ChildMemory) as error:
            child.close()
            raise InfraError(f"{problem.task.id}: the reference does not run in its child process: {error}") from None
        return Side(child, problem, trusted=True)

    # --- judging --------------------------------------------------------------------------------

    def problem(self, task: Task) -> Problem:
        """The task's state, made on first use. Raises UserError when the task can't be judged."""
        for digest, other in self.problems.items():
            if digest != task.digest:
                other.release()
        if task.digest not in self.problems:
            while len(self.problems) >= _PROBLEMS_KEPT:
                self.problems.pop(next(iter(self.problems)))
            problem = Problem(task, self.secret).load()
            observe_reference(problem, self._reference(problem), self.settings.run_timeout_s)
            self.problems[task.digest] = problem
        return self.problems[task.digest]

    def judge(self, task: Task, program: str, *, timed: bool) -> Verdict:
        """Verdict of one program. Raises UserError (the task) or InfraError (ours)."""
        start = time.monotonic()
        problem = self.problem(task)
        blank = Verdict(
            task.id, Status.CORRECT, labels=tuple(problem.labels), isolation=self.isolation, evaluator=self.digest
        )
        try:
            verdict = self._judge(problem, program, blank, timed=timed)
        except Judged as reached:
            labels = (*blank.labels, *reached.labels)
            verdict = replace(blank, status=reached.status, message=clean(reached.message), labels=labels)
        except InfraError:
            self._forget_references()
            raise
        return replace(verdict, seconds=time.monotonic() - start)

    def _judge(self, problem: Problem, program: str, blank: Verdict, *, timed: bool) -> Verdict:
        with self._child(problem, program, "ModelNew", 0) as child, judged(child):
            side = Side(child, problem, trusted=False)
            self._ready(child)
            budget = time.monotonic() + self.settings.run_timeout_s
            for draw in problem.draws:
                check_draw(problem, side, draw, max(budget - time.monotonic(), 0.01))
            if not timed:
                return blank
            pairs, looks = self._measure(problem, self._reference(problem), side, self.settings.max_pairs)
        if not looks:
            return self._report(blank, [pairs], final=False)
        return self._confirm(problem, program, blank, pairs)

    def _measure(self, problem: Problem, reference: Side, candidate: Side, most: int) -> tuple[Pairs, bool]:
        """Time one process pair; (pairs, whether it looks faster). Stops when the answer is clear."""
        deadline = time.monotonic() + self.settings.max_timing_s
        meter = Meter(problem, reference, candidate, self.rng, self.settings.run_timeout_s, deadline)
        meter.warm()
        for look in stats.LOOKS:
            if look > max(most, self.settings.min_pairs):
                break
            meter.run(look - len(meter.pairs))
            spread = stats.widening(self.calibration.spread, 1)
            at = stats.median_interval(meter.pairs.d, 0.01 if look == stats.LOOKS[0] else stats.look_level(look, most))
            if at.high + spread < 0 or meter.hopeless():
                return meter.pairs, False
            if at.low > 0:
                return meter.pairs, True
            if look > stats.LOOKS[0] and max(at.high, -at.low) < 0.01:
                return meter.pairs, False  # the same, to within a percent
            if time.monotonic() > deadline:
                break
        return meter.pairs, False

    def _confirm(self, problem: Problem, program: str, blank: Verdict, screened: Pairs) -> Verdict:
        """`faster` needs fresh process pairs: other zygotes, reference and candidate both new; only these count."""
        fresh: list[Pairs] = []
        with contextlib.ExitStack() as stack:
            meters: list[Meter] = []
            deadline = time.monotonic() + self.settings.max_timing_s
            for number in range(1, stats.PROCESS_PAIRS + 1):
                reference = self._trusted(problem, number)
                stack.callback(reference.child.close)
                child = stack.enter_context(self._child(problem, program, "ModelNew", number))
                stack.enter_context(judged(child))
                self._ready(child)
                side = Side(child, problem, trusted=False)
                meter = Meter(problem, reference, side, self.rng, self.settings.run_timeout_s, deadline)
                meter.warm()
                meters.append(meter)
            fresh = [m.pairs for m in meters]
            for look in [n for n in stats.LOOKS[1:] if n <= max(self.settings.max_pairs, 16)]:
                for meter in meters:
                    meter.run(look - len(meter.pairs))
                if self._agree(fresh) or self._interval(fresh).high < 0 or time.monotonic() > deadline:
                    break
        if not all(fresh):  # too slow for the time there is
            return self._report(blank, [screened], final=False)
        return self._report(blank, fresh, final=True)

    def _agree(self, parts: list[Pairs]) -> bool:
        """Both clocks exclude 1 and every process pair leans the same way."""
        leaning = all(sorted(p.d)[len(p.d) // 2] > 0 for p in parts)
        return leaning and self._interval(parts).low > 0 and self._interval(parts, "w").low > 0

    def _interval(self, parts: list[Pairs], clock: str = "d", family: int = 1) -> stats.Interval:
        total = stats.LEVEL / family
        level = stats.look_level(len(parts[0]), self.settings.max_pairs, total)
        pooled = [x for part in parts for x in getattr(part, clock)]
        return stats.median_interval(pooled, level).widened(stats.widening(self.calibration.spread, len(parts), total))

    def process_pair(self, task: Task, program: str, number: int, count: int) -> Pairs:
        """Timings of one fresh process pair, nothing decided: what calibration is made of.

        Raises UserError, InfraError, and Judged when the program fails.
        """
        problem = self.problem(task)
        side = self._trusted(problem, number)
        try:
            with self._child(problem, program, "ModelNew", number) as child, judged(child):
                self._ready(child)
                candidate = Side(child, problem, trusted=False)
                meter = Meter(problem, side, candidate, self.rng, self.settings.run_timeout_s)
                meter.warm()
                meter.run(count)
        finally:
            side.child.close()
        return meter.pairs

    def _report(self, blank: Verdict, parts: list[Pairs], *, final: bool) -> Verdict:
        """The verdict's numbers. Faster is granted only if every clock and every process pair says so."""
        if not all(parts):
            return replace(blank, labels=(*blank.labels, "untimed"))
        own, wall, honest = (self._interval(parts, clock) for clock in ("d", "w", "honest"))
        low, point = own.low, own.median
        labels = list(blank.labels) + list(self.calibration.labels)
        if low > 0 and final and self._agree(parts):
            # No more is claimed than the oracle's clock, less the usual cost of asking, supports.
            low = min(low, honest.low + TIMER_GAP)
        elif low > 0:
            low = min(0.0, wall.low)
            labels.append("unconfirmed")
        if not math.isfinite(low):
            # Too few pairs for any exact interval (a hopeless loser): the extremes, and the verdict says so.
            labels.append("few_pairs")
        lows = [(m, min(low, self._interval(parts, family=m).low)) for m in stats.FAMILIES]
        reference = [x for p in parts for x in p.reference_us]
        candidate = [x for p in parts for x in p.candidate_us]
        return replace(
            blank,
            speedup=math.exp(point),
            ci_low=_finite(low),
            ci_high=_finite(max(own.high, point)),
            clock_bound=_finite(wall.low),
            pairs=own.pairs,
            reference_us=sorted(reference)[len(reference) // 2],
            runtime_us=sorted(candidate)[len(candidate) // 2],
            labels=tuple(labels),
            family_low=tuple((m, math.exp(x)) for m, x in lows if math.isfinite(x)),
        )

    def _forget_references(self) -> None:
        for side in self.references.values():
            side.child.close()
        self.references.clear()

    def close(self) -> None:
        self._forget_references()
        for zygote in self.zygotes:
            zygote.close()
        remove_tree(self.root)


def observe_reference(problem: Problem, side: Side, timeout_s: float) -> None:
    """What the reference itself does to its inputs: a program may do the same."""
    draw = problem.draws[0]
    side.write(draw.inputs)
    try:
        frame, _ = side.call(timeout_s)
    except Refused as refused:
        raise InfraError(f"{problem.task.id}: the reference fails in its child process: {refused}") from None
    outputs = [t.clone() for t in side.outputs(frame)]
    problem.mutates = not torch.equal(side.child.inputs.block, draw.inputs)
    if draw.inputs.numel():
        side.child.inputs.block.fill_(0xA5)
        problem.aliases = any(not torch.equal(a, b) for a, b in zip(outputs, side.outputs(frame), strict=True))
    side.settle()


def hidden_folders() -> tuple[Path, ...]:
    """Folders that a candidate must not see: the user's home."""
    home = Path.home()
    return (home,) if home != Path("/") else ()


def open_folder() -> Path | None:
    """Where children's folders go: the usual temporary folder, or /tmp where a private uid could not enter that one."""
    usual = Path(tempfile.gettempdir()).resolve()
    closed = any(not p.stat().st_mode & 0o001 for p in (usual, *usual.parents))
    return Path("/tmp") if closed and Path("/tmp").is_dir() else usual


def last_core() -> int | None:
    """The core that children are pinned to: the last allowed one, since interrupts tend to the first."""
    return max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _finite(log_ratio: float) -> float | None:
    return math.exp(log_ratio) if math.isfinite(log_ratio) else None


def main() -> None:
    """Serve the controller's requests on standard input and output, one JSON line each, until the input ends."""
    source, sink = sys.stdin, os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a task's own code prints must not reach the controller's pipe
    settings = json.loads(source.readline())
    settings["calibration"] = Path(settings["calibration"]) if settings["calibration"] else None
    oracle = Oracle(EvaluatorSettings(**settings))

    def answer(document: dict[str, Any]) -> None:
        sink.write(json.dumps(document) + "\n")
        sink.flush()

    answer({"ready": oracle.digest, "isolation": oracle.isolation})
    try:
        for line in source:
            try:
                answer(respond(oracle, json.loads(line)))
            except UserError as error:
                answer({"user_error": str(error)})
            except InfraError as error:
                answer({"infra_error": str(error)})
    finally:
        oracle.close()


def respond(oracle: Oracle, request: dict[str, Any]) -> dict[str, Any]:
    """Answer one request of the controller. Raises UserError and InfraError."""
    task = Task(**request["task"])
    match request["do"]:
        case "judge":
            return {"verdict": oracle.judge(task, request["program"], timed=request["timed"]).to_json()}
        case "pairs":
            try:
                pairs = oracle.process_pair(task, request["program"], request["process"], request["count"])
            except Judged as reached:
                raise UserError(f"{task.id}: {reached.status}: {clean(reached.message)}") from None
            return {"pairs": {"d": pairs.d, "w": pairs.w, "reference_us": pairs.reference_us}}
        case _:
            problem = oracle.problem(task)
            return {
                "problem": {
                    "labels": problem.labels,
                    "dropped": problem.dropped,
                    "laws": sorted(problem.tolerances),
                    "prepare_s": problem.prepare_s,
                    "tolerances": {k: [asdict(t) for t in v] for k, v in problem.tolerances.items()},
                    "weights": len(problem.config["weights"]),
                }
            }


if __name__ == "__main__":
    main()
