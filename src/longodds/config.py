"""What a run is asked to do: typed settings, TOML recipes, flags over recipes, and one canonical digest.

A setting has one name everywhere: the recipe key `max_tokens` is the flag `--max-tokens` and the key in a run's
`config.json`. Recipes are flat; a run directory can be resumed when the settings that decide its content are equal.
Secrets never enter settings.
"""

from __future__ import annotations

import json
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, field_validator, model_validator

from longodds.errors import UserError
from longodds.files import read_toml
from longodds.types import Reference, digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


MOST = 1_000_000  # samples, steps, tokens: beyond it is a slip of the keyboard, and lists of so many fill the memory


class Settings(BaseModel):
    """Base of all settings: frozen, no unknown keys.

    `operational` names the keys that may change between two attempts at one run (budgets, threads): they
    decide how long it takes, not what it holds, and stay out of `identity` and its digest.
    """

    # What checks the values is built when it is first needed: help and completion need only the fields.
    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, defer_build=True
    )
    operational: ClassVar[frozenset[str]] = frozenset()

    _called: dict[str, Any] = PrivateAttr(default_factory=dict[str, Any])

    def identity(self) -> dict[str, Any]:
        """The settings that decide the content of a run, as plain JSON values."""
        return {k: v for k, v in self.model_dump(mode="json").items() if k not in self.operational} | self._called

    def called(self, names: Mapping[str, Any]) -> Self:
        """The same settings, whose identity holds these values instead: of a place that may be moved, its name."""
        copy = self.model_copy()
        copy._called = {**self._called, **names}
        return copy

    def digest(self) -> str:
        """Content hash of `identity`."""
        return config_digest(self.identity())


class TaskSettings(Settings):
    """Which tasks: a suite, narrowed by a split, by ids and by number, in that order."""

    suite: str = "cpu"
    """`cpu`, `kernelbench:1` to `kernelbench:4`, `dir:PATH` or `file:PATH.py`."""
    kernelbench_root: str | None = None
    """Where KernelBench's problems are: a checkout, a Parquet or JSONL file of the dataset, `hub` or `hub@REVISION`.
    The default is what LONGODDS_KERNELBENCH names, else the hub."""
    scale: int = Field(default=1, ge=1)
    """Multiplies the sizes of the bundled problems."""
    split: str | None = None
    """A split file made by `longodds split make`."""
    subset: Literal["train", "eval"] | None = None
    """Which half; of the split file, or of the suite's own split. With a split file the default is eval."""
    problem_ids: tuple[str | int, ...] | None = None
    """Names or numbers within the suite, in this order."""
    max_tasks: int | None = Field(default=None, ge=1)
    """At most so many tasks, the first ones."""

    @field_validator("problem_ids")
    @classmethod
    def _named_once(cls, ids: tuple[str | int, ...] | None) -> tuple[str, ...] | None:
        if ids is None:
            return None
        names = tuple(str(i) for i in ids)
        if not names:
            raise ValueError("names no problem; leave it out for all")
        return _distinct(names)


class PolicySettings(Settings):
    """Which model writes the programs."""

    policy: str = "embedded"
    """`embedded`, `hf:PATH_OR_ID`, `gguf:PATH` (each with `+adapter=PATH`), `openai:MODEL`, `tinker:BASE_MODEL`,
    `tinker://...`, `run:RUN[@STEP]`, `replay:RUN`."""
    base_url: str | None = None
    """Address of the service behind `openai:` or `tinker:`; the default is the environment's, else the vendor's."""
    tokenizer: str | None = None
    """Tokenizer of a model that runs elsewhere: a directory or a hub id; the default is the model's own."""
    policy_device: str = "cpu"
    dtype: Literal["bf16", "fp32"] | None = None
    """Precision of the weights; the default is the policy's own."""
    style: str = "forward-body"
    """Prompt style: `forward-body`, `forward-body-fewshot`, `module`, `triton`, `cuda` or `cpp`."""
    form: Literal["completion", "chat"] = "completion"
    """Prompt as a text to continue or as chat messages."""
    device_facts: bool = False
    """Say in the prompt what device the program will run on."""


