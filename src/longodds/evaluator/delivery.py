"""How a program gets the reference's weights: by name while it constructs itself, then by order where shapes allow.

Runs in children, around programs, and in the oracle when it builds the reference, so that what a constructor derives
from weights is derived from the same ones everywhere.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, cast

import torch

from longodds.evaluator import tree
from longodds.evaluator.frames import Fault

_REGISTERED = ("_parameters", "_buffers", "_modules")  # what the names of a module cover


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
        """Construct the module; while it constructs itself, whatever the root attaches under a known name gets its
        weights, so that what it derives from them afterwards is derived from the right ones.

        A module inside another derives before anybody knows its name. Where tensors of the program's own are there, it
        is constructed once more, by when it is known which of all that is attached becomes what.
        """
        state = torch.get_rng_state()
        module, places = self._construct(factory, args, None)
        if self._derives(module):
            torch.set_rng_state(state)
            self.root = None
            # One that can't be constructed twice (it defines an operator, say) is what it was.
            with contextlib.suppress(Exception):
                return self._construct(factory, args, places)[0]
        return module

    def _construct(self, factory: Any, args: list[Any], places: list[str] | None) -> tuple[torch.nn.Module, list[str]]:
        """The module, and of all that was attached to any module, in order, the name that it has in the end ("" for
        none). places: these names, of a construction before."""
        init, original = torch.nn.Module.__init__, torch.nn.Module.__setattr__
        buffers, add = torch.nn.Module.register_buffer, torch.nn.Module.add_module
        attached: list[object] = []

        def start(this: Any, *a: Any, **k: Any) -> None:
            init(this, *a, **k)
            if self.root is None and type(this) is factory:
                self.root = this

        def note(this: Any, name: str, value: object) -> None:
            if this is self.root:
                self._fill(name, value)
            if not isinstance(value, (torch.nn.Module, torch.Tensor)):
                return
            if places and len(attached) < len(places) and places[len(attached)]:
                self._fill(places[len(attached)], value)
            attached.append(value)

        def attach(this: Any, name: str, value: Any) -> None:
            original(this, name, value)
            note(this, name, value)

        def register(this: Any, name: str, tensor: Any, persistent: bool = True) -> None:
            buffers(this, name, tensor, persistent)
            note(this, name, tensor)

        def append(this: Any, name: str, module: Any) -> None:
            add(this, name, module)
            note(this, name, module)

        patched: Any = torch.nn.Module
        patched.__init__, patched.__setattr__ = start, attach
        patched.register_buffer, patched.add_module = register, append
        try:
            module = factory(*args)
        finally:
            patched.__init__, patched.__setattr__ = init, original
            patched.register_buffer, patched.add_module = buffers, add
        if not isinstance(module, torch.nn.Module):
            raise Failure(Fault.RUNTIME, f"the entry class made a {type(module).__name__}, not a torch.nn.Module")
        names = {id(m): n for n, m in module.named_modules()} | {id(t): n for n, t in named_tensors(module).items()}
        return module, [names.get(id(value), "") for value in attached]

    def _derives(self, module: torch.nn.Module) -> bool:
        """Whether tensors of its own are there that may be derived from weights inside other modules."""
        own = named_tensors(module)
        if not any("." in name for name in own if name in self.tensors):
            return False
        mine = any(name not in self.tensors for name in own)
        return mine or any(
            _holds_tensor(v) for m in module.modules() for n, v in vars(m).items() if n not in _REGISTERED
        )

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


def _holds_tensor(value: object) -> bool:
    if isinstance(value, dict):
        value = list(cast("dict[object, object]", value).values())
    if isinstance(value, (list, tuple)):
        return any(isinstance(item, torch.Tensor) for item in cast("Sequence[object]", value))
    return isinstance(value, torch.Tensor)


def named_tensors(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by every name that they have."""
    parameters = dict(module.named_parameters(remove_duplicate=False))
    return parameters | dict(module.named_buffers(remove_duplicate=False))
