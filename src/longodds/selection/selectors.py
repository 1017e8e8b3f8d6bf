"""The selection strategies: which correct candidate of a cell to use, and which few to time first.

A selector sees `Candidate`s (correctness, likelihood, length, count) and no timings. Strategies ending in `-top3`
name three candidates; the fastest of them is used, at the price of three timings. The random strategies are
exact: their `Choice` stands for all equally likely picks, and the reader takes the expectation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from longodds.errors import UserError
from longodds.selection import scores
from longodds.types import Candidate

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

Score = Callable[[Sequence[Candidate]], "Floats"]

DIGITS = 12
"""Decimals of a score that count: a mean over copies of one sample must tie with the sample."""


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
    """Takes the m correct candidates with the highest score times `sign`; ties are broken by a seeded hash of the key,
    so the order in which candidates arrive decides nothing. Candidates without a score (nan) are never chosen.

    middle: take those nearest the middle rank instead (the lower one of an even number).
    """

    name: str
    score: Score
    sign: int = 1
    m: int = 1
    seed: int = 0
    middle: bool = False

    def order(self, correct: Sequence[Candidate]) -> list[int]:
        """Positions in `correct`, which must be in the order of their tie-breaks, best first."""
        if not correct:
            return []
        value = -self.sign * np.round(self.score(correct), DIGITS)
        ranked = np.argsort(value, kind="stable")
        ranked = ranked[np.isfinite(value[ranked])]
        if self.middle:
            away = np.abs(np.arange(len(ranked)) - (len(ranked) - 1) // 2)
            ranked = ranked[np.argsort(away, kind="stable")]
        return [int(i) for i in ranked]

    def rank(self, candidates: Sequence[Candidate]) -> list[str]:
        """Keys of all scored correct candidates, best first."""
        correct = in_tie_order(candidates, self.seed)
        return [correct[i].key for i in self.order(correct)]

    def select(self, candidates: Sequence[Candidate]) -> list[str]:
        return self.rank(candidates)[: self.m]

    def choose(self, correct: Sequence[Candidate]) -> Choice:
        """correct: as `in_tie_order` gives them."""
        return Choice(self.name, tuple(correct[i].key for i in self.order(correct)[: self.m]), self.m)


@dataclass(frozen=True, slots=True)
class RandomSelector:
    """Any correct candidate. `choose` stands for all picks at once; `rank` and `select` are one seeded draw."""

    name: str
    m: int = 1
    seed: int = 0

    def rank(self, candidates: Sequence[Candidate]) -> list[str]:
        return [c.key for c in in_tie_order(candidates, self.seed)]

    def select(self, candidates: Sequence[Candidate]) -> list[str]:
        return self.rank(candidates)[: self.m]

    def choose(self, correct: Sequence[Candidate]) -> Choice:
        return Choice(self.name, tuple(c.key for c in correct), self.m, uniform=True)


AnySelector = ScoreSelector | RandomSelector


def in_tie_order(candidates: Sequence[Candidate], seed: int) -> list[Candidate]:
    """The correct candidates in a random but repeatable order, one per seed: who wins a tie."""
    return sorted((c for c in candidates if c.correct), key=lambda c: tie_break(seed, c.key))


def tie_break(seed: int, key: str) -> bytes:
    """A random but repeatable order of keys, one per seed."""
    return hashlib.blake2b(f"{seed}:{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()


_SCORES: dict[str, tuple[Score, int, int]] = {
    "most-confident": (scores.surprisal, -1, 1),
    "surprisal": (scores.surprisal, 1, 1),
    "shortest": (scores.length, -1, 1),
    "longest": (scores.length, 1, 1),
    "surprisal-top3": (scores.surprisal, 1, 3),
    "confident-top3": (scores.surprisal, -1, 3),
    "sum-most-confident": (scores.sum_surprisal, -1, 1),
    "sum-surprisal": (scores.sum_surprisal, 1, 1),
    "sum-surprisal-top3": (scores.sum_surprisal, 1, 3),
    "sum-confident-top3": (scores.sum_surprisal, -1, 3),
    "length-matched-surprisal": (scores.surprisal_given_length, 1, 1),
    "length-matched-confident": (scores.surprisal_given_length, -1, 1),
    "standardised-surprisal": (scores.standardised_surprisal, 1, 1),
    "standardised-confident": (scores.standardised_surprisal, -1, 1),
    "most-common": (scores.popularity, 1, 1),
    "rarest": (scores.popularity, -1, 1),
    "low-tail-entropy": (scores.tail_entropy, -1, 1),
    "high-tail-entropy": (scores.tail_entropy, 1, 1),
    "self-certainty": (scores.self_certainty, 1, 1),
    "low-self-certainty": (scores.self_certainty, -1, 1),
}
_MEDIANS: dict[str, Score] = {
    "median-surprisal": scores.surprisal,
    "sum-median-surprisal": scores.sum_surprisal,
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
    "length-matched-surprisal",
    "length-matched-confident",
    "standardised-surprisal",
    "standardised-confident",
    "most-common",
    "rarest",
    "low-tail-entropy",
    "high-tail-entropy",
    "self-certainty",
    "low-self-certainty",
)
"""All strategies that choose without timings. `oracle` needs timings and lives in `analysis`."""

TIMED: dict[str, int] = {name: 3 if name.endswith("-top3") else 1 for name in STRATEGIES}
"""Candidates of a cell that each strategy times."""

NEEDS_TOP_LOGPROBS: frozenset[str] = frozenset(
    ("low-tail-entropy", "high-tail-entropy", "self-certainty", "low-self-certainty")
)
"""Strategies that can't be used when the policy gave no top-k log-probabilities."""

NEEDS_LOGPROBS: frozenset[str] = NEEDS_TOP_LOGPROBS | {
    name for name in STRATEGIES if "surprisal" in name or "confident" in name
}
"""Strategies that can't be used when the policy gave no log-probabilities."""


def get_selector(name: str, *, seed: int = 0) -> AnySelector:
    """The selector of that name. Raises UserError for an unknown one."""
    if name in _SCORES:
        score, sign, m = _SCORES[name]
        return ScoreSelector(name, score, sign, m, seed)
    if name in _MEDIANS:
        return ScoreSelector(name, _MEDIANS[name], -1, 1, seed, middle=True)
    if name in _RANDOM:
        return RandomSelector(name, _RANDOM[name], seed)
    raise UserError(f"unknown selection strategy {name!r}; known: {', '.join(STRATEGIES)}")


def select_all(candidates: Sequence[Candidate], *, seed: int = 0) -> dict[str, Choice]:
    """What every strategy of `STRATEGIES` chooses among the candidates of one cell."""
    correct = in_tie_order(candidates, seed)
    return {name: get_selector(name, seed=seed).choose(correct) for name in STRATEGIES}