class SamplingSettings(Settings):
    """How many samples, drawn how."""

    k: int = Field(default=16, ge=1, le=MOST)
    """Samples per task and seed."""
    temperature: float = Field(default=0.8, ge=0)
    """0 is greedy; otherwise at least 0.001."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: int = Field(default=256, ge=1, le=MOST)
    """New tokens per sample, at most."""
    seeds: tuple[int, ...] = (0,)

    @field_validator("temperature")
    @classmethod
    def _not_too_low(cls, temperature: float) -> float:
        if 0 < temperature < 0.001:  # logits divided by it may leave the range of numbers
            raise ValueError(f"must be 0 (greedy) or at least 0.001, not {temperature:g}")
        return temperature

    @field_validator("seeds")
    @classmethod
    def _at_least_one(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if not seeds:
            raise ValueError("needs at least one seed")
        if min(seeds) < 0 or max(seeds) >= 1 << 63:
            raise ValueError("seeds are whole numbers from 0, below 2^63")
        return _distinct(seeds)


class EvaluationSettings(Settings):
    """How programs are judged."""

    evaluator: Literal["sound", "seed"] = "sound"
    """`sound`: intervals and isolation; `seed`: KernelBench's way, for comparison only."""
    device: str = "cpu"
    """Where programs run: `cpu` or `cuda`."""
    reference: Reference = "eager"
    """What a speedup is measured against."""
    time: str = "all"
    """Which correct programs are timed: `all`, `none` or `top:M:STRATEGY`."""
    timeout: float = Field(default=30.0, gt=0, le=7 * 86400)
    """Seconds for importing a program, and again for running it."""
    memory: int | None = Field(default=None, ge=1)
    """Bytes a program may use; the default is half of the machine's."""
    max_pairs: int = Field(default=64, ge=8)
    """Timed pairs of reference and program, at most; what may be faster is measured again, in 16 pairs at least."""
    eval_workers: int = Field(default=1, ge=1)
    """Programs judged at the same time, a core each; with `--evaluator seed` side by side on one, as the seed does."""
    cache: bool = True
    """Whether verdicts are looked up, and kept, in the cache on disk; with `--evaluator sound` only."""


class BestOfNSettings(TaskSettings, PolicySettings, SamplingSettings, EvaluationSettings):
    """A Best-of-N run: K samples per task and seed, all judged, then selected."""

    operational: ClassVar[frozenset[str]] = frozenset(
        # kernelbench_root: the content of a task decides, and a run keeps to it, wherever it is read from.
        {"base_url", "kernelbench_root", "batch_size", "threads", "cache", "eval_workers"}
        | {"max_seconds", "max_cost", "price_prompt", "price_sampled", "price_device"}
    )

    batch_size: int = Field(default=16, ge=1, le=MOST)
    """Samples drawn in one go; the unit that a kill can lose."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of a local model; the default is the policy's choice."""
    max_seconds: float | None = Field(default=None, gt=0)
    """Start no new sampling after so many seconds; what was sampled is still judged."""
    max_cost: float | None = Field(default=None, gt=0)
    """Start no new sampling when the run has cost so much; needs a price."""
    stop_gain: float | None = Field(default=None, gt=0)
    """Draw no more for a task and seed when 8 more are expected to raise its best speedup by less than this share."""
    price_prompt: float = Field(default=0.0, ge=0)
    """Money per million prompt tokens."""
    price_sampled: float = Field(default=0.0, ge=0)
    """Money per million sampled tokens."""
    price_device: float = Field(default=0.0, ge=0)
    """Money per hour of device time (sampling and evaluation)."""

    @model_validator(mode="after")
    def _priced(self) -> Self:
        if self.max_cost is not None and not (self.price_prompt or self.price_sampled or self.price_device):
            raise ValueError("max_cost needs a price: price_prompt, price_sampled or price_device")
        if self.stop_gain is not None and (self.time != "all" or self.evaluator == "seed"):
            raise ValueError("stop_gain needs timings with intervals: leave time at all and evaluator at sound")
        return self

    def identity(self) -> dict[str, Any]:
        return {k: v for k, v in super().identity().items() if k != "stop_gain" or v is not None}


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = next((v for i, v in enumerate(values) if v in values[:i]), None)
    if twice is not None:
        raise ValueError(f"{twice} is given twice")
    return values


# --- recipes and flags -------------------------------------------------------------------------

S = TypeVar("S", bound=Settings)


