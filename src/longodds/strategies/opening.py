"""Opens the policy and the evaluator that settings name."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from longodds.environment import Environment, read_environment
from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from longodds.config import BestOfNSettings, EvaluationSettings
    from longodds.evaluator import EvaluatorSettings, EvaluatorTeam, LocalEvaluator, SeedEvaluator
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


def open_settings_evaluator(
    settings: EvaluationSettings, *, hidden: Sequence[Path] = ()
) -> LocalEvaluator | SeedEvaluator | EvaluatorTeam:
    """The evaluator that settings name. hidden: folders that programs must not see, such as the run's.

    Raises UserError for a device that is not here.
    """
    need_torch()
    if settings.evaluator == "sound" and settings.eval_workers > 1:
        return _open_team(settings, hidden)
    if settings.evaluator == "sound":
        return open_sound_evaluator(settings, hidden=hidden)
    from longodds.evaluator import open_seed_evaluator

    mode = read_environment().eval_mode
    return open_seed_evaluator(_evaluator_settings(settings, hidden), mode=mode, workers=settings.eval_workers)


def open_sound_evaluator(settings: EvaluationSettings, *, hidden: Sequence[Path] = ()) -> LocalEvaluator:
    """The sound evaluator, with this machine's calibration and the cache of verdicts, unless settings switch it off."""
    from longodds.evaluator import open_evaluator

    need_torch()
    return open_evaluator(_evaluator_settings(settings, hidden), _cache_folder(settings))


def need_torch() -> None:
    """Raises UserError where PyTorch, which programs are judged with, is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise UserError("judging programs needs the package 'torch'; install it: pip install 'longodds[local]'")


def _open_team(settings: EvaluationSettings, hidden: Sequence[Path]) -> EvaluatorTeam:
    from longodds.evaluator import open_team

    return open_team(_evaluator_settings(settings, hidden), settings.eval_workers, _cache_folder(settings))


def _cache_folder(settings: EvaluationSettings) -> Path | None:
    return read_environment().cache_dir / "verdicts" if settings.cache else None


def _evaluator_settings(settings: EvaluationSettings, hidden: Sequence[Path]) -> EvaluatorSettings:
    from longodds.evaluator import EvaluatorSettings
    from longodds.strategies.calibrating import known_calibration

    return EvaluatorSettings(
        device=settings.device,
        reference=settings.reference,
        import_timeout_s=settings.timeout,
        run_timeout_s=settings.timeout,
        memory_bytes=settings.memory,
        max_pairs=settings.max_pairs,
        calibration=known_calibration(settings.device),
        hidden=(read_environment().cache_dir, *hidden),
    )


def isolation_layers() -> dict[str, str]:
    """Layer name -> `on` or why it is off, as the evaluator finds them on this machine."""
    from longodds.evaluator import doctor_layers

    return doctor_layers()
