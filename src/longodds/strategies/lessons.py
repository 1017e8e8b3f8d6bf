"""What a round's judged samples teach: tokens with advantages, from their rewards or from a teacher that knows more."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from longodds.errors import UserError
from longodds.learning import Averaging, Datum
from longodds.prompts import feedback, teacher_prompt, written_code
from longodds.strategies.advantages import advantages
from longodds.strategies.rewards import Baselines, reward_of
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from longodds.learning import Learner, Loss
    from longodds.strategies.learning_settings import RewardedSettings, SDPOSettings
    from longodds.strategies.sampling import Asked
    from longodds.types import Completion, Policy, Prompt, Sample

    Groups = Sequence[tuple[Asked, Sequence[Sample]]]

_ROUNDING = 1e-6  # nats; of an advantage that is rounding alone Adam would make a step as long as of any other


@dataclass(frozen=True, slots=True)
class Weights:
    """Policies that a lesson may ask, each made only when it is.

    now: of this step, which wrote the samples. start: without what this run has learned. average: exponential moving
    average of the adapter over the steps so far, with a decay; raises UserError where the learner can't give it.
    """

    now: Callable[[], Policy]
    start: Callable[[], Policy]
    average: Callable[[float], Policy]


@dataclass(frozen=True, slots=True)
class Lesson:
    """data: what to learn. metrics: of the checkpoint; `scored_tokens` are charged."""

    data: list[Datum]
    metrics: Mapping[str, float]


class Lessons(Protocol):
    """Turns rounds into lessons. `see` is told every round in order, those learned from before a kill too."""

    def see(self, groups: Groups) -> None:
        """groups: (task, judged samples that are learned from), one a task."""
        ...

    def draw(self, groups: Groups, weights: Weights) -> Lesson:
        """The lesson of the round seen last."""
        ...


# --- rewards -----------------------------------------------------------------------------------


class Rewarded:
    """Every token of a sample has its sample's advantage: how much more than the others it earned."""

    def __init__(self, settings: RewardedSettings) -> None:
        self._settings = settings
        self._baselines = Baselines(settings.baseline)
        self._rewards: list[list[float]] = []

    def see(self, groups: Groups) -> None:
        self._rewards = [self._baselines.normalise(a.task.id, self._earned(samples)) for a, samples in groups]

    def _earned(self, samples: Sequence[Sample]) -> list[float]:
        """By sample; in the control they change places, in the same way after a kill."""
        found = [reward_of(s.verdict, self._settings.reward) for s in samples if s.verdict is not None]
        if self._settings.shuffle_rewards and samples:
            random.Random(f"{self._settings.seeds[0]} {samples[0].task_id} {samples[0].step}").shuffle(found)
        return found

    def draw(self, groups: Groups, weights: Weights) -> Lesson:
        """Samples without advantage, or of unknown log-probabilities, are left out."""
        found, loss = advantages(self._settings.advantage, self._rewards), self._settings.loss
        data = [
            datum(weights.now().encode(asked.prompt), s.completion, [a] * len(s.completion.token_ids), loss)
            for (asked, samples), values in zip(groups, found, strict=True)
            for s, a in zip(samples, values, strict=True)
            if a != 0.0 and (s.completion.sampling_logprobs or s.completion.logprobs)
        ]
        return Lesson(data, {})


# --- a teacher ---------------------------------------------------------------------------------


