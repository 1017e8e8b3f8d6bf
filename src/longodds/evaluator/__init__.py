"""Programs in, verdicts out: correct or not, how much faster, how sure.

`open_evaluator(EvaluatorSettings(...))` gives an evaluator (a context manager). Importing this room loads no torch.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from longodds.errors import UserError
from longodds.evaluator.baselines import EAGER, REFERENCES, tf32_of
from longodds.evaluator.cache import VerdictCache
from longodds.evaluator.calibration import Calibration
from longodds.evaluator.controller import LocalEvaluator
from longodds.evaluator.seed import SeedEvaluator
from longodds.evaluator.settings import EvaluatorSettings, device_name
from longodds.evaluator.team import EvaluatorTeam
from longodds.evaluator.validate import TaskReport, trivial_programs, unchanged, validate_task

__all__ = [
    "EvaluatorSettings",
    "EvaluatorTeam",
    "LocalEvaluator",
    "SeedEvaluator",
    "TaskReport",
    "device_name",
    "doctor_layers",
    "open_evaluator",
    "open_seed_evaluator",
    "open_team",
    "trivial_programs",
    "unchanged",
    "validate_task",
]


def open_evaluator(settings: EvaluatorSettings | None = None, cache: Path | None = None) -> LocalEvaluator:
    """Start an evaluator. cache: folder where verdicts are kept and looked up (None: every program is run).

    Raises UserError for settings that can't be met here, InfraError if it does not start.
    """
    settings = _checked(settings or EvaluatorSettings(), cache)
    return LocalEvaluator(settings, None if cache is None else VerdictCache(cache))


def open_team(settings: EvaluatorSettings, size: int, cache: Path | None = None) -> EvaluatorTeam:
    """Start `size` evaluators that judge as many programs at a time, a core each. Raises as `open_evaluator`, and
    UserError for more than there are cores."""
    settings = _checked(settings, cache)
    return EvaluatorTeam(settings, size, None if cache is None else VerdictCache(cache))


def _checked(settings: EvaluatorSettings, cache: Path | None) -> EvaluatorSettings:
    _refuse_what_is_not_here(settings)
    # A broken calibration is the caller's mistake: say so before anything starts.
    Calibration.load(settings.calibration, settings.device)
    return settings if cache is None else replace(settings, hidden=(*settings.hidden, cache))


def open_seed_evaluator(
    settings: EvaluatorSettings | None = None, *, mode: Literal["fast", "full"] = "full", workers: int = 1
) -> SeedEvaluator:
    """Start an evaluator that judges KernelBench's way, for comparison only. Raises as `open_evaluator`."""
    settings = settings or EvaluatorSettings()
    _refuse_what_is_not_here(settings)
    if settings.reference != EAGER:
        raise UserError(f"--evaluator seed: times against eager only, not {settings.reference}; use --reference eager")
    if settings.device != "cpu":
        raise UserError(f"--evaluator seed: judges on the CPU only, not on {settings.device}; use --device cpu")
    return SeedEvaluator(settings, mode=mode, workers=workers)


def _refuse_what_is_not_here(settings: EvaluatorSettings) -> None:
    if settings.reference not in REFERENCES:
        raise UserError(f"--reference {settings.reference}: there is none; use one of {', '.join(REFERENCES)}")
    if settings.device not in ("cpu", "cuda"):
        raise UserError(f"--device {settings.device}: there is no such device; use cpu or cuda")
    if settings.device != "cuda" and tf32_of(settings.reference) is not None:
        raise UserError(f"--reference {settings.reference}: TF32 is a GPU's; use --device cuda, or another reference")


def doctor_layers() -> dict[str, str]:
    """Isolation layer -> "on" where a probe saw it hold on this machine, else "off: reason". Loads no torch."""
    import tempfile

    from longodds.evaluator import sandbox

    with tempfile.TemporaryDirectory(prefix="longodds-") as folder:
        scratch = Path(folder) / "probe"
        scratch.mkdir()
        home = Path.home()
        return sandbox.probe_layers(scratch, (home,) if home != Path("/") else ())
