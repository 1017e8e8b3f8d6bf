"""Verdict -> what a model may be told of it: status, a sanitised and bounded message, the speedup with its interval.

A model that is told more than that learns to answer the evaluator instead of the task. So the text holds nothing of
the oracle's inputs, expected values and tolerances, which of its laws an attempt fell to, or how calls are timed and
checked. What a program itself says of its failure is kept, but without figures that could carry its inputs out, and
short.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from longodds.types import Status

if TYPE_CHECKING:
    from longodds.types import Verdict

MAX_MESSAGE = 300
"""Characters of a message that are shown."""

_MASK = "<number>"
# Values rather than shapes: fractions, exponents, long or hexadecimal numbers, a sign that is no range.
_VALUE = re.compile(r"(?<![\w.])-?(?:\d+\.\d*|\.\d+|\d+(?=[eE][-+]?\d)|\d{7,})(?:[eE][-+]?\d+)?|\b0x[0-9a-fA-F]+")
_LINES = re.compile(r"\s*\((?:[\w.<>/-]+, )?line \d+(?: in [\w<>]+)?(?:, line \d+(?: in [\w<>]+)?)*\)")
_PATH = re.compile(r"(?<![\w/])/(?:[\w.+@-]+/)+([\w.+@-]+)")
_QUOTED = re.compile(r"(['\"])[^'\"]{60,}\1")
_WRONG_SHARE = re.compile(r"(\d+) of (\d+) elements (?:differ|beyond)")
# How the oracle found out; whatever else it says of values stays with it.
_ORACLE = re.compile(r"^in a (?:timed|later) call: |\(inputs: |\bgot .*\bexpected |allowed |max difference")
_MEMORY = {
    "the program changes its input in place": "it changes its input in place, and the original does not",
    "the program changes an input in place": "it changes an input in place that the original leaves alone",
    "which the reference changes in place": "it does not leave an input as the original leaves it",
    "the output shares memory with an input": "its output shares memory with an input",
}


def feedback(verdict: Verdict) -> str:
    """One line on an attempt, for the model that made it or for its teacher. Raises ValueError for an INFRA_ERROR: it
    says nothing of the attempt."""
    if verdict.status is Status.INFRA_ERROR:
        raise ValueError(f"{verdict.task_id}: an infra_error is no verdict on the attempt")
    if verdict.status is Status.CORRECT:
        return f"Correct. {_speed(verdict)}"
    if verdict.status is Status.INCORRECT:
        return f"Wrong result: {_what_is_wrong(verdict.message)}."
    if verdict.status is Status.COMPILE_ERROR:
        return f"Does not compile: {_own_words(verdict.message)}."
    if verdict.status is Status.TIMEOUT:
        return "Stopped: it did not finish in time."
    if verdict.status is Status.REJECTED:
        return "Rejected: every call must do its own work, within the call, from the arguments of that call."
    return f"Fails when it runs: {_own_words(verdict.message)}."


def _speed(verdict: Verdict) -> str:
    if verdict.speedup is None:
        return "Its speed was not measured."
    told = f"Speed relative to the original: {verdict.speedup:.2f}x"
    if verdict.ci_low is None or verdict.ci_high is None:
        return f"{told}."
    if verdict.ci_low > 1:
        says = "faster"
    elif verdict.ci_high < 1:
        says = "slower"
    else:
        says = "no difference that could be told"
    return f"{told} (99 % interval {verdict.ci_low:.2f} to {verdict.ci_high:.2f}): {says}."


def _what_is_wrong(message: str) -> str:
    for phrase, says in _MEMORY.items():
        if phrase in message:
            return says
    if not _ORACLE.search(message):
        return _own_words(message)  # of its structure: shapes, types, names of weights
    share = _WRONG_SHARE.search(message)
    if share is None:
        return "its values are not those of the original, or not precise enough"
    part = int(share.group(1)) / max(int(share.group(2)), 1)
    how_many = "all" if part > 0.99 else "most" if part > 0.5 else "some" if part > 0.01 else "few"
    return f"{how_many} of its values are not those of the original, or not precise enough"


def _own_words(message: str) -> str:
    """The message of a failing program as it may be shown: one line, no values, no places, no fence to break out of."""
    text = "".join(c if c.isprintable() else " " for c in message)
    text = _LINES.sub("", text)  # of the module around the answer, which its author has not seen
    text = _PATH.sub(r"\1", text)
    text = _VALUE.sub(_MASK, text)
    text = _QUOTED.sub("'...'", text)
    text = " ".join(text.replace("`", "'").split()).rstrip(".: ")
    if len(text) > MAX_MESSAGE:
        text = text[: MAX_MESSAGE - 4].rstrip() + " ..."
    return text or "it says no more"
