"""The corpus of tests/cheats: programs with a header, and a transformer that disguises them.

A program's header is its leading comment lines:
    attack: class and one line of what it does
    task: file in tests/cheats/tasks
    expect: statuses of which one must come out
    timed: yes, where the attack is on timing
    harmless-if-it-fails: the program is right, only the attack is wrong: CORRECT at honest speed will do as well
    honest: a control with the same work done honestly; the program may not claim more speed than it has
    twice: yes, evaluated a second time, since something may have been left behind
    seconds: a limit for the whole evaluation
    plain-only: the disguise does not apply, and why
    not-covered: known to get through, and why: the test fails once it no longer does
    note: for the reader
"""

from __future__ import annotations

import ast
import base64
import builtins
import random
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

from longodds.types import Task, digest_text

CHEATS = Path(__file__).resolve().parents[1] / "cheats"


@dataclass(frozen=True)
class Program:
    """One file of the corpus: its header and its source."""

    path: Path
    header: dict[str, str]
    source: str

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def task(self) -> Task:
        return load_task(self.header["task"])

    @property
    def timed(self) -> bool:
        return self.header.get("timed") == "yes"

    @property
    def expected(self) -> set[str]:
        return set(self.header.get("expect", "correct").split())

    @property
    def harmless(self) -> bool:
        return "harmless-if-it-fails" in self.header


def load_task(name: str) -> Task:
    reference = (CHEATS / "tasks" / f"{name}.py").read_text()
    return Task(f"cheats/{name}", "cheats", reference, digest_text(reference))


def load_programs(folder: Path = CHEATS) -> list[Program]:
    """The programs of a folder, task by task: an evaluator keeps only the last few tasks at hand."""
    found: list[Program] = []
    for path in sorted(folder.glob("*.py")):
        source = path.read_text()
        header: dict[str, str] = {}
        for line in source.splitlines():
            match = re.match(r"# ([a-z-]+)(?:: *(.*))?$", line)
            if not match:
                break
            header[match[1]] = match[2] or ""
        found.append(Program(path, header, source))
    return sorted(found, key=lambda p: (p.header["task"], p.name))


def disguise(source: str, seed: int) -> str:
    """The same program with other names, no readable text, dead code, and wrapped in an exec of compressed bytes."""
    rng = random.Random(seed)
    module = ast.parse(source)
    module = _Disguise(module, rng).visit(module)
    ast.fix_missing_locations(module)
    packed = base64.b85encode(zlib.compress(ast.unparse(module).encode())).decode()
    loader, other = (f"_{rng.getrandbits(40):x}" for _ in range(2))
    return (
        f"import base64 as {loader}, zlib as {other}\n"
        f"exec(compile({other}.decompress({loader}.b85decode({packed!r})), {rng.choice('abc')!r}, 'exec'), globals())\n"
    )


_KEPT = {"ModelNew", "forward", "load_reference", "self", "cls", *dir(builtins)}


class _Disguise(ast.NodeTransformer):
    """Renames what a program binds itself, hides its strings and adds code that does nothing."""

    def __init__(self, module: ast.Module, rng: random.Random) -> None:
        self.rng = rng
        keywords = {k.arg for n in ast.walk(module) if isinstance(n, ast.Call) for k in n.keywords if k.arg}
        members = {n for c in ast.walk(module) if isinstance(c, ast.ClassDef) for n in _members(c)}
        names = sorted(_bound(module) - _KEPT - keywords - members)
        self.names = {n: f"v{rng.getrandbits(48):x}" for n in names if not n.startswith("__")}

    def visit_Module(self, node: ast.Module) -> ast.Module:
        node.body = [s for s in node.body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
        self.generic_visit(node)
        return node

    def visit_Import(self, node: ast.Import) -> ast.Import:
        for alias in node.names:
            bound = alias.asname or alias.name
            if "." not in bound:
                alias.asname = self.names.get(bound, alias.asname)
        return node

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.ImportFrom:
        for alias in node.names:
            alias.asname = self.names.get(alias.asname or alias.name, alias.asname)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.name = self.names.get(node.name, node.name)
        node.body.insert(0, self._idle())
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.name = self.names.get(node.name, node.name)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.names.get(node.arg, node.arg)
        return node

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.names.get(node.id, node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        self.generic_visit(node)
        node.name = self.names.get(node.name, node.name) if node.name else None
        return node

    def visit_Global(self, node: ast.Global) -> ast.Global:
        node.names = [self.names.get(n, n) for n in node.names]
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.Nonlocal:
        node.names = [self.names.get(n, n) for n in node.names]
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.JoinedStr:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                part.value = self.visit(part.value)
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        if not isinstance(node.value, str) or not node.value:
            return node
        if self.rng.random() < 0.5:
            code = f"''.join(map(chr, {[ord(c) for c in node.value]}))"
        else:
            code = f"bytes.fromhex({node.value.encode().hex()!r}).decode()"
        return ast.parse(code, mode="eval").body

    def _idle(self) -> ast.stmt:
        name, n = f"v{self.rng.getrandbits(48):x}", self.rng.randrange(3, 99)
        return ast.parse(f"if {n} * {n} % 8 == 7:\n    {name} = [{n}]").body[0]  # no square leaves 7 modulo 8


def _members(node: ast.ClassDef) -> set[str]:
    """Names that a class body binds: attributes, which other code reaches by name."""
    named = {i.name for i in node.body if isinstance(i, (ast.FunctionDef, ast.ClassDef))}
    return named | {t.id for i in node.body if isinstance(i, ast.Assign) for t in i.targets if isinstance(t, ast.Name)}


def _bound(module: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {a.asname or a.name for a in node.names if "." not in (a.asname or a.name)}
        elif isinstance(node, ast.ExceptHandler) and node.name:
            names.add(node.name)
    return names
