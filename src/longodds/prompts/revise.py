"""A prompt with what came of earlier attempts in it: for a policy that revises, and for a teacher that knows more."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from longodds.prompts.build import opening
from longodds.prompts.extract import extract
from longodds.types import Message

if TYPE_CHECKING:
    from longodds.types import Prompt, Task

MAX_CODE = 4000
"""Characters of an attempt that are shown."""
AGAIN = "Correctly solve the original question."
"""What a teacher is asked (the sentence of the seed release's self-distillation)."""

_WHOLE = re.compile(r"^[ \t]*(?:class|def|import|from|@)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Attempt:
    """code: as its author wrote it (`written_code`); feedback: one line (`longodds.prompts.feedback`)."""

    code: str
    feedback: str


def written_code(text: str, task: Task, style: str) -> str:
    """The part of an answer that is its program, as it was written, at most `MAX_CODE` characters of it."""
    found = extract(text, task, style)
    code = text[found.start : found.end].rstrip()
    if len(code) <= MAX_CODE:
        return code
    return code[:MAX_CODE].rpartition("\n")[0] + "\n# ... (the rest is not shown)"


def revision_prompt(task: Task, base: Prompt, attempts: list[Attempt]) -> Prompt:
    """The prompt of the next attempt: `base` (of `build_prompt`), then attempts, oldest first, each with its feedback.

    In the form `chat` they are turns of the conversation; in a text to continue they stand where answers stand, with
    the feedback as a comment behind each. Without attempts it is `base`.
    """
    if not attempts:
        return base
    if base.messages is not None:
        turns = list(base.messages)
        for a in attempts:
            turns += [Message("assistant", _fence(a.code)), Message("user", a.feedback)]
        turns[-1] = Message("user", f"{attempts[-1].feedback} Give a better answer, in the same form.")
        return replace(base, messages=tuple(turns))
    head, start = _split(task, base)
    shown = "".join(f"{_as_answer(start, a.code)}\n# {a.feedback}\n\n" for a in attempts)
    return replace(base, text=f"{head}{shown}{start}")


def teacher_prompt(task: Task, base: Prompt, *, feedback: str | None = None, solution: str | None = None) -> Prompt:
    """The question as a teacher is asked it in self-distillation: with a successful solution and with feedback on an
    attempt, where given, and without the attempt itself. (Hübotter et al. 2026, arXiv:2601.20802.)

    solution: code as its author wrote it. With neither, the question is only asked for once more.
    """
    if base.messages is not None:
        parts = [base.messages[-1].content]
        if solution is not None:
            parts.append(f"A correct solution:\n{_fence(solution)}")
        if feedback is not None:
            parts.append(f"What came of your earlier attempt: {feedback}")
        asked = Message(base.messages[-1].role, "\n\n".join([*parts, AGAIN]))
        return replace(base, messages=(*base.messages[:-1], asked))
    head, start = _split(task, base)
    shown = "" if solution is None else f"# A correct solution:\n{_as_answer(start, solution)}\n\n"
    told = "" if feedback is None else f"# What came of an earlier attempt: {feedback}\n"
    return replace(base, text=f"{head}{shown}{told}# {AGAIN}\n{start}")


def _split(task: Task, base: Prompt) -> tuple[str, str]:
    """A text to continue, as what is before the place of the answer and the lines that open it."""
    start = opening(task, base.style)
    text = base.text or ""
    if not text.endswith(start):
        raise ValueError(f"{task.id}: the prompt does not end where answers of style {base.style} begin")
    return text.removesuffix(start), start


def _as_answer(start: str, code: str) -> str:
    """Code in the place where an answer stands, indented as it must be there."""
    if not code.strip():
        return f"{start.rstrip()}\n        pass" if start.endswith(" ") else f"{start}pass"
    if not start.endswith(" "):
        return start + code
    if _WHOLE.search(code):  # more than a body was written
        return f"{start.partition(chr(10))[0]}\n{code}"
    if code.startswith(" ") and not code.startswith("  "):  # as it continued the open indent
        return start + code
    return start + " " + textwrap.indent(textwrap.dedent(code), " " * 8).lstrip()


def _fence(code: str) -> str:
    return f"```python\n{code.strip() or 'pass'}\n```"
