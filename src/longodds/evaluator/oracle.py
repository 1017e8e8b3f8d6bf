"""The trusted process that owns inputs, expected outputs, comparison and clock: one per device.

Talks to the controller in JSON lines over its own pipe (both ends are ours). For a request it forks a candidate,
checks it on every law, times it against a trusted child, and answers with a verdict.
"""

from __future__ import annotations

import gc
import os
import random
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from longodds.errors import InfraError, UserError
from longodds.evaluator import sandbox
from longodds.evaluator.baselines import EAGER, tf32_of, timed_as
from longodds.evaluator.checks import check_draw
from longodds.evaluator.controls import slowed
from longodds.evaluator.cores import SHARED_GPU, lease_gpu
from longodds.evaluator.device import Device
from longodds.evaluator.forks import ForkServers
from longodds.evaluator.measuring import Measuring
from longodds.evaluator.naive import NaiveWays
from longodds.evaluator.outcome import Judged, clean, judged
from longodds.evaluator.problem import Problem
from longodds.evaluator.processes import Processes
from longodds.evaluator.room import Need, memory_to_time, others_bytes, too_much_kept
from longodds.evaluator.settings import EvaluatorSettings
from longodds.evaluator.sides import Side
from longodds.evaluator.timing import Pairs
from longodds.types import NO_ROOM_LABEL, Status, Task, Verdict

_PROBLEMS_KEPT = 4
_FREED_S = 2.0
_AMPLE = 2  # times the memory that timing takes, from which on ours need not be given back first
_LISTENED = 32  # answers of the reference
_AHEAD = 2  # processes that wait for programs: one starts while another is checked, and nothing starts beside a timing


