"""Random constructors of torch, NumPy and `random`, replaced while a task draws its inputs.

What they return passes through a change (a law of inputs) and depends on the evaluator's seed alone, whatever seeds or
generators the task's own code sets: inputs that a program could know would be no test.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Generator
from typing import Any, cast

import numpy as np
import torch

Change = Callable[[torch.Tensor], torch.Tensor]

_TORCH_FLOATS = ("rand", "randn", "rand_like", "randn_like", "normal")
_TORCH_INTEGERS = ("randint", "randint_like", "bernoulli", "poisson")
_FILL_FLOATS = ("uniform_", "normal_", "exponential_", "cauchy_", "log_normal_")
_FILL_INTEGERS = ("random_", "bernoulli_", "geometric_")
_NUMPY_FLOATS = (
    *("rand", "randn", "random", "random_sample", "ranf", "sample", "uniform", "normal", "standard_normal"),
    *("exponential", "standard_exponential", "laplace", "logistic", "gamma", "standard_gamma", "beta", "lognormal"),
    *(
        "chisquare",
        "gumbel",
        "standard_cauchy",
        "standard_t",
        "triangular",
        "weibull",
        "rayleigh",
        "multivariate_normal",
    ),
)
_NUMPY_INTEGERS = ("randint", "random_integers", "integers", "binomial", "poisson", "geometric")
_PYTHON_FLOATS = ("random", "uniform", "gauss", "normalvariate", "expovariate", "betavariate", "lognormvariate")

# The real ones, bound before anything is replaced.
REAL: dict[str, Any] = {name: getattr(torch, name) for name in (*_TORCH_FLOATS, *_TORCH_INTEGERS)}


class Source:
    """A NumPy or Python generator object whose draws are changed."""

    def __init__(self, inner: Any, floats: Change, integers: Change) -> None:
        self._inner, self._floats, self._integers = inner, floats, integers

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "seed":
            return lambda *_args, **_kwargs: None
        if name in _NUMPY_FLOATS or name in _PYTHON_FLOATS:
            return _changed(found, self._floats, real=True)
        return _changed(found, self._integers, real=False) if name in _NUMPY_INTEGERS else found


def _apply(out: Any, change: Change, *, real: bool) -> Any:
    """A draw after its change: tensors, arrays and numbers each stay what they are."""
    if isinstance(out, torch.Tensor):
        if real and out.is_complex():
            return torch.complex(change(out.real.clone()), change(out.imag.clone()))
        return change(out) if not real or out.is_floating_point() else out
    if isinstance(out, np.ndarray):
        array = cast("np.ndarray[Any, Any]", out)
        fits = array.dtype.kind == "f" if real else array.dtype.kind in "iu"
        return change(torch.from_numpy(array.copy())).numpy() if fits else array
    if isinstance(out, (float, np.floating)) and real:
        return type(cast("float", out))(change(torch.tensor(float(cast("float", out)), dtype=torch.float64)).item())
    return out


def _changed(function: Callable[..., Any], change: Change, *, real: bool) -> Callable[..., Any]:
    def draw(*args: Any, **kwargs: Any) -> Any:
        kwargs.pop("generator", None)  # one seeded by the task would draw what everybody knows
        return _apply(function(*args, **kwargs), change, real=real)

    return draw


def _filling(function: Callable[..., Any], change: Change) -> Callable[..., Any]:
    def fill(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        kwargs.pop("generator", None)
        function(tensor, *args, **kwargs)
        with torch.no_grad():
            tensor.copy_(change(tensor.detach().clone()))
        return tensor

    return fill


def _nothing(*_args: Any, **_kwargs: Any) -> torch.Generator:
    return torch.default_generator


def _replacements(floats: Change, integers: Change, seed: int) -> list[tuple[Any, str, Any]]:
    """(owner, name, what takes its place)."""
    found: list[tuple[Any, str, Any]] = [(torch, n, _changed(REAL[n], floats, real=True)) for n in _TORCH_FLOATS]
    found += [(torch, n, _changed(REAL[n], integers, real=False)) for n in _TORCH_INTEGERS]
    found += [(torch.Tensor, n, _filling(getattr(torch.Tensor, n), floats)) for n in _FILL_FLOATS]
    found += [(torch.Tensor, n, _filling(getattr(torch.Tensor, n), integers)) for n in _FILL_INTEGERS]
    found += [(torch, "manual_seed", _nothing), (torch.random, "manual_seed", _nothing), (torch, "seed", lambda: seed)]
    draws = Source(np.random, floats, integers)
    for name in (*_NUMPY_FLOATS, *_NUMPY_INTEGERS):
        if hasattr(np.random, name):
            found.append((np.random, name, getattr(draws, name)))

    def numpy_source(*_args: Any, **_kwargs: Any) -> Source:
        return Source(np.random.Generator(np.random.PCG64(seed)), floats, integers)

    def old_source(*_args: Any, **_kwargs: Any) -> Source:
        return Source(real_state(seed % 2**32), floats, integers)

    def python_source(*_args: Any, **_kwargs: Any) -> Source:
        return Source(real_random(seed), floats, integers)

    real_state, real_random = np.random.RandomState, random.Random
    found += [(np.random, "seed", _nothing), (np.random, "default_rng", numpy_source)]
    found += [(np.random, "RandomState", old_source), (random, "Random", python_source), (random, "seed", _nothing)]
    numbers = Source(random, floats, integers)
    return found + [(random, name, getattr(numbers, name)) for name in _PYTHON_FLOATS]


def _own_sources(namespace: dict[str, Any], floats: Change, integers: Change, seed: int) -> dict[str, Any]:
    """Generators that the task's module made when it was imported, by name."""
    found: dict[str, Any] = {}
    for name, value in namespace.items():
        if isinstance(value, np.random.Generator):
            found[name] = Source(np.random.Generator(np.random.PCG64(seed)), floats, integers)
        elif isinstance(value, np.random.RandomState):
            found[name] = Source(np.random.RandomState(seed % 2**32), floats, integers)
        elif type(value) is random.Random:
            found[name] = Source(random.Random(seed), floats, integers)
    return found


@contextlib.contextmanager
def replaced(floats: Change, integers: Change, seed: int, namespace: dict[str, Any]) -> Generator[None]:
    """Seeds every source and replaces it, in `namespace` (the task's globals) as well, until the end.

    floats, integers: what happens to draws of either kind (counts and coin flips are integers, whatever their type).
    """
    # Not torch.manual_seed, which notes each seed, with the stack, for devices that are never used.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)
    changes = _replacements(floats, integers, seed)
    new = _own_sources(namespace, floats, integers, seed)
    reals = {id(getattr(owner, name)): value for owner, name, value in changes if owner is not torch.Tensor}
    # Names bound by `from torch import rand` are the same constructors.
    new |= {name: reals[id(value)] for name, value in namespace.items() if id(value) in reals}
    kept = {name: namespace[name] for name in new}
    # An inherited method is not in the class's own dictionary: it comes back when the replacement goes.
    before = [(owner, name, vars(owner).get(name)) for owner, name, _ in changes]
    try:
        for owner, name, value in changes:
            setattr(owner, name, value)
        namespace.update(new)
        yield
    finally:
        for owner, name, value in before:
            if value is None:
                delattr(owner, name)
            else:
                setattr(owner, name, value)
        namespace.update(kept)
