"""Wrong programs made from right ones by one small change. None of them may be CORRECT.

Three sources: one node of the syntax tree changed (a term dropped, a sign, an axis, a constant); an operation replaced
by a wrong form of it (`broken_ops`); the whole program wrapped (an element wrong, a row stale, inputs swapped, half
precision inside). A change that leaves the function as it is, is no mutant: `mutants` drops what differs from the
reference by less than 1e-5 of the output's scale under every law (in float64, or as it runs where it narrows).
"""

from __future__ import annotations

import ast
import copy
import inspect
import itertools
import random
from collections.abc import Callable, Iterator

import broken_ops
from programs import Bench, Variant, bases, entry_class, method
from rewrites import PREFIX, operations, replace

DISTINCT = 1e-5
HELPERS: dict[str, str] = {name: inspect.getsource(f) for name, f in vars(broken_ops).items() if inspect.isfunction(f)}


# --- one node changed -------------------------------------------------------------------------------

_OTHER_CALL = {
    "amax": ("amin",),
    "amin": ("amax",),
    "max": ("min",),
    "min": ("max",),
    "maximum": ("minimum",),
    "sum": ("mean", "amax"),
    "mean": ("sum",),
    "softmax": ("log_softmax",),
    "exp": ("expm1",),
    "log1p": ("abs",),
    "logsumexp": ("amax",),
    "argmax": ("argmin",),
    "triu": ("tril",),
    "tril": ("triu",),
    "cumsum": ("cumprod",),
    "median": ("mode",),
    "tanh": ("sigmoid", "sin"),
    "sigmoid": ("tanh",),
    "erf": ("tanh",),
    "relu": ("abs",),
    "relu_": ("abs_",),
    "sign": ("abs",),
    "rsqrt": ("sqrt",),
    "norm": ("sum",),
}
_NO_UNWRAP = (
    "view",
    "reshape",
    "unsqueeze",
    "flatten",
    "contiguous",
    "clone",
    "to",
    "detach",
    "float",
    "randn",
    "rand",
)
_COMPARISONS = {ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Eq: ast.NotEq}


def _number(value: float | int) -> ast.expr:
    return ast.UnaryOp(ast.USub(), ast.Constant(-value)) if value < 0 else ast.Constant(value)


def _on_operator(node: ast.BinOp) -> Iterator[tuple[str, ast.expr]]:
    left, op, right = node.left, node.op, node.right
    if isinstance(op, (ast.Add, ast.Sub)):
        other = ast.Sub() if isinstance(op, ast.Add) else ast.Add()
        yield "wrong_sign", ast.BinOp(left, other, right)
        yield "dropped_term", left
        if isinstance(op, ast.Add):
            yield "dropped_term", right
    if isinstance(op, ast.Mult):
        yield "dropped_factor", left
        yield "dropped_factor", right
    if isinstance(op, ast.Div):
        yield "dropped_divisor", left
        yield "product_for_quotient", ast.BinOp(left, ast.Mult(), right)
    if isinstance(op, ast.MatMult):
        yield "swapped_operands", ast.BinOp(right, op, left)
        turned = ast.Attribute(right, "mT", ast.Load())
        yield "transposed_operand", ast.BinOp(left, op, turned)


def _on_constant(node: ast.Constant) -> Iterator[tuple[str, ast.expr]]:
    value = node.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        if isinstance(value, bool):
            yield "flag_flipped", ast.Constant(not value)
        return
    if isinstance(value, float) and 0 < abs(value) < 1e-3:
        yield "eps_missing", ast.Constant(0.0)
        yield "eps_1000_times", ast.Constant(value * 1000)
        yield "eps_1000th", ast.Constant(value / 1000)
    elif isinstance(value, float):
        yield "constant_third_digit", _number(value * 1.005 if value else 0.005)
    else:
        yield "off_by_one", _number(value + 1)
        yield "off_by_one", _number(value - 1)


