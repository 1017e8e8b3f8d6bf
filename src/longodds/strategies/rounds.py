"""The loop of all strategies that learn: sample, judge, turn rewards into advantages, take a step, keep the weights.

A round's samples are drawn and judged before anything is learned from them, and what a round owes is read from the run,
so that after a kill the same command takes the same next step: the data are in the run, the weights in its last
checkpoint. Samples of a task are numbered through all rounds, so no two rounds share their noise.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError
from longodds.learning import AdamParams
from longodds.store import CheckpointRow
from longodds.store.checkpoints import checkpoint_folder
from longodds.store.rows import sample_from_row, sample_to_row
from longodds.strategies.cells import verified
from longodds.strategies.guardrails import Limits, Reading, tripped
from longodds.strategies.judging import Judge, Ledger
from longodds.strategies.lessons import Weights, averaging
from longodds.strategies.planning import parse_time
from longodds.strategies.resuming import sampling_params
from longodds.strategies.rewards import reward_of
from longodds.strategies.sampling import Asked, Sampler

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from longodds.learning import Learner
    from longodds.store import RunDir
    from longodds.strategies.budget import Budget
    from longodds.strategies.learning_settings import LearningSettings
    from longodds.strategies.lessons import Lessons
    from longodds.strategies.progress import Progress
    from longodds.types import Evaluator, Policy, Sample, Task


@dataclass(frozen=True, slots=True)
class Round:
    """Tasks whose samples are learned from at this step, and (task, samples) that are only looked at."""

    step: int
    train: tuple[Asked, ...]
    check: tuple[tuple[Asked, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Learned:
    """step: the last whose samples are all judged; stopped: why learning ended before its last step, or None; rows: of
    `metrics.jsonl`, one a step."""

    step: int
    stopped: str | None
    rows: list[dict[str, Any]]


class Rounds:
    """One attempt at a run of rounds. width: numbers that a task has for its samples of one step."""

    def __init__(
        self,
        run: RunDir,
        settings: LearningSettings,
        rounds: Sequence[Round],
        learner: Learner,
        evaluator: Evaluator,
        progress: Progress,
        *,
        lessons: Lessons,
        strategy: str,
        base: str,
        width: int,
        halt: Callable[[list[dict[str, Any]]], str | None] = lambda _rows: None,
        budget: Budget,
    ) -> None:
        """lessons: what is learned of a round. base: policy spec that training begins from. halt: given the rows so
        far, says why learning should end (an early stop), or None. budget: asked before each batch of samples.
        """
        self.run, self.settings, self.rounds, self.learner = run, settings, rounds, learner
        self.progress, self.strategy, self.base, self.width = progress, strategy, base, width
        self.halt, self.budget, self.lessons = halt, budget, lessons
        self.seed = settings.seeds[0]
        samples = run.samples()
        self.ledger = Ledger(run, samples)
        plan = parse_time(settings.time)
        self.judge = Judge(self.ledger, evaluator, plan, progress, side_by_side=settings.eval_workers)
        self._samples: dict[tuple[str, int], dict[int, Sample]] = {}
        for s in samples:
            self._samples.setdefault((s.task_id, s.step), {})[s.index] = s
        self.rows = {int(r["step"]): r for r in run.metrics() if r.get("strategy") == strategy}
        self.start: Policy = learner.snapshot()  # of step 0: how far learning went is measured from it
        self._policy: Policy | None = None
        self._resume()

    def _resume(self) -> None:
        """The weights of the last checkpoint; a run without one keeps the weights that it begins with."""
        kept = self.run.checkpoints()
        if kept:
            self.learner.load_state(self.run.path / checkpoint_folder(kept[-1].step))
            self.trained = kept[-1].step
        else:
            self._keep(0, {})

    # --- the loop -------------------------------------------------------------------------------

    def go(self) -> Learned:
        done: list[dict[str, Any]] = []
        readings: list[Reading] = []
        for number, at in enumerate(self.rounds):
            if not self._fill_round(at):
                return Learned(at.step - 1, self.budget.stopped, done)
            groups = [
                (a, [s for s in self._of(a, at.step) if s.index % self.width < self.settings.k]) for a in at.train
            ]
            row = self.rows.get(at.step) or self._sum_up(at, groups)
            done.append(row)
            readings.append(Reading(at.step, row["kl"], row["entropy"], row["mean_reward"]))
            self.lessons.see(groups)
            if number == len(self.rounds) - 1:
                break
            if why := self._rejected(readings) or self.halt(done):
                return self._ended(at, why, done)
            if at.step >= self.trained and (why := self._learn(at, groups)):
                return self._ended(at, why, done)
        self._rejected(readings)
        return Learned(self.rounds[-1].step, None, done)

    def _ended(self, at: Round, why: str, done: list[dict[str, Any]]) -> Learned:
        self.progress.note(f"learning ends at step {at.step}: {why}")
        return Learned(at.step, why, done)

    def _rejected(self, readings: list[Reading]) -> str | None:
        """Why a guardrail ends learning here; the checkpoint is marked: the one before it is the last good one."""
        why = tripped(readings, Limits(self.settings.max_kl, self.settings.min_entropy))
        kept = next((c for c in self.run.checkpoints() if c.step == readings[-1].step), None)
        if why and kept is not None and kept.step > 0 and not kept.rejected:
            self.run.append_checkpoint(replace(kept, rejected=True))
        return why

    def _fill_round(self, at: Round) -> bool:
        """Draws and judges what the round owes; False where a budget ends before it is whole.

        Task by task, so that little is lost that was paid for; by several evaluators all that was drawn at once.
        """
        tasks = {a.task.id: a for a in (*at.train, *(a for a, _ in at.check))}
        whole, drawn = True, []
        for asked in tasks.values():
            whole = self._draw(asked, at)
            have = self._samples[asked.task.id, at.step]
            drawn.append((asked.task, self.seed, [have[i] for i in sorted(have)]))
            if self.settings.eval_workers == 1:
                self.judge.cells(drawn[-1:])
            if not whole:
                break
        if self.settings.eval_workers > 1:
            self.judge.cells(drawn)
        self._judge_again(at, drawn)
        return whole

    def _judge_again(self, at: Round, drawn: Sequence[tuple[Task, int, list[Sample]]]) -> None:
        """What the infrastructure failed gets one more chance. Raises InfraError where that fails too: a step that was
        learned from other samples than the run has would not be the same when it is resumed."""
        if not (failed := [cell for cell in drawn if self._unjudged([cell])]):
            return
        self.progress.note(f"{self._unjudged(failed)} samples got no verdict (the infrastructure failed); trying again")
        self.judge.cells(failed)
        if left := self._unjudged(failed):
            raise InfraError(
                f"{left} samples of step {at.step} got no verdict; what was done is kept, and the same command goes on"
            )

    def _unjudged(self, cells: Sequence[tuple[Task, int, list[Sample]]]) -> int:
        return sum(self.ledger.row(s) is None for _, _, samples in cells for s in samples)

    def _wanted(self, asked: Asked, at: Round) -> list[int]:
        """Numbers of the task's samples of this step: those to learn from first, then the others."""
        first = at.step * self.width
        learned = self.settings.k if any(a.task.id == asked.task.id for a in at.train) else 0
        looked = sum(n for a, n in at.check if a.task.id == asked.task.id)
        return [*range(first, first + learned), *range(first + self.settings.k, first + self.settings.k + looked)]

    def _draw(self, asked: Asked, at: Round) -> bool:
        """Draws what the round owes of a task; False where a budget ends before it is whole."""
        have = self._samples.setdefault((asked.task.id, at.step), {})
        owed = [i for i in self._wanted(asked, at) if i not in have]
        if owed:
            for s in self._sampler().draw(asked, seed=self.seed, step=at.step, indices=owed):
                have[s.index] = sample_from_row(sample_to_row(s))  # as it will be read after a kill, digit by digit
        return all(i in have for i in owed)

    def _sampler(self) -> Sampler:
        s = self.settings
        return Sampler(
            self.run,
            self._current(),
            sampling_params(s),
            strategy=self.strategy,
            style=s.style,
            batch_size=s.batch_size,
            progress=self.progress,
            admit=self.budget.admit,
        )

    def _current(self) -> Policy:
        if self._policy is None:
            self._policy = self.learner.snapshot()
        return self._policy

    def _of(self, asked: Asked, step: int) -> list[Sample]:
        have = self._samples.get((asked.task.id, step), {})
        return self.ledger.judged([have[i] for i in sorted(have)])

    # --- learning -------------------------------------------------------------------------------

    def _learn(self, at: Round, groups: Sequence[tuple[Asked, Sequence[Sample]]]) -> str | None:
        """One round of optimiser steps and its checkpoint; why it could not be, if the numbers are none."""
        self.progress.stage(f"learning, step {at.step + 1}")
        began = time.perf_counter()
        weights = Weights(self._current, lambda: self.start, lambda decay: self._average(at.step, decay))
        lesson = self.lessons.draw(groups, weights)
        metrics: dict[str, float] = {"trained_tokens": 0.0, "datums": float(len(lesson.data)), **lesson.metrics}
        params = AdamParams(learning_rate=self.settings.lr, grad_clip_norm=self.settings.grad_clip)
        for _ in range(self.settings.updates if lesson.data else 0):
            result = self.learner.forward_backward(lesson.data, self.settings.loss)
            if not math.isfinite(result.loss):
                return "the loss is not a number"  # before it reaches the weights
            metrics["trained_tokens"] += result.trained_tokens
            metrics |= {"loss": result.loss, **result.metrics, **self.learner.optim_step(params)}
        metrics["seconds"] = time.perf_counter() - began
        self._keep(at.step + 1, metrics)
        return None

    def _average(self, step: int, decay: float) -> Policy:
        """The exponential moving average of the checkpoints up to `step`: e_0 = w_0, e_t = decay e_(t-1) + (1 - decay)
        w_t. It follows from what is kept, so a resumed run has the same."""
        shares = [(1.0 - decay) * decay ** (step - t) if t else decay**step for t in range(step + 1)]
        return averaging(self.learner).average([self.run.path / checkpoint_folder(t) for t in range(step + 1)], shares)

    def _keep(self, step: int, metrics: Mapping[str, float]) -> None:
        path = checkpoint_folder(step)
        self.learner.save_state(self.run.path / path)
        kind, at = "adapter", path
        if (remote := _remote(self.run.path / path)) is not None:
            kind, at = "tinker", remote
        version = self.learner.version
        self.run.append_checkpoint(CheckpointRow(step, at, kind, self.base, version, metrics=dict(metrics)))
        self.trained = step
        self._policy = None

    # --- what a round was like --------------------------------------------------------------------

    def _sum_up(self, at: Round, groups: Sequence[tuple[Asked, list[Sample]]]) -> dict[str, Any]:
        """The row of `metrics.jsonl` of a step, and the cost of looking at it in the step's checkpoint."""
        samples = [s for _, group in groups for s in group]
        chosen = {s.sample_id for s in samples}
        looked = [s for a, _ in at.check for s in self._of(a, at.step) if s.sample_id not in chosen]
        began = time.perf_counter()
        kl, scored = self._kl(at, groups or [(a, self._of(a, at.step)) for a, _ in at.check])
        row = {
            "strategy": self.strategy,
            "step": at.step,
            "seed": self.seed,
            "lr": self.settings.lr,
            "kl": kl,
            **counts(samples or looked, self.settings.reward),
            "held_out": counts(looked, self.settings.reward) if looked else None,
        }
        if scored:
            self._charge_kl(at.step, scored, time.perf_counter() - began, kl or 0.0)
        self.run.append_metrics(row)
        self.rows[at.step] = row
        return row

    def _charge_kl(self, step: int, scored: int, seconds: float, kl: float) -> None:
        """Adds what measuring the KL cost to what the step's learning did, once: a kill may come before the row of
        `metrics.jsonl` that says it is measured."""
        kept = next(c for c in self.run.checkpoints() if c.step == step)
        if "kl" in kept.metrics:
            return
        scored += int(kept.metrics.get("scored_tokens", 0))
        spent = float(kept.metrics.get("seconds", 0.0)) + seconds
        more = {**kept.metrics, "scored_tokens": float(scored), "seconds": spent, "kl": kl}
        self.run.append_checkpoint(replace(kept, metrics=more))

    def _kl(self, at: Round, groups: Sequence[tuple[Asked, list[Sample]]]) -> tuple[float | None, int]:
        """(mean over sampled tokens of log p - log p0 in nats, tokens that had to be scored), log p at temperature 1;
        None at step 0, and where no token was sampled."""
        if at.step == 0:
            return None, 0
        total, tokens, scored = 0.0, 0, 0
        for asked, group in groups:
            written = [s.completion for s in group if s.completion.logprobs]
            before = self.start.compute_logprobs(asked.prompt, [c.token_ids for c in written])
            for c, row in zip(written, before, strict=True):
                total += sum(c.logprobs) - sum(row)
                tokens += len(row)
            scored += sum(len(c.token_ids) for c in written) + len(self.start.encode(asked.prompt))
        return (total / tokens if tokens else None), scored


def counts(samples: Sequence[Sample], reward: Any) -> dict[str, Any]:
    """Counts of judged samples; entropy: mean of -log p over their tokens (nats), log p at temperature 1: of the policy
    where it was sampled at that and from all tokens, else less, as unlikely tokens are drawn more seldom."""
    verdicts = [s.verdict for s in samples if s.verdict is not None]
    tokens = sum(len(s.completion.logprobs) for s in samples)
    return {
        "n": len(samples),
        "correct": sum(v.correct for v in verdicts),
        "fast_1": sum(v.correct and v.speedup is not None and v.speedup > 1 for v in verdicts),
        "fast_1_sig": verified(verdicts),
        "distinct": len({(s.task_id, s.program_digest) for s in samples}),
        "mean_reward": sum(reward_of(v, reward) for v in verdicts) / max(len(verdicts), 1),
        "entropy": -sum(sum(s.completion.logprobs) for s in samples) / max(tokens, 1),
        "mean_tokens": tokens / max(len(samples), 1),
    }


def _remote(directory: Path) -> str | None:
    """Where a service keeps the weights that this directory stands for; None where they are in it."""
    file = directory / "tinker.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["sampler"]) if file.exists() else None
