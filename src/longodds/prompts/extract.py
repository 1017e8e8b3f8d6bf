"""Completion -> program: a whole module with `class ModelNew`, from whatever form the model answered in."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from longodds.errors import UserError
from longodds.programs import is_docstring, parse_source
from longodds.prompts.answer import Span, fenced, final_answer, without_prose
from longodds.prompts.build import BODY_STOP, STYLES, forward_signature
from longodds.prompts.source import STANDARD_IMPORTS, split_reference

if TYPE_CHECKING:
    from longodds.types import Task

_CLASS = re.compile(r"^[ \t]*class\s+ModelNew\b", re.MULTILINE)
_ANY_CLASS = re.compile(r"^[ \t]*class\s+\w+", re.MULTILINE)
_FORWARD = re.compile(r"^[ \t]*def\s+forward\s*\(", re.MULTILINE)
_STOP = re.compile(BODY_STOP)
# Typographic marks that word processors, and models trained on their texts, put into code; one character each.
_TYPOGRAPHY = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u00a0": " ", "\u2212": "-"})


@dataclass(frozen=True, slots=True)
class Extraction:
    """A program and the characters [start, end) of the answer that wrote it; empty where nothing did."""

    program: str
    start: int
    end: int


def extract_program(text: str, task: Task, style: str = "forward-body") -> str:
    """The module that the evaluator runs, made of a model's answer: `extract` without the place."""
    return extract(text, task, style).program


def extract(text: str, task: Task, style: str = "forward-body") -> Extraction:
    """The module that the evaluator runs, and where in the answer it stands.

    Accepts a body, a `def forward`, a class or a module, bare, in a fence or between lines of prose, after reasoning in
    Harmony channels or <think> tags, in every style. A body gets the reference's imports, constants, helpers,
    `__init__` and other methods, but never its `forward`: a program must compute by itself. Text that is no Python ends
    up in the module as it is, so that compiling it fails; what was cut short is not made whole. No text raises.
    """
    if style not in STYLES:
        raise UserError(f"prompt style '{style}' is unknown; use one of: {', '.join(STYLES)}")
    answer = final_answer(text)
    blocks = fenced(text, answer)
    span = _likeliest(text, blocks, task) if blocks else answer
    found = _program(text[slice(*span)], task)
    if not blocks and (found is None or _FORWARD.search(text, *answer)):
        # Functions and classes are found among prose; which of it is theirs is a matter of lines.
        trimmed = without_prose(text, answer)
        again = _program(text[slice(*trimmed)], task) if trimmed[0] < trimmed[1] else None
        found, span = (found, span) if again is None else (again, trimmed)
    if found is None:
        return Extraction(_as_it_is(text[slice(*span)], task), *span)
    program, length = found
    return Extraction(program, span[0], span[0] + length)


def _likeliest(text: str, blocks: list[Span], task: Task) -> Span:
    """The fenced block most like an answer: a class before a function before a body, of those the last that parses;
    of bodies one that returns before one that does not, such as a usage of the class."""

    def rank(i: int) -> tuple[int, bool, bool, int]:
        code = text[slice(*blocks[i])]
        form = 3 if _CLASS.search(code) else 2 if _FORWARD.search(code) else 1
        return form, _program(code, task) is not None, form == 1 and _returns(code, task), i

    return blocks[max(range(len(blocks)), key=rank)]


def _program(code: str, task: Task) -> tuple[str, int] | None:
    """(module, how many leading characters of the code it was made of), or None for code that does not parse."""
    for text in dict.fromkeys((code, code.translate(_TYPOGRAPHY))):
        if _CLASS.search(text):
            program = _from_class(text, task)
        elif _FORWARD.search(text):
            program = _from_class(text, task) or _from_forward(text, task)
        else:
            body = _readable_body(text, forward_signature(task))
            if body is not None:
                return _module(task, _method(forward_signature(task), body[0])), body[1]
            program = None
        if program is not None:
            return program, len(code)
    return None


def _as_it_is(code: str, task: Task) -> str:
    """A module that is no program, with the text in it where it would have belonged."""
    if _CLASS.search(code):
        return code
    whole = _module(task, _method(forward_signature(task), textwrap.dedent(" " * 7 + code)))
    return code if parse_source(whole) is not None else whole


# --- body -------------------------------------------------------------------------------------


def _method(signature: str, body: str) -> str:
    return f"    def forward({signature}):\n{textwrap.indent(body, ' ' * 8)}"


def _continue(text: str) -> tuple[str, int]:
    """The text as it continues the prompt's open indent, cut where the body ends, and how much of it that is."""
    stop = _STOP.search(text)
    kept = text[: stop.start()] if stop else text
    return " " * 7 + kept, len(kept)


def _readable_body(text: str, signature: str) -> tuple[str, int] | None:
    """The first reading of the text that is a body, at column 0, and how many characters it was made of."""
    return next(((body, n) for body, n in _bodies(text) if _is_body(body, signature)), None)


def _returns(code: str, task: Task) -> bool:
    """Whether the text is a body with a `return` of its own."""
    for text in (code, code.translate(_TYPOGRAPHY)):
        body = _readable_body(text, forward_signature(task))
        if body is not None:
            return parse_source(body[0]) is None  # at module level a `return` is no Python
    return False


