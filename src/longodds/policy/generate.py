"""Sampling and scoring of many rows that continue one prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from longodds.policy.choosing import choose
from longodds.policy.noise import row_keys
from longodds.types import Completion, SampleKey, SamplingParams

if TYPE_CHECKING:
    import re
    from collections.abc import Callable, Sequence

    from longodds.policy.prefix import PromptState, SharedPrefixModel
    from longodds.policy.stopping import RowText


@dataclass(frozen=True, slots=True)
class Ending:
    """When a row ends: one of these tokens, or the first match of the pattern in its text."""

    stop_ids: frozenset[int]
    pattern: re.Pattern[str] | None


@torch.no_grad()
def sample_rows(
    model: SharedPrefixModel,
    state: PromptState,
    new_row: Callable[[], RowText],
    params: SamplingParams,
    key: SampleKey,
    version: str,
) -> list[Completion]:
    """One completion per index of the key, all in one batch; rows leave it as they finish."""
    k = len(key.indices)
    if k == 0:
        return []
    device = state.logits.device
    texts = [new_row() for _ in range(k)]
    logprobs: list[list[float]] = [[] for _ in range(k)]
    behaviour: list[list[float]] = [[] for _ in range(k)]
    keys = row_keys(key.seed, key.task_digest, key.indices).to(device)
    active = list(range(k))
    logits = state.logits.expand(k, -1)
    rows = model.rows(state, k)
    for position in range(params.max_tokens):
        choice = choose(logits, params, keys, position)
        tokens, lps, slps = choice.tokens.tolist(), choice.logprobs.tolist(), choice.sampling_logprobs.tolist()
        staying: list[int] = []
        for place, row in enumerate(active):
            logprobs[row].append(lps[place])
            behaviour[row].append(slps[place])
            if not texts[row].push(tokens[place]):
                staying.append(place)
        if not staying or position + 1 == params.max_tokens:
            break
        fed = choice.tokens
        if len(staying) < len(active):
            index = torch.tensor(staying, device=device)
            rows.keep(index)
            keys, fed = keys[index], fed[index]
            active = [active[place] for place in staying]
        logits = model.step(rows, fed[:, None])[:, -1]
    for text in texts:
        if text.finish_reason == "length":
            text.finish()
    return [
        Completion(
            token_ids=tuple(text.ids),
            logprobs=tuple(logprobs[row]),
            sampling_logprobs=tuple(behaviour[row]),
            score_span=text.score_span(),
            text=text.kept_text(),
            finish_reason=text.finish_reason,
            policy_version=version,
        )
        for row, text in enumerate(texts)
    ]


@torch.no_grad()
def score_rows(model: SharedPrefixModel, state: PromptState, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
    """Log-probabilities (nats, temperature 1) of continuations, padded into one batch on the right.

    Attention is causal, so padding behind a row never reaches it.
    """
    longest = max(len(ids) for ids in token_ids)
    device = state.logits.device
    padded = torch.zeros((len(token_ids), longest), dtype=torch.long, device=device)
    for row, ids in enumerate(token_ids):
        padded[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    first = (state.logits - torch.logsumexp(state.logits, dim=-1, keepdim=True))[0]
    parts: list[Tensor] = [first[padded[:, 0]][:, None]]
    if longest > 1:
        logits = model.step(model.rows(state, len(token_ids)), padded[:, :-1])
        picked = logits.gather(-1, padded[:, 1:, None])[..., 0]
        parts.append(picked - torch.logsumexp(logits, dim=-1))
    table: list[list[float]] = torch.cat(parts, dim=1).tolist()
    return [line[: len(ids)] for line, ids in zip(table, token_ids, strict=True)]


def in_chunks(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Consecutive pieces of at most `size` items."""
    return [items[i : i + size] for i in range(0, len(items), max(1, size))]
