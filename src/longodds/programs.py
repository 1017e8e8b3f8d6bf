"""One hash for programs that say the same thing in other words: comments, formatting, names of locals.

What the hash leaves out must be nothing that a program can see of itself: with equal hashes one is run, and its verdict
holds for the other. A program that can look at its own text, names or lines is therefore hashed as it is.
"""

from __future__ import annotations

import ast
import re
import warnings

from longodds.types import digest_text

# By these a program can see names of locals, docstrings, line numbers or its own source.
_REFLECTION = re.compile(
    "locals|vars|eval|exec|dir|globals|getattr|open|compile|input|breakpoint|help|sys|os|inspect|linecache|traceback|"
    "builtins|importlib|warnings|logging|gc|ast|dis|types|pathlib|io|pickle|runpy|pkgutil|tokenize|modules|jit|"
    "getsource|currentframe|format_exc|print_exc|print_stack"
)
_PLAIN_DUNDERS = frozenset({"__init__", "__call__", "__name__", "__future__"})
_PLAIN_IMPORTS = frozenset(
    {"__future__", "math", "torch", "numpy", "typing", "functools", "itertools", "operator", "collections", "einops"}
)
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Named = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def text_digest(program: str) -> str:
    """16 hex digits, equal for texts that differ in trailing blanks alone."""
    return digest_text("text", "\n".join(line.rstrip() for line in program.strip().splitlines()))


def program_digest(program: str) -> str:
    """16 hex digits, equal for programs that differ in comments, docstrings, formatting or names of locals.

    Arguments keep their names (they are an interface), except those of `forward`, which is called by position.
    A program that doesn't parse is hashed as text, trailing blanks aside; one that could look at itself, to the letter.
    Never raises.
    """
    tree = parse_source(program)
    if tree is None:
        return text_digest(program)
    try:
        if _may_look_at_itself(tree):
            return digest_text("exact", program)
        _drop_docstrings(tree)
        _Renamer().visit(tree)
        return digest_text("tree", ast.dump(tree))
    except RecursionError:
        return digest_text("exact", program)


