"""The A/A control of this machine: where its result is kept, and the run that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from longodds.config import TaskSettings, read_environment, resolve
from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, device_name
from longodds.strategies.planning import choose_tasks
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def calibration_file(device: str) -> Path:
    """Where this machine's finished calibration is kept (it may not exist)."""
    return read_environment().cache_dir / "calibration" / f"{digest_text(device, device_name(device))}.json"


def known_calibration(device: str) -> Path | None:
    """The calibration that verdicts on this device use, or None: they are then labelled `uncalibrated`."""
    path = calibration_file(device)
    return path if path.is_file() else None


def calibrate_machine(
    suite: str = "cpu",
    *,
    n: int = 200,
    device: str = "cpu",
    max_tasks: int | None = None,
    workers: int = 1,
    progress: Callable[[str, int, int], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Runs, or goes on with, the control and keeps its result for later verdicts; returns the document of docs/cli.md.

    n: verdicts on unchanged programs, spread over the tasks. workers: evaluators side by side, a core each. progress:
    phase, done, total. note: as for `choose_tasks`. Later verdicts use a calibration only once it is finished. Raises
    UserError for an unknown suite, a device that is not here, n or workers below 1, more workers than cores.
    """
    from longodds.evaluator.calibrate import calibrate, write_document

    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: there is no such device; use cpu or cuda")
    if device == "cuda" and workers > 1:
        raise UserError(f"--workers {workers}: a GPU times one program at a time; use --workers 1")
    if workers < 1:
        raise UserError(f"--workers: must be at least 1, not {workers}")
    if n < 1:
        raise UserError(f"--n: must be at least 1, not {n}")
    tasks = choose_tasks(resolve(TaskSettings, flags={"suite": suite, "max_tasks": max_tasks}), note=note)
    final = calibration_file(device)
    work = final.with_name(f"{final.stem}-{digest_text(suite, str(n), *(t.digest for t in tasks))}.json")
    settings = EvaluatorSettings(device=device, max_pairs=read_environment().max_pairs)
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise UserError(f"{final.parent}: cannot be made: {e.strerror}; set LONGODDS_CACHE") from None
    document = calibrate(tasks, settings, n=n, path=work, workers=workers, progress=progress or _silent)
    document["file"] = str(final)
    write_document(final, document)
    return document


def _silent(phase: str, done: int, total: int) -> None: ...
