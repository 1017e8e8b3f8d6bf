"""Make a faster body of idioms' faster texts: reuse own temporaries, say it briefly."""

from __future__ import annotations

import ast
import copy
from random import Random

# In-place methods of elementwise functions, by function name.
_UNARY = frozenset(
    [
        "exp",
        "log",
        "log1p",
        "sqrt",
        "rsqrt",
        "abs",
        "sigmoid",
        "tanh",
        "sin",
        "cos",
        "square",
        "neg",
        "reciprocal",
        "expm1",
        "round",
        "relu",
        "clamp",
        "pow",
        "masked_fill",
        "add",
        "sub",
        "mul",
        "div",
        "addcmul",
        "addcdiv",
        "lerp",
        "cumsum",
        "cumprod",
        "sign",
        "floor",
        "erf",
        "clamp_min",
    ]
)
# Functions of torch.nn.functional that take `inplace=True`.
_INPLACE_F = frozenset(
    [
        "silu",
        "leaky_relu",
        "elu",
        "hardtanh",
        "hardswish",
        "hardsigmoid",
        "mish",
        "selu",
        "celu",
        "relu6",
        "relu",
        "threshold",
    ]
)
_VIEWS = frozenset(
    [
        "view",
        "reshape",
        "transpose",
        "t",
        "permute",
        "expand",
        "expand_as",
        "unsqueeze",
        "squeeze",
        "flatten",
        "unflatten",
        "contiguous",
        "chunk",
        "split",
        "diagonal",
        "unbind",
        "narrow",
        "select",
        "T",
        "to",
        "float",
        "view_as",
        "movedim",
    ]
)
_METHODS = {ast.Add: "add_", ast.Sub: "sub_", ast.Mult: "mul_", ast.Div: "div_"}


class InPlace(ast.NodeTransformer):
    """Turns operations whose first operand is a temporary of our own into in-place ones.

    keep: positions (in order of visiting) where a conversion is allowed; None allows all. `count` says how many
    there were. Shapes are not known here: a conversion may be wrong, and the caller checks by running.
    """

    def __init__(self, owned: set[str], keep: set[int] | None = None) -> None:
        self.owned, self.keep, self.count = owned, keep, 0

    def _allowed(self) -> bool:
        self.count += 1
        return self.keep is None or self.count - 1 in self.keep

    def fresh(self, node: ast.expr) -> bool:
        if isinstance(node, ast.BinOp):
            return True
        if isinstance(node, ast.Name):
            return node.id in self.owned
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return False
        name, base = node.func.attr, node.func.value
        if isinstance(base, ast.Name) and base.id in ("torch", "F"):
            return name not in ("diagonal", "transpose", "reshape", "chunk", "unbind", "as_tensor")
        if isinstance(base, ast.Attribute) and ast.unparse(base) == "torch.linalg":
            return True
        if isinstance(base, ast.Name) and base.id == "self":
            return True  # a layer's output
        if name in _VIEWS:
            return False
        return not (isinstance(base, ast.Name) and base.id == "math")

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        method = _METHODS.get(type(node.op))
        if method is None or (isinstance(node.left, ast.Constant) and isinstance(node.right, ast.Constant)):
            return node
        if self.fresh(node.left) and not _number(node.left):
            if self._allowed():
                return _method(node.left, method, [node.right])
        elif self.fresh(node.right) and not _number(node.right) and isinstance(node.op, ast.Add | ast.Mult):
            if not isinstance(node.left, ast.Constant) and self._allowed():
                return _method(node.right, method, [node.left])
            if isinstance(node.left, ast.Constant) and self._allowed():
                return _method(node.right, method, [node.left])
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        func = node.func
        if not isinstance(func, ast.Attribute):
            return node
        library = isinstance(func.value, ast.Name) and func.value.id in ("torch", "F")
        first = (node.args[0] if node.args else None) if library else func.value
        if first is None or not self.fresh(first) or _number(first):
            return node
        if library and func.value.id == "F" and func.attr in _INPLACE_F:  # type: ignore[attr-defined]
            if self._allowed():
                node.keywords.append(ast.keyword("inplace", ast.Constant(True)))
            return node
        if func.attr in _UNARY and (library or not func.attr.endswith("_")) and self._allowed():
            args = node.args[1:] if library else node.args
            return ast.Call(ast.Attribute(first, f"{func.attr}_", ast.Load()), args, node.keywords)
        return node


def _method(base: ast.expr, name: str, args: list[ast.expr]) -> ast.expr:
    return ast.Call(ast.Attribute(base, name, ast.Load()), args, [])


def _number(node: ast.expr) -> bool:
    """Whether an expression is arithmetic on numbers, not on tensors."""
    if isinstance(node, ast.BinOp):
        return _number(node.left) and _number(node.right)
    text = ast.unparse(node)
    if isinstance(node, ast.Constant) or text.startswith("math."):
        return True
    if ".shape[" in text or text.endswith(".numel()"):
        return True
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"


def in_place(statements: list[ast.stmt], rng: Random, keep_share: float | None = None) -> list[ast.stmt]:
    """The statements with in-place operations on temporaries; keep_share: only a random share of them."""
    result: list[ast.stmt] = []
    owned_ever: set[str] = set()
    for i, s in enumerate(statements):
        if isinstance(s, ast.For):
            result.append(s)
            continue
        owned = {n for n in owned_ever if _last_use(statements, i, n)}
        converted = copy.deepcopy(s)
        probe = InPlace(owned)
        probe.visit(copy.deepcopy(s))
        keep = None if keep_share is None else {k for k in range(probe.count) if rng.random() < keep_share}
        converted = InPlace(owned, keep).visit(converted)
        result.append(ast.fix_missing_locations(converted))
        if isinstance(s, ast.Assign) and isinstance(s.targets[0], ast.Name):
            name = s.targets[0].id
            if InPlace(owned_ever).fresh(s.value) and not _number(s.value):
                owned_ever.add(name)
            else:
                owned_ever.discard(name)
    return result


def _last_use(statements: list[ast.stmt], i: int, name: str) -> bool:
    """Whether statement i reads a name once and nothing reads it later."""
    here = sum(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load) for n in ast.walk(statements[i])
    )
    later = any(
        isinstance(n, ast.Name) and n.id == name and isinstance(n.ctx, ast.Load)
        for s in statements[i + 1 :]
        for n in ast.walk(s)
    )
    return here == 1 and not later
