"""One program against one task, and programs of known verdict that show whether verdicts can be trusted here."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longodds.config import EvaluationSettings, read_environment, resolve
from longodds.errors import UserError
from longodds.strategies.opening import open_settings_evaluator
from longodds.tasks import load_task
from longodds.types import Task, digest_text

if TYPE_CHECKING:
    from longodds.types import Evaluator, Verdict


def evaluate_program(
    task: Task | str,
    program: Path | str,
    *,
    device: str = "cpu",
    reference: Literal["eager", "compile", "compile-max-autotune"] = "eager",
    scale: int = 1,
    timed: bool = True,
    timeout: float = 30.0,
    memory: int | None = None,
    way: Literal["sound", "seed"] = "sound",
    cache: bool = True,
    evaluator: Evaluator | None = None,
    kernelbench_root: str | None = None,
) -> Verdict:
    """The verdict of one program on one task.

    task: a Task, or an id such as `cpu/row_softmax_by_hand` or `file:PATH.py`, at `scale`; kernelbench_root: where
    those of KernelBench are (see `load_suite`). program: the source text, or the Path of a file. timed: whether a
    correct program is timed. timeout: seconds for import, and again for the run. memory: bytes (None: half of the
    machine's). way: `seed` judges KernelBench's way, for comparison only. cache: whether a verdict that was reached
    before may be taken (labelled `cached`), and a new one is kept. evaluator: used, and left open, instead of a new
    one.
    Raises UserError for an unknown task or a file that cannot be read; a bad program is a verdict, not an error.
    """
    flags = {
        "device": device,
        "reference": reference,
        "timeout": timeout,
        "memory": memory,
        "evaluator": way,
        "cache": cache,
    }
    defaults = {"max_pairs": read_environment().max_pairs}
    settings = resolve(EvaluationSettings, flags=flags, defaults=defaults)
    found = load_task(task, scale=scale, kernelbench_root=kernelbench_root) if isinstance(task, str) else task
    source = _read(program) if isinstance(program, Path) else program
    with contextlib.ExitStack() as stack:
        if evaluator is None:
            evaluator = open_settings_evaluator(settings)
            stack.callback(evaluator.close)
        return evaluator.evaluate(found, source, timed=timed)


def _read(path: Path) -> str:
    try:
        # Undecodable bytes are kept as they are: a file that is not Python is the program's fault, a verdict.
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; PROGRAM.py is a module with a class ModelNew") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None


# --- programs of known verdict -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certified:
    """A program of known verdict: what it should get and what it got. as_expected: whether they agree."""

    name: str
    expected: str
    status: str
    as_expected: bool
    message: str


_REFERENCE = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        for _ in range(12):
            out = out + x.sin() / 12
        return out


def get_inputs():
    return [torch.randn(256, 512)]


def get_init_inputs():
    return []
"""
_PROGRAM = """import os
import torch
import torch.nn as nn


class ModelNew(nn.Module):
    def forward(self, x):
        {body}
"""
_KNOWN: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("same result, less work", "return torch.sin(x)", ("correct",)),
    ("wrong result", "return torch.cos(x)", ("incorrect",)),
    ("right shape, no work", "return torch.zeros_like(x)", ("incorrect",)),
    ("echo of the input", "return x", ("incorrect",)),
    ("raises", "raise RuntimeError('on purpose')", ("runtime_error",)),
    ("never ends", "while True: pass", ("timeout",)),
    ("leaves the process", "os._exit(0)", ("runtime_error", "rejected", "incorrect")),
    ("no Python", "return (", ("compile_error",)),
)


def certify_evaluator(device: str = "cpu") -> list[Certified]:
    """Judges programs of known verdict here; the first must also be verified faster. Takes about half a minute."""
    task = Task("certify/sines", "certify", _REFERENCE, digest_text(_REFERENCE))
    settings = resolve(EvaluationSettings, flags={"device": device, "timeout": 5.0, "cache": False})
    evaluator = open_settings_evaluator(settings)
    found: list[Certified] = []
    try:
        for name, body, expected in _KNOWN:
            verdict = evaluator.evaluate(task, _PROGRAM.format(body=body))
            good = verdict.status.value in expected
            wanted = " or ".join(expected)
            if name == _KNOWN[0][0]:
                good = good and verdict.ci_low is not None and verdict.ci_low > 1
                wanted += ", faster"
            found.append(Certified(name, wanted, verdict.status.value, good, verdict.message))
    finally:
        evaluator.close()
    return found
