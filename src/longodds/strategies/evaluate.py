"""One program against one task."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longodds.config import EvaluationSettings, resolve
from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.strategies.opening import open_settings_evaluator
from longodds.tasks import load_task
from longodds.types import Reference, Task

if TYPE_CHECKING:
    from longodds.types import Evaluator, Verdict


def evaluate_program(
    task: Task | str,
    program: Path | str,
    *,
    device: str = "cpu",
    reference: Reference = "eager",
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
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; PROGRAM.py is a module with a class ModelNew") from None
    except UnicodeDecodeError as e:
        raise UserError(f"{path}: not UTF-8 text (byte {e.start}); save it as UTF-8") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
