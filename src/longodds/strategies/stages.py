"""Recipes of several stages: each is one command with its settings and a folder, and may begin from an earlier one.

Keys at the top of the file are shared by all stages; `[[stage]]` has a `name`, a `command` and keys of its own. Where
`policy = "run:NAME"` (or `run:NAME@STEP`) or `match = "NAME"` names an earlier stage, its folder is meant.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from longodds.config import (
    BestOfNSettings,
    check_keys,
    config_digest,
    did_you_mean,
    known_keys,
    resolve_document,
)
from longodds.errors import UserError
from longodds.files import read_toml
from longodds.strategies.learning_settings import RLVRSettings, SDPOSettings, TTTSettings
from longodds.strategies.refine_settings import RefineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS: dict[str, type[BestOfNSettings]] = {
    "best-of-n": BestOfNSettings,
    "ttt": TTTSettings,
    "sdpo": SDPOSettings,
    "rlvr": RLVRSettings,
    "refine": RefineSettings,
}
DONE = "stages.json"
_TAKEN = (DONE, "report.html")
_LEARN = ("ttt", "sdpo", "rlvr")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_REFERENCE = re.compile(r"run:([^@]+)(@[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Stage:
    """path: its run directory. settings: of the type that `command` takes."""

    name: str
    command: str
    path: Path
    settings: BestOfNSettings

    @property
    def digest(self) -> str:
        return config_digest({"command": self.command, **self.settings.identity()})


def read_stages(
    recipe: Path | str,
    directory: Path,
    *,
    flags: Mapping[str, Any] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> list[Stage]:
    """The stages of a recipe, in their order, all checked.

    flags: shared keys that replace the recipe's. Raises UserError, with file, stage and key, for a recipe without
    stages, an unknown command or key, a shared key that some stage's command lacks, a reference to a stage that is not
    an earlier one, or a flag for what a stage sets itself.
    """
    document = read_toml(recipe)
    tables = document.pop("stage", None)
    if not isinstance(tables, list) or not tables:
        raise UserError(f"{recipe}: has no [[stage]]; a recipe for one command is for that command's --config")
    rows = [_head(row, str(recipe), n) for n, row in enumerate(cast("list[Any]", tables), start=1)]
    names = [name for name, _, _ in rows]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"{recipe}: stage '{name}': is there twice; give each stage a name of its own")
    typed = {k: v for k, v in (flags or {}).items() if v is not None}
    shared = {k: v for k, v in document.items() if not _given(k, typed)} | typed
    for key in shared:
        knows = [key in known_keys(KINDS[command]) for _, command, _ in rows]
        if not any(knows):
            check_keys({key: None}, KINDS[rows[0][1]], str(recipe))
        if not all(knows):
            lacking = rows[knows.index(False)][1]
            raise UserError(
                f"{recipe}: key '{key}': is shared by all, and {lacking} does not have it; move it into [[stage]]"
            )
    stages: list[Stage] = []
    for at, (name, command, own) in enumerate(rows):
        source = f"{recipe}: stage '{name}'"
        check_keys(own, KINDS[command], source)
        resolved = {k: _located(k, v, rows, at, directory, source) for k, v in own.items()}
        for key in typed:
            if _given(key, own) and resolved.get(key) == own.get(key):
                flag = f"--{key.replace('_', '-')}"
                raise UserError(f"{flag}: stage '{name}' of {recipe} sets {key} itself; change it there")
        merged = {k: v for k, v in shared.items() if not _given(k, own)} | resolved
        settings = resolve_document(KINDS[command], merged, source, defaults=defaults)
        # A stage is known by its name in what decides a run: the pipeline may be moved, or its folder spelt otherwise.
        settings = settings.called({k: own[k] for k, v in resolved.items() if v != own[k]})
        stages.append(Stage(name, command, directory / name, settings))
    return stages


def _given(key: str, values: Mapping[str, Any]) -> bool:
    """Whether a key is among these, under either of its names."""
    return key in values or (key in ("seed", "seeds") and ("seed" in values or "seeds" in values))


def _head(row: Any, recipe: str, number: int) -> tuple[str, str, dict[str, Any]]:
    """(name, command, its other keys) of a [[stage]]."""
    if not isinstance(row, dict):
        raise UserError(f"{recipe}: stage {number}: must be a table, [[stage]]")
    own = dict(cast("dict[str, Any]", row))
    name, command = own.pop("name", None), own.pop("command", None)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UserError(
            f"{recipe}: stage {number}: key 'name': must be letters, digits, '_', '-' and '.', not {name!r}"
        )
    if name in _TAKEN:
        raise UserError(f"{recipe}: stage {number}: key 'name': {name} is a file of the pipeline's own; take another")
    if command not in KINDS:
        known = ", ".join(KINDS)
        raise UserError(f"{recipe}: stage '{name}': key 'command': must be one of {known}, not {command!r}")
    return name, command, own


def _located(key: str, value: Any, rows: Sequence[tuple[str, str, Any]], at: int, directory: Path, source: str) -> Any:
    """A value with the name of an earlier stage replaced by its folder. Raises UserError for what is neither an earlier
    stage, nor a directory, and for the weights of a stage that learns none: before the earlier stages are run."""
    reference = _REFERENCE.fullmatch(value) if key == "policy" and isinstance(value, str) else None
    named: Any = reference[1] if reference else value if key == "match" else None
    if not isinstance(named, str):
        return value
    names = [name for name, _, _ in rows]
    if named not in names:
        if Path(named).expanduser().is_dir():
            return value
        near = did_you_mean(named, names[:at])
        raise UserError(f"{source}: key '{key}': '{named}' is no earlier stage and no run directory{near}")
    if names.index(named) >= at:
        raise UserError(f"{source}: key '{key}': stage '{named}' is not before it")
    if reference and (command := rows[names.index(named)][1]) not in _LEARN:
        raise UserError(f"{source}: key '{key}': stage '{named}' is of {command}, which learns no weights")
    path = str(directory / named)
    return f"run:{path}{reference[2] or ''}" if reference else path


# --- which are done -------------------------------------------------------------------------------


def finished(stage: Stage) -> bool:
    """Whether the stage came to its end, with these very settings."""
    return _done(stage.path.parent).get(stage.name) == stage.digest and stage.path.is_dir()


def mark_finished(stage: Stage) -> None:
    """Notes, at once and whole, that a stage came to its end."""
    directory = stage.path.parent
    text = json.dumps(_done(directory) | {stage.name: stage.digest}, indent=2)
    temporary = directory / f".{DONE}"
    with temporary.open("w", encoding="utf-8") as f:
        f.write(text + "\n")
        f.flush()
        os.fsync(f.fileno())
    temporary.replace(directory / DONE)


def _done(directory: Path) -> dict[str, str]:
    """Name -> digest; nothing from a file that is not there or no JSON: the stages are then only looked at again."""
    try:
        found: Any = json.loads((directory / DONE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, str]", found) if isinstance(found, dict) else {}
