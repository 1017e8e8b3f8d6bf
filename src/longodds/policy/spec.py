"""Parses what the user writes after `--policy` into a small value; opens nothing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from longodds.errors import UserError

Kind = Literal["embedded", "hf", "gguf", "openai", "tinker", "run", "replay"]

_FORMS = (
    "embedded, embedded:raw, hf:PATH_OR_ID, gguf:PATH (each with +adapter=PATH, but raw), openai:MODEL, "
    "tinker:BASE_MODEL, tinker://..., run:RUN[@STEP], replay:RUN"
)
_NAMES = {
    "hf": "no model; write hf:PATH_OR_ID",
    "gguf": "no file; write gguf:PATH",
    "openai": "no model; write openai:MODEL",
    "tinker": "no model; write tinker:BASE_MODEL or tinker://PATH",
    "run": "no run; write run:RUN or run:RUN@STEP",
    "replay": "no run; write replay:RUN",
}


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A parsed policy spec.

    kind: which backend. location: directory, file, hub id, model name or run, by kind; for `tinker://...` the whole
    path. adapter: directory of a LoRA adapter in PEFT format, if one is named; of a Tinker learner, of its saved
    state. raw: `embedded` without the
    adapter that the package ships. step: of `run:RUN@STEP`; None is the last checkpoint.
    """

    kind: Kind
    location: str | None = None
    adapter: Path | None = None
    raw: bool = False
    step: int | None = None


def parse_policy_spec(spec: str) -> PolicySpec:
    """Parses one of the forms of `--policy`. Raises UserError (one line with the remedy) for anything else."""
    kind, colon, rest = spec.partition(":")
    if kind in ("embedded", "hf", "gguf") or kind.startswith("embedded+"):
        return _parse_local(spec)
    if kind not in get_args(Kind):
        near = difflib.get_close_matches(kind, get_args(Kind), n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise UserError(f"policy '{spec}': unknown policy '{kind}'{hint}; known forms: {_FORMS}")
    if not colon or not rest:
        raise UserError(f"policy '{spec}': names {_NAMES[kind]}")
    if kind == "run":
        return _parse_run(spec, rest)
    if kind == "tinker":
        return PolicySpec("tinker", location=spec if rest.startswith("//") else rest)
    return PolicySpec("openai" if kind == "openai" else "replay", location=rest)


def _parse_local(spec: str) -> PolicySpec:
    head, plus, adapter_text = spec.partition("+adapter=")
    if plus and not adapter_text:
        raise UserError(f"policy '{spec}': '+adapter=' names no directory; write +adapter=PATH")
    adapter = Path(adapter_text).expanduser() if plus else None
    kind, colon, rest = head.partition(":")
    tail = rest if colon else kind
    if "+" in tail and not Path(rest).expanduser().exists():
        raise UserError(f"policy '{spec}': unknown option '+{tail.split('+', 1)[1]}'; the only option is +adapter=PATH")
    if kind == "embedded":
        if colon and rest != "raw":
            raise UserError(f"policy '{spec}': unknown variant '{rest}'; write 'embedded' or 'embedded:raw'")
        if colon and adapter is not None:
            raise UserError(f"policy '{spec}': 'raw' means without an adapter; write embedded+adapter=PATH")
        return PolicySpec("embedded", adapter=adapter, raw=bool(colon))
    if not rest:
        raise UserError(f"policy '{spec}': names {_NAMES[kind]}")
    return PolicySpec("hf" if kind == "hf" else "gguf", location=rest, adapter=adapter)


def _parse_run(spec: str, rest: str) -> PolicySpec:
    run, at, step = rest.rpartition("@")
    if not at or Path(rest).exists():  # a directory may have an @ in its name
        return PolicySpec("run", location=rest)
    if not run or not step.isdecimal():
        raise UserError(f"policy '{spec}': '@{step}' is no step; write run:RUN@STEP with a whole number from 0")
    return PolicySpec("run", location=run, step=int(step))
