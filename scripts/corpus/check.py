"""Run a reference and a candidate on small inputs: same result in float64, no worse in float32, nothing touched."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import torch


class Mismatch(ValueError):
    """Why a pair is not fit for the corpus."""


def _space(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "corpus"}
    exec(compile(source, "<corpus>", "exec"), space)
    return space


def _heavy(plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A generator with other signs and scales, ties and zeros."""

    def make(*size: Any, **options: Any) -> torch.Tensor:
        x = plain(*size, **options)
        kind = torch.randint(0, 10, x.shape)
        x = torch.where(kind < 3, -3.0 * x, x)
        x = torch.where(kind == 3, torch.zeros_like(x), x)
        return torch.where(kind == 4, torch.ones_like(x), x)

    return make


def _wide(plain: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """A generator of values so large that careless formulas overflow."""

    def make(*size: Any, **options: Any) -> torch.Tensor:
        return 64.0 * plain(*size, **options)

    return make


def check_pair(reference: str, programs: list[str], seed: int) -> list[str | None]:
    """None for each program that may stand for the reference, else the reason why not.

    Three laws of inputs: as they are; other signs, ties and zeros (both in float64); 64 times as large (in float32).
    A law on which the reference is not finite is left out.

    Raises Mismatch when the reference itself is unfit: not finite, constant, or changing its inputs.
    """
    verdicts: list[str | None] = [None] * len(programs)
    for law in ("native", "heavy", "wide"):
        dtype = torch.float32 if law == "wide" else torch.float64
        torch.set_default_dtype(dtype)
        try:
            _check_law(reference, programs, verdicts, seed, law)
        finally:
            torch.set_default_dtype(torch.float32)
    return verdicts


def _check_law(reference: str, programs: list[str], verdicts: list[str | None], seed: int, law: str) -> None:
    if law != "wide":  # `.float()` must not bring single precision into a comparison in double
        reference = reference.replace(".float()", ".double()")
        programs = [p.replace(".float()", ".double()") for p in programs]
    try:
        space = _space(reference)
        torch.manual_seed(seed)
        model = space["Model"](*space["get_init_inputs"]())
        if law != "native":
            with torch.no_grad():
                for p in model.parameters():
                    p.mul_(1 + 0.3 * torch.rand_like(p))
                    if p.abs().sum() == 0:
                        p.add_(torch.rand_like(p) * 0.3)
        inputs = _inputs(space, seed, law)
        with torch.no_grad():
            expected = model(*[t.clone() for t in inputs])
    except (RuntimeError, TypeError, IndexError, NameError, AttributeError, ValueError, KeyError) as e:
        raise Mismatch(f"reference: {type(e).__name__}: {e}") from e
    if not isinstance(expected, torch.Tensor):
        raise Mismatch("reference: returns no tensor")
    values = expected.double()
    if not torch.isfinite(values).all():
        if law != "native":
            return
        raise Mismatch("reference: not finite")
    if law == "native" and (
        (values.numel() > 3 and values.std() <= 1e-9 * values.abs().max()) or values.abs().max() < 1e-9
    ):
        raise Mismatch("reference: constant")
    for i, program in enumerate(programs):
        if verdicts[i] is None:
            verdicts[i] = _compare(program, space, model, inputs, expected, law)


def _inputs(space: dict[str, Any], seed: int, law: str) -> list[torch.Tensor]:
    torch.manual_seed(seed + 1)
    if law == "native":
        return space["get_inputs"]()
    other = _heavy if law == "heavy" else _wide
    plain, uniform = torch.randn, torch.rand
    torch.randn, torch.rand = other(plain), other(uniform)  # type: ignore[assignment]
    try:
        return space["get_inputs"]()
    finally:
        torch.randn, torch.rand = plain, uniform  # type: ignore[assignment]


def _compare(
    program: str,
    space: dict[str, Any],
    model: torch.nn.Module,
    inputs: list[torch.Tensor],
    expected: torch.Tensor,
    law: str,
) -> str | None:
    copies = [t.clone() for t in inputs]
    try:
        new = _space(program)["ModelNew"](*space["get_init_inputs"]())
        new.load_state_dict(model.state_dict())
        state = {k: v.clone() for k, v in new.state_dict().items()}
        with torch.no_grad():
            got = new(*copies)
            again = new(*copies)
    except Exception as e:  # a candidate may fail in any way; the reason is kept
        return f"{type(e).__name__}: {e}"
    if not isinstance(got, torch.Tensor) or got.shape != expected.shape:
        return f"shape {getattr(got, 'shape', None)} instead of {tuple(expected.shape)}"
    if law == "wide" and got.dtype != expected.dtype:
        return f"dtype {got.dtype} instead of {expected.dtype}"
    if any(not torch.equal(a, b) for a, b in zip(copies, inputs, strict=True)):
        return "changes its inputs"
    if any(not torch.equal(v, state[k]) for k, v in new.state_dict().items()):
        return "changes its parameters"
    if not torch.equal(torch.nan_to_num(got), torch.nan_to_num(again)):
        return "differs between two calls"
    stores = {t.untyped_storage().data_ptr() for t in copies if t.numel()}
    if got.numel() and got.untyped_storage().data_ptr() in stores:
        return "returns a view of an input"
    tolerance = (1e-6, 1e-8) if law != "wide" else (1e-3, 1e-4)
    scale = max(1.0, float(expected.double().abs().max())) if expected.numel() else 1.0
    if not torch.allclose(got.double(), expected.double(), rtol=tolerance[0], atol=tolerance[1] * scale):
        return f"differs ({law})"
    return None


def time_pair(reference: str, program: str, rng: random.Random, pairs: int = 7) -> float:
    """Median of t_reference / t_program over interleaved pairs at real size, one thread (for audits)."""
    import time

    torch.set_num_threads(1)
    space = _space(reference)
    torch.manual_seed(0)
    model = space["Model"](*space["get_init_inputs"]())
    new = _space(program)["ModelNew"](*space["get_init_inputs"]())
    new.load_state_dict(model.state_dict())
    inputs = space["get_inputs"]()
    ratios: list[float] = []
    with torch.no_grad():
        for module in (model, new):
            module(*inputs)
        for _ in range(pairs):
            order = [model, new]
            if rng.random() < 0.5:
                order.reverse()
            took: dict[int, float] = {}
            for module in order:
                start = time.perf_counter()
                module(*inputs)
                took[id(module)] = time.perf_counter() - start
            ratios.append(took[id(model)] / took[id(new)])
    return sorted(ratios)[len(ratios) // 2]