class Oracle:
    """Judges programs. Not for several threads."""

    def __init__(self, settings: EvaluatorSettings, servers: ForkServers) -> None:
        torch.set_num_threads(1)
        self.settings = settings
        self.secret = settings.seed if settings.seed is not None else int.from_bytes(os.urandom(6), "little")
        rng = random.Random(self.secret)
        self.arch = ""  # of the GPU, as compilers call it
        library = torch.__version__
        if settings.device == "cuda":
            if not torch.cuda.is_available():
                raise UserError("--device cuda: no GPU that PyTorch can use is here; use --device cpu")
            gpu = torch.cuda.get_device_properties(0)
            library = f"{library}, CUDA {torch.version.cuda}, {gpu.name}"
            servers.lease.close()
            servers.lease = lease_gpu(str(gpu.uuid))
            self.arch = f"{gpu.major}.{gpu.minor}"
            servers.compile_for(self.arch)
        self.processes = Processes(settings, servers, rng)
        self.isolation = self.processes.isolation
        self.measuring = Measuring(settings, self.processes, rng)
        self.naive = NaiveWays(self.processes, settings.run_timeout_s)
        self.digest = settings.digest(library)
        self.device = Device(settings.device, tf32_of(settings.reference))
        self.device.disturbed = self.processes.spares.starting
        if self.device.on_gpu:
            _ = self.device.ceilings  # measured now, while nothing else is there: it takes some memory
        self.problems: dict[str, Problem] = {}
        self._at_work = ""

    def problem(self, task: Task) -> Problem:
        """The task's state, made on first use. Raises UserError when the task can't be judged."""
        self.processes.retire()
        if task.digest != self._at_work:
            self._put_aside()
            self._at_work = task.digest
            others = [d for d in self.problems if d != task.digest]
            while others and too_much_kept(self.device):
                self.problems.pop(others.pop(0))
                self._return_memory()
        if task.digest not in self.problems:
            while len(self.problems) >= _PROBLEMS_KEPT:
                self.problems.pop(next(iter(self.problems)))
            self.problems[task.digest] = self._load(task)
        return self.problems[task.digest]

    def _put_aside(self) -> None:
        """No task is at work: what each can make again is given back."""
        self.processes.end_standing()
        for problem in self.problems.values():
            problem.release()
        self._return_memory()

    def _return_memory(self) -> None:
        gc.collect()  # a draw knows its task, to be made anew, and a task its draws; a task's code may be as entangled
        sandbox.return_memory()
        if self.device.on_gpu:
            torch.cuda.empty_cache()

    def _to_time(self, task: Task, slowed_by: float = 0.0) -> Problem:
        """The task's state, with the reference that is timed. Raises as `problem`."""
        problem = self.problem(task)
        timed = timed_as(task, self.settings.reference)
        if slowed_by:
            timed = slowed(timed, slowed_by, self.settings.device)
        return problem if timed is task else replace(problem, task=timed)

    def _load(self, task: Task) -> Problem:
        """Where memory does not suffice, once more when other tasks are forgotten, and then without float64."""
        said = ""
        for declared in (False, False, True):
            try:
                return self._loaded(task, declared=declared)
            except torch.OutOfMemoryError as error:
                said = str(error)
            self.problems.clear()
            self._return_memory()
        total = self.device.total_bytes / 1e9
        raise UserError(f"{task.id}: needs more memory than this GPU of {total:.0f} GB has: {said}")

    def _loaded(self, task: Task, *, declared: bool) -> Problem:
        problem = Problem(task, self.secret, self.device, declared=declared).load()
        self._return_memory()
        with self.processes.reference(problem, 0) as side:
            observe_reference(problem, side, self.settings.run_timeout_s)
        return problem

    def judge(self, task: Task, program: str, *, timed: bool, slowed_by: float = 0.0) -> Verdict:
        """Verdict of one program. Raises UserError (the task) or InfraError (ours).

        slowed_by: share by which the reference is slowed down when it is timed: a planted gain.
        """
        if timed:
            self.processes.servers.warm()
        problem = self._to_time(task, slowed_by)
        try:
            return self._verdict(problem, lambda blank: self._judge(problem, program, blank, timed=timed))
        finally:
            self.processes.builds.forget(program)

    def remeasure(self, task: Task, program: str, *, among: int) -> Verdict:
        """A winner timed again, in fresh processes, as the best of `among` programs. Raises UserError, InfraError."""
        problem = self._to_time(task)
        fresh = self._fresh(Need.of(problem) if problem.on_gpu else None)
        if not fresh:
            raise InfraError(f"{task.id}: the GPU has too little memory left to measure the winner again")
        try:
            return self._verdict(problem, lambda blank: self.measuring.remeasure(problem, program, blank, among, fresh))
        finally:
            self.processes.builds.forget(program)

    def _verdict(self, problem: Problem, reach: Callable[[Verdict], Verdict]) -> Verdict:
        start, neighbours = time.monotonic(), self.device.neighbours
        before = neighbours.asked, neighbours.busy
        labels = tuple(problem.labels)
        if self.settings.reference != EAGER:
            labels = (*labels, f"reference:{self.settings.reference}")
        blank = Verdict(problem.task.id, Status.CORRECT, labels=labels, isolation=self.isolation, evaluator=self.digest)
        try:
            verdict = reach(blank)
            if problem.demands is not None:
                verdict = self.device.rated(verdict, problem.demands)
        except Judged as reached:
            labels = (*blank.labels, *reached.labels)
            verdict = replace(blank, status=reached.status, message=clean(reached.message), labels=labels)
            if neighbours.suspected:
                self._listen(problem)
        if neighbours.since(*before) and SHARED_GPU not in verdict.labels:
            verdict = replace(verdict, labels=(*verdict.labels, SHARED_GPU))
        return replace(verdict, seconds=time.monotonic() - start)

    def _judge(self, problem: Problem, program: str, blank: Verdict, *, timed: bool) -> Verdict:
        before = others_bytes() - self.processes.ring_bytes if problem.on_gpu else 0
        with self.processes.child(problem, program, "ModelNew", 0) as child, judged(child):
            side = Side(child, problem, trusted=False)
            self.processes.expect(0)
            self.processes.ready(child)
            left = self.settings.run_timeout_s  # of the program's time: comparing answers is ours
            compile_s = self.settings.compile_timeout_s
            for draw in problem.draws:
                took = check_draw(problem, side, draw, max(left, 0.01), compile_s=compile_s)
                if child.compiled:  # as torch.compile does, in the first call
                    compile_s -= took
                else:
                    left -= took
            self.processes.keep_built(side, program)
            took = others_bytes() - self.processes.ring_bytes - before if problem.on_gpu else 0
            self._leaves_room(problem, took)
            need = Need.of(problem, took) if problem.on_gpu else None
            if not timed:
                return blank
            with self.processes.screening_reference(problem) as reference:
                self._warm(problem, reference)
                self.processes.settle()
                pairs, looks = self.measuring.screen(problem, program, reference, side)
                child.kill()  # at once: a GPU takes its time to free what a process had
                if not looks:
                    self.processes.expect(0, _AHEAD)
        if not looks:
            return self.measuring.report(blank, pairs)
        try:
            if not (fresh := self._fresh(need)):  # short of memory, a library may take other kernels on one side
                return self.measuring.report(replace(blank, labels=(*blank.labels, NO_ROOM_LABEL)), pairs)
            verdict = self.measuring.confirm(problem, program, blank, pairs, fresh=fresh)
            if not (verdict.ci_low or 0.0) > 1.0:
                # In vain: a reference that stands by and happens to be slow would make the next programs look faster.
                self.processes.end_standing()
            return verdict
        finally:
            self.processes.servers.refresh()

    def _listen(self, problem: Problem) -> None:
        """A program is accused of leaving work behind on the GPU: ask the reference when no program is there, so that
        those after it, and its own second evaluation, are not held to what others do. Raises InfraError."""
        self.device.last = lambda: None
        self.processes.settle()
        deadline = time.monotonic() + _FREED_S  # what it left ends with its processes, but not at once
        while not self.device.settle() and time.monotonic() < deadline:
            pass
        with self.processes.screening_reference(problem) as reference, self.device.neighbours.listening():
            self._warm(problem, reference)
            for _ in range(_LISTENED):
                reference.call(self.settings.run_timeout_s)

    def _warm(self, problem: Problem, reference: Side) -> None:
        """A new reference gets the same calls behind it as the candidate: a process's past has a share in its speed.
        Of a large task only those draws that are there."""
        if reference.child.asked >= len(problem.draws):
            return
        for draw in (d for d in problem.draws if d.kept):
            reference.write(draw.inputs)
            reference.call(self.settings.run_timeout_s)
        if self.processes.builds.find(problem.task.reference) is None:
            self.processes.keep_built(reference, problem.task.reference)

    def _fresh(self, need: Need | None) -> int:
        """How many fresh process pairs there is memory for. A reference that stands by is ended if that makes room."""
        most = self.measuring.fresh
        if need is None:
            return most
        torch.cuda.empty_cache()
        if need.pairs(self.device.room(), most) < most:
            self.processes.end_standing()
        deadline = time.monotonic() + _FREED_S  # a GPU takes its time to free what a process had
        while not (found := need.pairs(self.device.room(), most)) and time.monotonic() < deadline:
            time.sleep(_FREED_S / 100)
        return found

    def _leaves_room(self, problem: Problem, took: int) -> None:
        """Raises Judged for a program beside which the reference could not run: it took the GPU's memory. InfraError
        where one that takes no more than it must would leave no room either."""
        if not problem.on_gpu:
            return
        need, room = memory_to_time(problem), self.device.room()
        if room >= _AMPLE * need + took:
            return
        torch.cuda.empty_cache()
        room = self.device.room()
        if room >= need:
            return
        if room + took - Need.of(problem).each < need:
            short = f"{room >> 20} MiB of the GPU's memory are left, and being timed takes {need >> 20} MiB"
            raise InfraError(f"{problem.task.id}: {short}: the task is too large for it, or others use it")
        short = f"it leaves {room >> 20} MiB of the GPU's memory, and being timed takes {need >> 20} MiB more"
        raise Judged(Status.RUNTIME_ERROR, short, ("out_of_memory",))

    def process_pair(self, task: Task, program: str, number: int, count: int, *, renew: bool) -> Pairs:
        """Timings of one fresh process pair of fork server `number`, nothing decided; renew: all but the first fork
        server are started anew before. Raises UserError, InfraError, and Judged."""
        problem = self._to_time(task)
        if renew:
            self.processes.servers.renew()
        return self.measuring.pairs(problem, program, number, count)

    def floor_us(self, problem: Problem) -> float | None:
        """Microseconds below which no program's call is believed; None on a CPU."""
        return None if problem.demands is None else self.device.ceilings.floor_us(problem.demands)

    def close(self) -> None:
        self.processes.close()


def observe_reference(problem: Problem, side: Side, timeout_s: float) -> None:
    """What the reference itself does to its inputs: a program may do the same."""
    draw = problem.draws[0]
    side.write(draw.inputs)
    frame, _ = side.call(timeout_s)
    outputs = [t.clone() for t in side.outputs(frame)]
    if draw.inputs.numel():
        side.slot().fill_(0xA5)
        problem.aliases = any(not torch.equal(a, b) for a, b in zip(outputs, side.outputs(frame), strict=True))
    draw.forget()
    side.settle()
