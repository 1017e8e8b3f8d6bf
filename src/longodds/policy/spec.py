"""Parses what the user writes after `--policy` into a small value; opens nothing."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longodds.errors import UserError

_FORMS = "embedded, embedded:raw, embedded+adapter=PATH, hf:PATH_OR_ID, hf:PATH_OR_ID+adapter=PATH"


@dataclass(frozen=True, slots=True)
class PolicySpec:
    """A parsed policy spec.

    kind: which backend. location: directory or hub id (`hf` only).
    adapter: directory of a LoRA adapter in PEFT format, if one is named.
    raw: `embedded` without the adapter that the package ships.
    """

    kind: Literal["embedded", "hf"]
    location: str | None = None
    adapter: Path | None = None
    raw: bool = False


def parse_policy_spec(spec: str) -> PolicySpec:
    """Parses `embedded`, `embedded:raw`, `hf:PATH_OR_ID`, each but the raw one with an optional `+adapter=PATH`.

    Raises UserError (one line with the accepted forms) for anything else.
    """
    head, plus, adapter_text = spec.partition("+adapter=")
    if plus and not adapter_text:
        raise UserError(f"policy '{spec}': '+adapter=' names no directory; write +adapter=PATH")
    adapter = Path(adapter_text).expanduser() if plus else None
    kind, colon, rest = head.partition(":")
    if "+" in rest and not Path(rest).expanduser().exists():
        raise UserError(f"policy '{spec}': unknown option '+{rest.split('+', 1)[1]}'; the only option is +adapter=PATH")
    if kind == "embedded":
        if colon and rest != "raw":
            raise UserError(f"policy '{spec}': unknown variant '{rest}'; write 'embedded' or 'embedded:raw'")
        if colon and adapter is not None:
            raise UserError(f"policy '{spec}': 'raw' means without an adapter; write embedded+adapter=PATH")
        return PolicySpec("embedded", adapter=adapter, raw=bool(colon))
    if kind == "hf":
        if not rest:
            raise UserError(f"policy '{spec}': names no model; write hf:PATH_OR_ID")
        return PolicySpec("hf", location=rest, adapter=adapter)
    near = difflib.get_close_matches(kind, ["embedded", "hf"], n=1)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    raise UserError(f"policy '{spec}': unknown policy '{kind}'{hint}; known forms: {_FORMS}")
