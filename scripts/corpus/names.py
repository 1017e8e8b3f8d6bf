"""Names that people give to arguments, attributes, constants and locals: many, so that none can be learned by heart."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@cache
def words(kind: str) -> list[str]:
    """The words of `words.txt` for a kind; empty for a kind that it doesn't have."""
    text = (Path(__file__).parent / "words.txt").read_text("utf-8")
    lines = [line for line in text.replace("\n  ", " ").splitlines() if line.startswith(f"{kind}: ")]
    return lines[0].partition(": ")[2].split() if lines else []


def argument(rng: Random, role: str, taken: set[str]) -> str:
    """A fresh argument name for a role: main, second, target, index, mask, matrix, vector."""
    pool = words("arg" if role == "main" else role)
    return _fresh(rng, pool if rng.random() < 0.6 else words("nouns"), taken)


def attribute(rng: Random, kind: str, taken: set[str]) -> str:
    """A fresh attribute name for a hole kind (scalar kinds, P, PM for matrices, L, R)."""
    kinds = {"P": "parameter", "PM": "matrix_parameter", "L": "linear", "R": "buffer"}
    pool = words(kinds.get(kind, f"scalar.{kind}"))
    name = rng.choice(pool)
    if rng.random() < 0.45:
        name = f"{rng.choice(words('nouns'))}_{name}"
    elif rng.random() < 0.15:
        name = rng.choice(words("nouns"))
    return name if name not in taken else _fresh(rng, [f"{rng.choice(words('nouns'))}_{n}" for n in pool], taken)


def dimension(rng: Random, letter: str, taken: set[str]) -> str:
    """A fresh constant name for a dimension letter."""
    pool = words(f"dim.{letter.upper()}") or words("dim.C")
    if rng.random() < 0.3:
        noun = rng.choice(words("nouns"))
        pool = [f"{noun}S".upper(), f"NUM_{noun}S".upper(), f"N_{noun}".upper(), f"{noun}_SIZE".upper()]
    return _fresh(rng, pool, taken)


def constant(rng: Random, attr: str, taken: set[str]) -> str:
    return _fresh(rng, [attr.upper(), f"DEFAULT_{attr}".upper()], taken)


def local(rng: Random, hint: str, taken: set[str]) -> str:
    """A fresh local name for what a template called `hint`."""
    pool = words(f"local.{hint}") or [hint]
    if rng.random() < 0.25:
        pool = words("generic")
    elif rng.random() < 0.15:
        pool = words("nouns")
    return _fresh(rng, pool, taken)


def _fresh(rng: Random, pool: list[str], taken: set[str]) -> str:
    for _ in range(8):
        name = rng.choice(pool)
        if name not in taken:
            return name
    base = rng.choice(pool)
    return next(f"{base}{i}" for i in range(2, 1000) if f"{base}{i}" not in taken)
