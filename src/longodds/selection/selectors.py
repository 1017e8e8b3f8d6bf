"""The selection strategies: which correct candidate of a cell to use, and which few to time first.

A selector sees `Candidate`s (correctness, likelihood, length) and no timings. Strategies ending in `-top3`
name three candidates; the fastest of them is used, at the price of three timings. The random strategies are
exact: their `Choice` stands for all equally likely picks, and the reader takes the expectation.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.types import Candidate


@dataclass(frozen=True, slots=True)
class Choice:
    """What a strategy does in one cell.

    keys: the chosen candidates, best first; or, if `uniform`, all that the m are drawn from.
    m: how many are timed; the fastest of them is used. uniform: every m-subset of `keys` is equally likely.
    A cell without a correct candidate has no keys.
    """

    strategy: str
    keys: tuple[str, ...]
    m: int
    uniform: bool = False


@dataclass(frozen=True, slots=True)
class ScoreSelector:
    """Takes the m correct candidates with the highest score; ties are broken by a seeded hash of the key, so the
    order in which candidates arrive decides nothing. Candidates without a score (nan) are never chosen."""

    name: str
    score: Callable[[Candidate], float]
    m: int = 1
    seed: int = 0

    def rank(self, candidates: Sequence[Candidate]) -> list[str]:
        """Keys of all scored correct candidates, best first."""
        rows = [(self.score(c), c.key) for c in candidates if c.correct]
        rows = [(-score, tie_break(self.seed, key), key) for score, key in rows if not math.isnan(score)]
        return [key for _, _, key in sorted(rows)]

    def select(self, candidates: Sequence[Candidate]) -> list[str]:
        return self.rank(candidates)[: self.m]

    def choose(self, candidates: Sequence[Candidate]) -> Choice:
        return Choice(self.name, tuple(self.select(candidates)), self.m)


@dataclass(frozen=True, slots=True)
class MedianSelector:
    """Takes the correct candidate in the middle by score (the lower one of an even number)."""

    name: str
    score: Callable[[Candidate], float]
    seed: int = 0
    m: int = 1

    def rank(self, candidates: Sequence[Candidate]) -> list[str]:
        """Keys of all scored correct candidates, those nearest the middle rank first."""
        ascending = ScoreSelector(self.name, lambda c: -self.score(c), seed=self.seed).rank(candidates)
        middle = (len(ascending) - 1) // 2
        order = sorted(range(len(ascending)), key=lambda i: (abs(i - middle), i))
        return [ascending[i] for i in order]

    def select(self, candidates: Sequence[Candidate]) -> list[str]:
        return self.rank(candidates)[: self.m]

    def choose(self, candidates: Sequence[Candidate]) -> Choice:
        return Choice(self.name, tuple(self.select(candidates)), self.m)


@dataclass(frozen=True, slots=True)
class RandomSelector:
    """Any correct candidate. `choose` stands for all picks at once; `rank` and `select` are one seeded draw."""

    name: str
    m: int = 1
    seed: int = 0

    def rank(self, candidates: Sequence[Candidate]) -> list[str]:
        return sorted((c.key for c in candidates if c.correct), key=lambda key: tie_break(self.seed, key))

    def select(self, candidates: Sequence[Candidate]) -> list[str]:
        return self.rank(candidates)[: self.m]

    def choose(self, candidates: Sequence[Candidate]) -> Choice:
        return Choice(self.name, tuple(c.key for c in candidates if c.correct), self.m, uniform=True)


AnySelector = ScoreSelector | MedianSelector | RandomSelector


def tie_break(seed: int, key: str) -> bytes:
    """A random but repeatable order of keys, one per seed."""
    return hashlib.blake2b(f"{seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _surprisal(c: Candidate) -> float:
    return c.surprisal


def _confidence(c: Candidate) -> float:
    return -c.surprisal


def _sum_surprisal(c: Candidate) -> float:
    return c.sum_surprisal


def _sum_confidence(c: Candidate) -> float:
    return -c.sum_surprisal


def _length(c: Candidate) -> float:
    return c.n_tokens


def _shortness(c: Candidate) -> float:
    return -c.n_tokens


_SCORES: dict[str, tuple[Callable[[Candidate], float], int]] = {
    "most-confident": (_confidence, 1),
    "surprisal": (_surprisal, 1),
    "surprisal-top3": (_surprisal, 3),
    "confident-top3": (_confidence, 3),
    "shortest": (_shortness, 1),
    "longest": (_length, 1),
    "sum-most-confident": (_sum_confidence, 1),
    "sum-surprisal": (_sum_surprisal, 1),
    "sum-surprisal-top3": (_sum_surprisal, 3),
    "sum-confident-top3": (_sum_confidence, 3),
}
_MEDIANS: dict[str, Callable[[Candidate], float]] = {
    "median-surprisal": _surprisal,
    "sum-median-surprisal": _sum_surprisal,
}
_RANDOM = {"random": 1, "random-top3": 3}

STRATEGIES: tuple[str, ...] = (
    "random",
    "most-confident",
    "surprisal",
    "median-surprisal",
    "shortest",
    "longest",
    "surprisal-top3",
    "confident-top3",
    "random-top3",
    "sum-most-confident",
    "sum-surprisal",
    "sum-median-surprisal",
    "sum-surprisal-top3",
    "sum-confident-top3",
)
"""All strategies that choose without timings. `oracle` needs timings and lives in `analysis`."""

NEEDS_LOGPROBS: frozenset[str] = frozenset(name for name in STRATEGIES if "surprisal" in name or "confident" in name)
"""Strategies that can't be used when the policy gave no log-probabilities."""


def get_selector(name: str, *, seed: int = 0) -> AnySelector:
    """The selector of that name. Raises UserError for an unknown one."""
    if name in _SCORES:
        score, m = _SCORES[name]
        return ScoreSelector(name, score, m, seed)
    if name in _MEDIANS:
        return MedianSelector(name, _MEDIANS[name], seed)
    if name in _RANDOM:
        return RandomSelector(name, _RANDOM[name], seed)
    raise UserError(f"unknown selection strategy {name!r}; known: {', '.join(STRATEGIES)}")


def select_all(candidates: Sequence[Candidate], *, seed: int = 0) -> dict[str, Choice]:
    """What every strategy of `STRATEGIES` chooses among the candidates of one cell."""
    return {name: get_selector(name, seed=seed).choose(candidates) for name in STRATEGIES}
