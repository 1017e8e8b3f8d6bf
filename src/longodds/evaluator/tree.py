"""Inputs and outputs as trees: a JSON-able spec (structure, shapes, dtypes, strides) and a flat block of bytes.

The spec travels as JSON, the bytes through shared memory, so no object of one process is ever rebuilt by
another from something executable. Leaves: tensors of any dtype and strides, bool, int, float; None and strings are
part of the structure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch

ALIGN = 64
Spec = dict[str, Any]
_SCALARS: dict[type, torch.dtype] = {bool: torch.bool, int: torch.int64, float: torch.float64}


class Unsupported(ValueError):
    """A value that can't be described: says what and where."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf's place: byte offset in the block, dtype, shape and strides (elements)."""

    offset: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    scalar: str = ""  # "bool" | "int" | "float" for Python numbers
    gapped: bool = False  # of an output: the task's own has gaps or overlaps, and is described as contiguous

    @property
    def elements(self) -> int:
        """Elements of storage that the leaf spans."""
        if 0 in self.shape:
            return 0
        return 1 + sum((n - 1) * s for n, s in zip(self.shape, self.stride, strict=True))

    @property
    def nbytes(self) -> int:
        return self.elements * self.dtype.itemsize

    def view(self, block: torch.Tensor) -> torch.Tensor:
        """The leaf inside a flat uint8 block, shape and strides as described; shares memory."""
        if self.elements == 0:
            return torch.empty(self.shape, dtype=self.dtype, device=block.device)
        flat = block[self.offset : self.offset + self.nbytes].view(self.dtype)
        return flat.as_strided(self.shape, self.stride)


def describe(value: object, *, dense: bool = False, path: str = "value") -> tuple[Spec, list[Leaf], int]:
    """(spec, leaves, bytes). dense: an output; strides that overlap or leave gaps are described as contiguous.

    Raises Unsupported for a value of another type, or a tensor subclass.
    """
    leaves: list[Leaf] = []
    end = 0

    def walk(item: object, where: str) -> Spec:
        nonlocal end
        if item is None or isinstance(item, str):
            return {"t": "const", "v": item}
        if type(item) in _SCALARS:
            kind = type(item).__name__
            leaf = Leaf(_align(end), _SCALARS[type(item)], (), (), kind)
        elif isinstance(item, torch.Tensor):
            leaf = _tensor_leaf(item, _align(end), dense, where)
            kind = "tensor"
        elif isinstance(item, (list, tuple)):
            items = cast("Sequence[object]", item)
            if not dense and type(items) not in (list, tuple):
                raise Unsupported(f"{where}: a {type(items).__name__} can't be passed to a program; use a plain tuple")
            name = "list" if isinstance(item, list) else "tuple"
            return {"t": name, "v": [walk(x, f"{where}[{i}]") for i, x in enumerate(items)]}
        elif isinstance(item, dict):
            pairs = cast("dict[object, object]", item)
            if not all(isinstance(k, str) for k in pairs):
                raise Unsupported(f"{where}: a dict needs string keys")
            inner = {str(k): walk(v, f"{where}[{k!r}]") for k, v in in_order(pairs)}
            return {"t": "dict", "v": {str(k): inner[str(k)] for k in pairs}}
        else:
            raise Unsupported(f"{where}: {type(item).__name__} can't be passed to a program")
        end = leaf.offset + leaf.nbytes
        leaves.append(leaf)
        dtype = str(leaf.dtype).removeprefix("torch.")
        spec = {"t": kind, "i": len(leaves) - 1, "o": leaf.offset, "d": dtype, "s": leaf.shape, "st": leaf.stride}
        return spec | {"g": True} if leaf.gapped else spec

    spec = walk(value, path)
    return spec, leaves, _align(end)


def in_order(pairs: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Items of a dict in the order in which leaves are numbered: two with equal items are equal, however they began."""
    return sorted(pairs.items(), key=lambda pair: str(pair[0]))


