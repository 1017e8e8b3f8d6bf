"""Programs in, verdicts out: correct or not, how much faster, how sure.

`open_evaluator(EvaluatorSettings(...))` gives an evaluator (a context manager). Importing this room loads no torch.
"""

from __future__ import annotations

from longodds.evaluator.calibration import Calibration
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.settings import EvaluatorSettings, device_name
from longodds.evaluator.validate import TaskReport, trivial_programs, unchanged, validate_task

__all__ = [
    "EvaluatorSettings",
    "TaskReport",
    "device_name",
    "doctor_layers",
    "open_evaluator",
    "trivial_programs",
    "unchanged",
    "validate_task",
]


def open_evaluator(settings: EvaluatorSettings | None = None) -> LocalEvaluator:
    """Start an evaluator. Raises UserError for settings that can't be met here, InfraError if it does not start."""
    from longodds.errors import UserError

    settings = settings or EvaluatorSettings()
    Calibration.load(
        settings.calibration, "cpu"
    )  # a broken file is the caller's mistake: say so before anything starts
    if settings.reference != "eager":
        raise UserError(f"--reference {settings.reference}: only eager is timed against so far; use --reference eager")
    if settings.device != "cpu":
        raise UserError(f"--device {settings.device}: this version evaluates on cpu only; use --device cpu")
    return LocalEvaluator(settings)


def doctor_layers() -> dict[str, str]:
    """Isolation layer -> "on" where a probe saw it hold on this machine, else "off: reason". Loads no torch."""
    import tempfile
    from pathlib import Path

    from longodds.evaluator import sandbox

    with tempfile.TemporaryDirectory(prefix="longodds-") as folder:
        scratch = Path(folder) / "probe"
        scratch.mkdir()
        home = Path.home()
        return sandbox.probe_layers(scratch, (home,) if home != Path("/") else ())
