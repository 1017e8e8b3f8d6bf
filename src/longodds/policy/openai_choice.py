"""Reads one choice of an OpenAI-compatible answer: tokens, their log-probabilities, which of them wrote the text.

Servers name tokens in different ways: by id (vLLM, `return_token_ids`), by their bytes (chat), by their text. Ids are
the best; where there are none, -1 stands for each.
"""

from __future__ import annotations

import codecs
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.policy.remote import Raw
from longodds.policy.stopping import RowText

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping, Sequence

    from longodds.policy.vocabularies import Vocabulary

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Choice:
    """text: of the answer, without what a server thinks apart. tokens: as the server spells them; pieces: their bytes.
    ids: (n,) or None. logprobs: (n,) nats. ended: it stopped by itself. first: at the first position, token -> nats."""

    text: str
    tokens: tuple[str, ...]
    pieces: tuple[bytes, ...]
    ids: tuple[int, ...] | None
    logprobs: tuple[float, ...]
    ended: bool
    first: Mapping[Any, float] = field(default_factory=dict)


def read_choice(spec: str, choice: Any) -> Choice:
    """Raises UserError for one without log-probabilities, InfraError for one that cannot be read."""
    try:
        message = choice.get("message")
        text = (message.get("content") or "") if message is not None else choice["text"]
        found = choice.get("logprobs")
        ended = choice.get("finish_reason") == "stop"
        if message is not None:
            entries = (found or {}).get("content")
            if entries is None and text:
                raise _none(spec)
            entries = entries or []
            tokens = tuple(str(e["token"]) for e in entries)
            logprobs = tuple(e["logprob"] for e in entries)
            pieces = tuple(bytes(e["bytes"]) if e.get("bytes") is not None else _bytes(e["token"]) for e in entries)
            first = {a["token"]: float(a["logprob"]) for a in (entries[0].get("top_logprobs") or [])} if entries else {}
        else:
            if not found or found.get("token_logprobs") is None:
                if text:
                    raise _none(spec)
                found = {"tokens": [], "token_logprobs": []}
            tokens = tuple(str(t) for t in found["tokens"])
            logprobs = tuple(found["token_logprobs"])
            pieces = tuple(_bytes(t) for t in tokens)
            tops = found.get("top_logprobs") or []
            first = {t: float(p) for t, p in (tops[0] or {}).items()} if tops else {}
        if any(p is None for p in logprobs):
            raise _none(spec)
        ids = _ids(choice, tokens)
        return Choice(text, tokens, pieces, ids, tuple(float(p) for p in logprobs), ended, first)
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise InfraError(f"policy '{spec}': a choice cannot be read ({type(e).__name__}: {e})") from None


def _none(spec: str) -> UserError:
    return UserError(
        f"policy '{spec}': the server returns no token log-probabilities, which surprisal is made of; use one that "
        "does (vLLM, SGLang, llama.cpp), or turn them on there"
    )


def _ids(choice: Any, tokens: Sequence[str]) -> tuple[int, ...] | None:
    ids = choice.get("token_ids")
    if isinstance(ids, list) and len(ids) == len(tokens):
        return tuple(int(t) for t in ids)
    if tokens and all(t.startswith("token_id:") for t in tokens):
        return tuple(int(t.removeprefix("token_id:")) for t in tokens)
    return None


def _bytes(token: str) -> bytes:
    """What a token spelled as text stands for; `bytes:\\xe2` is how some servers spell a part of a character."""
    if token.startswith("bytes:"):
        try:
            return token.removeprefix("bytes:").encode("latin-1").decode("unicode_escape").encode("latin-1")
        except (UnicodeDecodeError, UnicodeEncodeError):
            return token.encode("utf-8", "surrogatepass")
    return token.encode("utf-8", "surrogatepass")


def cut(
    choice: Choice, prompt_ids: Sequence[int], vocabulary: Vocabulary | None, pattern: re.Pattern[str] | None
) -> Raw:
    """The choice up to where the pattern ends it, with the tokens that wrote what is kept."""
    ids = choice.ids
    if ids is None and vocabulary is not None:
        ids = _recover(choice, vocabulary)
    if ids is not None and vocabulary is not None and not _thought_apart(choice):
        return _cut_by_ids(choice, ids, prompt_ids, vocabulary, pattern)
    return _cut_by_pieces(choice, ids, pattern)


