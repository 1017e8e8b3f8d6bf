"""How many choices change with the log-probabilities that they are made by."""

from __future__ import annotations

from longodds.selection import selection_flips
from longodds.types import Completion, Sample, Status, Verdict


def sample(task: str, index: int, logprob: float, returned: float | None, correct: bool = True) -> Sample:
    back = () if returned is None else (returned,)
    completion = Completion((1,), (logprob,), (logprob,), (0, 1), "x", "stop", "v", returned_logprobs=back)
    verdict = Verdict(task, Status.CORRECT if correct else Status.INCORRECT)
    return Sample(f"{task}{index}", task, 0, index, "best_of_n", 0, completion, f"p{index}", f"d{index}", verdict)


def test_a_choice_that_the_returned_numbers_would_turn_is_counted() -> None:
    turned = [sample("a", 0, -2.0, -0.1), sample("a", 1, -1.0, -0.5)]
    kept = [sample("b", 0, -2.0, -0.9), sample("b", 1, -1.0, -0.5)]
    wrong_would_turn = [sample("c", 0, -2.0, -0.2), sample("c", 1, -1.0, -0.5, correct=False)]
    assert selection_flips(turned + kept + wrong_would_turn) == {
        "strategy": "surprisal",
        "cells": 3,
        "flipped": 1,
        "share": 1 / 3,
    }


def test_cells_that_were_not_scored_again_do_not_count() -> None:
    raw = [sample("a", 0, -2.0, None), sample("a", 1, -1.0, None)]
    unjudgeable = [sample("b", 0, -2.0, -0.1, correct=False)]
    assert selection_flips(raw + unjudgeable) == {"strategy": "surprisal", "cells": 0, "flipped": 0, "share": None}