def _on_call(node: ast.Call) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(node.func, ast.Attribute):
        if ast.unparse(node) == "float('-inf')":
            yield "mask_value", ast.Constant(0.0)
        return
    name, owner = node.func.attr, ast.unparse(node.func.value)
    module = owner in ("torch", "F", "nn", "torch.linalg", "nn.functional")
    for other in _OTHER_CALL.get(name, ()):
        yield (
            f"{name}_to_{other}",
            ast.Call(ast.Attribute(node.func.value, other, ast.Load()), node.args, node.keywords),
        )
    if name in ("std", "var") and not any(k.arg == "unbiased" for k in node.keywords):
        keyword = ast.keyword("unbiased", ast.Constant(False))
        yield "biased_variance", ast.Call(node.func, node.args, [*node.keywords, keyword])
    plain = not any(isinstance(a, ast.Starred) for a in node.args)
    if name not in _NO_UNWRAP and owner != "self" and (not module or node.args) and plain:
        kind = "clamp_dropped" if name.startswith(("clamp", "relu")) else "dropped_call"
        yield kind, (node.args[0] if module else node.func.value)
    if module and len(node.args) > 1 and plain:
        yield "swapped_arguments", ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if name == "Linear" and len(node.args) == 2 and not node.keywords:
        yield "missing_bias", ast.Call(node.func, node.args, [ast.keyword("bias", ast.Constant(False))])