def _bodies(text: str) -> list[tuple[str, int]]:
    """Readings of a body's indentation, the most literal first, each dedented to column 0."""
    head, _, tail = text.partition("\n")
    first, _, rest = text.strip("\n").partition("\n")
    first, rest = first.strip(), textwrap.dedent(rest)
    if first.endswith(":"):
        rest = textwrap.indent(rest, "    ")
    whole = len(text)
    readings = [(" " * 7 + text, whole), (" " * 8 + head.lstrip() + "\n" + tail, whole)]
    if re.match(r" \S", text):  # the mark of a continuation: what follows a dedent is no part of the body
        readings.append(_continue(text))
    readings += [(text, whole), (f"{first}\n{rest}", whole)]
    kept = _continue(text)
    if re.search(r"\breturn\b", kept[0]):  # otherwise nothing says that the body ended, rather than broke off, there
        readings.append(kept)
    return [(textwrap.dedent(r), n) for r, n in readings]


def _is_body(body: str, signature: str) -> bool:
    """Whether the lines are statements of one function and nothing beside it."""
    if not body.strip():
        return False
    tree = parse_source(f"def forward({signature}):\n{textwrap.indent(body, '    ')}")
    return tree is not None and len(tree.body) == 1


# --- whole functions and classes ----------------------------------------------------------------


def _from_forward(text: str, task: Task) -> str | None:
    """A `def forward` at module level, with helper functions around it if they parse."""
    start = _FORWARD.search(text)
    for candidate in (text, text[start.start() :] if start else text):
        tree = parse_source(textwrap.dedent(candidate))
        if tree is None:
            continue
        forward = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "forward"), None)
        if forward is None:
            continue
        forward.decorator_list = []
        before = [n for n in tree.body if n is not forward]
        return _module(task, textwrap.indent(ast.unparse(forward), "    "), before)
    return None


def _from_class(text: str, task: Task) -> str | None:
    """A module with the answer's class as `ModelNew`; what it leaves out is the reference's, `forward` excepted.

    The class is `ModelNew`, else `Model` rewritten, else the only one that has a `forward`.
    """
    start = _CLASS.search(text) or _ANY_CLASS.search(text)
    readings = [text, textwrap.dedent(text), textwrap.dedent(text[start.start() :]) if start else text]
    tree = next((t for t in map(parse_source, readings) if t is not None), None)
    new = _new_class(tree) if tree is not None else None
    if tree is None or new is None:
        return None
    parts = split_reference(task.reference, task.id)
    inherits = any(isinstance(b, ast.Name) and b.id == "Model" for b in new.bases)
    if inherits and not any(isinstance(n, ast.ClassDef) and n.name == "Model" for n in tree.body):
        new.bases = copy.deepcopy(parts.model.bases)
    defined = {n.name for n in new.body if isinstance(n, ast.FunctionDef)}
    if inherits or "__init__" not in defined:
        new.body = [n for n in _kept_members(parts.model) if _member_name(n) not in defined] + new.body
    bound = _bound(tree.body)
    preamble = [n for n in parts.preamble if not (names := _bound([n])) or not names <= bound]
    future = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    rest = [n for n in tree.body if n not in future]
    return _write([*future, *_standard(bound | _bound(preamble)), *preamble, *rest])


def _new_class(tree: ast.Module) -> ast.ClassDef | None:
    """The class that answers, renamed to `ModelNew`."""
    if any(isinstance(n, ast.FunctionDef) and n.name == "forward" for n in tree.body):
        return None  # the classes beside it are its helpers
    classes = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    named = [n for n in classes if n.name == "ModelNew"]
    if named:
        return named[-1]
    able = [n for n in classes if any(isinstance(m, ast.FunctionDef) and m.name == "forward" for m in n.body)]
    rewritten = [n for n in able if n.name == "Model"]
    chosen = rewritten[-1] if rewritten else able[0] if len(able) == 1 else None
    if chosen is not None:
        _Rename(chosen.name).visit(chosen)
        chosen.name = "ModelNew"
    return chosen


def _module(task: Task, method: str, extra: list[ast.stmt] | None = None) -> str:
    """Imports, constants and helpers of the reference, then `ModelNew` around a method's source text."""
    parts = split_reference(task.reference, task.id)
    preamble = [*parts.preamble, *(extra or [])]
    bases = ", ".join(ast.unparse(b) for b in parts.model.bases)
    members = [textwrap.indent(ast.unparse(n), "    ") for n in _kept_members(parts.model)]
    head = _write([*_standard(_bound(preamble)), *preamble])
    return "\n\n".join([f"{head}\n\nclass ModelNew({bases}):", *members, method.rstrip()]) + "\n"


class _Rename(ast.NodeTransformer):
    """A class's name inside its own methods (`super(Model, self)`) becomes `ModelNew`."""

    def __init__(self, old: str = "Model") -> None:
        self.old = old

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id == self.old:
            node.id = "ModelNew"
        return node


def _kept_members(model: ast.ClassDef) -> list[ast.stmt]:
    members = [n for n in model.body if not is_docstring(n) and _member_name(n) != "forward"]
    return [_Rename().visit(copy.deepcopy(n)) for n in members if not isinstance(n, ast.Pass)]


def _member_name(node: ast.stmt) -> str | None:
    return node.name if isinstance(node, ast.FunctionDef | ast.ClassDef) else None


def _bound(nodes: list[ast.stmt]) -> set[str]:
    """Names that statements bind at module level."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {a.asname or a.name.partition(".")[0] for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        else:
            names |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names


def _standard(bound: set[str]) -> list[ast.stmt]:
    """Imports that a body may rely on and nothing else binds."""
    return [n for name, line in STANDARD_IMPORTS.items() if name not in bound for n in ast.parse(line).body]


def _write(nodes: list[ast.stmt]) -> str:
    future = [n for n in nodes if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    return "\n".join(ast.unparse(n) for n in [*future, *(n for n in nodes if n not in future)])
