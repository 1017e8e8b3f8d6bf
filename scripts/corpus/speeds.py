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

    def rank(self, idiom: Idiom, own: str) -> dict[str, float]:
        """Text -> relative time (1 is the fastest) of the fast texts and of the one that the reference is written in.

        Other ways to write the reference are no candidates: some overflow where it doesn't. What the author of the
        idiom recommends is kept unless it is clearly slower, as timings are noisy.
        """
        measured = self.table.get(f"{idiom.family}/{idiom.name}", {})
        times = {t: measured.get(t, 1.0 + 0.2 * i) for i, t in enumerate(idiom.fast)}
        times.setdefault(own, 1.3 * measured.get(own, 1.3))
        best = min(times.values())
        return {t: max(1.0, v / best / 1.05) for t, v in times.items()}

    def pick(self, ranked: dict[str, float], rng: Random, strictness: float) -> str:
        """A text drawn with weight (1 / relative time) ** strictness; equals share by their order."""
        texts = sorted(ranked, key=lambda t: ranked[t])
        weights = [ranked[t] ** -strictness * 0.6**i for i, t in enumerate(texts)]
        return rng.choices(texts, weights)[0]
