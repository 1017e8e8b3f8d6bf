"""Seeded train/eval splits of a suite, as files that carry a hash of themselves."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.tasks.kernelbench import LEVEL_SIZES, parse_level
from longodds.tasks.loader import load_suite, task_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.tasks.loader import OnSkip
    from longodds.types import Task

ProblemId = int | str

TRAIN_PERCENT = 80


def make_split(
    suite: str,
    seed: int,
    *,
    dataset: Mapping[str, Any] | None = None,
    kernelbench_root: str | None = None,
    on_skip: OnSkip | None = None,
) -> dict[str, Any]:
    """An 80/20 split: the ids, shuffled by `random.Random(seed)`, are train up to 80 % and eval from there.

    Returns {"level", "seed", "problem_ids": {"train": [...], "eval": [...]}, "split_hash"}, ids sorted. For
    `kernelbench:N` the level is `level_N` and the ids are the integers 1..size; seeds 42, 43 and 44 of level 1 and 42
    of level 2 give the eval ids of Barnes (arXiv:2602.07670). For other suites the level is the spec and the
    ids are the names of the problems. dataset: a description of the data's origin, kept under that key and hashed.
    kernelbench_root: the ids of this source (see `load_suite`) instead of 1..size; those of a whole level are equal.
    on_skip: as for `load_suite`.
    """
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise UserError(f"seed must be a whole number, not {seed!r}")
    level, ids = _problem_ids(suite, kernelbench_root, on_skip)
    train, held_out = shuffle_ids(ids, seed)
    document: dict[str, Any] = {"dataset": dict(dataset)} if dataset is not None else {}
    document |= {"level": level, "seed": seed, "problem_ids": {"train": train, "eval": held_out}}
    return document | {"split_hash": split_hash(document)}


def shuffle_ids(ids: Sequence[Any], seed: int) -> tuple[list[Any], list[Any]]:
    """(train, eval), both sorted. Depends on the order of `ids`, so give them sorted; needs at least two."""
    if len(ids) < 2:
        raise UserError(f"a split needs at least 2 problems; this suite has {len(ids)}")
    shuffled = list(ids)
    random.Random(seed).shuffle(shuffled)
    cut = len(shuffled) * TRAIN_PERCENT // 100
    return sorted(shuffled[:cut]), sorted(shuffled[cut:])


def split_hash(document: Mapping[str, Any]) -> str:
    """sha256 (hex) of the document without its `split_hash`, as compact JSON with sorted keys."""
    rest = {key: value for key, value in document.items() if key != "split_hash"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def render_split(split: Mapping[str, Any]) -> str:
    """The text of a split file."""
    return json.dumps(split, indent=2) + "\n"


def load_split(path: Path | str) -> dict[str, Any]:
    """A split file, checked: fields, types, no id twice, the hash. Raises UserError naming the file and the field."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such split file; make one with `longodds split make`") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; make it again with `longodds split make`") from None
    except (json.JSONDecodeError, RecursionError) as e:
        raise UserError(f"{path}: not JSON ({e}); make it again with `longodds split make`") from None
    _check(document, path)
    return document


def select_tasks(tasks: Sequence[Task], ids: Sequence[ProblemId], *, source: str = "problem ids") -> list[Task]:
    """The tasks with these names or numbers, in the order of `ids`. Raises UserError for ids that the suite lacks.

    source: what the ids came from, named in the error, e.g. the split file.
    """
    by_name: dict[str, Task] = {task_name(task): task for task in tasks}
    missing = [str(i) for i in ids if str(i) not in by_name]
    if missing:
        suite = tasks[0].suite if tasks else "the suite"
        shown = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise UserError(f"{source}: not in {suite}: {shown}; give ids of that suite or another --suite")
    return [by_name[str(i)] for i in ids]


def _problem_ids(suite: str, root: str | None, on_skip: OnSkip | None) -> tuple[str, list[int] | list[str]]:
    if suite.startswith("kernelbench:"):
        level = parse_level(suite)
        if root is None:  # as published, so that a split needs no problem files
            return f"level_{level}", list(range(1, LEVEL_SIZES[level] + 1))
        return f"level_{level}", [
            int(task_name(task)) for task in load_suite(suite, on_skip=on_skip, kernelbench_root=root)
        ]
    return suite, sorted(task_name(task) for task in load_suite(suite, on_skip=on_skip))


def _check(document: Any, path: Path) -> None:
    if not isinstance(document, dict):
        raise UserError(f"{path}: a split is a JSON object, not {type(document).__name__}")
    for key in ("level", "seed", "problem_ids", "split_hash"):
        if key not in document:
            raise UserError(f"{path}: field '{key}' is missing; make it again with `longodds split make`")
    if isinstance(document["seed"], bool) or not isinstance(document["seed"], int):
        raise UserError(f"{path}: field 'seed': must be a whole number, not {document['seed']!r}")
    if isinstance(document["level"], bool) or not isinstance(document["level"], str | int):
        raise UserError(f"{path}: field 'level': must be a text or a number")
    problem_ids = document["problem_ids"]
    if not isinstance(problem_ids, dict):
        raise UserError(f"{path}: field 'problem_ids': must be an object with train and eval")
    seen: set[ProblemId] = set()
    for subset in ("train", "eval"):
        ids = problem_ids.get(subset)
        if not isinstance(ids, list) or not all(isinstance(i, int | str) and not isinstance(i, bool) for i in ids):
            raise UserError(f"{path}: field 'problem_ids.{subset}': must be a list of numbers or names")
        for i in ids:
            if i in seen:
                raise UserError(f"{path}: field 'problem_ids.{subset}': {i} occurs twice; train and eval share nothing")
            seen.add(i)
    if document["split_hash"] != split_hash(document):
        raise UserError(f"{path}: field 'split_hash': does not match; the file was edited, make it again")
