"""Honest rewrites of the bundled problems: the same function, other arithmetic. None of them may be INCORRECT.

Three sources: an operation replaced by another form of it (`honest_*`), at every place of a reference or a gold where
it occurs; the whole program wrapped (other memory layouts, blocks of a batch, float64 inside, other parameter
names, derived weights, the `load_reference` hook); and programs written by hand (`handmade_*`).
"""

from __future__ import annotations

import ast
import inspect
import random
from collections.abc import Callable, Iterator
from functools import cache

import handmade_arithmetic
import handmade_fragile
import handmade_networks
import handmade_reductions
import honest_elementwise
import honest_products
import honest_reductions
from batch_axes import BATCH_AXES
from programs import Variant, bases, entry_class, method, tasks

HANDMADE = handmade_arithmetic.REWRITES | handmade_networks.REWRITES | handmade_reductions.REWRITES
HELPERS: dict[str, str] = {
    name: inspect.getsource(f)
    for library in (honest_elementwise, honest_products, honest_reductions)
    for name, f in vars(library).items()
    if inspect.isfunction(f)
}

# Keyword and positional parameters after the first, by operation: what a call must not go beyond to be rewritten.
_REDUCE = ("dim", "keepdim")
_SIGNATURES: dict[str, tuple[str, ...]] = {
    "sum": _REDUCE,
    "mean": _REDUCE,
    "var": ("dim", "unbiased", "keepdim"),
    "std": ("dim", "unbiased", "keepdim"),
    "norm": ("dim", "keepdim"),
    "normalize": ("dim", "eps"),
    "softmax": ("dim",),
    "log_softmax": ("dim",),
    "cumsum": ("dim",),
    "cumprod": ("dim",),
    "matmul": ("b",),
    "linear": ("weight", "bias"),
    "conv2d": ("weight", "bias", "stride", "padding", "groups"),
    "layer_norm": ("shape", "weight", "bias", "eps"),
    "group_norm": ("groups", "weight", "bias", "eps"),
    "batch_norm": ("mean", "var", "weight", "bias", "training", "eps"),
    "attention": ("key", "value", "is_causal", "enable_gqa"),
    "cross_entropy": ("labels", "reduction"),
    "gelu": ("approximate",),
    "power": ("n",),
} | {name: () for name in ("exp", "sigmoid", "tanh", "softplus", "logsigmoid", "selu", "erf", "log1p", "sqrt", "rsqrt")}
_FUNCTIONS = {
    f"torch.{name}": name for name in _SIGNATURES if name not in ("std", "var", "norm", "linear", "conv2d")
} | {
    "torch.mm": "matmul",
    "torch.bmm": "matmul",
    "torch.pow": "power",
    "torch.linalg.vector_norm": "norm",
    "F.scaled_dot_product_attention": "attention",
    **{f"F.{n}": n for n in ("linear", "conv2d", "layer_norm", "group_norm", "batch_norm", "cross_entropy", "gelu")},
    **{f"F.{n}": n for n in ("selu", "softplus", "logsigmoid", "softmax", "log_softmax", "normalize")},
}
_METHODS = {
    name: name for name in ("sum", "mean", "var", "std", "norm", "softmax", "exp", "sqrt", "rsqrt", "sigmoid", "tanh")
} | {"pow": "power"}
_MODULES = {
    "Linear": ("linear", ("weight", "bias")),
    "Conv2d": ("conv2d", ("weight", "bias", "stride", "padding")),
    "LayerNorm": ("layer_norm", ("normalized_shape", "weight", "bias", "eps")),
}


def forms(operation: str) -> list[str]:
    """The other forms of an operation that `honest_*` know."""
    return [n for n in HELPERS if n.startswith(f"{operation}_") and not n.startswith(f"{operation}_norm")]


# --- one operation for another ----------------------------------------------------------------------