def parse_source(text: str) -> ast.Module | None:
    """The syntax tree, or None for text that is no Python: never raises, never warns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
            # ast accepts what the compiler refuses (`return` at module level, doubled arguments): no Python either.
            compile(text, "<program>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            return None
    return tree


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _may_look_at_itself(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = [node.module or "."] if isinstance(node, ast.ImportFrom) else []
            names = [a.name for a in node.names]
            if any(n.partition(".")[0] not in _PLAIN_IMPORTS for n in (module or names)):
                return True
            parts = {part for name in (*module, *names) for part in name.split(".")}
        elif isinstance(node, ast.Name):
            parts = {node.id}
        elif isinstance(node, ast.Attribute):
            parts = {node.attr}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            parts = {node.name}
        else:
            continue
        if any(_REFLECTION.fullmatch(p) or (p.startswith("__") and p not in _PLAIN_DUNDERS) for p in parts):
            return True
    return False


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            kept = [n for n in node.body if not is_docstring(n)]
            node.body = kept if kept or isinstance(node, ast.Module) else [ast.Pass()]


def _own_nodes(body: list[ast.AST]) -> list[ast.AST]:
    """Nodes of one scope, in source order; inner scopes are listed but not entered."""
    found: list[ast.AST] = []
    stack = list(reversed(body))
    while stack:
        node = stack.pop()
        found.append(node)
        if not isinstance(node, _Function | _Comprehension | ast.ClassDef):
            stack.extend(reversed(list(ast.iter_child_nodes(node))))
    return found


def _bindings(body: list[ast.AST]) -> list[str]:
    """Names that statements of one scope bind, by first appearance, without those declared global or nonlocal."""
    names: dict[str, None] = {}
    outer: set[str] = set()
    for node in _own_nodes(body):
        if isinstance(node, ast.Global | ast.Nonlocal):
            outer |= set(node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            names[node.id] = None
        elif isinstance(node, _Named) and node.name:
            names[node.name] = None
        elif isinstance(node, ast.Import | ast.ImportFrom | ast.MatchAs | ast.MatchStar | ast.MatchMapping):
            outer |= _import_names(node)  # left alone: their names are strings of their own kind
    return [n for n in names if n not in outer]


def _import_names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {a.asname or a.name.partition(".")[0] for a in node.names}
    return {n for n in (getattr(node, "name", None), getattr(node, "rest", None)) if n}


class _Renamer(ast.NodeTransformer):
    """Renames locals to v0, v1, ... by first appearance, scope by scope."""

    def __init__(self) -> None:
        self.scopes: list[dict[str, str]] = []
        self.count = 0

    def _enter(self, renamed: list[str], kept: list[str]) -> None:
        scope = {name: name for name in kept}
        for name in renamed:
            if name not in scope:
                scope[name] = f"v{self.count}"
                self.count += 1
        self.scopes.append(scope)

    def _lookup(self, name: str) -> str:
        return next((s[name] for s in reversed(self.scopes) if name in s), name)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self._lookup(node.id)
        return node

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = self._lookup(node.name) if node.name else None
        self.generic_visit(node)
        return node

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return node

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        node.names = [self._lookup(n) for n in node.names]
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        # Names of a class body are attributes; its methods don't see them as variables.
        node.name = self._lookup(node.name)
        attributes = _bindings(list(node.body))
        node.bases = [self.visit(n) for n in node.bases]
        node.keywords = [self.visit(n) for n in node.keywords]
        node.decorator_list = [self.visit(n) for n in node.decorator_list]
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                self._function(inner, method=True)
            else:
                self.scopes.append({name: name for name in attributes})
                self.visit(inner)
                self.scopes.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, method: bool = False) -> ast.AST:
        if not method:
            node.name = self._lookup(node.name)
        node.decorator_list = [self.visit(n) for n in node.decorator_list]
        _visit_outside(self, node.args)
        args = _arguments(node.args)
        by_position = method and node.name == "forward"
        locals_ = [n for n in _bindings(list(node.body)) if n not in args]
        self._enter([*args, *locals_] if by_position else locals_, [] if by_position else args)
        for arg in _argument_nodes(node.args):
            arg.arg = self._lookup(arg.arg)
        node.body = [self.visit(n) for n in node.body]
        self.scopes.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        _visit_outside(self, node.args)
        self._enter(_bindings([node.body]), _arguments(node.args))
        node.body = self.visit(node.body)
        self.scopes.pop()
        return node

    def _comprehension(self, node: _Comprehension) -> ast.AST:
        first = node.generators[0]
        first.iter = self.visit(first.iter)  # evaluated outside
        self._enter(_bindings([g.target for g in node.generators]), [])
        for i, generator in enumerate(node.generators):
            if i:
                generator.iter = self.visit(generator.iter)
            generator.target = self.visit(generator.target)
            generator.ifs = [self.visit(n) for n in generator.ifs]
        if isinstance(node, ast.DictComp):
            node.key, node.value = self.visit(node.key), self.visit(node.value)
        else:
            node.elt = self.visit(node.elt)
        self.scopes.pop()
        return node

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension


def _argument_nodes(args: ast.arguments) -> list[ast.arg]:
    found = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [a for a in found if a is not None]


def _arguments(args: ast.arguments) -> list[str]:
    return [a.arg for a in _argument_nodes(args)]


def _visit_outside(renamer: _Renamer, args: ast.arguments) -> None:
    """Defaults and annotations are evaluated in the enclosing scope."""
    args.defaults = [renamer.visit(n) for n in args.defaults]
    args.kw_defaults = [renamer.visit(n) if n is not None else None for n in args.kw_defaults]
    for arg in _argument_nodes(args):
        if arg.annotation is not None:
            arg.annotation = renamer.visit(arg.annotation)
