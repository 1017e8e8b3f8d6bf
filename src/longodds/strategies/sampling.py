"""Draws the samples that a cell still owes, batch by batch, and stores each batch at once."""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from longodds.errors import InfraError, UserError
from longodds.prompts import build_prompt, extract, program_digest
from longodds.store import TaskRecord, sample_id
from longodds.strategies.device import describe_device
from longodds.types import Sample, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.config import BestOfNSettings
    from longodds.store import RunDir
    from longodds.strategies.progress import Progress
    from longodds.types import Completion, Policy, Prompt, Task


@dataclass(frozen=True, slots=True)
class Asked:
    """A task with the prompt by which it is put to the policy. new_tokens: of a sample, at most; 0 where unknown."""

    task: Task
    prompt: Prompt
    new_tokens: int = 0


def ask(tasks: Sequence[Task], settings: BestOfNSettings) -> list[Asked]:
    """The tasks with the prompts that the settings describe. Raises UserError for a reference that cannot be read."""
    facts = describe_device(settings.device) if settings.device_facts else None
    most = settings.max_tokens
    return [Asked(t, build_prompt(t, settings.style, settings.form, device_facts=facts), most) for t in tasks]


def record(asked: Sequence[Asked], policy: Policy) -> list[TaskRecord]:
    """The rows of tasks.jsonl: with the token ids that this policy is conditioned on.

    Raises UserError where a prompt and its new tokens are more than the policy's context, if it says what that is.
    """
    records = [TaskRecord(a.task, a.prompt, tuple(policy.encode(a.prompt))) for a in asked]
    context: int | None = getattr(policy, "context", None)
    for a, r in zip(asked, records, strict=True):
        prompt = len(r.prompt_token_ids)
        if context is not None and prompt + a.new_tokens > context:
            raise UserError(
                f"{a.task.id}: its prompt of {prompt} tokens and {a.new_tokens} new ones are more than the context of "
                f"'{policy.name}', {context}; lower --max-tokens or leave the task out"
            )
    return records


def narrow(completion: Completion, start: int, end: int) -> Completion:
    """The completion with its score span cut down to the tokens that wrote characters [start, end) of its text.

    A token on the border belongs to the program. Left alone where the whole text is the program, or where the policy
    does not say which characters a token wrote.
    """
    if not completion.text_ends or (start, end) == (0, len(completion.text)):
        return completion
    first, last = completion.score_span
    ends = completion.text_ends
    first = max(first, min(bisect_right(ends, start), last))
    last = first if end <= start else max(first, min(bisect_left(ends, end) + 1, last))
    return replace(completion, score_span=(first, last))


class Sampler:
    """Samples for one run: one policy, one strategy, one set of parameters."""

    def __init__(
        self,
        run: RunDir,
        policy: Policy,
        params: SamplingParams,
        *,
        strategy: str,
        style: str,
        batch_size: int,
        progress: Progress,
        admit: Callable[[], bool],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """admit: asked before each batch; False ends the sampling of this run."""
        self._run = run
        self._policy = policy
        self._params = params
        self._strategy = strategy
        self._style = style
        self._batch_size = batch_size
        self._progress = progress
        self._admit = admit
        self._clock = clock

    def draw(
        self,
        asked: Asked,
        *,
        seed: int,
        step: int,
        indices: Sequence[int],
        parents: tuple[str, ...] = (),
        at_most: int | None = None,
    ) -> list[Sample]:
        """The samples with these indices, stored; fewer when `admit` says stop.

        parents: ids of the attempts that the prompt shows. at_most: new tokens per sample, where fewer are left than
        the parameters allow.
        """
        prompt_tokens = len(self._policy.encode(asked.prompt)) if parents else None
        params = self._params if at_most is None else replace(self._params, max_tokens=at_most)
        drawn: list[Sample] = []
        for at in range(0, len(indices), self._batch_size):
            if not self._admit():
                break
            batch = tuple(indices[at : at + self._batch_size])
            self._progress.stage(f"sampling {asked.task.id}, seed {seed}")
            began = self._clock()
            completions = self._policy.sample(asked.prompt, params, SampleKey(seed, asked.task.digest, batch))
            seconds = self._clock() - began
            if len(completions) != len(batch):
                raise InfraError(f"policy {self._policy.name}: gave {len(completions)} samples of {len(batch)}")
            samples = [
                replace(
                    self._sample(asked, c, seed=seed, step=step, index=i), parents=parents, prompt_tokens=prompt_tokens
                )
                for c, i in zip(completions, batch, strict=True)
            ]
            self._run.append_samples(samples, seconds=seconds)
            self._progress.sampled(asked.task.id, seed, len(samples))
            drawn += samples
        return drawn

    def _sample(self, asked: Asked, completion: Completion, *, seed: int, step: int, index: int) -> Sample:
        found = extract(completion.text, asked.task, self._style)
        program, completion = found.program, narrow(completion, found.start, found.end)
        return Sample(
            sample_id=sample_id(asked.task, seed=seed, strategy=self._strategy, step=step, index=index),
            task_id=asked.task.id,
            seed=seed,
            index=index,
            strategy=self._strategy,
            step=step,
            completion=completion,
            program=program,
            program_digest=program_digest(program),
        )
