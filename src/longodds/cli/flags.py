"""Flags of the run commands: one for every setting, absent unless given; help and default are the setting's own."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter
from pydantic_core import PydanticUndefined

from longodds.config import BestOfNSettings, Settings
from longodds.errors import UserError
from longodds.types import Reference

if TYPE_CHECKING:
    from collections.abc import Sequence


def helped(name: str, kind: type[Settings] = BestOfNSettings, text: str | None = None) -> Parameter:
    """The help of a setting, with its default."""
    field = kind.model_fields[name]
    described = text or field.description or ""
    default = field.default
    if default is not None and default is not PydanticUndefined:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        described = f"{described} (default {shown})".strip()
    return Parameter(help=described)


@dataclass(frozen=True, kw_only=True)
class TaskFlags:
    suite: Annotated[str | None, helped("suite")] = None
    kernelbench_root: Annotated[str | None, helped("kernelbench_root")] = None
    scale: Annotated[int | None, helped("scale")] = None
    split: Annotated[str | None, helped("split")] = None
    subset: Annotated[Literal["train", "eval"] | None, helped("subset")] = None
    problem_ids: Annotated[str | None, helped("problem_ids", text="Names or numbers, separated by commas.")] = None
    max_tasks: Annotated[int | None, helped("max_tasks")] = None


@dataclass(frozen=True, kw_only=True)
class PolicyFlags:
    policy: Annotated[str | None, helped("policy")] = None
    base_url: Annotated[str | None, helped("base_url")] = None
    tokenizer: Annotated[str | None, helped("tokenizer")] = None
    policy_device: Annotated[str | None, helped("policy_device", text="Where a local model runs.")] = None
    dtype: Annotated[Literal["bf16", "fp32"] | None, helped("dtype")] = None
    style: Annotated[str | None, helped("style")] = None
    form: Annotated[Literal["completion", "chat"] | None, helped("form")] = None
    device_facts: Annotated[bool | None, helped("device_facts")] = None
    threads: Annotated[int | None, helped("threads")] = None


@dataclass(frozen=True, kw_only=True)
class SamplingFlags:
    k: Annotated[int | None, helped("k")] = None
    temperature: Annotated[float | None, helped("temperature")] = None
    top_p: Annotated[float | None, helped("top_p", text="Nucleus sampling.")] = None
    max_tokens: Annotated[int | None, helped("max_tokens")] = None
    seeds: Annotated[str | None, helped("seeds", text="Seeds, separated by commas.")] = None
    seed: Annotated[int | None, Parameter(help="One seed; short for --seeds.")] = None
    batch_size: Annotated[int | None, helped("batch_size")] = None


@dataclass(frozen=True, kw_only=True)
class EvaluationFlags:
    evaluator: Annotated[Literal["sound", "seed"] | None, helped("evaluator")] = None
    device: Annotated[str | None, helped("device")] = None
    reference: Annotated[Reference | None, helped("reference")] = None
    time: Annotated[str | None, helped("time")] = None
    timeout: Annotated[float | None, helped("timeout")] = None
    memory: Annotated[int | None, helped("memory")] = None
    max_pairs: Annotated[int | None, helped("max_pairs")] = None
    eval_workers: Annotated[int | None, helped("eval_workers")] = None
    cache: Annotated[bool | None, helped("cache"), Parameter(negative="--no-cache")] = None


@dataclass(frozen=True, kw_only=True)
class BudgetFlags:
    max_seconds: Annotated[float | None, helped("max_seconds")] = None
    max_cost: Annotated[float | None, helped("max_cost")] = None
    price_prompt: Annotated[float | None, helped("price_prompt")] = None
    price_sampled: Annotated[float | None, helped("price_sampled")] = None
    price_device: Annotated[float | None, helped("price_device")] = None


@dataclass(frozen=True, kw_only=True)
class StoppingBudgetFlags(BudgetFlags):
    """Of Best-of-N: other runs refuse to end a cell by what its samples promise."""

    stop_gain: Annotated[float | None, helped("stop_gain")] = None


def given(groups: Sequence[object | None]) -> dict[str, Any]:
    """The settings that were typed, by name, with lists taken apart. Raises UserError for a list that is none."""
    values: dict[str, Any] = {}
    for group in groups:
        if group is not None:
            values |= {f.name: v for f in fields(group) if (v := getattr(group, f.name)) is not None}  # type: ignore[arg-type]
    if "seeds" in values:
        values["seeds"] = [_whole(part) for part in values["seeds"].split(",")]
    if "problem_ids" in values:
        values["problem_ids"] = names(values["problem_ids"])
    return values


def names(text: str | None) -> list[str] | None:
    """The parts of a comma-separated list."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UserError(f"--seeds: must be whole numbers separated by commas, e.g. 0,1,2, not {text!r}") from None
