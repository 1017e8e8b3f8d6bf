"""Packed rows: prompts once, each followed by all its completions, in one row of tokens.

A learner's data are groups of completions of one prompt. In a packed row every token exists once, so the linear
layers, nearly all of the work, never compute a prompt twice; a completion's tokens have the positions that follow the
prompt, and attention lets them see the prompt and their own past, nothing else. The result is exactly that of
one row per completion, gradients included.

Shapes: T tokens of the row, P prompt, N completions with input tokens, c the longest of these.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention.bias import causal_lower_right

from longodds.policy.attention import KeyValues, attend

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from longodds.learning import Datum


@dataclass(frozen=True, slots=True)
class PackedGroup:
    """One prompt and its completions within a packed row.

    start, prompt: the prompt is tokens [start, start + prompt). tail: tokens of the completions behind it.
    index: (N, c) place in the row of each completion's tokens; shorter ones repeat a place, behind their end.
    real: (tail,) place of each token in the flattened (N, c) table. even: all completions are of one length, so that
    the tail is the table.
    """

    start: int
    prompt: int
    tail: int
    index: Tensor
    real: Tensor

    @property
    def even(self) -> bool:
        return self.tail == self.index.numel()


@dataclass(slots=True)
class PackedRow:
    """Input of one pass: ids and position_ids (1, T); `order` says which data it holds.

    source: (n,) the place whose output predicts each completion token, in order; targets: (n,) those tokens.
    attended: attention calls that found this row; they must be as many as there are layers.
    """

    ids: Tensor
    position_ids: Tensor
    groups: list[PackedGroup]
    source: Tensor
    targets: Tensor
    order: list[int]
    attended: int = field(default=0)


def group_by_prompt(data: Sequence[Datum]) -> list[list[int]]:
    """Positions of the data that share a prompt, in order of first appearance."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, datum in enumerate(data):
        groups.setdefault(datum.prompt_ids, []).append(i)
    return list(groups.values())


@dataclass(slots=True)
class PlannedRow:
    """Groups (positions in the data) of one packed row and the tokens that it will have."""

    groups: list[list[int]]
    tokens: int


def plan_rows(data: Sequence[Datum], most: int, *, fill: int) -> list[PlannedRow]:
    """Which groups go into which packed row.

    A group has a row of its own or shares one of at most `fill` tokens. A group of more than `most` tokens is split,
    and its prompt is computed once in each part; a single completion is never split. Rows are filled with the next
    group that fits (first fit, largest first), so few are half empty.
    """
    parts: list[PlannedRow] = []
    for group in group_by_prompt(data):
        prompt = len(data[group[0]].prompt_ids)
        part = PlannedRow([[]], prompt)
        for i in sorted(group, key=lambda i: len(data[i].token_ids)):  # similar lengths side by side: little padding
            n = len(data[i].token_ids)
            if part.groups[0] and part.tokens + n > most:
                parts.append(part)
                part = PlannedRow([[]], prompt)
            part.groups[0].append(i)
            part.tokens += n
        parts.append(part)
    rows: list[PlannedRow] = []
    for part in sorted(parts, key=lambda part: -part.tokens):
        row = next((r for r in rows if r.tokens + part.tokens <= fill), None)
        if row is None:
            rows.append(part)
        else:
            row.groups += part.groups
            row.tokens += part.tokens
    return rows


def pack(data: Sequence[Datum], groups: Iterable[Sequence[int]], device: torch.device) -> PackedRow:
    """The packed row of these groups of `data`. The last token of a completion is a target only, never an input."""
    ids: list[int] = []
    positions: list[int] = []
    packed: list[PackedGroup] = []
    source: list[int] = []
    targets: list[int] = []
    order: list[int] = []
    for group in groups:
        prompt = data[group[0]].prompt_ids
        start, length = len(ids), len(prompt)
        ids += prompt
        positions += range(length)
        table: list[tuple[int, int]] = []
        for i in group:
            tokens = data[i].token_ids
            first, inputs = len(ids), len(tokens) - 1
            ids += tokens[:-1]
            positions += range(length, length + inputs)
            if inputs:
                table.append((first, inputs))
            source += [start + length - 1, *range(first, first + inputs)]
            targets += tokens
            order.append(i)
        packed.append(_group(start, length, table, device))

    def column(values: list[int]) -> Tensor:
        return torch.tensor(values, dtype=torch.long, device=device)

    return PackedRow(column(ids)[None], column(positions)[None], packed, column(source), column(targets), order)


