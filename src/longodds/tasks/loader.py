"""Suites and single tasks by their spec: `cpu`, `kernelbench:1` .. `kernelbench:4`, `dir:PATH`, `file:PATH.py`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.environment import read_environment
from longodds.errors import UserError
from longodds.tasks import bundled, kernelbench
from longodds.tasks.problem import SkippedProblem, build_task, check_scale, read_problem

if TYPE_CHECKING:
    from longodds.types import Task

KINDS = ("cpu", "kernelbench:1 to kernelbench:4", "dir:PATH", "file:PATH.py")

OnSkip = Callable[[SkippedProblem], None]


def load_suite(
    spec: str, *, scale: int = 1, on_skip: OnSkip | None = None, kernelbench_root: str | None = None
) -> list[Task]:
    """All tasks of a suite, ordered by name (numbers within names by value).

    spec: `cpu` (bundled), `kernelbench:LEVEL`, `dir:PATH` (every `*.py` of a directory; names beginning with `_` are
    left out) or `file:PATH.py` (one task, whose id is the spec). scale: replaces the problems' `SCALE = 1`.
    on_skip: is told of each file of a suite that is no usable problem; without it a warning names them.
    kernelbench_root: a checkout of KernelBench, a Parquet or JSONL file of its dataset, `hub` or `hub@REVISION`; None:
    what LONGODDS_KERNELBENCH names, else the hub. Its tasks say in `metadata["source"]` which version they are of.
    Raises UserError for an unknown suite, a missing path, a bad problem file, a directory without a usable problem.
    """
    check_scale(scale)  # before any file is blamed for it
    if spec == "cpu":
        return _load_bundled(scale)
    if spec.startswith("kernelbench:"):
        return _load_kernelbench(spec, scale, on_skip, kernelbench_root)
    if spec.startswith("dir:"):
        return _load_directory(spec, scale, on_skip)
    if spec.startswith("file:"):
        return [_load_file(spec, scale)]
    raise _unknown_suite(spec)


def load_task(task_id: str, *, scale: int = 1, kernelbench_root: str | None = None) -> Task:
    """One task by its id: `cpu/NAME`, `kernelbench:LEVEL/NUMBER`, `dir:PATH/NAME` or `file:PATH.py`.

    kernelbench_root: as in `load_suite`. Raises UserError, with the nearest name.
    """
    if task_id.startswith("file:"):
        return _load_file(task_id, scale)
    if task_id.startswith("dir:"):
        return _load_from_directory(task_id, scale)
    suite, slash, name = task_id.partition("/")
    if suite.startswith("kernelbench:"):
        return _load_from_kernelbench(suite, name, scale, kernelbench_root)
    if suite != "cpu":
        raise _unknown_suite(suite if slash else task_id)
    files = bundled.problem_files()
    if name not in files:
        raise UserError(f"unknown task {task_id!r}{_nearest(name, files, 'cpu/')}; see `longodds tasks list cpu`")
    return _bundled_task(files[name], bundled.problem_metadata(files.values())[name], scale)


def task_name(task: Task) -> str:
    """The problem's name within its suite: what a split lists (`row_softmax_by_hand`, `4`)."""
    named = task.metadata.get("name")
    return named if isinstance(named, str) else Path(task.id).name.removesuffix(".py")


def _load_bundled(scale: int) -> list[Task]:
    files = bundled.problem_files()
    if not files:
        raise UserError(f"{bundled.SUITE_DIR}: the bundled suite is missing; install longodds again")
    metadata = bundled.problem_metadata(files.values())
    return [_bundled_task(path, metadata[name], scale) for name, path in files.items()]


def _bundled_task(path: Path, metadata: Mapping[str, Any], scale: int) -> Task:
    return build_task(
        read_problem(path), task_id=f"cpu/{path.stem}", suite="cpu", where=path, scale=scale, metadata=metadata
    )


def _load_directory(spec: str, scale: int, on_skip: OnSkip | None) -> list[Task]:
    root = _existing_directory(spec.removeprefix("dir:"), spec)
    builders = {path: partial(_directory_task, spec, path, scale) for path in _problem_paths(root)}
    return _usable(spec, builders, on_skip)


def _usable(spec: str, builders: Mapping[Path, Callable[[], Task]], on_skip: OnSkip | None) -> list[Task]:
    """The tasks that can be built; the others are reported. Raises UserError when none can."""
    tasks: list[Task] = []
    skipped: list[SkippedProblem] = []
    for path, build in builders.items():
        try:
            tasks.append(build())
        except UserError as e:
            skipped.append(SkippedProblem(path, str(e)))
    if not tasks:
        detail = f"; first of {len(skipped)}: {skipped[0].reason}" if skipped else "; it holds no *.py file"
        raise UserError(f"{spec}: no usable problem{detail}")
    for problem in skipped:
        if on_skip is not None:
            on_skip(problem)
        else:
            warnings.warn(f"skipped {problem.reason}", stacklevel=4)
    return tasks