def _align(offset: int) -> int:
    return (offset + ALIGN - 1) // ALIGN * ALIGN


def _tensor_leaf(item: torch.Tensor, offset: int, dense: bool, where: str) -> Leaf:
    if item.layout is not torch.strided or item.is_quantized:
        raise Unsupported(f"{where}: only strided tensors are supported, not {item.layout}")
    if dense and type(item) is not torch.Tensor:
        raise Unsupported(f"{where}: a {type(item).__name__}; only a plain torch.Tensor can be judged")
    if item.device.type not in ("cpu", "cuda"):
        raise Unsupported(f"{where}: a tensor on {item.device}; programs are judged on a CPU or a CUDA GPU")
    shape, stride = tuple(item.shape), tuple(item.stride())
    own = stride
    if dense:
        stride = dense_strides(shape, stride)
    return Leaf(offset, item.dtype, shape, stride, gapped=stride != own)


def dense_strides(shape: Sequence[int], stride: Sequence[int]) -> tuple[int, ...]:
    """`stride` if it is a permutation of a contiguous layout, else the contiguous one."""
    order = sorted((s, n) for n, s in zip(shape, stride, strict=True) if n > 1)
    expected = 1
    for s, n in order:
        if s != expected:
            contiguous: list[int] = []
            step = 1
            for m in reversed(shape):
                contiguous.append(step)
                step *= max(m, 1)
            return tuple(reversed(contiguous))
        expected *= n
    return tuple(stride)


def leaves_of(spec: Spec) -> list[Leaf]:
    """The leaves of a spec that came as JSON, in order."""
    return [
        Leaf(
            s["o"],
            getattr(torch, s["d"]),
            tuple(s["s"]),
            tuple(s["st"]),
            "" if s["t"] == "tensor" else s["t"],
            s.get("g", False),
        )
        for s in _walk_spec(spec)
    ]


def _walk_spec(spec: Spec) -> Iterator[Spec]:
    kind = spec["t"]
    if kind in ("list", "tuple"):
        for item in spec["v"]:
            yield from _walk_spec(item)
    elif kind == "dict":
        for _, item in in_order(spec["v"]):
            yield from _walk_spec(item)
    elif kind != "const":
        yield spec


def values(value: object) -> list[object]:
    """The leaf values of a tree in spec order."""
    if value is None or isinstance(value, str):
        return []
    if isinstance(value, (list, tuple)):
        return [leaf for item in cast("Sequence[object]", value) for leaf in values(item)]
    if isinstance(value, dict):
        return [leaf for _, item in in_order(cast("dict[str, object]", value)) for leaf in values(item)]
    return [value]


def write(value: object, leaves: Sequence[Leaf], block: torch.Tensor) -> None:
    """Copy a tree's leaves into a flat uint8 block."""
    for item, leaf in zip(values(value), leaves, strict=True):
        if leaf.elements == 0:
            continue
        source = item if isinstance(item, torch.Tensor) else torch.tensor(item, dtype=leaf.dtype)
        target = leaf.view(block)
        if leaf.elements < target.numel():  # expanded: one storage element stands for many
            flat = block[leaf.offset : leaf.offset + leaf.nbytes].view(leaf.dtype)
            flat.copy_(source.as_strided((leaf.elements,), (1,), source.storage_offset()))
        else:
            target.copy_(source)


def block_of(value: object, leaves: Sequence[Leaf], size: int, device: str) -> torch.Tensor:
    """A tree's leaves in a new flat uint8 block of `size` bytes on a device, zero between them."""
    whole = sum(leaf.nbytes for leaf in leaves if leaf.elements == math.prod(leaf.shape)) == size
    block = (torch.empty if whole else torch.zeros)(size, dtype=torch.uint8, device=device)
    write(value, leaves, block)
    return block


