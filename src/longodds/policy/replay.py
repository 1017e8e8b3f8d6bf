"""A finished run as a policy: asked the same again, it gives the samples that the run has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.types import Completion, Prompt, Sample, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class ReplayPolicy:
    """Holds what one run sampled (the `Policy` protocol). It refuses what it would have to make up.

    name: the spec. version, parameters: of the policy that the run sampled from.
    """

    def __init__(
        self,
        name: str,
        asked: Mapping[Prompt, tuple[str, Sequence[int]]],
        samples: Iterable[tuple[str, Sample]],
        params: SamplingParams,
        *,
        parameters: int,
    ) -> None:
        """asked: prompt -> (task digest, prompt token ids). samples: (task digest, sample). params: of the run.

        Raises UserError for a run without samples, or with those of several policies or steps.
        """
        self.name = name
        self.parameters = parameters
        self._asked = dict(asked)
        self._params = params
        self._samples: dict[tuple[str, int, int], Completion] = {}
        self._logprobs: dict[tuple[str, tuple[int, ...]], tuple[float, ...]] = {}
        kinds: set[tuple[str, int, str]] = set()
        for digest, sample in samples:
            c = sample.completion
            kinds.add((sample.strategy, sample.step, c.policy_version))
            self._samples[digest, sample.seed, sample.index] = c
            self._logprobs[digest, c.token_ids] = c.logprobs
        if len(kinds) != 1:
            what = (
                "has no samples" if not kinds else "has samples of several policies or steps, which one key can't tell"
            )
            raise UserError(f"policy '{name}': the run {what}; name a Best-of-N run")
        self.version = next(iter(kinds))[2]

    def encode(self, prompt: Prompt) -> list[int]:
        """The token ids that the run's policy was given. Raises UserError for a prompt that it was not asked."""
        return list(self._of(prompt)[1])

    def prepare(self, params: SamplingParams) -> None:
        """Raises UserError for other parameters than the run's."""
        for field in ("temperature", "top_p", "max_tokens"):
            if (was := getattr(self._params, field)) != (now := getattr(params, field)):
                raise UserError(
                    f"policy '{self.name}': was sampled with {field} {was:g}, not {now:g}; ask for the same"
                )

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        """The stored completions. Raises UserError for other parameters, prompts, seeds or indices than the run's."""
        self.prepare(params)
        digest = self._of(prompt)[0]
        if key.task_digest != digest:
            raise UserError(
                f"policy '{self.name}': this prompt belongs to another task there; give the run's own suite"
            )
        missing = [i for i in key.indices if (digest, key.seed, i) not in self._samples]
        if missing:
            have = sorted(i for d, seed, i in self._samples if (d, seed) == (digest, key.seed))
            what = f"indices {have[0]} to {have[-1]}" if have else "none of that seed"
            raise UserError(
                f"policy '{self.name}': has no sample {missing[0]} of this task at seed {key.seed} (it has {what}); "
                "lower --k or name its seeds"
            )
        return [self._samples[digest, key.seed, i] for i in key.indices]

    def compute_logprobs(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """The stored log-probabilities. Raises UserError for tokens that were not sampled for this prompt."""
        digest = self._of(prompt)[0]
        found: list[list[float]] = []
        for row in token_ids:
            logprobs = self._logprobs.get((digest, tuple(row))) if len(row) else ()
            if logprobs is None:
                raise UserError(f"policy '{self.name}': has no model to score tokens that it did not sample")
            found.append(list(logprobs))
        return found

    def close(self) -> None: ...

    def _of(self, prompt: Prompt) -> tuple[str, Sequence[int]]:
        known = self._asked.get(prompt)
        if known is None:
            raise UserError(
                f"policy '{self.name}': the run was not asked this prompt; use its suite, --style and --form"
            )
        return known