class _Replace(ast.NodeTransformer):
    """Replaces calls of known operations by what `choose` names; "" leaves a call alone."""

    def __init__(self, modules: dict[str, str], choose: Callable[[str], str]) -> None:
        self.modules, self.choose = modules, choose
        self.used: set[str] = set()

    def _call(self, operation: str, node: ast.expr, args: list[ast.expr], keywords: list[ast.keyword]) -> ast.expr:
        form = self.choose(operation)
        if not form:
            return node
        self.used.add(form)
        return ast.Call(ast.Name(form, ast.Load()), args, keywords)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        operation, args = self._operation(node)
        known = _SIGNATURES.get(operation)
        if known is None or len(args) > 1 + len(known) or any(k.arg not in known for k in node.keywords):
            return node
        if operation == "std":
            inner = self._call("var", node, args, node.keywords)
            root = ast.Attribute(ast.Name("torch", ast.Load()), "sqrt", ast.Load())
            return node if inner is node else ast.Call(root, [inner], [])
        if operation == "var" and len(args) > 1:
            return node  # positional arguments of var are ambiguous
        return self._call(operation, node, args, node.keywords)

    def _operation(self, node: ast.Call) -> tuple[str, list[ast.expr]]:
        if any(isinstance(a, ast.Starred) for a in node.args):
            return "", []
        name = ast.unparse(node.func)
        if name in _FUNCTIONS:
            return _FUNCTIONS[name], node.args
        if name.removeprefix("self.") in self.modules and name.startswith("self."):
            operation, fields = _MODULES[self.modules[name.removeprefix("self.")]]
            return operation, [*node.args, *(ast.Attribute(node.func, f, ast.Load()) for f in fields)]
        if isinstance(node.func, ast.Attribute) and node.func.attr in _METHODS and not name.startswith("torch."):
            dims = node.args
            if node.func.attr in ("sum", "mean") and len(dims) > 1:
                return "", []
            return _METHODS[node.func.attr], [node.func.value, *dims]
        return "", []

    def visit_BinOp(self, node: ast.BinOp) -> ast.expr:
        self.generic_visit(node)
        match node:
            case ast.BinOp(op=ast.MatMult()):
                return self._call("matmul", node, [node.left, node.right], [])
            case ast.BinOp(op=ast.Div()):
                return self._call("divide", node, [node.left, node.right], [])
            case ast.BinOp(op=ast.Pow(), right=ast.Constant()):
                return self._call("power", node, [node.left, node.right], [])
            case ast.BinOp(op=ast.Add(), right=ast.BinOp(op=ast.Mult(), left=b, right=c)):
                return self._call("fma", node, [node.left, b, c], [])
            case ast.BinOp(op=ast.Add(), left=ast.BinOp(op=ast.Mult(), left=b, right=c)):
                return self._call("fma", node, [node.right, b, c], [])
            case ast.BinOp(op=ast.Sub(), right=ast.BinOp(op=ast.Mult(), left=b, right=c)):
                return self._call("fma", node, [node.left, ast.UnaryOp(ast.USub(), b), c], [])
        return node


def submodules(cls: ast.ClassDef) -> dict[str, str]:
    """Attribute -> kind of the layers that `__init__` makes."""
    init = method(cls, "__init__")
    found: dict[str, str] = {}
    for node in ast.walk(init) if init else ():
        match node:
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Call(func=ast.Attribute(attr=kind))):
                if kind in _MODULES:
                    found[name] = kind
    return found


def replace(program: str, choose: Callable[[str], str], library: dict[str, str] | None = None) -> tuple[str, set[str]]:
    """The program with operations in `forward` replaced, and the forms that were put in."""
    module = ast.parse(program)
    cls = entry_class(module)
    change = _Replace(submodules(cls), choose)
    forward = method(cls, "forward")
    assert forward is not None
    forward.body = [change.visit(statement) for statement in forward.body]
    ast.fix_missing_locations(module)
    return f"{ast.unparse(module)}\n\n{helpers(change.used, library or HELPERS)}", change.used


@cache
def operations(program: str) -> frozenset[str]:
    """The known operations that occur in `forward`."""
    met: set[str] = set()
    replace(program, lambda operation: met.add(operation) or "")
    return frozenset(met)


def helpers(names: set[str], library: dict[str, str]) -> str:
    """Source of the helpers and of those that they call, with the imports that they need."""
    needed: dict[str, str] = {}
    open_ = sorted(names)
    while open_:
        name = open_.pop()
        if name in needed:
            continue
        needed[name] = library[name]
        called = {n.id for n in ast.walk(ast.parse(library[name])) if isinstance(n, ast.Name)}
        open_ += sorted(called & library.keys())
    return "\n\n".join(["import torch", "import torch.nn.functional as F", *needed.values()])


def by_operation(name: str) -> Iterator[Variant]:
    for base, program in bases(name).items():
        for operation in sorted(operations(program)):
            for form in stable_forms(name, operation):
                text, used = replace(program, lambda o, operation=operation, form=form: form if o == operation else "")
                if used:
                    yield Variant(name, base, form, text)


def stable_forms(name: str, operation: str) -> list[str]:
    return [f for f in forms(operation) if (name, f) not in UNSTABLE]


