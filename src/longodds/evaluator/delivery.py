"""How a program gets the reference's weights: by name while it constructs itself, then by order where shapes allow.

Runs in children, around programs, and in the oracle when it builds the reference, so that what a constructor derives
from weights is derived from the same ones everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from longodds.evaluator import tree
from longodds.evaluator.frames import Fault


class Failure(Exception):
    """What to tell the oracle instead of READY or DONE."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault, self.text = fault, text


class Weights:
    """Delivers the reference's parameters and buffers by name, as soon as the root module gets them."""

    def __init__(self, spec: list[dict[str, Any]], block: torch.Tensor) -> None:
        self.tensors = {
            s["name"]: tree.Leaf(s["o"], getattr(torch, s["d"]), tuple(s["s"]), tuple(s["st"])).view(block)
            for s in spec
        }
        self.root: torch.nn.Module | None = None

    def _fill(self, prefix: str, item: object) -> None:
        if isinstance(item, torch.nn.Module):
            for name, tensor in named_tensors(item).items():
                self._copy(f"{prefix}.{name}", tensor)
        elif isinstance(item, torch.Tensor):
            self._copy(prefix, item)

    def _copy(self, name: str, tensor: torch.Tensor) -> None:
        source = self.tensors.get(name)
        if source is not None and source.shape == tensor.shape and source.dtype == tensor.dtype:
            with torch.no_grad():
                tensor.copy_(source)

    def build(self, factory: Any, args: list[Any]) -> torch.nn.Module:
        """Construct the module; while it constructs itself, whatever it attaches under a known name gets its weights,
        so that what it derives from them afterwards is derived from the right ones."""
        original, buffers = torch.nn.Module.__setattr__, torch.nn.Module.register_buffer
        init = torch.nn.Module.__init__

        def start(this: Any, *a: Any, **k: Any) -> None:
            init(this, *a, **k)
            if self.root is None and type(this) is factory:
                self.root = this

        def attach(this: Any, name: str, value: Any) -> None:
            original(this, name, value)
            if this is self.root:
                self._fill(name, value)

        def register(this: Any, name: str, tensor: Any, persistent: bool = True) -> None:
            buffers(this, name, tensor, persistent)
            if this is self.root:
                self._fill(name, tensor)

        patched: Any = torch.nn.Module
        patched.__init__, patched.__setattr__, patched.register_buffer = start, attach, register
        try:
            module = factory(*args)
        finally:
            patched.__init__, patched.__setattr__, patched.register_buffer = init, original, buffers
        if not isinstance(module, torch.nn.Module):
            raise Failure(Fault.RUNTIME, f"the entry class made a {type(module).__name__}, not a torch.nn.Module")
        return module

    def load(self, module: torch.nn.Module, optional: Sequence[str] = ()) -> list[str]:
        """Deliver for good; returns the names of reference tensors that found no place and are not optional."""
        hook = getattr(module, "load_reference", None)
        if callable(hook):
            hook({name: tensor.clone() for name, tensor in self.tensors.items()})
            return []
        own = named_tensors(module)
        by_name = [n for n, t in self.tensors.items() if n in own and own[n].shape == t.shape]
        missing = [n for n in self.tensors if n not in by_name and n not in optional]
        places = {n: n for n in by_name}
        free = [n for n in own if n not in self.tensors]
        if missing:
            # Other names: in order, where the shapes leave no choice.
            wanted = [(tuple(self.tensors[n].shape), self.tensors[n].dtype) for n in missing]
            for name, kind in zip(missing, wanted, strict=True):
                same = [n for n in free if (tuple(own[n].shape), own[n].dtype) == kind]
                alike = [n for n, k in zip(missing, wanted, strict=True) if k == kind]
                if len(same) == len(alike):
                    places[name] = same[alike.index(name)]
        with torch.no_grad():
            for name, place in places.items():
                own[place].copy_(self.tensors[name])
        return [n for n in missing if n not in places]


def named_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by every name that they have."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return parameters | dict(module.named_buffers(remove_duplicate=False))
