"""How much the choice depends on which log-probabilities it is made by: those a service returned, or those at
temperature 1."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from longodds.selection.candidates import to_candidates
from longodds.selection.selectors import get_selector

if TYPE_CHECKING:
    from collections.abc import Iterable

    from longodds.types import Sample


def selection_flips(samples: Iterable[Sample], strategy: str = "surprisal", *, seed: int = 0) -> dict[str, Any]:
    """{"strategy", "cells", "flipped", "share"}: cells (task x seed) whose samples were scored again and that have a
    correct program to choose; how many of them choose another one by what the service returned. share is null without
    such cells."""
    cells: dict[tuple[str, int], list[Sample]] = {}
    for sample in samples:
        cells.setdefault((sample.task_id, sample.seed), []).append(sample)
    selector = get_selector(strategy, seed=seed)
    asked = flipped = 0
    for cell in cells.values():
        if not any(s.completion.returned_logprobs and s.completion.logprobs for s in cell):
            continue
        chosen = selector.select(to_candidates(cell))
        if not chosen:
            continue
        asked += 1
        flipped += chosen[0] != selector.select(to_candidates([_as_returned(s) for s in cell]))[0]
    return {"strategy": strategy, "cells": asked, "flipped": flipped, "share": flipped / asked if asked else None}


def _as_returned(sample: Sample) -> Sample:
    c = sample.completion
    return replace(sample, completion=replace(c, logprobs=c.returned_logprobs)) if c.returned_logprobs else sample