def _recover(choice: Choice, vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """Ids of tokens that a server only spells, if encoding their text gives back exactly these."""
    ids = vocabulary.encode(b"".join(choice.pieces).decode("utf-8", "replace"), ordinary=True)
    if len(ids) != len(choice.pieces):
        return None
    spelled = [vocabulary.decode([i]).encode("utf-8", "surrogatepass") for i in ids]
    return tuple(ids) if all(a == b for a, b in zip(spelled, choice.pieces, strict=True)) else None


def _thought_apart(choice: Choice) -> bool:
    """Whether tokens come before the text: a server that takes the thinking out of the answer."""
    pieces, start = _aligned(choice)
    joined, text = b"".join(pieces), choice.text.encode("utf-8", "surrogatepass")
    return bool(text) and joined != text and (joined.endswith(text) or start > 0)


def _aligned(choice: Choice) -> tuple[Sequence[bytes], int]:
    """Pieces that spell as the text does, and how many of them come before it where bytes do not tell (else 0).

    Bytes that make no character are U+FFFD in the text, so it is looked for in what the pieces decode to.
    """
    pieces = choice.pieces
    if choice.text.encode("utf-8", "surrogatepass") in b"".join(pieces):
        return pieces, 0
    rests = [b"".join(pieces[i:]).decode("utf-8", "replace") for i in range(len(pieces))]
    whole = next((i for i, rest in enumerate(rests) if rest == choice.text), None)
    start = whole if whole is not None else next((i for i, r in enumerate(rests) if r.startswith(choice.text)), None)
    if start is None:
        return pieces, 0
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    last = len(pieces) - 1
    spelled = [decoder.decode(p, final=i == last).encode() for i, p in enumerate(pieces) if i >= start]
    return (*pieces[:start], *spelled), start


def _cut_by_ids(
    choice: Choice,
    ids: Sequence[int],
    prompt_ids: Sequence[int],
    vocabulary: Vocabulary,
    pattern: re.Pattern[str] | None,
) -> Raw:
    # A server leaves the end token out of the text, and some leave it out of the tokens too.
    known = [i for i in prompt_ids if i >= 0]
    whole = vocabulary.decode([*known[-5:], *ids])[len(vocabulary.decode(known[-5:])) :]
    has_end = choice.ended and len(ids) > 0 and whole != choice.text and len(whole) >= len(choice.text)
    if pattern is not None and pattern.search(whole) is not None:
        has_end = False  # it stopped at a string, whose tokens are there: the pattern finds it
    row = RowText(vocabulary, known, frozenset(ids[-1:] if has_end else ()), pattern)
    for token in ids:
        if row.push(token):
            break
    row.finish()
    kept = len(row.ids)
    finish = "stop" if choice.ended else row.finish_reason
    logprobs, ends = choice.logprobs[:kept], tuple(row.ends)
    return Raw(tuple(row.ids), logprobs, row.score_span(), row.kept_text(), finish, len(ids) - kept, ends)


def _cut_by_pieces(choice: Choice, ids: Sequence[int] | None, pattern: re.Pattern[str] | None) -> Raw:
    n = len(choice.pieces)
    pieces, start = _aligned(choice)
    joined, text = b"".join(pieces), choice.text.encode("utf-8", "surrogatepass")
    ends = list(accumulate(len(p) for p in pieces))
    at = ends[start - 1] if start else 0 if joined.startswith(text) else max(joined.rfind(text), 0)
    first = start or next((i for i, end in enumerate(ends) if end > at), n) if text else 0

    def covering(characters: int) -> int:
        """Fewest leading tokens that reach this character of the text."""
        if characters == 0:
            return first
        need = at + len(choice.text[:characters].encode("utf-8", "surrogatepass"))
        return next((i + 1 for i, end in enumerate(ends) if end >= need), n)

    match = pattern.search(choice.text) if pattern is not None else None
    kept_text = choice.text if match is None else choice.text[: match.start()]
    kept = n if match is None else max(covering(match.end()), covering(match.start()))
    span = (first, max(first, covering(len(kept_text)))) if kept_text else (first, first)
    numbers = tuple(ids) if ids is not None else (UNKNOWN,) * n
    finish = "stop" if choice.ended or match is not None else "length"
    known: tuple[int, ...] = ()
    if joined.startswith(text, at):  # else the pieces spell something else, and nothing follows from their lengths
        marks = list(accumulate(len(c.encode("utf-8", "surrogatepass")) for c in choice.text))
        known = tuple(bisect_right(marks, end - at) for end in ends[:kept])
    return Raw(numbers[:kept], choice.logprobs[:kept], span, kept_text, finish, n - kept, known)
