"""Choose among the correct candidates of a cell without seeing timings."""

from longodds.selection.candidates import Unit, candidate_key, judged, surprisal_of, to_candidates
from longodds.selection.selectors import NEEDS_LOGPROBS, STRATEGIES, Choice, get_selector, select_all

__all__ = [
    "NEEDS_LOGPROBS",
    "STRATEGIES",
    "Choice",
    "Unit",
    "candidate_key",
    "get_selector",
    "judged",
    "select_all",
    "surprisal_of",
    "to_candidates",
]
