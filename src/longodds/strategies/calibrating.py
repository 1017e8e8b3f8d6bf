"""The A/A control of this machine: where its result is kept, and the run that makes it."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from longodds.config import TaskSettings, resolve
from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, device_name
from longodds.evaluator.calibration import Calibration
from longodds.strategies.opening import need_torch
from longodds.strategies.planning import choose_tasks
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# The weight of a control from which on later verdicts use it: some sixteen process pairs, which 50 programs of four
# tasks give, and 200 of one. The spread of fewer may be wrong by half of itself.
LEAST_WEIGHT = 200


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
    phase, done, total. note: as for `choose_tasks`, and told why later verdicts do not use the result: it is too small,
    or there is a larger one of the same evaluator. They use a calibration only once it is finished. Raises UserError
    for an unknown suite, a device that is not here, n or workers below 1, more workers than cores, a log that
    something else has changed.
    """
    from longodds.evaluator.calibrate import calibrate, write_document

    need_torch()
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
    document["evaluator"] = settings.digest(version("torch"))
    why_not = _why_not_used(document, final)
    document["file"] = str(work if why_not else final)
    write_document(work if why_not else final, document)
    if why_not and note is not None:
        note(f"later verdicts do not use this calibration: {why_not}")
    return document


def _why_not_used(document: dict[str, Any], final: Path) -> str | None:
    """Why later verdicts should not use a control's result; None where they should."""
    if _weight(document) < LEAST_WEIGHT:
        return "it is too small; that takes --n 50 on four tasks or more, --n 200 on one"
    try:
        Calibration.load(final, "cpu")  # one that verdicts refuse may be replaced
        old = json.loads(final.read_text(encoding="utf-8"))
        # One that does not say of which evaluator it is, is taken for one of this.
        if old.get("evaluator", document["evaluator"]) == document["evaluator"] and _weight(old) > _weight(document):
            return f"{final} is of a larger one, --n {old['n']}; --n of as many replaces it, or remove that file"
    except (UserError, OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _weight(document: dict[str, Any]) -> int:
    """How much a control knows of the spread between processes: a round times as many tasks as there are, up to four,
    and there are rounds by the number of programs."""
    return document["n"] * min(document["any_of_k"]["tasks"], 4)


def _silent(phase: str, done: int, total: int) -> None: ...
