"""When an attempt may sample no more: so many seconds are over, or the run has cost so much."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from longodds.store import PRICES, cost_document, derive_cost, money

if TYPE_CHECKING:
    from collections.abc import Callable

    from longodds.config import BestOfNSettings
    from longodds.store import RunDir
    from longodds.strategies.progress import Progress


class Budget:
    """Admits batches of samples until a budget is used up; what was drawn by then is still judged.

    stopped: the budget that ended admissions (`max_seconds`, of this attempt; `max_cost`, of the run), or None.
    """

    def __init__(
        self,
        run: RunDir,
        settings: BestOfNSettings,
        progress: Progress,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._run = run
        self._settings = settings
        self._progress = progress
        self._clock = clock
        self._began = clock()
        self.stopped: str | None = None

    def admit(self) -> bool:
        """Whether another batch may be sampled."""
        s = self._settings
        if self.stopped is None:
            if s.max_seconds is not None and self._clock() - self._began >= s.max_seconds:
                self._stop("max_seconds", f"{s.max_seconds:g} seconds are over")
            elif s.max_cost is not None and money(derive_cost(self._run)["run"], prices(s)) >= s.max_cost:
                self._stop("max_cost", f"the run has cost {s.max_cost:g}")
        return self.stopped is None

    def _stop(self, budget: str, why: str) -> None:
        self.stopped = budget
        self._progress.note(f"{why}: no new samples; the same command goes on")


def prices(settings: BestOfNSettings) -> dict[str, float]:
    return {name: getattr(settings, name) for name in PRICES}


def write_cost(run: RunDir, settings: BestOfNSettings) -> None:
    """`cost.json`, from the rows; with the prices, which the config leaves out, because `compare` needs them again."""
    given = prices(settings)
    document = cost_document(derive_cost(run), given)
    run.write_json("cost.json", {**document, "prices": given} if any(given.values()) else document)
