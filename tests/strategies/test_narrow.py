"""The score span follows the program: tokens of reasoning, fences and prose lie outside."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from longodds.prompts import extract
from longodds.strategies.sampling import narrow
from longodds.types import Completion, Task, digest_text

REFERENCE = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return torch.relu(x) * 2


def get_inputs():
    return [torch.rand(4, 8)]
"""
TASK = Task("test/narrow", "test", REFERENCE, digest_text(REFERENCE))


def completion(pieces: list[str], *, known: bool = True) -> Completion:
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    zeros = (0.0,) * len(pieces)
    ids = tuple(range(len(pieces)))
    return Completion(
        ids, zeros, zeros, (0, len(pieces)), "".join(pieces), "stop", "v", text_ends=tuple(ends) if known else ()
    )


def narrowed(pieces: list[str], **more: bool) -> str:
    drawn = completion(pieces, **more)
    found = extract(drawn.text, TASK)
    start, end = narrow(drawn, found.start, found.end).score_span
    return "".join(pieces[start:end])


def test_a_fence_and_prose_are_outside():
    pieces = ["Sure", ":", "\n\n```", "python\n", "return x", ".relu()", " * 2", "\n```", "\nFast", "!"]
    assert narrowed(pieces) == "return x.relu() * 2"


def test_reasoning_is_outside():
    pieces = ["<think>", "return 1?", " No.", "</think>", "\n", "return", " x.relu()", " * 2"]
    assert narrowed(pieces) == "return x.relu() * 2"


def test_reasoning_alone_leaves_nothing():
    assert narrowed(["<think>", "return 1?", " No."]) == ""


def test_a_bare_body_keeps_its_span():
    assert narrowed([" return", " x * 2", "\n"]) == " return x * 2\n"


def test_without_the_places_of_tokens_the_span_is_the_policys():
    pieces = ["```python\n", "return x * 2", "\n```"]
    assert narrowed(pieces, known=False) == "".join(pieces)


@given(st.lists(st.text(min_size=0, max_size=4), max_size=12), st.data())
def test_the_fewest_tokens_that_cover_the_part(pieces, data):
    drawn = completion(pieces)
    start = data.draw(st.integers(0, len(drawn.text)))
    end = data.draw(st.integers(start, len(drawn.text)))
    a, b = narrow(drawn, start, end).score_span
    assert 0 <= a <= b <= len(pieces)
    if (start, end) == (0, len(drawn.text)):
        assert (a, b) == drawn.score_span
    elif start < end:
        before, within = "".join(pieces[:a]), "".join(pieces[a:b])
        assert len(before) <= start
        assert len(before) + len(within) >= end
        assert len(before) + len(pieces[a]) > start
        assert len(before) + len(within) - len(pieces[b - 1]) < end
    else:
        assert a == b
