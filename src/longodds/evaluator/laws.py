"""Input laws: the task's own `get_inputs`, with the law inside torch's random constructors changed.

Structure that the task builds on top survives (triangular, symmetric, probabilities, integer targets), while a program
that is right only for the drawn law (positive inputs, no ties, means near zero) is shown other draws. See
docs/evaluation.md for which shortcuts each law exposes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch

Transform = Callable[[torch.Tensor, torch.Generator], torch.Tensor]


def _noise(x: torch.Tensor, g: torch.Generator, kind: str = "rand") -> torch.Tensor:
    draw = _REAL[kind]
    return draw(x.shape, generator=g, dtype=torch.float32).to(x.dtype)


def _signs(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.where(_noise(x, g) < 0.5, -x, x)


def _shift(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return x + (1.0 + _noise(x[..., :1] if x.dim() else x, g))


def _heavy(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # Log-normal scale mixture: a few entries tower over the rest, as activations of trained networks do.
    return _signs(x, g) * torch.exp(1.5 * _noise(x, g, "randn"))


def _constant_rows(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return x[..., :1].expand(x.shape).clone() if x.dim() and x.shape[-1] else x


def _ties(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.round(_signs(x, g) * 4) / 4


def _sparse(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.where(_noise(x, g) < 0.9, torch.zeros_like(x), x)


def _rare(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # A few odd elements in an otherwise ordinary input: no small sample of it tells that a special case would not do.
    if x.numel() == 0:
        return x
    flat = x.clone().reshape(-1)
    pick = int(_REAL["randint"](0, 6, (1,), generator=g))
    count = min(flat.numel(), (1, 1, 2, 3, 8, max(1, flat.numel() // 4096))[pick])
    places = _REAL["randint"](0, flat.numel(), (count,), generator=g)
    scale = _REAL["rand"]((count,), generator=g).to(x.dtype)
    flat[places] = -flat[places] * (1 + 7 * scale)
    return flat.reshape(x.shape)


LAWS: dict[str, Transform | None] = {
    "base": None,
    "rare": _rare,
    "signs": _signs,
    "shift": _shift,
    "small": lambda x, g: _signs(x, g) * 1e-3,
    "large": lambda x, g: _signs(x, g) * 64.0,
    "heavy": _heavy,
    "constant_rows": _constant_rows,
    "ties": _ties,
    "sparse": _sparse,
}
_INT_LAWS = ("constant_rows", "ties", "sparse")
_REAL: dict[str, Any] = {name: getattr(torch, name) for name in ("rand", "randn", "randint", "rand_like", "randn_like")}


@contextlib.contextmanager
def _patched(law: str, generator: torch.Generator, namespace: dict[str, Any]) -> Generator[None]:
    transform = LAWS[law]
    # Names bound by `from torch import rand` are the same constructors.
    bound = {alias: name for alias, value in namespace.items() for name in _REAL if value is _REAL[name]}

    def floating(name: str) -> Callable[..., torch.Tensor]:
        def draw(*args: Any, **kwargs: Any) -> torch.Tensor:
            out = _REAL[name](*args, **kwargs)
            return transform(out, generator) if transform and out.is_floating_point() else out

        return draw

    def integers(*args: Any, **kwargs: Any) -> torch.Tensor:
        out = _REAL["randint"](*args, **kwargs)
        if law == "constant_rows":
            return _constant_rows(out, generator)
        if law in ("ties", "sparse") and out.numel():
            # Both mean few distinct values for an integer: the smallest takes over.
            keep = _REAL["rand"](out.shape, generator=generator) < (0.5 if law == "ties" else 0.1)
            return torch.where(keep, out, out.min())
        return out

    replaced = {name: floating(name) for name in _REAL if name != "randint"} | {"randint": integers}
    try:
        for name, function in replaced.items():
            setattr(torch, name, function)
        namespace.update({alias: replaced[name] for alias, name in bound.items()})
        yield
    finally:
        for name, function in _REAL.items():
            setattr(torch, name, function)
        namespace.update({alias: _REAL[name] for alias, name in bound.items()})


def draw(get_inputs: Callable[[], Any], law: str, seed: int, namespace: dict[str, Any] | None = None) -> Any:
    """The task's inputs under a law. Same (law, seed), same values. Leaves torch's global generator reseeded.

    namespace: globals of the task's module, where constructors may be bound under names of their own.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed ^ 0x5EED)
    with _patched(law, generator, {} if namespace is None else namespace):
        return get_inputs()