# Forms that are much less accurate than others in this one place, and why.
UNSTABLE = {
    ("group_norm_by_reshape", "var_welford"): "one mean updated 18,432 times",
    ("prototype_cosine_loss", "matmul_strassen"): "mixes rows of different length before each is divided by its own",
    ("row_column_rescaling", "matmul_strassen"): "mixes rows of very different size; accurate for the largest only",
}


def mixed(name: str, count: int = 2) -> Iterator[Variant]:
    """All operations at once, each place with a form drawn for it."""
    for base, program in bases(name).items():
        for number in range(count):
            rng = random.Random(f"{name} {base} {number}")
            text, used = replace(program, lambda o, rng=rng: rng.choice(stable_forms(name, o) or [""]))
            if len(used) > 1:
                yield Variant(name, base, f"mixed_{number}", text)


# --- the whole program, wrapped ---------------------------------------------------------------------

_LAYOUTS = {
    "inputs_transposed": "t.transpose(-1, -2).contiguous().transpose(-1, -2) if t.dim() > 1 else t",
    "inputs_channels_last": "t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t",
    "inputs_padded": "F.pad(t, (0, 3))[..., :-3] if t.is_floating_point() else t",
}
_WRAPPED = {
    kind: f"""
class ModelNew(Base):
    def forward(self, *inputs):
        return super().forward(*[{change} for t in inputs])
"""
    for kind, change in _LAYOUTS.items()
} | {
    "output_transposed": """
class ModelNew(Base):
    def forward(self, *inputs):
        out = super().forward(*inputs)
        return out.transpose(0, -1).contiguous().transpose(0, -1) if out.dim() > 1 else out
""",
    "output_in_larger_buffer": """
class ModelNew(Base):
    def forward(self, *inputs):
        out = super().forward(*inputs)
        buffer = torch.full((2, *out.shape), 7, dtype=out.dtype)
        buffer[1] = out
        return buffer[1]
""",
    "float64_inside": """
class ModelNew(Base):
    def forward(self, *inputs):
        wide = copy.deepcopy(self).double()
        out = Base.forward(wide, *[t.double() if t.is_floating_point() else t for t in inputs])
        return out.float() if out.is_floating_point() else out
""",
}
_WRAPPED_WEIGHTS = {
    "nested": """
class ModelNew(nn.Module):
    def __init__(self, *args):
        super().__init__()
        self.inner = Base(*args)

    def forward(self, *inputs):
        return self.inner(*inputs)
""",
    "load_reference": """
class ModelNew(nn.Module):
    def __init__(self, *args):
        super().__init__()
        self.args = args

    def load_reference(self, state):
        inner = Base(*self.args)
        inner.load_state_dict(state)
        self.inner = inner.eval()

    def forward(self, *inputs):
        return self.inner(*inputs)
""",
    "derived_in_init": """
class ModelNew(Base):
    def __init__(self, *args):
        super().__init__(*args)
        self.derived = copy.deepcopy(dict(self.named_parameters()) | dict(self.named_buffers()))

    def forward(self, *inputs):
        return torch.func.functional_call(Plain(self), {f"base.{k}": v for k, v in self.derived.items()}, inputs)


class Plain(nn.Module):
    def __init__(self, base):
        super().__init__()
        self.base = base

    def forward(self, *inputs):
        return Base.forward(self.base, *inputs)
""",
    "weights_transposed": """
class ModelNew(Base):
    def forward(self, *inputs):
        for p in self.parameters():
            if p.dim() > 1:
                p.data = p.data.transpose(0, -1).contiguous().transpose(0, -1)
        return super().forward(*inputs)
""",
}
PREFIX = "import copy\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def wrapped(name: str) -> Iterator[Variant]:
    weighty = any(
        mark in tasks()[name].reference for mark in ("nn.Parameter", "nn.Linear", "nn.Conv2d", "nn.LayerNorm")
    )
    weighty = weighty or "register_buffer" in tasks()[name].reference
    for base, program in bases(name).items():
        module = ast.parse(program)
        entry_class(module).name = "Base"
        inner = ast.unparse(module)
        for kind, text in (_WRAPPED | _WRAPPED_WEIGHTS if weighty else _WRAPPED).items():
            if kind != "inputs_channels_last" or name in _IMAGES:
                yield Variant(name, base, kind, f"{PREFIX}{inner}\n\n{text}")


# Tasks with four-dimensional inputs.
_IMAGES = frozenset(
    [
        "channelwise_blur",
        "crossed_kernel_branches",
        "mean_filter_response",
        "rank_one_filter",
        "strided_feature_stem",
        "widen_then_squeeze",
        "layered_alpha_composite",
        "scaled_exponential_units",
        "group_norm_by_reshape",
        "frozen_batch_statistics",
        "global_descriptor",
        "project_then_downsample",
        "spatial_pyramid",
        "tile_averages",
        "channel_signal_rms",
        "channel_softmax_planes",
        "soft_argmax_keypoints",
        "channel_gate",
        "causal_heads_by_hand",
        "shared_key_decoding",
    ]
)


