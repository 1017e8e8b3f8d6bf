"""OpenAI's Harmony chat format, which gpt-oss models speak: messages to token ids, and where an answer's text lies.

The form without a system prompt (no date, no reasoning effort), so that a prompt is the same on every day. Content
is encoded as ordinary text: a control token spelled out in it stays text. Format: OpenAI's description of Harmony.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.policy.vocabularies import Vocabulary
    from longodds.types import Message

_ENDS = ("return", "call", "end")


def speaks_harmony(model: str) -> bool:
    return "gpt-oss" in model.lower()


class Harmony:
    """Harmony over a vocabulary that has its control tokens; UserError for one that has not."""

    def __init__(self, spec: str, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._ids: dict[str, int] = {}
        for name in ("start", "channel", "message", *_ENDS):
            found = vocabulary.control(name)
            if found is None:
                raise UserError(f"policy '{spec}': its tokenizer has no '<|{name}|>'; gpt-oss needs its own tokenizer")
            self._ids[name] = found

    @property
    def stop_ids(self) -> list[int]:
        """Tokens that end an answer: `<|return|>` and `<|call|>`."""
        return [self._ids["return"], self._ids["call"]]

    def render(self, messages: Sequence[Message]) -> list[int]:
        """Token ids of a conversation, the assistant's turn opened."""
        ids: list[int] = []
        for m in messages:
            if m.role == "system":
                ids += self._turn("developer", None, f"# Instructions\n\n{m.content}\n\n")
            else:
                ids += self._turn(m.role, "final" if m.role == "assistant" else None, m.content)
        return [*ids, self._ids["start"], *self._text("assistant")]

    def answer(self, ids: Sequence[int]) -> tuple[int, int]:
        """[start, end) of the tokens that write the final answer; (n, n) when the answer has not begun.

        A model may think aloud in other channels first: that is no part of the answer, nor of its score span.
        """
        final = self._text("final")
        start = None
        for i, token in enumerate(ids):
            if token != self._ids["message"]:
                continue
            header = self._header(ids[:i])
            if header[: len(final)] == final:
                start = i + 1
        if start is None:
            return len(ids), len(ids)
        ends = {self._ids[name] for name in _ENDS}
        end = next((i for i in range(start, len(ids)) if ids[i] in ends), len(ids))
        return start, end

    def _header(self, before: Sequence[int]) -> list[int]:
        """What follows the last `<|channel|>` of a header that ends here."""
        channel = self._ids["channel"]
        last = max((i for i, t in enumerate(before) if t == channel), default=None)
        return [] if last is None else list(before[last + 1 :])

    def _turn(self, role: str, channel: str | None, content: str) -> list[int]:
        head = [self._ids["start"], *self._text(role)]
        if channel is not None:
            head += [self._ids["channel"], *self._text(channel)]
        return [*head, self._ids["message"], *self._text(content), self._ids["end"]]

    def _text(self, text: str) -> list[int]:
        return self._vocabulary.encode(text, ordinary=True)
