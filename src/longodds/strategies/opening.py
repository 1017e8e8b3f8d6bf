"""Opens the policy and the evaluator that settings name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from longodds.config import Environment, read_environment
from longodds.errors import UserError

if TYPE_CHECKING:
    from longodds.config import BestOfNSettings, EvaluationSettings
    from longodds.evaluator.controller import LocalEvaluator
    from longodds.types import Policy, SamplingParams


def open_settings_policy(settings: BestOfNSettings, environment: Environment | None = None) -> Policy:
    """The policy of a run. Raises UserError for a spec, model or device that cannot be used."""
    from longodds.policy import OpenOptions
    from longodds.strategies.policies import open_policy

    env = environment or read_environment()
    return open_policy(
        settings.policy,
        OpenOptions(
            dtype=settings.dtype,
            device=settings.policy_device,
            cache_dir=env.cache_dir,
            threads=settings.threads or env.threads,
            base_url=settings.base_url,
            tokenizer=settings.tokenizer,
        ),
    )


def prepare_policy(policy: Policy, params: SamplingParams) -> tuple[str, ...]:
    """What a run needs to know of its policy before it begins; returns what its reader should know, one line each.

    A service is asked a few tokens to find out what its log-probabilities mean. Raises UserError for one that has none.
    """
    prepare = getattr(policy, "prepare", None)
    if prepare is not None:
        prepare(params)
    return tuple(getattr(policy, "notes", ()))


def open_settings_evaluator(settings: EvaluationSettings, *, workers: int = 1) -> LocalEvaluator:
    """The evaluator of a run, with this machine's calibration. Raises UserError for a device that is not here."""
    from longodds.evaluator import EvaluatorSettings, open_evaluator
    from longodds.strategies.calibrating import known_calibration

    if settings.evaluator != "sound":
        raise UserError(f"--evaluator {settings.evaluator}: this version judges with 'sound' only")
    return open_evaluator(
        EvaluatorSettings(
            device=settings.device,
            reference=settings.reference,
            import_timeout_s=settings.timeout,
            run_timeout_s=settings.timeout,
            memory_bytes=settings.memory,
            max_pairs=settings.max_pairs,
            workers=workers,
            calibration=known_calibration(settings.device),
        )
    )


def isolation_layers() -> dict[str, str]:
    """Layer name -> `on` or why it is off, as the evaluator finds them on this machine."""
    from longodds.evaluator import doctor_layers

    return doctor_layers()