class Distilled:
    """Self-distillation: a token's advantage is what the same model would rather have said, knowing what came of it.

    A_t = beta (log p_teacher(x_t | context) - log p_student(x_t | prompt)) at temperature 1, for the student's own
    tokens: the policy gradient of the reverse KL to the teacher (Hübotter et al. 2026, arXiv:2601.20802; the seed
    release's per-token form). Tokens outside the score span have none.
    """

    def __init__(self, settings: SDPOSettings) -> None:
        self._settings = settings

    def see(self, groups: Groups) -> None: ...

    def draw(self, groups: Groups, weights: Weights) -> Lesson:
        teacher, s = self._teacher(weights), self._settings
        data: list[Datum] = []
        contexts, scored, gap, clipped, tokens = 0, 0, 0.0, 0, 0
        for asked, samples in groups:
            prompt_ids = weights.now().encode(asked.prompt)
            usable = [x for x in samples if x.completion.logprobs and has_context(x, feedback_given=s.feedback)]
            for context, told in self._contexts(asked, usable, samples):
                written = [x.completion for x in told]
                rows = teacher.compute_logprobs(context, [c.token_ids for c in written])
                contexts += 1
                scored += len(teacher.encode(context)) + sum(len(c.token_ids) for c in written)
                for completion, row in zip(written, rows, strict=True):
                    raw = token_advantages(completion, row, beta=s.beta)
                    start, end = completion.score_span
                    gap += sum(raw)
                    tokens += end - start
                    values = clip(raw, s.clip_advantage)
                    clipped += sum(a != b for a, b in zip(raw, values, strict=True))
                    if any(abs(v) > _ROUNDING for v in values):
                        data.append(datum(prompt_ids, completion, values, s.loss))
        metrics = {"scored_tokens": scored, "teacher_contexts": contexts}
        shares = {"teacher_gap": gap / max(tokens, 1), "clipped": clipped / max(tokens, 1)}
        return Lesson(data, {k: float(v) for k, v in {**metrics, **shares}.items()})

    def _teacher(self, weights: Weights) -> Policy:
        if self._settings.teacher == "base":
            return weights.start()
        if self._settings.teacher == "ema":
            return weights.average(self._settings.ema_decay)
        return weights.now()

    def _contexts(
        self, asked: Asked, usable: Sequence[Sample], group: Sequence[Sample]
    ) -> list[tuple[Prompt, list[Sample]]]:
        """Each different context with the samples that it is of, in the order of their first sample."""
        found: dict[Prompt, list[Sample]] = {}
        for sample in usable:
            found.setdefault(self.context(asked, sample, group), []).append(sample)
        return list(found.items())

    def context(self, asked: Asked, sample: Sample, group: Sequence[Sample]) -> Prompt:
        """What the teacher of a sample is asked. group: the samples of its task and round that are learned from."""
        s = self._settings
        shown = solution_for(sample, group) if s.solution else None
        return teacher_prompt(
            asked.task,
            asked.prompt,
            feedback=feedback(sample.verdict) if s.feedback and sample.verdict is not None else None,
            solution=None if shown is None else written_code(shown.completion.text, asked.task, s.style),
        )


def averaging(learner: Learner) -> Averaging:
    """The learner, if its adapters can be averaged. Raises UserError otherwise."""
    if not isinstance(learner, Averaging):
        raise UserError(
            f"--teacher ema: the adapters of '{learner.name}' cannot be averaged; take --teacher student or base"
        )
    return learner


def has_context(sample: Sample, *, feedback_given: bool) -> bool:
    """Whether there is anything to tell of a sample: an infrastructure failure says nothing of it."""
    verdict = sample.verdict
    return not feedback_given or (verdict is not None and verdict.status is not Status.INFRA_ERROR)


def solution_for(sample: Sample, group: Sequence[Sample]) -> Sample | None:
    """A correct sample of the same task and round with another program than the sample's own, or None.

    The one whose speedup is surely highest (lower bound above 1), else the shortest correct program; the earliest of
    equals.
    """
    others = [s for s in group if s.verdict and s.verdict.correct and s.program_digest != sample.program_digest]
    faster = [s for s in others if s.verdict and (s.verdict.ci_low or 0.0) > 1.0]
    if faster:
        return min(faster, key=lambda s: (-(s.verdict.ci_low or 0.0) if s.verdict else 0.0, s.index))
    return min(others, key=lambda s: (len(s.program), s.index), default=None)


def token_advantages(completion: Completion, teacher: Sequence[float], *, beta: float = 1.0) -> list[float]:
    """(n,) beta (teacher - student) over the score span, 0 elsewhere. teacher: (n,) nats, temperature 1."""
    start, end = completion.score_span
    pairs = zip(teacher, completion.logprobs, strict=True)
    return [beta * (t - s) if start <= i < end else 0.0 for i, (t, s) in enumerate(pairs)]


def clip(values: Sequence[float], limit: float) -> list[float]:
    """Each value within [-limit, limit]; a limit of 0 does not clip."""
    return [max(-limit, min(limit, v)) for v in values] if limit else list(values)


def datum(prompt_ids: Sequence[int], completion: Completion, values: Sequence[float], loss: Loss) -> Datum:
    """A completion to learn from, with an advantage per token and the log-probabilities that the loss's ratio is to.

    `importance_sampling`: those that it was sampled with. A service may not tell them (it reports temperature 1
    whatever the temperature); those at temperature 1 stand in for them then, as in the seed release: the importance
    ratio begins at 1, and tempering is not corrected for.
    `ppo`, `cispo`: those at temperature 1, as the learner's are. Their clip bounds what updates change, so the ratio
    must begin at 1; to a tempered distribution it is beyond the clip for many tokens before any update.
    """
    plain, sampled = completion.logprobs, completion.sampling_logprobs
    reference = plain or sampled if loss in ("ppo", "cispo") else sampled or plain
    return Datum(tuple(prompt_ids), completion.token_ids, logprobs=reference, advantages=tuple(values))
