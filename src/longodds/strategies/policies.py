"""Opens any policy that a user can name, those that are runs included."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds import policy as local
from longodds.errors import UserError
from longodds.policy import parse_policy_spec
from longodds.store import RunDir
from longodds.store.checkpoints import checkpoint_folder
from longodds.types import SamplingParams

if TYPE_CHECKING:
    from longodds.learning import Learner
    from longodds.policy import LoraOptions, OpenOptions, PolicySpec
    from longodds.policy.replay import ReplayPolicy
    from longodds.store import CheckpointRow
    from longodds.types import Policy


def open_policy(spec: str, options: OpenOptions | None = None) -> Policy:
    """Opens the policy that `spec` names.

    `replay:RUN` gives the samples of a run; `run:RUN[@STEP]` is a checkpoint that a run made, the last one without
    STEP; other forms as in `longodds.policy`. Raises UserError for what can't be used, InfraError for a service that
    doesn't answer.
    """
    parsed = parse_policy_spec(spec)
    if parsed.kind == "replay":
        return _open_replay(spec, Path(parsed.location or "").expanduser())
    if parsed.kind == "run":
        base, _ = _checkpoint(spec, parsed)
        return local.open_policy(base, options, name=spec)
    return local.open_policy(spec, options)


def open_learner(
    spec: str, options: OpenOptions | None = None, lora: LoraOptions | None = None, *, optimizer: bool = True
) -> Learner:
    """Opens the model that `spec` names for training. With `run:RUN[@STEP]` training goes on where that checkpoint
    stopped; optimizer: whether with the optimiser's state, or with the weights alone and a new optimiser, for another
    task than the checkpoint's. Raises as `open_policy`, and for a kind that can't be trained."""
    parsed = parse_policy_spec(spec)
    if parsed.kind != "run":
        return local.open_learner(spec, options, lora)
    base, directory = _checkpoint(spec, parsed)
    if base.kind == "tinker" and directory is not None:
        from longodds.policy.tinker_learner import read_state

        # Weights for sampling can't be trained: the service keeps a state beside them.
        base = replace(parse_policy_spec(f"tinker:{read_state(directory)['base_model']}"), adapter=directory)
    learner = local.open_learner(base, options, lora, name=spec)
    if optimizer and directory is not None:
        learner.load_state(directory)
    return learner


def base_of(spec: str) -> str:
    """The base of a checkpoint (`run:RUN[@STEP]`), or `spec` itself. Raises as `open_policy`."""
    parsed = parse_policy_spec(spec)
    if parsed.kind != "run":
        return spec
    return _row(spec, RunDir.open(Path(parsed.location or "").expanduser()).checkpoints(), parsed.step).base


def _open_replay(spec: str, path: Path) -> ReplayPolicy:
    from longodds.policy.replay import ReplayPolicy

    run = RunDir.open(path)
    records = run.records()
    config = run.config
    try:
        params = SamplingParams(float(config["temperature"]), int(config["max_tokens"]), float(config["top_p"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"policy '{spec}': {path} does not say how it was sampled; name a Best-of-N run") from None
    described: Any = run.manifest.get("policy") or {}
    return ReplayPolicy(
        spec,
        {r.prompt: (r.task.digest, r.prompt_token_ids) for r in records.values() if r.prompt is not None},
        ((records[s.task_id].task.digest, s) for s in run.samples() if s.task_id in records and not s.parents),
        params,
        parameters=int(described.get("parameters") or 0),
    )


def _checkpoint(spec: str, parsed: PolicySpec) -> tuple[PolicySpec, Path | None]:
    """The policy that a checkpoint is, and the directory of the learner's state (None for the base as it is)."""
    path = Path(parsed.location or "").expanduser()
    rows = RunDir.open(path).checkpoints()
    if not rows:
        raise UserError(
            f"policy '{spec}': {path} has made no checkpoint (it has no checkpoints.jsonl, or an empty one)"
        )
    row = _row(spec, rows, parsed.step)
    if row.path is None:
        return parse_policy_spec(row.base), None
    if row.kind == "tinker":
        return parse_policy_spec(row.path), path / checkpoint_folder(row.step)
    directory = path / row.path
    if not (directory / "adapter_config.json").is_file():
        raise UserError(f"policy '{spec}': the checkpoint's files are gone ({directory})")
    return replace(parse_policy_spec(row.base), adapter=directory, raw=False), directory


def _row(spec: str, rows: list[CheckpointRow], step: int | None) -> CheckpointRow:
    if step is None:
        return next((row for row in reversed(rows) if not row.rejected), rows[-1])
    for row in rows:
        if row.step == step:
            return row
    have = ", ".join(str(r.step) for r in rows[:12]) + (", ..." if len(rows) > 12 else "")
    raise UserError(f"policy '{spec}': has no checkpoint of step {step}; it has {have}")