def read(spec: Spec, block: torch.Tensor) -> Any:
    """The tree of a spec over a block: tensors are views of the block, numbers are Python's."""
    kind = spec["t"]
    if kind == "const":
        return spec["v"]
    if kind in ("list", "tuple"):
        items = [read(item, block) for item in spec["v"]]
        return items if kind == "list" else tuple(items)
    if kind == "dict":
        return {key: read(item, block) for key, item in spec["v"].items()}
    leaf = Leaf(spec["o"], getattr(torch, spec["d"]), tuple(spec["s"]), tuple(spec["st"]), kind)
    view = leaf.view(block)
    return view if kind == "tensor" else view.item()


def map_tensors(value: Any, change: Any) -> Any:
    """The tree with `change` applied to each tensor leaf."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (list, tuple)):
        items = [map_tensors(item, change) for item in cast("Sequence[object]", value)]
        return items if isinstance(value, list) else tuple(items)
    if isinstance(value, dict):
        return {key: map_tensors(item, change) for key, item in cast("dict[str, object]", value).items()}
    return value


def map_leaves(value: Any, change: Callable[[int, Any], Any]) -> Any:
    """The tree with `change(number, leaf)` in place of each leaf, numbered in spec order."""
    numbers = itertools.count()

    def walk(item: Any) -> Any:
        if item is None or isinstance(item, str):
            return item
        if isinstance(item, (list, tuple)):
            items = [walk(x) for x in cast("Sequence[object]", item)]
            return items if isinstance(item, list) else tuple(items)
        if isinstance(item, dict):
            pairs = cast("dict[str, object]", item)
            inner = {key: walk(x) for key, x in in_order(pairs)}
            return {key: inner[key] for key in pairs}
        return change(next(numbers), item)

    return walk(value)


def mismatch(spec: Spec, value: object, path: str = "output") -> str:
    """First difference between a value and the spec's structure, types, shapes and dtypes; "" if none."""
    kind = spec["t"]
    if kind == "const":
        return "" if value == spec["v"] and type(value) is type(spec["v"]) else f"{path}: expected {spec['v']!r}"
    if kind in ("list", "tuple", "dict"):
        wanted = {"list": list, "tuple": tuple, "dict": dict}[kind]
        if not isinstance(value, wanted):
            return f"{path}: expected a {kind}, got {type(value).__name__}"
        items = cast("Any", value)
        if len(items) != len(spec["v"]):
            return f"{path}: expected {len(spec['v'])} items, got {len(items)}"
        if kind == "dict":
            if set(items) != set(spec["v"]):
                return f"{path}: expected keys {list(spec['v'])}, got {list(items)}"
            return next((m for k in spec["v"] if (m := mismatch(spec["v"][k], items[k], f"{path}[{k!r}]"))), "")
        return next((m for i, s in enumerate(spec["v"]) if (m := mismatch(s, items[i], f"{path}[{i}]"))), "")
    if kind != "tensor":
        return "" if type(value).__name__ == kind else f"{path}: expected {kind}, got {type(value).__name__}"
    if type(value) is not torch.Tensor:
        return f"{path}: expected a torch.Tensor, got {type(value).__name__}"
    if tuple(value.shape) != tuple(spec["s"]):
        return f"{path}: expected shape {tuple(spec['s'])}, got {tuple(value.shape)}"
    dtype = str(value.dtype).removeprefix("torch.")
    return "" if dtype == spec["d"] else f"{path}: expected dtype {spec['d']}, got {dtype}"


def leaf_paths(spec: Spec) -> list[str]:
    """Names of the input leaves: 0, 1, and 2.0, 2.1 inside a list or 2.key inside a dict."""
    names: list[str] = []

    def walk(part: Spec, path: str) -> None:
        inner = part["v"] if part["t"] in ("list", "tuple", "dict") else None
        if inner is None:
            names.extend([path.removeprefix(".")] if part["t"] != "const" else [])
            return
        for key, item in in_order(inner) if isinstance(inner, dict) else enumerate(inner):
            walk(item, f"{path}.{key}")

    walk(spec, "")
    return names
