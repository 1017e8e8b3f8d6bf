"""Rewrite a forward the way another person would have written it: same operations, other spelling."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from random import Random

from scripts.corpus import names
from scripts.corpus.render import loads, stored_names

# Functions of torch that are methods as well, with the same arguments.
_BOTH = frozenset(
    [
        "sum",
        "mean",
        "exp",
        "log",
        "sqrt",
        "abs",
        "sigmoid",
        "tanh",
        "clamp",
        "max",
        "min",
        "amax",
        "amin",
        "pow",
        "square",
        "matmul",
        "mm",
        "var",
        "std",
        "cumsum",
        "cumprod",
        "sort",
        "softmax",
        "log_softmax",
        "logsumexp",
        "sin",
        "cos",
        "rsqrt",
        "log1p",
        "relu",
        "norm",
        "mul",
        "add",
        "sub",
        "div",
        "maximum",
        "minimum",
        "round",
        "sign",
        "transpose",
        "unsqueeze",
        "squeeze",
        "gather",
        "argsort",
        "topk",
        "cummax",
        "cummin",
        "bmm",
        "mv",
        "diagonal",
        "expm1",
        "logaddexp",
        "chunk",
        "roll",
        "reciprocal",
        "flatten",
    ]
)
_LIBRARIES = frozenset({"torch", "F", "nn", "math", "self"})
_POSITIONAL = frozenset(
    ["sum", "mean", "softmax", "log_softmax", "logsumexp", "cumsum", "cumprod", "amax", "amin", "unsqueeze", "flip"]
)
_MODULES = {
    "relu": "nn.ReLU()",
    "sigmoid": "nn.Sigmoid()",
    "tanh": "nn.Tanh()",
    "gelu": "nn.GELU()",
    "silu": "nn.SiLU()",
    "softplus": "nn.Softplus()",
}


@dataclass(frozen=True)
class Style:
    """Habits of one author, each a probability."""

    method: float
    function: float
    positional: float
    power: str
    none_index: float
    transpose: str
    commute: float
    floats: float
    module: float
    device: float
    unpack: float

    @staticmethod
    def draw(rng: Random) -> Style:
        method = rng.choice((0.0, 0.1, 0.5, 0.9))
        return Style(
            method=method,
            function=rng.choice((0.0, 0.1, 0.5, 0.9)) * (1 - method),
            positional=rng.choice((0.0, 0.0, 0.0, 0.3, 1.0)),
            power=rng.choice(("keep", "keep", "star", "pow", "square", "mul")),
            none_index=rng.choice((0.0, 0.0, 0.5, 1.0)),
            transpose=rng.choice(("T", "T", "t", "transpose", "keep", "keep")),
            commute=rng.choice((0.0, 0.05, 0.2)),
            floats=rng.choice((0.0, 0.0, 0.5)),
            module=rng.choice((0.0, 0.0, 0.0, 0.6)),
            device=rng.choice((0.0, 0.0, 0.0, 0.8)),
            unpack=rng.choice((0.0, 0.3, 1.0)),
        )


class Restyle(ast.NodeTransformer):
    """Applies a style. `modules` collects attributes that `__init__` has to make: attribute -> constructor text."""

    def __init__(self, style: Style, rng: Random, taken: set[str], first: str) -> None:
        self.style, self.rng, self.taken, self.first = style, rng, taken, first
        self.modules: dict[str, str] = {}

    def _yes(self, share: float) -> bool:
        return self.rng.random() < share

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        if not isinstance(func, ast.Attribute):
            return node
        base = func.value.id if isinstance(func.value, ast.Name) else None
        if func.attr in ("arange", "eye", "ones", "zeros") and base == "torch" and self._yes(self.style.device):
            if not any(k.arg == "device" for k in node.keywords):
                if func.attr != "arange" and self._yes(0.6) and not any(k.arg == "dtype" for k in node.keywords):
                    node.keywords.append(ast.keyword("dtype", ast.parse(f"{self.first}.dtype", mode="eval").body))
                node.keywords.append(ast.keyword("device", ast.parse(f"{self.first}.device", mode="eval").body))
            return node
        plain = func.attr in _MODULES and base in ("torch", "F") and len(node.args) == 1 and not node.keywords
        if plain and self._yes(self.style.module):
            return self._module(func.attr, node)
        if func.attr == "unsqueeze" and base not in _LIBRARIES and self._yes(self.style.none_index):
            return self._none_index(node, func)
        if func.attr in _BOTH:
            if base in ("torch", "F") and node.args and self._yes(self.style.method) and _plain(node.args[0]):
                name = func.attr
                node = ast.Call(ast.Attribute(node.args[0], name, ast.Load()), node.args[1:], node.keywords)
            elif base not in _LIBRARIES and self._yes(self.style.function) and not _self_attribute(func.value):
                library = ast.Name("F" if func.attr in ("softmax", "relu") and self._yes(0.5) else "torch", ast.Load())
                node = ast.Call(ast.Attribute(library, func.attr, ast.Load()), [func.value, *node.args], node.keywords)
        return self._place(node)

    def _place(self, node: ast.Call) -> ast.AST:
        """`dim=1` -> `1` as the first argument after the tensor."""
        func = node.func
        if not isinstance(func, ast.Attribute) or func.attr not in _POSITIONAL or not node.keywords:
            return node
        own = isinstance(func.value, ast.Name) and func.value.id in ("torch", "F")
        if node.keywords[0].arg == "dim" and len(node.args) == int(own) and self._yes(self.style.positional):
            node.args.append(node.keywords.pop(0).value)
        return node

    def _module(self, name: str, node: ast.Call) -> ast.AST:
        attr = next((a for a, text in self.modules.items() if text == _MODULES[name]), None)
        if attr is None:
            pool = [name, "act", "activation", f"{name}_fn", "nonlinearity"]
            attr = next((a for a in self.rng.sample(pool, len(pool)) if a not in self.taken), None)
            if attr is None:
                return node
            self.taken.add(attr)
            self.modules[attr] = _MODULES[name]
        return ast.Call(ast.parse(f"self.{attr}", mode="eval").body, node.args, [])

    def _none_index(self, node: ast.Call, func: ast.Attribute) -> ast.AST:
        where = ast.unparse(node.args[0]) if node.args else ""
        text = {"1": "[:, None]", "0": "[None, :]", "-1": "[..., None]"}.get(where)
        if text is None:
            return node
        return ast.parse(f"({ast.unparse(func.value)}){text}", mode="eval").body

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        """`m = x.max(dim=1)[0]` -> `m, _ = x.max(dim=1)`."""
        self.generic_visit(node)
        pair = _first_of_pair(node.value)
        if pair is not None and isinstance(node.targets[0], ast.Name) and self._yes(self.style.unpack):
            targets = ast.Tuple([node.targets[0], ast.Name("_", ast.Store())], ast.Store())
            return ast.Assign([targets], pair)
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "T" and self.style.transpose in ("t", "transpose"):
            call = "t()" if self.style.transpose == "t" else self.rng.choice(("transpose(0, 1)", "transpose(-2, -1)"))
            return ast.parse(f"({ast.unparse(node.value)}).{call}", mode="eval").body
        return node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.op, ast.Pow) and ast.unparse(node.right) in ("2", "2.0"):
            return self._power(node)
        if isinstance(node.op, ast.Mult | ast.Add) and self._yes(self.style.commute):
            node.left, node.right = node.right, node.left
        if self._yes(self.style.floats) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            sides = (node.left, node.right)
            for one, other in (sides, sides[::-1]):
                if isinstance(one, ast.Constant) and type(one.value) is int and isinstance(other, ast.Call):
                    one.value = float(one.value)
        return node

    def _power(self, node: ast.BinOp) -> ast.AST:
        style = self.style.power
        text = ast.unparse(node.left)
        simple = isinstance(node.left, ast.Name) or _self_attribute(node.left)
        if isinstance(node.left, ast.Constant) or text.startswith("self."):
            return node
        if style == "pow":
            return ast.parse(f"({text}).pow(2)" if self._yes(0.6) else f"torch.pow({text}, 2)", mode="eval").body
        if style == "square":
            return ast.parse(f"torch.square({text})" if self._yes(0.6) else f"({text}).square()", mode="eval").body
        if style == "mul" and simple:
            return ast.parse(f"{text} * {text}", mode="eval").body
        return node


def _first_of_pair(node: ast.expr) -> ast.Call | None:
    """The call behind `call(...)[0]` or `call(...).values` that returns values and indices."""
    inner = None
    if (isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant) and node.slice.value == 0) or (
        isinstance(node, ast.Attribute) and node.attr == "values"
    ):
        inner = node.value
    if not isinstance(inner, ast.Call) or not isinstance(inner.func, ast.Attribute):
        return None
    return (
        inner if inner.func.attr in ("max", "min", "sort", "topk", "median", "cummax", "cummin", "kthvalue") else None
    )


def _plain(node: ast.expr) -> bool:
    """Whether a method call on it reads well."""
    return not isinstance(node, ast.Constant | ast.List | ast.Tuple | ast.ListComp | ast.UnaryOp)


def _self_attribute(node: ast.expr) -> bool:
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


# --- names ---------------------------------------------------------------------------------------


class _Rename(ast.NodeTransformer):
    def __init__(self, mapping: dict[str, str]) -> None:
        self.mapping = mapping

    def visit_Name(self, node: ast.Name) -> ast.AST:
        node.id = self.mapping.get(node.id, node.id)
        return node


def rename_locals(
    statements: list[ast.stmt], rng: Random, taken: set[str], reuse: float, first: str | None, plain: bool = False
) -> list[ast.stmt]:
    """Give template locals (`_N_hint`) names; with probability `reuse` a value takes over the name of its predecessor.

    first: the argument that holds X, whose name may be taken over. plain: the hint itself where it is free.
    """
    mapping: dict[str, str] = {}
    used = set(taken)
    previous: str | None = first
    for i, s in enumerate(statements):
        for name in stored_names([s]):
            if name in mapping or not name.startswith("_") or name == "_":
                continue
            hint = name.split("_", 2)[2]
            single = isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name)
            if (
                single
                and previous is not None
                and rng.random() < reuse
                and _dead_after(statements, i, previous, mapping)
            ):
                mapping[name] = mapping.get(previous, previous)
            elif plain:
                mapping[name] = next(n for n in (hint, *"yzuvwqr", *(f"y{k}" for k in range(99))) if n not in used)
            else:
                mapping[name] = names.local(rng, hint, used)
            used.add(mapping[name])
            previous = name if single else None
    return [_Rename(mapping).visit(s) for s in statements]


def _dead_after(statements: list[ast.stmt], i: int, name: str, mapping: dict[str, str]) -> bool:
    """Whether nothing after statement i reads the variable that `name` has become."""
    same = {n for n, m in mapping.items() if m == mapping.get(name, name)} | {name, mapping.get(name, name)}
    later = loads(statements[i + 1 :])
    return not any(n in later for n in same) and any(n in loads([statements[i]]) for n in same)
