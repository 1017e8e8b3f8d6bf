"""Example inputs from a file of tensors: a `get_inputs` that draws others of the same shapes, types and ranges.

The file itself is not used by programs: a program that was only ever shown one set of numbers could know the answer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def describe_tensors(file: Path, arguments: Sequence[str]) -> str:
    """The source of a `get_inputs` for the tensors of a `.pt` or `.safetensors` file.

    A `.pt` file holds a tensor, a list of them (in the order of `forward`), or a dict by the names of `forward`'s
    arguments, as `.safetensors` files do. arguments: those names. Floating point is drawn normal with the tensor's mean
    and standard deviation, whole numbers uniformly from its smallest to its largest, booleans by their share of True.
    Raises UserError.
    """
    held = _load(file)
    if isinstance(held, dict):
        missing = [name for name in held if name not in arguments]
        if missing or not held:
            raise UserError(
                f"{file}: names {missing[:1] or 'nothing'}; forward takes {', '.join(arguments) or 'nothing'}"
            )
        last = max(arguments.index(name) for name in held)
        absent = [name for name in arguments[:last] if name not in held]
        if absent:
            raise UserError(f"{file}: has no tensor {absent[0]!r}, which forward takes before {arguments[last]!r}")
        held = [held[name] for name in arguments if name in held]
    values = held if isinstance(held, list | tuple) else [held]
    if not values:
        raise UserError(f"{file}: holds no tensors")
    drawn = ",\n".join(f"        {_drawn(value, file)}" for value in values)
    return f"def get_inputs():\n    import torch\n\n    return [\n{drawn},\n    ]\n"


def _load(file: Path) -> Any:
    import torch

    try:
        if file.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file}: no such file") from None
    except ImportError:
        raise UserError(f"{file}: reading it needs the package safetensors; install it, or save a .pt file") from None
    except OSError as e:
        raise UserError(f"{file}: cannot be read: {e.strerror or e}") from None
    except Exception:  # a file of another kind fails in any way
        raise UserError(
            f"{file}: is no file of tensors, or holds other objects; save a tensor, a list or a dict of them"
        ) from None


def _drawn(value: Any, file: Path) -> str:
    import torch

    if isinstance(value, bool | int | float):
        return repr(_finite(float(value), file) if isinstance(value, float) else value)
    if not isinstance(value, torch.Tensor):
        raise UserError(f"{file}: holds a {type(value).__name__}; tensors and numbers are needed")
    shape, dtype = tuple(value.shape), f"dtype={value.dtype}"
    if not value.numel():
        return f"torch.zeros({shape}, {dtype})"
    if value.dtype is torch.bool:
        return f"torch.rand({shape}) < {value.double().mean().item():.4g}"
    if value.is_complex():
        return f"torch.randn({shape}, {dtype}) * {_finite(value.abs().square().mean().sqrt().item(), file):.4g}"
    if value.is_floating_point():
        wide = value.double()
        spread, mean = (_finite(x.item(), file) for x in (wide.std(correction=0), wide.mean()))
        return f"torch.randn({shape}).mul({spread:.4g}).add({mean:.4g}).to({value.dtype})"
    return f"torch.randint({int(value.min())}, {int(value.max()) + 1}, {shape}, {dtype})"


def _finite(value: float, file: Path) -> float:
    if not math.isfinite(value):
        raise UserError(f"{file}: holds NaN or infinite numbers, like which nothing can be drawn")
    return value
