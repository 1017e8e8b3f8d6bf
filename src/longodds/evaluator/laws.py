"""Input laws: the task's own `get_inputs`, with the law inside torch's random constructors changed.

Structure that the task builds on top survives (triangular, symmetric, probabilities, integer targets), while a program
that is right only for the drawn law (positive inputs, no ties, means near zero) is shown other draws. See
docs/evaluation.md for which shortcuts each law exposes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from longodds.evaluator.randomness import REAL, replaced

Transform = Callable[[torch.Tensor, torch.Generator], torch.Tensor]
_EMPTY_ROWS = 1 / 16
_FAR = (100.0, 400.0)


def _noise(x: torch.Tensor, g: torch.Generator, kind: str = "rand") -> torch.Tensor:
    return REAL[kind](x.shape, generator=g, dtype=torch.float32, device=x.device).to(x.dtype)


def _signs(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.where(_noise(x, g) < 0.5, -x, x)


def _shift(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return x + (1.0 + _noise(x[..., :1] if x.dim() else x, g))


def _below(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # Nothing reaches -1, in whatever direction it is reduced: a maximum that begins at 0 shows.
    far = 1.0 + 7.0 * _noise(x.new_zeros(()), g)
    return -x.abs() - far - _noise(x[..., :1] if x.dim() else x, g)


def _heavy(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # Log-normal scale mixture: a few entries tower over the rest, as activations of trained networks do.
    return _signs(x, g) * torch.exp(1.5 * _noise(x, g, "randn"))


def _constant_rows(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return x[..., :1].expand(x.shape).clone() if x.dim() and x.shape[-1] else x


def _ties(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    return torch.round(_signs(x, g) * 4) / 4


def _sparse(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    empty = _noise(x, g) < 0.9
    if x.dim() > 1 and x.numel():  # and some rows, whichever way, are of nothing: what is divided by their norm
        for axis in range(x.dim()):
            empty |= _noise(x.narrow(axis, 0, 1), g) < _EMPTY_ROWS
    return torch.where(empty, torch.zeros_like(x), x)


def _places(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    """A few of the flat positions of x, often one."""
    pick = int(REAL["randint"](0, 6, (1,), generator=g, device=x.device))
    count = min(x.numel(), (1, 1, 2, 3, 8, max(1, x.numel() // 4096))[pick])
    return REAL["randint"](0, x.numel(), (count,), generator=g, device=x.device)


def _rare(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # A few odd elements in an otherwise ordinary input: no small sample of it tells that a special case would not do.
    if x.numel() == 0:
        return x
    flat, places = x.clone().reshape(-1), _places(x, g)
    scale = REAL["rand"](places.shape, generator=g, device=x.device).to(x.dtype)
    flat[places] = -flat[places] * (1 + 7 * scale)
    return flat.reshape(x.shape)


def _outlier(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    # As `rare`, but so far out that exponentials leave their range and sums lose their small terms. A law of its own:
    # what must be allowed beside such an element would hide other errors, and not every reference can do with it.
    if x.numel() == 0:
        return x
    flat = x.clone().reshape(-1)
    pairs = (1, 1, 2, 4)[int(REAL["randint"](0, 4, (1,), generator=g, device=x.device))]
    places = REAL["randint"](0, x.numel(), (pairs, 2), generator=g, device=x.device)
    far = _FAR[0] + (_FAR[1] - _FAR[0]) * REAL["rand"](places.shape, generator=g, device=x.device).to(x.dtype)
    flat[places[:, 0]], flat[places[:, 1]] = -far[:, 0], far[:, 1]  # the large ones last: they do more
    return flat.reshape(x.shape)


def _nan(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    if x.numel() == 0:
        return x
    flat = x.clone().reshape(-1)
    flat[_places(x, g)] = float("nan")
    return flat.reshape(x.shape)


def _infinite(x: torch.Tensor, g: torch.Generator) -> torch.Tensor:
    if x.numel() == 0:
        return x
    flat, places = x.clone().reshape(-1), _places(x, g)
    signs = 2.0 * (REAL["rand"](places.shape, generator=g, device=x.device) < 0.5) - 1.0
    flat[places] = (signs * float("inf")).to(x.dtype)
    return flat.reshape(x.shape)


LAWS: dict[str, Transform | None] = {
    "base": None,
    "rare": _rare,
    "outlier": _outlier,
    "signs": _signs,
    "shift": _shift,
    "below": _below,
    "small": lambda x, g: _signs(x, g) * 1e-3,
    "large": lambda x, g: _signs(x, g) * 64.0,
    "heavy": _heavy,
    "constant_rows": _constant_rows,
    "ties": _ties,
    "sparse": _sparse,
    "nan": _nan,
    "infinite": _infinite,
}
# Terms of one sign or of equal size: partial sums grow and round alike, so that errors add up instead of cancelling, in
# one honest order of summation more than in another.
CORRELATED = ("shift", "below", "constant_rows", "ties", "heavy", "outlier", "sparse")
# Of a task too large for more: what finds most of the programs that are right for the usual inputs only.
TELLING = ("base", "rare", "signs", "heavy", "constant_rows")
# Only for a reference that looks after such values itself: elsewhere honest programs spread a NaN differently.
UNDEFINED = ("nan", "infinite")
SANITIZERS = frozenset(
    [
        *("nan_to_num", "nan_to_num_", "isnan", "isfinite", "isinf", "isposinf", "isneginf"),
        *("nansum", "nanmean", "nanmedian", "nanquantile", "fmax", "fmin"),
    ]
)


def draw(get_inputs: Callable[[], Any], law: str, seed: int, namespace: dict[str, Any] | None = None) -> Any:
    """The task's inputs under a law. Same (law, seed), same values. Leaves the global generators reseeded.

    namespace: globals of the task's module, where constructors may be bound under names of their own.
    """
    generators: dict[torch.device, torch.Generator] = {}
    transform = LAWS[law]

    def generator(x: torch.Tensor) -> torch.Generator:
        if x.device not in generators:
            generators[x.device] = torch.Generator(x.device).manual_seed(seed ^ 0x5EED)
        return generators[x.device]

    def floats(x: torch.Tensor) -> torch.Tensor:
        return x if transform is None else transform(x, generator(x))

    def integers(x: torch.Tensor) -> torch.Tensor:
        if law == "constant_rows":
            return _constant_rows(x, generator(x))
        if law in ("ties", "sparse") and x.numel():
            # Both mean few distinct values for an integer: the smallest takes over.
            keep = REAL["rand"](x.shape, generator=generator(x), device=x.device) < (0.5 if law == "ties" else 0.1)
            return torch.where(keep, x, x.min())
        return x

    with replaced(floats, integers, seed, {} if namespace is None else namespace):
        return get_inputs()
