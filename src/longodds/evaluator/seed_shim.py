"""KernelBench's way of judging, on a CPU: reference and program in one process, which also compares and times.

A baseline to compare with, not a judge: a program can change the reference, the comparison or the clock. Follows
`eval_kernel_against_ref` of KernelBench (github.com/ScalingIntelligence/KernelBench): one namespace for both programs,
equal seeds before each construction, `allclose` on a few seeded inputs under `no_grad`, then the mean of timed calls on
one input, gradients enabled, rounded to three significant digits; the program first, the reference after it.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from longodds.evaluator import frames
from longodds.evaluator.frames import Fault, Frame, Kind

_SEED = 42
_WARM_UP = 3
_TOLERANCES = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 1e-2}


class _Failure(Exception):
    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault, self.text = fault, text


def run(channel: socket.socket, config_path: Path) -> int:
    """Judge, and send one frame: DONE with the mean nanoseconds of reference and program (none if not timed)."""
    config = json.loads(config_path.read_text())
    try:
        frame = _judge(config)
    except _Failure as failure:
        frame = Frame(Kind.ERROR, code=failure.fault, text=failure.text)
    except MemoryError as error:
        frame = Frame(Kind.ERROR, code=Fault.MEMORY, text=f"MemoryError: {error}")
    except BaseException as error:  # boundary: a program may raise anything, SystemExit included
        frame = Frame(Kind.ERROR, code=Fault.RUNTIME, text=f"{type(error).__name__}: {error}")
    channel.send(frames.encode(frame))
    return 0


def _judge(config: dict[str, Any]) -> Frame:
    correct_trials, timed_trials = config["trials"]
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(config["reference"], "reference.py", "exec", dont_inherit=True), space)
    get_inputs: Callable[[], list[Any]] = space["get_inputs"]
    torch.manual_seed(_SEED)
    init = list(space.get("get_init_inputs", list)())
    with torch.no_grad():
        torch.manual_seed(_SEED)
        reference = space["Model"](*init)
    program = _load(Path(config["program"]), space)
    with torch.no_grad():
        torch.manual_seed(_SEED)
        model = program(*init)
        _compare(reference, model, get_inputs, correct_trials)
    if not config["timed"]:
        return Frame(Kind.DONE)
    torch.manual_seed(_SEED)
    inputs = get_inputs()
    new = _mean_ns(model, inputs, timed_trials)
    return Frame(Kind.DONE, words=(_mean_ns(reference, inputs, timed_trials), new))


def _load(path: Path, space: dict[str, Any]) -> Any:
    try:
        code = compile(path.read_bytes().decode("utf-8"), "program.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError) as error:
        raise _Failure(Fault.COMPILE, f"{type(error).__name__}: {error}") from None
    exec(code, space)
    if "ModelNew" not in space:
        raise _Failure(Fault.COMPILE, "the program defines no class ModelNew")
    return space["ModelNew"]


def _compare(reference: Any, model: Any, get_inputs: Callable[[], list[Any]], trials: int) -> None:
    torch.manual_seed(_SEED)
    seeds = [int(torch.randint(0, 2**32 - 1, (1,)).item()) for _ in range(trials)]
    for seed in seeds:
        torch.manual_seed(seed)
        inputs = get_inputs()
        output = reference(*inputs)
        output_new = model(*inputs)
        several = isinstance(output, list | tuple)
        pairs = list(zip(output, output_new, strict=True)) if several else [(output, output_new)]
        for want, got in pairs:
            if want.shape != got.shape:
                raise _Failure(
                    Fault.STRUCTURE, f"Output shape mismatch: Expected {tuple(want.shape)}, got {tuple(got.shape)}"
                )
            tolerance = _TOLERANCES.get(want.dtype, 1e-4)
            if not torch.allclose(want, got, atol=tolerance, rtol=tolerance):
                worst = float((want.double() - got.double()).abs().max())
                raise _Failure(Fault.STRUCTURE, f"Output mismatch: max difference {worst:.6g}")


def _mean_ns(model: Any, inputs: list[Any], trials: int) -> int:
    for _ in range(_WARM_UP):
        model(*inputs)
    times: list[int] = []
    for _ in range(trials):
        start = time.perf_counter_ns()
        model(*inputs)
        times.append(time.perf_counter_ns() - start)
    return int(float(f"{sum(times) / len(times):.3g}"))
