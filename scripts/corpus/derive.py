"""More idioms from those at hand: losses that keep a dimension, scans of sequences of vectors.

What a derived text means is not proved here: like every pair it is run before it enters the corpus.
"""

from __future__ import annotations

import ast
from dataclasses import replace

from scripts.corpus.template import Idiom


def per_row_loss(idiom: Idiom) -> Idiom | None:
    """A loss that is averaged over the last dimension only, or None if too little of the idiom can be rewritten."""
    if idiom.family != "losses" or idiom.out != "-" or idiom.x not in ("**", "*C", "BC"):
        return None
    refs = [t for t in map(_keep_rows, idiom.refs) if t is not None]
    fast = [t for t in map(_keep_rows, idiom.fast) if t is not None]
    if not refs:
        return None
    holes = {k: v.replace(":*", ":*C") if v.endswith(":*") else v for k, v in idiom.holes.items()}
    x = "BC" if idiom.x == "BC" else "*C"
    out = "B" if x == "BC" else "*"
    return replace(
        idiom,
        name=f"{idiom.name}_rows",
        x=x,
        out=out,
        refs=tuple(refs),
        fast=tuple(fast),
        holes=holes,
        weight=2.5 * idiom.weight,
        post=True,
    )


def _keep_rows(text: str) -> str | None:
    tree = ast.parse(text)
    last = tree.body[-1]
    assert isinstance(last, ast.Expr)
    value = _rows(last.value)
    if value is None:
        return None
    last.value = value
    return ast.unparse(ast.fix_missing_locations(tree))


def _rows(node: ast.expr) -> ast.expr | None:
    """The loss with its last average taken over the last dimension."""
    last = ast.keyword("dim", ast.parse("-1", mode="eval").body)
    if isinstance(node, ast.UnaryOp):
        inner = _rows(node.operand)
        return None if inner is None else ast.UnaryOp(node.op, inner)
    if isinstance(node, ast.BinOp):
        for side in ("left", "right"):
            inner = _rows(getattr(node, side))
            if inner is not None:
                setattr(node, side, inner)
                return node
        return None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name, base = node.func.attr, ast.unparse(node.func.value)
    if name == "mean" and base == "torch" and len(node.args) == 1:
        return ast.Call(node.func, node.args, [last])
    if name == "mean" and not node.args and not node.keywords:
        inner = node.func.value
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and inner.func.attr == "sum":
            return inner  # already one number a row
        if isinstance(inner, ast.Name | ast.BinOp | ast.Call | ast.UnaryOp):
            return ast.Call(node.func, [], [last])
    if (
        base == "F"
        and not any(k.arg == "reduction" for k in node.keywords)
        and name.endswith(("loss", "entropy", "logits"))
    ):
        if name == "kl_div":
            return None
        each = ast.Call(node.func, node.args, [*node.keywords, ast.keyword("reduction", ast.Constant("none"))])
        if name in ("cross_entropy", "nll_loss", "multi_margin_loss"):
            return each  # already one number a row
        return ast.Call(ast.Attribute(each, "mean", ast.Load()), [], [last])
    return None


_SEQUENCE = (
    ("torch.zeros(X.shape[0])", "torch.zeros(X.shape[0], X.shape[2])"),
    ("torch.ones(X.shape[0])", "torch.ones(X.shape[0], X.shape[2])"),
    ("torch.arange(1, X.shape[1] + 1)", "torch.arange(1, X.shape[1] + 1).unsqueeze(1)"),
    ("(1, 0))", "(0, 0, 1, 0))"),
    ("X @ w", "w.T @ X"),
    ("dim=-1)", "dim=1)"),
)


def sequence_scan(idiom: Idiom) -> Idiom | None:
    """A scan over (batch, step, feature) made of one over (batch, step)."""
    if idiom.family != "scans" or idiom.x != "BN" or idiom.out != "BN" or "tril_ones" in idiom.name:
        return None

    def rewrite(text: str) -> str:
        for old, new in _SEQUENCE:
            text = text.replace(old, new)
        return text

    holes = {k: f"{v}C" if v.endswith(":BN") else v for k, v in idiom.holes.items()}
    sizes = {"B": (8, 16, 32), "N": (48, 64, 96, 128), "C": (16, 32, 48, 64)}
    return replace(
        idiom,
        name=f"{idiom.name}_of_vectors",
        x="BNC",
        out="BNC",
        refs=tuple(map(rewrite, idiom.refs)),
        fast=tuple(map(rewrite, idiom.fast)),
        holes=holes,
        sizes=sizes,
        weight=0.8 * idiom.weight,
    )


def derived(idioms: list[Idiom]) -> list[Idiom]:
    """The idioms and what can be derived from them; a loss that became one per row loses weight as a scalar."""
    result: list[Idiom] = []
    for idiom in idioms:
        rows = per_row_loss(idiom)
        result.append(replace(idiom, weight=0.4 * idiom.weight) if rows else idiom)
        result += [i for i in (rows, sequence_scan(idiom)) if i is not None]
    return result
