"""Write the warm-up corpus: reference modules and bodies of `ModelNew.forward` that compute the same, mostly faster.

    python -m scripts.make_corpus corpus.jsonl --problems 20000 --seed 0

Deterministic by seed, whatever the number of workers. Every pair has been run on small inputs
(scripts/corpus/check.py). Nothing of the bundled suite's evaluation problems goes in: a pair that shares a normalised
reference, an op chain or the constants with one of them is dropped, and their evaluation-only families have no
idioms here.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from random import Random

import torch
from scripts.corpus.check import Mismatch
from scripts.corpus.fingerprint import class_constants, normalised_reference, op_chain
from scripts.corpus.grammar import Grammar
from scripts.corpus.speeds import Speeds
from scripts.corpus.template import FAMILIES
from scripts.corpus.write import Pair, write_pairs

from longodds.tasks import load_suite

SHARES = {
    "elementwise": 0.15,
    "reductions": 0.14,
    "norms": 0.12,
    "softmax": 0.11,
    "structured_matmul": 0.12,
    "matmul_chain": 0.08,
    "scans": 0.1,
    "losses": 0.1,
    "indexing": 0.08,
}


class Exclusions:
    """Fingerprints of the evaluation problems; they are compared, never looked at."""

    def __init__(self, suite: str = "cpu") -> None:
        held = [t for t in load_suite(suite) if t.metadata["split"] == "eval"]
        self.references = {normalised_reference(t.reference, t.id) for t in held}
        self.chains = {op_chain(t.reference, t.id) for t in held}
        self.constants = {c for t in held if (c := class_constants(t.reference))}
        self.names = {t.id.partition("/")[2] for t in held}

    def reason(self, reference: str) -> str | None:
        """Why a reference may not be in the corpus, or None."""
        if op_chain(reference, "corpus") in self.chains:
            return "op chain"
        if normalised_reference(reference, "corpus") in self.references:
            return "reference"
        if class_constants(reference) in self.constants:
            return "constants"
        return None


def generate(
    problems: range,
    seed: int,
    *,
    bodies: int = 2,
    exclusions: Exclusions | None = None,
    reasons: Counter[str] | None = None,
) -> Iterator[Pair]:
    """Pairs of the problems with these numbers: each depends on (seed, number) alone. Unfit ones are skipped.

    bodies: the most that one reference gets. reasons counts what was dropped and why.
    """
    grammar, speeds = Grammar(), Speeds()
    excluded = exclusions or Exclusions()
    counts: Counter[str] = reasons if reasons is not None else Counter()
    assert set(SHARES) == set(FAMILIES)
    for number in problems:
        rng = Random(f"{seed}/{number}")
        family = rng.choices([*SHARES], [*SHARES.values()])[0]
        try:
            problem = grammar.draw(rng, family)
            found = write_pairs(problem, family, rng, rng.randint(1, bodies), speeds)
        except (Mismatch, ValueError, KeyError, IndexError) as e:
            counts[f"{type(e).__name__}: {str(e)[:60]}"] += 1
            continue
        reason = excluded.reason(found[0].reference)
        if reason is not None or len(found[0].prompt) > 2000 or any(len(p.body) > 700 for p in found):
            counts[reason or "too long"] += 1
            continue
        yield from found


def _part(job: tuple[range, int, int]) -> tuple[list[Pair], Counter[str]]:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    reasons: Counter[str] = Counter()
    return list(generate(job[0], job[1], bodies=job[2], reasons=reasons)), reasons


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--problems", type=int, default=20000, help="to try; about nine in ten are fit")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--bodies", type=int, default=2, help="most bodies of one reference")
    parser.add_argument("--workers", type=int, default=1)
    args = parser.parse_args()
    reasons: Counter[str] = Counter()
    families: Counter[str] = Counter()
    jobs = [(range(i, min(i + 100, args.problems)), args.seed, args.bodies) for i in range(0, args.problems, 100)]
    partial = args.out.with_suffix(".partial")
    with ProcessPoolExecutor(args.workers) as pool, partial.open("w", encoding="utf-8") as f:
        for pairs, dropped in pool.map(_part, jobs):
            reasons += dropped
            for pair in pairs:
                f.write(json.dumps(asdict(pair)) + "\n")
                families[pair.family] += 1
    partial.rename(args.out)
    print(f"{sum(families.values())} pairs", dict(families))
    print("dropped", sum(reasons.values()), reasons.most_common(12))


if __name__ == "__main__":
    main()