def _group(start: int, prompt: int, table: Sequence[tuple[int, int]], device: torch.device) -> PackedGroup:
    longest = max((n for _, n in table), default=0)
    index = [[first + min(j, n - 1) for j in range(longest)] for first, n in table]
    real = [k * longest + j for k, (_, n) in enumerate(table) for j in range(n)]
    return PackedGroup(
        start,
        prompt,
        len(real),
        torch.tensor(index, dtype=torch.long, device=device).reshape(len(table), longest),
        torch.tensor(real, dtype=torch.long, device=device),
    )


# --- attention over a packed row ---------------------------------------------------------------


def packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    row: PackedRow,
    scale: float,
    window: int | None,
    sinks: Tensor | None,
    softcap: float | None,
) -> Tensor:
    """query (1, H, T, D), key and value (1, Hkv, T, D) -> (1, T, H, D)."""
    parts: list[Tensor] = []
    for group in row.groups:
        end = group.start + group.prompt
        prefix = (key[:, :, group.start : end], value[:, :, group.start : end])
        plain = sinks is None and softcap is None
        seen = group.prompt + group.index.shape[1]
        windowed = window is not None and window < seen
        asked = query[:, :, group.start : end]
        if plain and not windowed:
            out = _causal(asked, prefix, scale)
        else:
            out = attend(asked, prefix, None, scale, None, window, sinks, softcap)
        parts.append(out[0])
        if group.tail == 0:
            continue
        rows = _rows(query, group)
        tail = (_rows(key, group), _rows(value, group))
        if plain and not windowed:
            out = _continuing(rows, prefix, tail, scale)
        else:
            out = attend(rows, tail, prefix, scale, None, window, sinks, softcap)
        out = out.flatten(0, 1)
        parts.append(out if group.even else out.index_select(0, group.real.to(out.device)))
    return torch.cat(parts)[None]


def _rows(states: Tensor, group: PackedGroup) -> Tensor:
    """(1, H, T, D) -> (N, H, c, D)."""
    if group.even:
        first = group.start + group.prompt
        return states[0, :, first : first + group.tail].unflatten(1, group.index.shape).transpose(0, 1)
    # Not by indexing, whose gradient sorts the places.
    found = states[0].index_select(1, group.index.to(states.device).flatten())
    return found.unflatten(1, group.index.shape).transpose(0, 1)


def _causal(query: Tensor, prefix: KeyValues, scale: float) -> Tensor:
    """The prompt's attention to itself: (1, P, H, D)."""
    keys, values = _all_heads(query, prefix)
    out = F.scaled_dot_product_attention(query, keys, values, is_causal=True, scale=scale)
    return out.transpose(1, 2)


def _continuing(query: Tensor, prefix: KeyValues, tail: KeyValues, scale: float) -> Tensor:
    """Completions' attention to the prompt and their own past: (N, c, H, D).

    The prompt's keys are repeated for the rows here, within one layer: fused kernels want one table, and a layer's keys
    are small beside its other activations.
    """
    n = query.shape[0]
    joined = [torch.cat([p.expand(n, -1, -1, -1), t], dim=2) for p, t in zip(prefix, tail, strict=True)]
    length, total = query.shape[2], joined[0].shape[2]
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        # The flash kernel knows this mask and grouped heads; the mask is never written out.
        bias = cast("Tensor", causal_lower_right(length, total))
        out = F.scaled_dot_product_attention(
            query, joined[0], joined[1], attn_mask=bias, scale=scale, enable_gqa=query.shape[1] != joined[0].shape[1]
        )
    else:
        keys, values = _all_heads(query, (joined[0], joined[1]))
        at = torch.arange(total - length, total, device=query.device)[:, None]
        seen = torch.arange(total, device=query.device)[None, :] <= at
        out = F.scaled_dot_product_attention(query, keys, values, attn_mask=seen, scale=scale)
    return out.transpose(1, 2)


def _all_heads(query: Tensor, states: KeyValues) -> KeyValues:
    """Keys and values repeated for the query heads that share them."""
    groups = query.shape[1] // states[0].shape[1]
    if groups == 1:
        return states
    return states[0].repeat_interleave(groups, 1), states[1].repeat_interleave(groups, 1)