def _load_kernelbench(spec: str, scale: int, on_skip: OnSkip | None, root: str | None) -> list[Task]:
    source, problems = kernelbench.read_level(kernelbench.parse_level(spec), _kernelbench_root(root))
    builders = {p.where: partial(_kernelbench_task, spec, source, p, scale) for p in problems}
    return _usable(spec, builders, on_skip)


def _load_from_kernelbench(suite: str, name: str, scale: int, root: str | None) -> Task:
    source, problems = kernelbench.read_level(kernelbench.parse_level(suite), _kernelbench_root(root))
    found = next((p for p in problems if str(p.problem_id) == name), None)
    if found is None:
        near = _nearest(name, (str(p.problem_id) for p in problems), f"{suite}/")
        last = problems[-1].problem_id
        raise UserError(f"unknown task {f'{suite}/{name}'!r}{near}; {suite} has the problems 1 to {last}")
    return _kernelbench_task(suite, source, found, scale)


def _kernelbench_root(given: str | None) -> str | None:
    if given is not None:
        return given
    root = read_environment().kernelbench_root
    return None if root is None else str(root)


def _kernelbench_task(suite: str, source: kernelbench.Source, problem: kernelbench.Problem, scale: int) -> Task:
    title = re.sub(r"^[0-9]+_", "", problem.name).replace("_", " ").strip()
    return build_task(
        problem.code,
        task_id=f"{suite}/{problem.problem_id}",
        suite=suite,
        where=problem.where,
        scale=scale,
        metadata={
            "name": str(problem.problem_id),
            "description": title,
            "file": problem.name,
            "source": asdict(source),
        },
    )


def _directory_task(spec: str, path: Path, scale: int) -> Task:
    suite = spec.rstrip("/")
    return build_task(
        read_problem(path),
        task_id=f"{suite}/{path.stem}",
        suite=suite,
        where=path,
        scale=scale,
        metadata={"name": path.stem},
    )


def _load_from_directory(task_id: str, scale: int) -> Task:
    parent, slash, name = task_id.removeprefix("dir:").rpartition("/")
    if not slash or not name:
        raise UserError(f"unknown task {task_id!r}; the form is dir:PATH/NAME")
    root = _existing_directory(parent or "/", task_id)
    names = {path.stem: path for path in _problem_paths(root)}
    if name not in names:
        raise UserError(f"unknown task {task_id!r}{_nearest(name, names, f'dir:{parent}/')}; {root} has no {name}.py")
    return _directory_task(f"dir:{parent}", names[name], scale)


def _load_file(spec: str, scale: int) -> Task:
    given = spec.removeprefix("file:")
    path = Path(given).expanduser()
    if not given:
        raise UserError(f"{spec!r} names no file; the form is file:PATH.py")
    return build_task(
        read_problem(path), task_id=spec, suite=spec, where=path, scale=scale, metadata={"name": path.stem}
    )


def _existing_directory(given: str, spec: str) -> Path:
    root = Path(given).expanduser()
    if not given:
        raise UserError(f"{spec!r} names no directory; the form is dir:PATH")
    if root.is_file():
        raise UserError(f"{spec}: is a file; use file:{given}")
    if not root.is_dir():
        raise UserError(f"{spec}: no such directory")
    return root


def _problem_paths(root: Path) -> list[Path]:
    try:
        paths = [p for p in root.iterdir() if p.suffix == ".py" and not p.name.startswith("_")]
    except OSError as e:
        raise UserError(f"{root}: cannot be read: {e.strerror}") from None
    return sorted(paths, key=lambda p: _natural(p.stem))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"([0-9]+)", name)
    return [(0, int(part), part) if i % 2 else (1, 0, part) for i, part in enumerate(parts)]


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.4)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _unknown_suite(spec: str) -> UserError:
    kinds = ", ".join(KINDS)
    if spec and Path(spec).is_dir():
        return UserError(f"unknown suite {spec!r}; did you mean dir:{spec}?")
    if Path(spec).is_file():
        return UserError(f"unknown suite {spec!r}; did you mean file:{spec}?")
    near = get_close_matches(spec.partition(":")[0].lower(), ["cpu", "dir", "file", "kernelbench"], n=1, cutoff=0.4)
    meant = {"dir": "dir:PATH", "file": "file:PATH.py", "kernelbench": "kernelbench:1"}
    hint = f"; did you mean {meant.get(near[0], near[0])}?" if near else ""
    return UserError(f"unknown suite {spec!r}{hint} (suites: {kinds})")
