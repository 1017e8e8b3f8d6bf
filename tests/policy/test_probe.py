"""The log-probability probe: right about raw, tempered and top-p'd servers, within its tokens, noise or none."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from reference_model import reported, sampled_from

from longodds.policy.probe import MAX_PROBE_TOKENS, Drawn, LogprobMode, probe_logprobs
from longodds.types import SamplingParams


class Simulated:
    """A server whose next-token distribution depends on the position alone, over 40 tokens; counts what it is asked.

    sharpness: scale of the logits (large: nearly certain). noise: standard deviation (nats) between sampling and
    scoring. scores, alternatives: what it can do. fixed: settings that it reports by, whatever was asked for.
    """

    def __init__(
        self,
        mode: str,
        seed: int = 0,
        *,
        sharpness: float = 2.0,
        noise: float = 0.0,
        scores: bool = True,
        alternatives: bool = True,
        fixed: SamplingParams | None = None,
    ) -> None:
        self.mode, self.noise, self.scores, self.alternatives, self.fixed = mode, noise, scores, alternatives, fixed
        self.random = random.Random(seed)
        self.logits = [_logits(self.random, sharpness) for _ in range(40)]
        self.tokens = 0

    def draw(self, params: SamplingParams, n: int, seed: int) -> list[Drawn]:
        by = self.fixed or params
        out: list[Drawn] = []
        for _ in range(n):
            tokens, logprobs = [], []
            for row in self.logits[: params.max_tokens]:
                chances = sampled_from(row, by.temperature, by.top_p).tolist()
                token = self.random.choices(range(len(chances)), chances)[0]
                tokens.append(token)
                shown = float(reported(row, by.temperature, by.top_p, self.mode)[token])
                logprobs.append(shown + self.random.gauss(0, self.noise))
            self.tokens += len(tokens)
            first: Any = reported(self.logits[0], by.temperature, by.top_p, self.mode)
            best = first.topk(5).indices.tolist() if self.alternatives else []
            out.append(Drawn(tuple(tokens), tuple(logprobs), {t: float(first[t]) for t in [*best, tokens[0]]}))
        return out

    def score(self, drawn: Drawn) -> list[float] | None:
        if not self.scores:
            return None
        self.tokens += len(drawn.tokens) + 1
        rows = [reported(row, 1, 1, "raw") for row in self.logits]
        return [float(rows[i][t]) + self.random.gauss(0, self.noise) for i, t in enumerate(drawn.tokens)]


def _logits(r: random.Random, sharpness: float) -> Any:
    import torch

    return torch.tensor([r.gauss(0, sharpness) for _ in range(40)])


def params(temperature: float, top_p: float = 1.0) -> SamplingParams:
    return SamplingParams(temperature=temperature, max_tokens=100, top_p=top_p)


MODES = ("raw", "tempered", "top-p")
TEMPERATURES = (0.25, 0.8, 1.0)


@pytest.mark.parametrize("scores", [True, False], ids=["scores", "cannot score"])
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("mode", MODES)
def test_the_mode_is_found_at_every_temperature(mode: str, temperature: float, scores: bool) -> None:
    for seed in range(8):
        server = Simulated(mode, seed, scores=scores)
        found = probe_logprobs(server, params(temperature))
        assert (found.mode, found.rescoring) == (mode, scores), found
        assert server.tokens <= MAX_PROBE_TOKENS


@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("mode", MODES)
def test_noise_between_sampling_and_scoring_does_not_mislead(mode: str, temperature: float) -> None:
    wrong = sum(
        probe_logprobs(Simulated(mode, seed, noise=0.03), params(temperature)).mode != mode for seed in range(40)
    )
    assert wrong <= 1


def test_a_nearly_certain_model_is_told_apart_too() -> None:
    for mode in MODES:
        right = sum(probe_logprobs(Simulated(mode, s, sharpness=5.0), params(0.8)).mode == mode for s in range(20))
        assert right >= 18, (mode, right)


def test_without_scores_and_alternatives_only_common_tokens_tell() -> None:
    for mode in MODES:
        found = [probe_logprobs(Simulated(mode, s, scores=False, alternatives=False), params(0.8)) for s in range(20)]
        assert all(f.mode in (mode, "unknown") for f in found)
        assert sum(f.mode == mode for f in found) >= 10


def test_a_server_that_samples_by_settings_of_its_own_is_not_called_raw() -> None:
    for fixed in (SamplingParams(1.0, 100, 0.7), SamplingParams(0.25, 100, 1.0)):
        found = probe_logprobs(Simulated("top-p", fixed=fixed), params(1.0))
        assert found.mode in ("top-p", "unknown")
        assert not found.is_plain(params(1.0)), "it does not give what was asked for"


@pytest.mark.parametrize(
    ("mode", "temperature", "top_p", "plain", "behaviour"),
    [
        ("raw", 0.8, 1.0, True, False),
        ("raw", 1.0, 0.9, True, False),
        ("raw", 1.0, 1.0, True, True),
        ("tempered", 0.8, 1.0, False, True),
        ("tempered", 0.8, 0.9, False, False),
        ("tempered", 1.0, 1.0, True, True),
        ("top-p", 0.8, 0.9, False, True),
        ("top-p", 1.0, 1.0, True, True),
        ("unknown", 1.0, 1.0, False, False),
        ("tempered", 0.0, 1.0, False, False),
    ],
)
def test_what_a_mode_means_at_given_settings(
    mode: Any, temperature: float, top_p: float, plain: bool, behaviour: bool
) -> None:
    found = LogprobMode(mode, True, 0.0, 60)
    asked = params(temperature, top_p)
    assert (found.is_plain(asked), found.is_behaviour(asked)) == (plain, behaviour)


def test_tokens_outside_a_nucleus_are_far_not_nan() -> None:
    class Excluding(Simulated):
        def draw(self, params: SamplingParams, n: int, seed: int) -> list[Drawn]:
            return [Drawn((0,), (-math.inf,))]

    found = probe_logprobs(Excluding("raw"), params(0.8))
    assert found.mode == "unknown"
    assert all(math.isfinite(d) for d in found.differences.values())
