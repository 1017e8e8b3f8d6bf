"""What a sampling may ask for; the text of a row as it grows, where it stops, and which tokens wrote what is kept."""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import FinishReason, Prompt, SamplingParams

_CONTEXT = 5  # prompt tokens decoded along, because some tokenizers drop a blank at the start of a text


def check_sampling(params: SamplingParams) -> None:
    """Raises UserError for sampling parameters without meaning."""
    if not params.temperature >= 0:
        raise UserError(f"temperature {params.temperature}: must be 0 (greedy) or above")
    if params.max_tokens < 1:
        raise UserError(f"max_tokens {params.max_tokens}: must be at least 1")
    if not 0 < params.top_p <= 1:
        raise UserError(f"top_p {params.top_p}: must be above 0 and at most 1")


def stop_pattern(prompt: Prompt) -> re.Pattern[str] | None:
    """Where a prompt says that an answer ends. Raises UserError for what is no regular expression."""
    try:
        return None if prompt.stop_regex is None else re.compile(prompt.stop_regex)
    except re.error as e:
        raise UserError(f"stop_regex {prompt.stop_regex!r}: {e}") from None


class RowText:
    """Decodes one row token by token and notices its end.

    A token is only turned into text when the characters are complete (a character may span several tokens), so
    `ends[i]`, the number of characters known after token i, never decreases.
    """

    def __init__(
        self, tokenizer: Any, prompt_ids: Sequence[int], stop_ids: frozenset[int], stop: re.Pattern[str] | None
    ) -> None:
        self.tokenizer = tokenizer
        self.stop_ids = stop_ids
        self.stop = stop
        self.ids: list[int] = []
        self.text = ""
        self.ends: list[int] = []
        self.ended_by_token = False
        self.kept: int | None = None  # characters kept, once the stop pattern has matched
        self._window = list(prompt_ids[-_CONTEXT:])
        self._known = len(self._window)  # tokens of the window that are in `text` or in the prompt

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def push(self, token: int) -> bool:
        """Adds a sampled token; True when the row ends with it."""
        self.ids.append(token)
        self.ends.append(len(self.text))
        if token in self.stop_ids:
            self.ended_by_token = True
            self._flush(final=True)
            self.ends[-1] = len(self.text)
            self._matched()
            return True
        self._window.append(token)
        self._flush(final=False)
        return self._matched()

    def finish(self) -> None:
        """Call at the end: if it was the token limit's, characters cut in two become text as they are."""
        if self.finish_reason == "stop":
            return
        self._flush(final=True)
        self._matched()

    def _flush(self, *, final: bool) -> None:
        """Turns the tokens that wait into text, unless their last character may still be incomplete."""
        old = self._decode(self._window[: self._known])
        new = self._decode(self._window)
        if len(new) <= len(old) or (new.endswith("\ufffd") and not final):
            return
        waiting = len(self._window) - self._known
        newest = len(self.ids) - (1 if self.ended_by_token else 0)
        for i in range(1, waiting):
            # Bytes that turned out to be no character of their own end where their replacement sign does.
            shared = _common_length(self._decode(self._window[: self._known + i]), new)
            self.ends[newest - waiting + i - 1] = len(self.text) + max(0, shared - len(old))
        self.text += new[len(old) :]
        self.ends[newest - 1] = len(self.text)
        self._window = self._window[self._known :]
        self._known = len(self._window)

    def _matched(self) -> bool:
        match = self.stop.search(self.text) if self.stop is not None else None
        if match is None:
            return False
        self.kept = match.start()
        return True

    @property
    def finish_reason(self) -> FinishReason:
        return "stop" if self.ended_by_token or self.kept is not None else "length"

    def kept_text(self) -> str:
        return self.text if self.kept is None else self.text[: self.kept]

    def score_span(self) -> tuple[int, int]:
        """[0, end): the fewest leading tokens whose text covers the kept text; never the end-of-turn token."""
        if self.kept is None:
            return (0, len(self.ids) - (1 if self.ended_by_token else 0))
        if self.kept == 0:
            return (0, 0)
        return (0, bisect_left(self.ends, self.kept) + 1)


def _common_length(a: str, b: str) -> int:
    """Length of the longest common prefix."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
