"""Sampling: probabilities equal a plain forward pass, samples don't depend on the batch, rows end where they should."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
import torch

from longodds.errors import UserError
from longodds.types import Completion, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.policy.hf import HFPolicy

    Plain = Callable[[list[int], list[int]], torch.Tensor]

FREE = SamplingParams(temperature=1.0, max_tokens=40)


def key(*indices: int, seed: int = 0, digest: str = "task") -> SampleKey:
    return SampleKey(seed, digest, indices)


def content(completions: list[Completion]) -> list[tuple[object, ...]]:
    return [(c.token_ids, c.text, c.score_span, c.finish_reason) for c in completions]


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_logprobs_equal_a_plain_forward_pass(
    tiny: HFPolicy, prompt: Prompt, plain_logprobs: Plain, temperature: float
) -> None:
    params = SamplingParams(temperature=temperature, max_tokens=40)
    ids = tiny.encode(prompt)
    completions = tiny.sample(prompt, params, key(*range(20)))
    assert len({len(c.token_ids) for c in completions}) > 1, "no row ended early: the test would not see rows leaving"
    for c in completions:
        plain = plain_logprobs(ids, list(c.token_ids))
        picked = plain.gather(1, torch.tensor(c.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(c.logprobs), picked, atol=1e-4)
        tempered = torch.log_softmax(plain / temperature, dim=-1).gather(1, torch.tensor(c.token_ids)[:, None])[:, 0]
        assert torch.allclose(torch.tensor(c.sampling_logprobs), tempered, atol=1e-3)


def test_samples_are_identical_however_batched(tiny: HFPolicy, prompt: Prompt) -> None:
    together = tiny.sample(prompt, FREE, key(*range(24)))
    alone = [tiny.sample(prompt, FREE, key(i))[0] for i in range(24)]
    pieces = tiny.sample(prompt, FREE, key(*range(23, 15, -1)))
    assert together == alone
    assert pieces == together[23:15:-1]


def test_the_memory_cap_splits_the_batch_without_changing_samples(tiny_dir: object, prompt: Prompt) -> None:
    from longodds.policy import OpenOptions, open_policy

    small = open_policy(f"hf:{tiny_dir}", OpenOptions(dtype="fp32", threads=1))
    reference = small.sample(prompt, FREE, key(*range(8)))
    small.batch_bytes = 1
    assert small.max_rows(30, 40) == 1
    assert small.sample(prompt, FREE, key(*range(8))) == reference
    ids = [c.token_ids for c in reference]
    scored = small.compute_logprobs(prompt, ids)
    for row, c in zip(scored, reference, strict=True):
        assert row == pytest.approx(c.logprobs, abs=1e-4)


def test_noise_depends_on_seed_task_and_index(tiny: HFPolicy, prompt: Prompt) -> None:
    base = tiny.sample(prompt, FREE, key(0))[0].token_ids
    assert tiny.sample(prompt, FREE, key(0))[0].token_ids == base
    others = [key(1), key(0, seed=1), key(0, digest="other")]
    assert all(tiny.sample(prompt, FREE, k)[0].token_ids != base for k in others)


def test_sampled_frequencies_follow_the_distribution(tiny: HFPolicy, prompt: Prompt, plain_logprobs: Plain) -> None:
    n = 3000
    params = SamplingParams(temperature=0.7, max_tokens=1)
    first = [c.token_ids[0] for c in tiny.sample(prompt, params, key(*range(n)))]
    expected = torch.softmax(plain_logprobs(tiny.encode(prompt), [0])[0] / 0.7, dim=-1)
    top = expected.topk(5)
    for share, token in zip(top.values.tolist(), top.indices.tolist(), strict=True):
        error = 4 * math.sqrt(share * (1 - share) / n)
        assert abs(first.count(token) / n - share) < error


def test_temperature_zero_is_greedy(tiny: HFPolicy, prompt: Prompt, plain_logprobs: Plain) -> None:
    ids = tiny.encode(prompt)
    a, b = tiny.sample(prompt, SamplingParams(temperature=0, max_tokens=12), key(0, 7))
    assert a.token_ids == b.token_ids
    assert a.sampling_logprobs == (0.0,) * len(a.token_ids)
    assert plain_logprobs(ids, list(a.token_ids)).argmax(dim=-1).tolist() == list(a.token_ids)


def test_top_p_keeps_the_smallest_set_and_renormalises(tiny: HFPolicy, prompt: Prompt, plain_logprobs: Plain) -> None:
    params = SamplingParams(temperature=0.9, max_tokens=6, top_p=0.5)
    ids = tiny.encode(prompt)
    for c in tiny.sample(prompt, params, key(*range(16))):
        tempered = torch.softmax(plain_logprobs(ids, list(c.token_ids)) / 0.9, dim=-1)
        for row, token, logprob in zip(tempered, c.token_ids, c.sampling_logprobs, strict=True):
            ordered, order = row.sort(descending=True)
            size = int((ordered.cumsum(0) < 0.5).sum()) + 1
            kept = order[:size].tolist()
            assert token in kept
            assert math.isclose(logprob, math.log(row[token] / ordered[:size].sum()), abs_tol=1e-3)


def test_the_stop_pattern_ends_a_row_and_bounds_the_score_span(tiny: HFPolicy) -> None:
    pattern = "[A-M][^A-M]"
    prompt = Prompt(text="def f(x):", stop_regex=pattern)
    completions = tiny.sample(prompt, SamplingParams(temperature=1.0, max_tokens=64), key(*range(40)))
    stopped = 0
    for c in completions:
        assert re.search(pattern, c.text) is None
        raw = tiny.tokenizer.decode(c.token_ids)
        match = re.search(pattern, raw)
        if match is None:
            continue
        stopped += 1
        assert c.finish_reason == "stop"
        start, end = c.score_span
        assert start == 0
        assert c.text == raw[: match.start()] == tiny.tokenizer.decode(c.token_ids[:end])
        # nothing is sampled once the match is certain; bytes of an unfinished character are not
        before = tiny.tokenizer.decode(c.token_ids[:-1]).rstrip("\ufffd")
        assert re.search(pattern, before) is None
    assert stopped >= 5


def test_the_end_token_is_recorded_but_not_scored(tiny: HFPolicy, prompt: Prompt) -> None:
    end = tiny.tokenizer.eos_token_id
    completions = tiny.sample(prompt, SamplingParams(temperature=1.5, max_tokens=300), key(*range(64)))
    ended = [c for c in completions if end in c.token_ids]
    assert ended
    for c in ended:
        assert c.token_ids.index(end) == len(c.token_ids) - 1
        assert c.score_span == (0, len(c.token_ids) - 1)
        assert c.finish_reason == "stop"
        assert "<end>" not in c.text


def test_the_token_limit_ends_a_row(tiny: HFPolicy, prompt: Prompt) -> None:
    c = tiny.sample(prompt, SamplingParams(temperature=0, max_tokens=3), key(0))[0]
    assert (c.finish_reason, len(c.token_ids), c.score_span) == ("length", 3, (0, 3))


def test_scores_equal_those_of_sampling_and_of_a_plain_pass(
    tiny: HFPolicy, prompt: Prompt, plain_logprobs: Plain
) -> None:
    completions = tiny.sample(prompt, FREE, key(*range(6)))
    rows = [list(c.token_ids) for c in completions] + [[], [5], [1, 2, 3]]
    scored = tiny.compute_logprobs(prompt, rows)
    assert [len(s) for s in scored] == [len(r) for r in rows]
    ids = tiny.encode(prompt)
    for row, score in zip(rows, scored, strict=True):
        if row:
            plain = plain_logprobs(ids, row).gather(1, torch.tensor(row)[:, None])[:, 0]
            assert torch.allclose(torch.tensor(score), plain, atol=1e-4)
    for c, score in zip(completions, scored, strict=False):
        assert torch.allclose(torch.tensor(score), torch.tensor(c.logprobs), atol=1e-4)


def test_no_rows_are_no_work(tiny: HFPolicy, prompt: Prompt) -> None:
    assert tiny.sample(prompt, FREE, key()) == []
    assert tiny.compute_logprobs(prompt, []) == []
    assert tiny.compute_logprobs(prompt, [[], []]) == [[], []]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        (SamplingParams(temperature=-0.1), "temperature"),
        (SamplingParams(temperature=math.nan), "temperature"),
        (SamplingParams(max_tokens=0), "max_tokens"),
        (SamplingParams(top_p=0.0), "top_p"),
        (SamplingParams(top_p=1.5), "top_p"),
        (SamplingParams(max_tokens=5000), "context"),
    ],
)
def test_meaningless_parameters_are_one_clear_line(
    tiny: HFPolicy, prompt: Prompt, params: SamplingParams, field: str
) -> None:
    with pytest.raises(UserError, match=field) as caught:
        tiny.sample(prompt, params, key(0))
    assert "\n" not in str(caught.value)


def test_a_bad_stop_pattern_and_foreign_tokens_are_the_callers_mistake(tiny: HFPolicy, prompt: Prompt) -> None:
    with pytest.raises(UserError, match="stop_regex"):
        tiny.sample(Prompt(text="x", stop_regex="("), FREE, key(0))
    with pytest.raises(UserError, match="vocabulary"):
        tiny.compute_logprobs(prompt, [[100000]])
    with pytest.raises(UserError, match="empty"):
        tiny.encode(Prompt(text=""))
