"""Choose among the correct candidates of a cell without seeing timings."""

from longodds.selection.candidates import Unit, candidate_key, judged, surprisal_of, to_candidates
from longodds.selection.certainty import certainty_of
from longodds.selection.flips import selection_flips
from longodds.selection.selectors import (
    NEEDS_LOGPROBS,
    NEEDS_TOP_LOGPROBS,
    STRATEGIES,
    TIMED,
    Choice,
    get_selector,
    select_all,
)

__all__ = [
    "NEEDS_LOGPROBS",
    "NEEDS_TOP_LOGPROBS",
    "STRATEGIES",
    "TIMED",
    "Choice",
    "Unit",
    "candidate_key",
    "certainty_of",
    "get_selector",
    "judged",
    "select_all",
    "selection_flips",
    "surprisal_of",
    "to_candidates",
]
