"""Where in a model's answer the code is: behind its reasoning, in a fence, between lines of prose.

Everything is a span [start, end) of characters of the answer, so that the tokens that wrote the code can be told from
those around it. Nothing here raises for any text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

# OpenAI's Harmony format: the answer is in the channel `final`, whatever was thought in others before.
_HARMONY = re.compile(r"<\|(?:channel|message)\|>")
_FINAL = re.compile(r"<\|channel\|>\s*final\b[^<\n]*(?:<\|constrain\|>[^<\n]*)?<\|message\|>")
_TURN_END = re.compile(r"<\|(?:end|return|call|start)\|>")
# The same once a decoder has dropped the control tokens: channel names run into the text.
_BARE_ANALYSIS = re.compile(r"analysis(?=[A-Z])")
_BARE_FINAL = "assistantfinal"
_THOUGHT_END = re.compile(r"</(?:think|thinking|thought|reasoning)>|\[/THINK\]", re.IGNORECASE)
_THOUGHT = re.compile(r"\s*(?:<(?:think|thinking|thought|reasoning)>|\[THINK\])", re.IGNORECASE)
_BLANK_LINES = re.compile(r"(?:[ \t]*\n)+")
_ANSWER = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL | re.IGNORECASE)

_FENCE = re.compile(
    r"(?P<tick>```+|~~~+)(?P<info>[^\n`]*)\n(?P<code>.*?)(?:(?:\n|(?<=\n))[ \t]*(?P=tick)|\Z)", re.DOTALL
)
# Info strings of text that is no program. C++ and CUDA are not among them: a module that holds such kernels is Python,
# and is fenced as either.
_OTHER_LANGUAGE = re.compile(
    r"\s*(?:te?xt|plain(?:text)?|output|stdout|log|console|(?:ba|z|power)?sh(?:ell)?|json|ya?ml|toml|xml|html|diff|patch"
    r"|markdown|md|latex|sql|java(?:script)?|js|typescript|ts|rust|go)\b",
    re.IGNORECASE,
)
_MARK = re.compile(r"^[ \t]*(?:```+|~~~+)([^\n`]*)$", re.MULTILINE)
_INLINE = re.compile(r"\s*(`+)([^`\n]+)\1\s*")

# What a line of code at column 0 can begin with; any other line without an indent is taken for prose.
_CODE = re.compile(
    r"\s|return\b|(?:if|for|while|with|elif|else|try|except|finally|match|async)\b.*:|(?:def|class)\s+\w|@|#|pass\b"
    r"|import\s+\w|from\s+[\w.]+\s+import\b|raise\b|assert\b|del\b|global\b|nonlocal\b|'''|\"\"\"|[\])}]"
    r"|[\w.\[\]*, ()'\":-]+\s*[-+*/@%&|^<>]*=[^=]|[\w.]+\("
)


def final_answer(text: str) -> Span:
    """The answer without what was thought aloud before it; an empty span when the answer has not begun."""
    start, end = 0, len(text)
    if _HARMONY.search(text):
        finals = list(_FINAL.finditer(text))
        if not finals:
            return end, end
        start = finals[-1].end()
        turn = _TURN_END.search(text, start)
        end = turn.start() if turn else end
    elif _BARE_ANALYSIS.match(text):
        at = text.rfind(_BARE_FINAL)
        if at < 0:
            return end, end
        start = at + len(_BARE_FINAL)
    thoughts = list(_THOUGHT_END.finditer(text, start, end))
    if thoughts:
        start = thoughts[-1].end()
    elif _THOUGHT.match(text, start, end):
        return end, end
    answers = list(_ANSWER.finditer(text, start, end))
    if answers:
        start, end = answers[-1].span(1)
    blank = _BLANK_LINES.match(text, start, end) if start else None
    return (blank.end() if blank else start), end


def fenced(text: str, span: Span) -> list[Span]:
    """The code of every fence inside the span, in order; one that never closes reaches to the end. Fences that name
    another language than Python count only where there are no others.

    An answer that continues a fence which the prompt opened has only its closing mark: what is before it is the code.
    """
    part = text[span[0] : span[1]]
    marks = list(_MARK.finditer(part))
    if len(marks) % 2 and not marks[0].group(1).strip() and marks[0].start() > 0:
        before = part[: marks[0].start()]
        if all(_CODE.match(line) for line in before.splitlines() if line.strip()) and before.strip():
            return [(span[0], span[0] + marks[0].start())]
    inline = _INLINE.fullmatch(part)
    if inline is not None:
        return [(span[0] + inline.start(2), span[0] + inline.end(2))]
    found = list(_FENCE.finditer(part))
    programs = [m for m in found if not _OTHER_LANGUAGE.match(m["info"])]
    return [(span[0] + m.start("code"), span[0] + m.end("code")) for m in programs or found]


def without_prose(text: str, span: Span) -> Span:
    """The span without lines of prose, and blank ones, before and after the code; empty if all of it is prose.

    A line that looks like code, broken or not, stays: an answer that was cut short is not made whole.
    """
    lines = list(_lines(text, span))
    code = [i for i, (a, b) in enumerate(lines) if _CODE.match(text, a, b) and text[a:b].strip()]
    if not code:
        return span[1], span[1]
    return lines[code[0]][0], lines[code[-1]][1]


def _lines(text: str, span: Span) -> Iterator[Span]:
    at = span[0]
    while at < span[1]:
        newline = text.find("\n", at, span[1])
        end = span[1] if newline < 0 else newline + 1
        yield at, end
        at = end