def _on_other(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.keyword(arg="dim" | "dims", value=value):
            for axis in (-1, 0, 1, -2):
                if ast.unparse(_number(axis)) != ast.unparse(value):
                    yield "wrong_axis", ast.keyword(node.arg, _number(axis))
        case ast.keyword(arg="keepdim"):
            yield "keepdim_lost", ast.keyword("keepdim", ast.Constant(False))
        case ast.Attribute(attr="eps", ctx=ast.Load()):
            yield "eps_missing", ast.Constant(0.0)
            yield "eps_1000_times", ast.BinOp(node, ast.Mult(), ast.Constant(1000.0))
            yield "eps_1000th", ast.BinOp(node, ast.Div(), ast.Constant(1000.0))
        case ast.Compare(ops=[op]) if type(op) in _COMPARISONS:
            yield "comparison_edge", ast.Compare(node.left, [_COMPARISONS[type(op)]()], node.comparators)
        case ast.UnaryOp(op=ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield "wrong_sign", node.operand
        case ast.Attribute(attr="T" | "mT") as turned:
            yield "transpose_dropped", turned.value


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.BinOp):
        yield from _on_operator(node)
    elif isinstance(node, ast.Constant):
        yield from _on_constant(node)
    elif isinstance(node, ast.Call):
        yield from _on_call(node)
        match node:
            case ast.Call(func=ast.Name(id="range"), args=args) if args:
                shorter = ast.BinOp(args[-1] if len(args) < 3 else args[1], ast.Sub(), ast.Constant(1))
                place = 0 if len(args) == 1 else 1
                yield "loop_cut_short", ast.Call(node.func, [*args[:place], shorter, *args[place + 1 :]], [])
    else:
        yield from _on_other(node)


def _places(root: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node below root: parent, field, position in the field's list, node."""
    for parent in ast.walk(root):
        for name, value in ast.iter_fields(parent):
            if isinstance(value, ast.AST):
                yield parent, name, None, value
            elif isinstance(value, list):
                yield from ((parent, name, i, v) for i, v in enumerate(value) if isinstance(v, ast.AST))


def by_node(name: str) -> Iterator[Variant]:
    for base, program in bases(name).items():
        module = ast.parse(program)
        cls = entry_class(module)
        seen = {ast.unparse(module)}
        for function in ("forward", "__init__"):
            root = method(cls, function)
            for parent, field, position, node in list(_places(root)) if root else ():
                for number, (kind, new) in enumerate(_changes(node)):
                    old = getattr(parent, field) if position is None else copy.copy(getattr(parent, field))
                    if position is None:
                        setattr(parent, field, new)
                    else:
                        getattr(parent, field)[position] = new
                    text = ast.unparse(ast.fix_missing_locations(module))
                    setattr(parent, field, old)
                    if text not in seen:
                        seen.add(text)
                        yield Variant(name, base, f"{kind}@{getattr(node, 'lineno', 0)}.{number}", text)


# --- an operation done wrong ------------------------------------------------------------------------


def _broken(operation: str) -> list[str]:
    return [n for n in HELPERS if n.startswith(f"{operation}_") and not (operation == "softmax" and "log" in n)]


def by_operation(name: str) -> Iterator[Variant]:
    for base, program in bases(name).items():
        for operation, form in ((o, f) for o in sorted(operations(program)) for f in _broken(o)):
            choose: Callable[[str], str] = lambda o, op=operation, f=form: f if o == op else ""  # noqa: E731
            text, used = replace(program, choose, HELPERS)
            if used:
                yield Variant(name, base, form, text)


# --- the whole program, wrapped ---------------------------------------------------------------------

_RESULTS = {
    "scaled_by_1e-4": "out * 1.0001",
    "shifted_by_1e-4": "out + 1e-4 * out.abs().max()",
    "one_element_zero": "out.reshape(-1).index_fill(0, torch.tensor([out.numel() // 3]), 0).view(out.shape)",
    "one_element_one_percent": (
        "torch.where(torch.arange(out.numel()).view(out.shape) == out.abs().argmax(), out * 1.01, out)"
    ),
    "last_row_zero": "torch.cat([out[:-1], torch.zeros_like(out[-1:])])",
    "last_column_repeated": "torch.cat([out[..., :-1], out[..., -2:-1]], dim=-1)",
    "first_row_repeated": "torch.cat([out[1:2], out[1:]])",
    "last_block_missing": "out * (torch.arange(len(out)) < len(out) * 15 // 16).view(-1, *[1] * (out.dim() - 1))",
    "rolled_by_one": "out.roll(1, 0)",
    "narrow_bf16_result": "out.bfloat16().float()",
    "narrow_fp16_result": "out.half().float()",
    "one_in_65536_zero": "out * (torch.arange(out.numel()).view(out.shape) % 65536 != 65535)",
    "clamped_at_four_means": "out.clamp(-4 * out.abs().mean(), 4 * out.abs().mean())",
    "averaged_with_neighbour": "0.999 * out + 0.001 * out.roll(1, -1)",
}
_INPUTS = {
    "inputs_positive": "t.abs()",
    "inputs_relu": "t.clamp(min=0.0)",
    "inputs_clamped": "t.clamp(-3.0, 3.0)",
    "last_slice_zero": "torch.cat([t[..., :-1], torch.zeros_like(t[..., -1:])], dim=-1) if t.dim() else t",
    "first_rows_swapped": "torch.cat([t[1:2], t[:1], t[2:]]) if t.dim() > 1 else t",
    "narrow_bf16_inputs": "t.bfloat16().float()",
    "narrow_fp16_inputs": "t.half().float()",
    "narrow_tf32_inputs": "((t.view(torch.int32) + 0x1000) & ~0x1FFF).view(torch.float32)",
    "inputs_small_are_zero": "torch.where(t.abs() < 1e-2, 0.0, t)",
}
_STALE = """
class ModelNew(Base):
    previous = None

    def forward(self, *inputs):
        out = super().forward(*inputs).clone()
        fresh = out.clone()
        if self.previous is not None:
            out{place} = self.previous{place}
        object.__setattr__(self, "previous", fresh)
        return out
"""
_NARROW_MODULE = """
class ModelNew(Base):
    def forward(self, *inputs):
        inner = copy.deepcopy(self).to(torch.{dtype})
        some = [t.to(torch.{dtype}) if t.is_floating_point() else t for t in inputs]
        out = Base.forward(inner, *some)
        return out.float() if out.is_floating_point() else out
"""
_NARROW_WEIGHTS = """
class ModelNew(Base):
    def forward(self, *inputs):
        for p in (*self.parameters(), *self.buffers()):
            if p.is_floating_point():
                p.data = p.data.to(torch.{dtype}).to(p.dtype)
        return super().forward(*inputs)
"""


def wrapped(name: str) -> Iterator[Variant]:
    module = ast.parse(bases(name)["reference"])
    entry_class(module).name = "Base"
    for kind, text in _wrappers(_arity(module)):
        yield Variant(name, "reference", kind, f"{PREFIX}{ast.unparse(module)}\n\n{text}")


def _arity(module: ast.Module) -> int:
    forward = method(entry_class(module, "Base"), "forward")
    assert forward is not None
    return len(forward.args.args) - 1


def _wrappers(inputs: int) -> Iterator[tuple[str, str]]:
    for kind, change in _RESULTS.items():
        body = f"        out = super().forward(*inputs)\n        return {change}\n"
        yield kind, f"class ModelNew(Base):\n    def forward(self, *inputs):\n{body}"
    for kind, change in _INPUTS.items():
        some = f"[{change} if t.is_floating_point() else t for t in inputs]"
        yield kind, f"class ModelNew(Base):\n    def forward(self, *inputs):\n        return super().forward(*{some})\n"
    for place in ("[:1]", "[-1:]", "[..., :1]"):
        yield f"stale{place}", _STALE.format(place=place)
    for dtype in ("bfloat16", "float16"):
        yield f"narrow_{dtype}_inside", _NARROW_MODULE.format(dtype=dtype)
        yield f"narrow_{dtype}_weights", _NARROW_WEIGHTS.format(dtype=dtype)
    names = [f"inputs[{i}]" for i in range(inputs)]
    for a, b in itertools.combinations(range(inputs), 2):
        order = list(names)
        order[a], order[b] = order[b], order[a]
        yield f"swapped_inputs_{a}_{b}", _CALL.format(", ".join(order))
    for a in range(inputs):
        order = list(names)
        order[a] = f"torch.zeros_like({names[a]})"
        yield f"ignored_input_{a}", _CALL.format(", ".join(order))


_CALL = """
class ModelNew(Base):
    def forward(self, *inputs):
        return super().forward({})
"""


# --- all --------------------------------------------------------------------------------------------


def group(kind: str) -> str:
    """Kind without the place where it was applied."""
    return kind.partition("@")[0]


def candidates(name: str, limit: int | None = None) -> list[Variant]:
    """Changed programs of a task in a fixed, mixed order (kinds take turns); `limit` keeps the first of them."""
    found = [v for make in (by_node, by_operation, wrapped) for v in make(name)]
    random.Random(name).shuffle(found)
    turn: dict[str, int] = {}
    keyed: list[tuple[int, int, Variant]] = []
    for number, variant in enumerate(found):
        kind = group(variant.kind)
        turn[kind] = turn.get(kind, -1) + 1
        keyed.append((turn[kind], number, variant))
    return [v for _, _, v in sorted(keyed, key=lambda k: k[:2])][:limit]


def narrows(variant: Variant) -> bool:
    return "narrow" in variant.kind


def is_mutant(bench: Bench, variant: Variant) -> bool:
    """Whether the program runs and is another function than the reference."""
    try:
        return bench.gap(variant.program, wide=not narrows(variant), enough=DISTINCT) > DISTINCT
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, ZeroDivisionError, NameError):
        return False


def mutants(bench: Bench, limit: int) -> Iterator[Variant]:
    """The first `limit` true mutants of the bench's task."""
    found = (v for v in candidates(bench.name) if is_mutant(bench, v))
    yield from itertools.islice(found, limit)
