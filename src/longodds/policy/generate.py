"""Sampling and scoring of many rows that continue one prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from longodds.policy.choosing import choose
from longodds.policy.noise import row_keys
from longodds.types import Completion, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.policy.prefix import PromptState, SharedPrefixModel
    from longodds.policy.stopping import RowText


@torch.no_grad()
def sample_rows(
    model: SharedPrefixModel,
    state: PromptState,
    new_row: Callable[[], RowText],
    params: SamplingParams,
    key: SampleKey,
    version: str,
) -> list[Completion]:
    """One completion per index of the key, all in one batch; rows leave it as they finish.

    The batch may hold copies of its first row at the end, up to the model's `min_rows`; they are never read.
    """
    k = len(key.indices)
    if k == 0:
        return []
    device = state.logits.device
    texts = [new_row() for _ in range(k)]
    history: list[tuple[list[int], Tensor]] = []  # (rows, (2, rows) log-probabilities) of each step
    keys = row_keys(key.seed, key.task_digest, key.indices).to(device)
    active = list(range(k))  # rows by their place in the batch
    computed = max(k, model.min_rows)
    rows = model.rows(state, computed, room=params.max_tokens)
    logits = state.logits.expand(k, -1)
    for position in range(params.max_tokens):
        choice = choose(logits, params, keys, position)
        history.append((active, torch.stack([choice.logprobs, choice.sampling_logprobs])))
        tokens = as_ints(choice.tokens)
        staying = [place for place, row in enumerate(active) if not texts[row].push(tokens[place])]
        if not staying or position + 1 == params.max_tokens:
            break
        index = torch.tensor(staying + staying[:1] * (model.min_rows - len(staying)), device=device)
        if len(staying) < len(active):
            rows.keep(index)
            keys = keys[index[: len(staying)]]
            active = [active[place] for place in staying]
        logits = model.step(rows, choice.tokens[index][:, None])[: len(staying), -1]
    scores: list[tuple[list[float], list[float]]] = [([], []) for _ in range(k)]
    for members, pair in history:
        logprobs, behaviour = as_floats(pair)
        for place, row in enumerate(members):
            scores[row][0].append(logprobs[place])
            scores[row][1].append(behaviour[place])
    completions: list[Completion] = []
    for text, (logprobs, behaviour) in zip(texts, scores, strict=True):
        text.finish()
        completions.append(
            Completion(
                token_ids=tuple(text.ids),
                logprobs=tuple(logprobs),
                sampling_logprobs=tuple(behaviour),
                score_span=text.score_span(),
                text=text.kept_text(),
                finish_reason=text.finish_reason,
                policy_version=version,
                text_ends=tuple(text.ends),
            )
        )
    return completions


@torch.no_grad()
def score_rows(model: SharedPrefixModel, state: PromptState, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
    """Log-probabilities (nats, temperature 1) of continuations, padded into one batch on the right.

    Attention is causal, so padding behind a row never reaches it.
    """
    from longodds.policy.prefix import Rows

    longest = max(len(ids) for ids in token_ids)
    device = state.logits.device
    padded = torch.zeros((len(token_ids), longest), dtype=torch.long, device=device)
    for row, ids in enumerate(token_ids):
        padded[row, : len(ids)] = torch.tensor(ids, dtype=torch.long)
    first = (state.logits - torch.logsumexp(state.logits, dim=-1, keepdim=True))[0]
    parts: list[Tensor] = [first[padded[:, 0]][:, None]]
    if longest > 1:
        rows = model.rows(state, len(token_ids))
        assert isinstance(rows, Rows)  # a recorded graph is for steps of known number
        parts.append(model.score(rows, padded[:, :-1], padded[:, 1:]))
    table = as_floats(torch.cat(parts, dim=1))
    return [line[: len(ids)] for line, ids in zip(table, token_ids, strict=True)]


def as_ints(x: Tensor) -> list[int]:
    """A one-dimensional integer tensor as a list."""
    return cast("list[int]", cast("Any", x).tolist())


def as_floats(x: Tensor) -> list[list[float]]:
    """A two-dimensional tensor as a list of rows."""
    return cast("list[list[float]]", cast("Any", x).tolist())


def in_chunks(items: Sequence[int], size: int) -> list[Sequence[int]]:
    """Consecutive pieces of at most `size` items."""
    return [items[i : i + size] for i in range(0, len(items), max(1, size))]
