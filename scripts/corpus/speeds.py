"""Which text of an idiom is fastest, as measure.py found it on a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

from scripts.corpus.template import IDIOM_DIR, Idiom


class Speeds:
    """Measured times of texts relative to the fastest of their idiom; without a measurement, the order of the file."""

    def __init__(self, path: Path = IDIOM_DIR / "speeds.json") -> None:
        self.table: dict[str, dict[str, float]] = json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def rank(self, idiom: Idiom) -> dict[str, float]:
        """Text -> relative time (1 is the fastest). Of texts within 4 % of the fastest the file's first wins."""
        measured = self.table.get(f"{idiom.family}/{idiom.name}", {})
        texts = dict.fromkeys((*idiom.fast, *idiom.refs))
        known = {t: measured[t] for t in texts if t in measured}
        if not known:
            return {t: 1.0 + 0.3 * i for i, t in enumerate(idiom.fast or idiom.refs)}
        best = min(known.values())
        ranked: dict[str, float] = {}
        for text, slower in known.items():
            # What the author of the idiom recommends is kept unless it is clearly slower: timings are noisy.
            handicap = 1.0 if text in idiom.fast else 1.08
            ranked[text] = max(1.0, slower / best / 1.04) * handicap
        return ranked

    def pick(self, ranked: dict[str, float], rng: Random, strictness: float) -> str:
        """A text drawn with weight (1 / relative time) ** strictness; equals share by their order."""
        texts = sorted(ranked, key=lambda t: ranked[t])
        weights = [ranked[t] ** -strictness * 0.6**i for i, t in enumerate(texts)]
        return rng.choices(texts, weights)[0]