def _blocked(axes: dict[int, int], out: int, body: str) -> str:
    return f"""
class ModelNew(Base):
    def forward(self, *inputs):
        axes = {axes!r}
        n = inputs[{next(iter(axes))}].shape[{next(iter(axes.values()))}]
        pieces = []
        for start, stop in [(a, b) for a, b in {body} if b > a]:
            some = [t.narrow(axes[i], start, stop - start) if i in axes else t for i, t in enumerate(inputs)]
            pieces.append(super().forward(*some))
        return torch.cat(pieces, dim={out})
"""


_BLOCKS = {
    "in_blocks": "[(0, n // 3), (n // 3, n - 1), (n - 1, n)]",
    "in_two_halves": "[(0, n // 2), (n // 2, n)]",
}


def blocked(name: str) -> Iterator[Variant]:
    """The batch in pieces, and backwards."""
    for base, program in bases(name).items():
        module = ast.parse(program)
        entry_class(module).name = "Base"
        inner = ast.unparse(module)
        for number, (axes, out) in enumerate(BATCH_AXES.get(name, ())):
            for kind, body in _BLOCKS.items():
                text = _blocked(axes, out, body)
                yield Variant(name, base, f"{kind}_{number}", f"{PREFIX}{inner}\n\n{text}")
            turned = f"""
class ModelNew(Base):
    def forward(self, *inputs):
        axes = {axes!r}
        return super().forward(*[t.flip(axes[i]) if i in axes else t for i, t in enumerate(inputs)]).flip({out})
"""
            yield Variant(name, base, f"backwards_{number}", f"{PREFIX}{inner}\n\n{turned}")


# --- parameters by other names ----------------------------------------------------------------------


def renamed(name: str) -> Iterator[Variant]:
    """Every attribute that carries weights gets another name; the order stays."""
    for base, program in bases(name).items():
        module = ast.parse(program)
        cls = entry_class(module)
        init = method(cls, "__init__")
        names: dict[str, str] = {}
        for node in ast.walk(init) if init else ():
            match node:
                case ast.Assign(targets=[ast.Attribute(attr=attr)], value=ast.Call(func=ast.Attribute(attr=kind))):
                    if kind in (*_MODULES, "Parameter"):
                        names[attr] = f"part_{len(names)}"
        if not names:
            continue
        for node in ast.walk(cls):
            if isinstance(node, ast.Attribute) and node.attr in names and ast.unparse(node.value) == "self":
                node.attr = names[node.attr]
        yield Variant(name, base, "renamed", ast.unparse(module))


# --- all --------------------------------------------------------------------------------------------


def unchanged(name: str) -> Iterator[Variant]:
    for base, program in bases(name).items():
        yield Variant(name, base, "unchanged", program)


def by_hand(name: str) -> Iterator[Variant]:
    for kind, methods in HANDMADE.get(name, {}).items():
        yield Variant(name, "hand", kind, with_methods(bases(name)["reference"], methods))


def fragile(name: str) -> Iterator[Variant]:
    """Equal in exact arithmetic, less accurate than the reference somewhere: measured, not demanded."""
    for (task, form), _ in UNSTABLE.items():
        for base, program in bases(name).items() if task == name else ():
            text, used = replace(program, lambda o, form=form: form if form.startswith(f"{o}_") else "")
            if used:
                yield Variant(name, base, f"fragile_{form}", text)
    for kind, methods in handmade_fragile.REWRITES.get(name, {}).items():
        yield Variant(name, "hand", f"fragile_{kind}", with_methods(bases(name)["reference"], methods))


def with_methods(program: str, methods: str) -> str:
    """The program with methods of its class replaced or added."""
    module = ast.parse(program)
    cls = entry_class(module)
    new = {n.name: n for n in ast.parse(methods).body if isinstance(n, ast.FunctionDef)}
    cls.body = [n for n in cls.body if not (isinstance(n, ast.FunctionDef) and n.name in new)] + list(new.values())
    return ast.unparse(module)


@cache
def rewrites(name: str) -> tuple[Variant, ...]:
    """All honest rewrites of a task, the reference and its gold first."""
    makers = (unchanged, by_hand, by_operation, mixed, blocked, renamed, wrapped)
    return tuple(v for make in makers for v in make(name))