def load_recipe(path: Path | str, kind: type[Settings]) -> dict[str, Any]:
    """The keys of a TOML recipe, checked by name only (values are checked once flags have been merged).

    `seed = 0` is short for `seeds = [0]`. Raises UserError for a file that cannot be read, is no TOML, or has a
    key that `kind` does not know, with the nearest name.
    """
    document = read_toml(path)
    if isinstance(document.get("stage"), list) and "stage" not in kind.model_fields:
        raise UserError(f"{path}: has several stages; it is for `longodds pipeline DIR --config {path}`")
    check_keys(document, kind, f"{path}")
    return _plural_seed(document, str(path))


def known_keys(kind: type[Settings]) -> list[str]:
    """What a recipe for these settings may hold."""
    return [*kind.model_fields, "seed"] if "seeds" in kind.model_fields else list(kind.model_fields)


def check_keys(document: Mapping[str, Any], kind: type[Settings], source: str) -> None:
    """Raises UserError for a key that `kind` does not know, with the nearest name."""
    known = known_keys(kind)
    for key in document:
        if key not in known:
            raise UserError(f"{source}: unknown key '{key}'{did_you_mean(key, known)}")


def resolve(
    kind: type[S],
    *,
    recipe: Path | str | None = None,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> S:
    """Settings from defaults, then the recipe, then flags (those that are not None). Raises UserError.

    flags: by setting name (`max_tokens`), as typed on the command line. defaults: weaker than the recipe.
    Errors name the recipe's key or the flag, whichever gave the value.
    """
    document = load_recipe(recipe, kind) if recipe is not None else {}
    return resolve_document(kind, document, None if recipe is None else str(recipe), flags=flags, defaults=defaults)


def resolve_document(
    kind: type[S],
    document: Mapping[str, Any],
    source: str | None,
    *,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> S:
    """`resolve` for keys that have been read. source: what errors call the place that they are from."""
    given = _plural_seed({k: v for k, v in (flags or {}).items() if v is not None}, "the command line")
    values = {**(defaults or {}), **_plural_seed(document, source or ""), **given}
    try:
        # JSON mode is strict about types (k = "8" and k = true are mistakes) and still reads a list as a tuple.
        text = json.dumps(values, default=_unreadable)
        return kind.model_validate_json(text, strict=True)
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        raise UserError(_one_line(first, key, _origin(key, given, source))) from None


def _unreadable(value: object) -> str:
    return str(value)  # a TOML date: no setting takes one, and as text it is reported like any wrong value


def _origin(key: str, flags: Mapping[str, Any], recipe: str | None) -> str:
    if key in flags or recipe is None or not key:
        return f"--{key.replace('_', '-')}" if key else ""
    return f"{recipe}: key '{key}'"


def _one_line(error: Any, key: str, origin: str) -> str:
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    message = message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    if not key:
        return message
    value = error["input"]
    verb = "must be " if str(error["msg"]).startswith("Input should be") else ""
    got = "" if error["type"] == "value_error" or isinstance(value, dict) else f", not {json.dumps(value)}"
    return f"{origin}: {verb}{message}{got}"


def _plural_seed(values: Mapping[str, Any], source: str) -> dict[str, Any]:
    out = dict(values)
    if "seed" in out:
        if "seeds" in out:
            raise UserError(f"{source}: both seed and seeds are given; use one")
        out["seeds"] = [out.pop("seed")]
    return out


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'X'?` for the nearest known name, or nothing when none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""


# --- canonical form ----------------------------------------------------------------------------


def canonical_json(value: Any) -> str:
    """One text per value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def config_digest(config: Mapping[str, Any]) -> str:
    """Content hash of a configuration (16 hex digits)."""
    return digest_text(canonical_json(config))


def differing_keys(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    """Keys, sorted, whose values differ or that only one side has."""
    return sorted(k for k in {*a, *b} if k not in a or k not in b or canonical_json(a[k]) != canonical_json(b[k]))


def describe_differences(old: Mapping[str, Any], new: Mapping[str, Any], keys: Sequence[str] | None = None) -> str:
    """`k (8, now 16), temperature (0.8, now 1.0)`: for one line that names what differs."""
    chosen = differing_keys(old, new) if keys is None else keys
    shown = [f"{k} ({json.dumps(old.get(k))}, now {json.dumps(new.get(k))})" for k in chosen[:6]]
    more = [f"and {len(chosen) - 6} more"] if len(chosen) > 6 else []
    return ", ".join(shown + more)
