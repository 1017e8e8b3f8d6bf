"""The check that `longodds optimize` writes below a program: this file's text, from its first function on.

It needs torch alone, and the namespace of the program that it stands below. Names begin with `_` to stay clear of the
program's.
"""

from __future__ import annotations

from typing import Any


def _load_original(source: str) -> Any:
    """The module that the original is."""
    import sys
    import types

    module = types.ModuleType("original")
    sys.modules["original"] = module
    exec(compile(source, "<original>", "exec"), module.__dict__)
    return module


def _share_weights(original: Any, program: Any) -> None:
    """The program gets the original's parameters and buffers, by name."""
    own = program.state_dict(keep_vars=True)
    if hasattr(program, "load_reference"):
        program.load_reference({name: t.detach().clone() for name, t in original.state_dict().items()})
        return
    for name, tensor in original.state_dict().items():
        if name in own and own[name].shape == tensor.shape:
            own[name].data.copy_(tensor)


def _leaves(value: Any) -> list[Any]:
    import torch

    if isinstance(value, dict):
        return [leaf for item in value.values() for leaf in _leaves(item)]
    if isinstance(value, list | tuple):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value.detach() if isinstance(value, torch.Tensor) else torch.tensor(value)]


def _copied(value: Any, device: str) -> Any:
    import torch

    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(device)
    if isinstance(value, list | tuple):
        return type(value)(_copied(item, device) for item in value)
    return {k: _copied(v, device) for k, v in value.items()} if isinstance(value, dict) else value


def _difference(got: Any, want: Any) -> tuple[float, float]:
    """(largest difference over the largest value of `want`, or share of differing elements; how much is allowed)."""
    import torch

    if got.shape != want.shape or got.dtype != want.dtype:
        raise SystemExit(f"DIFFERENT: {tuple(got.shape)} {got.dtype} instead of {tuple(want.shape)} {want.dtype}")
    if not (want.is_floating_point() or want.is_complex()):
        return (got != want).double().mean().item() if want.numel() else 0.0, 0.01
    allowed = 1e-2 if want.dtype in (torch.float16, torch.bfloat16) else 1e-8 if want.dtype is torch.float64 else 1e-4
    wide = torch.complex128 if want.is_complex() else torch.float64
    a, b = got.to(wide), want.to(wide)
    same = (a == b) | (a.isnan() & b.isnan())
    gap = torch.where(same, torch.zeros_like(a), a - b).abs().nan_to_num(nan=float("inf"))
    scale = b.abs()[b.isfinite()].max().item() if b.isfinite().any() else 0.0
    worst = gap.max().item() if gap.numel() else 0.0
    return (worst / scale if scale else worst), allowed


def _median_interval(values: list[float]) -> tuple[float, float, float]:
    """(median, low, high): the exact 95 % interval of a median from order statistics."""
    from math import comb

    ordered, n = sorted(values), len(values)
    below, k = 0.0, 0
    while (below := below + comb(n, k) / 2**n) <= 0.025:
        k += 1
    return ordered[n // 2], ordered[max(k - 1, 0)], ordered[min(n - k, n - 1)]


def _say(text: str) -> None:
    import sys

    sys.stdout.write(text + "\n")


def _same(source: Any, original: Any, program: Any, device: str, draws: int) -> bool:
    """Whether both give the same results on random inputs, and says how far they are apart."""
    import torch

    worst, failed = 0.0, False
    for seed in range(draws):
        torch.manual_seed(seed)
        inputs = source.get_inputs()
        want = _leaves(original(*_copied(inputs, device)))
        got = _leaves(program(*_copied(inputs, device)))
        if len(want) != len(got):
            raise SystemExit(f"DIFFERENT: {len(got)} outputs instead of {len(want)}")
        for error, allowed in map(_difference, got, want):
            worst, failed = max(worst, error), failed or not error <= allowed
    found = "DIFFERENT" if failed else "same results"
    _say(f"{found}: largest error {worst:.3g} of the largest value, {draws} draws")
    return not failed


def _time(inputs: list[Any], models: tuple[Any, Any], device: str, pairs: int) -> None:
    """Times the original and the program in interleaved pairs of random order, and says what that gives."""
    import math
    import random
    import time

    import torch

    def synchronize() -> None:
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    def seconds(model: Any, calls: int) -> float:
        synchronize()
        start = time.perf_counter()
        for _ in range(calls):
            model(*inputs)
        synchronize()
        return (time.perf_counter() - start) / calls

    calls = 1
    for _ in range(3):  # warm-up; then a side of a pair takes some 2 ms
        calls = max(1, round(0.002 / max(*(seconds(m, calls) for m in models), 1e-9)))
    ratios, times = [], ([], [])
    for _ in range(pairs):
        pair = [0.0, 0.0]
        for side in random.sample((0, 1), 2):
            pair[side] = seconds(models[side], calls)
            times[side].append(pair[side])
        ratios.append(math.log(pair[0] / pair[1]))
    middle, low, high = (math.exp(x) for x in _median_interval(ratios))
    old, new = (1e6 * sorted(t)[len(t) // 2] for t in times)
    where = torch.cuda.get_device_name() if device.startswith("cuda") else f"cpu, {torch.get_num_threads()} thread(s)"
    _say(f"original {old:.1f} us a call, program {new:.1f} us ({where}, torch {torch.__version__})")
    _say(f"speedup {middle:.3f}x (95 % interval {low:.3f} to {high:.3f}, {pairs} interleaved pairs)")


def _check(space: dict[str, Any], original_source: str, device: str) -> int:
    """Compares and times the program `ModelNew` of a namespace beside the original; returns the exit code."""
    import argparse

    import torch

    parser = argparse.ArgumentParser(description="Compares ModelNew with the original and times both, interleaved.")
    parser.add_argument("--device", default=device, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of torch on the CPU (%(default)s)")
    parser.add_argument("--draws", type=int, default=5, help="random inputs that are compared (%(default)s)")
    parser.add_argument("--pairs", type=int, default=51, help="timed pairs (%(default)s)")
    args = parser.parse_args()
    if args.draws < 1 or args.pairs < 8:
        parser.error("--draws must be at least 1, --pairs at least 8")
    torch.set_num_threads(args.threads)
    torch.set_grad_enabled(False)
    source = _load_original(original_source)
    models: list[Any] = []
    for factory in (source.Model, space["ModelNew"]):
        torch.manual_seed(0)
        init = source.get_init_inputs()
        torch.manual_seed(0)
        models.append(factory(*init))
    _share_weights(*models)
    original, program = (m.to(args.device) for m in models)
    if not _same(source, original, program, args.device, args.draws):
        return 1
    torch.manual_seed(args.draws)
    _time(_copied(source.get_inputs(), args.device), (original, program), args.device, args.pairs)
    return 0
