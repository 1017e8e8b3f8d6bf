"""KernelBench's problems: from a checkout, from the hub's dataset, or from a Parquet or JSONL file of it.

A source says which version it is: its commit where it has one, and always a digest of the level's problems, so that
two sources of equal content are known to be equal and two versions are told apart, whatever they are called.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError
from longodds.tasks.problem import read_problem
from longodds.tasks.revision import git_revision, git_top
from longodds.types import digest_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

# Problems per level as published; their ids are 1..N.
LEVEL_SIZES = {1: 100, 2: 100, 3: 50, 4: 20}
HUB_DATASET = "ScalingIntelligence/KernelBench"
_REMEDIES = (
    "give a checkout (git clone https://github.com/ScalingIntelligence/KernelBench) by --kernelbench-root or "
    "LONGODDS_KERNELBENCH, or get them from the Hugging Face hub: pip install 'longodds[hub]'"
)
_COLUMNS = {"code": str, "level": int, "name": str, "problem_id": int}
_TABLES = (".parquet", ".jsonl")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem as its source has it. name: `4_Matrix_vector_multiplication_`; where: named in errors."""

    problem_id: int
    name: str
    code: str
    where: Path


@dataclass(frozen=True, slots=True)
class Source:
    """Where the problems of a level came from.

    kind: `checkout`, `hub` or `file`. version: the commit (`-changed` where files differ from it), None where there is
    none. digest: of the level's ids and texts; equal for equal problems from any source.
    """

    kind: str
    place: str
    version: str | None
    digest: str


def describe_source(source: Mapping[str, Any]) -> str:
    """One line of what a task's metadata keep of its source: `checkout /kb at 423217d9 (content 0f3a...)`."""
    at = f" at {source['version']}" if source["version"] else ""
    return f"{source['kind']} {source['place']}{at} (content {source['digest']})"


def parse_level(suite: str) -> int:
    """1 for `kernelbench:1`. Raises UserError for a level that KernelBench does not have."""
    level = suite.removeprefix("kernelbench:")
    if level not in map(str, LEVEL_SIZES):
        raise UserError(f"unknown suite {suite!r}; KernelBench has the levels kernelbench:1 to kernelbench:4")
    return int(level)


def read_level(level: int, root: str | None) -> tuple[Source, list[Problem]]:
    """The problems of a level, by id, and their source.

    root: a checkout, a Parquet or JSONL file of the dataset, a directory of such files, `hub` or `hub@REVISION`;
    None: the hub. Raises UserError, in one line with the remedies, where there is nothing to read.
    """
    if root is None or root == "hub" or root.startswith("hub@"):
        return _from_hub(level, (root or "").partition("@")[2] or None)
    path = Path(root).expanduser()
    if path.is_file():
        return _from_tables(level, [path], str(path))
    if not path.is_dir():
        raise UserError(f"{path}: no such checkout of KernelBench; {_REMEDIES}")
    for top in (path / "KernelBench", path):
        if (top / f"level{level}").is_dir():
            return _from_checkout(level, path, top / f"level{level}")
    tables = _tables(path, level)
    if tables:
        return _from_tables(level, tables, str(path))
    raise UserError(f"{path}: holds neither KernelBench/level{level} nor a dataset file of level {level}; {_REMEDIES}")


def _from_checkout(level: int, root: Path, folder: Path) -> tuple[Source, list[Problem]]:
    problems: dict[int, Problem] = {}
    for path in sorted(folder.glob("*.py")):
        number = re.match(r"([0-9]+)_", path.name)
        if number is None:
            continue
        problem_id = int(number.group(1))
        if problem_id in problems:
            raise UserError(f"{path}: problem {problem_id} is there twice, also as {problems[problem_id].where.name}")
        problems[problem_id] = Problem(problem_id, path.stem, read_problem(path), path)
    if not problems:
        raise UserError(f"{folder}: holds no problem (NUMBER_NAME.py); {_REMEDIES}")
    return _source("checkout", str(root), _commit(root, folder), level, problems), _ordered(problems)


def _commit(root: Path, folder: Path) -> str | None:
    """Of the checkout itself, not of a repository that merely holds a copy of the files."""
    top = git_top(root)
    if top is None or Path(top) not in (root.resolve(), root.resolve().parent):
        return None
    found = git_revision(folder)
    return None if found is None else found["commit"][:8] + ("-changed" if found["changed"] else "")


def _tables(folder: Path, level: int) -> list[Path]:
    """Files of one level as the hub lays them out: `data/level_1-00000-of-00001.parquet`."""
    for place in (folder, folder / "data"):
        for suffix in _TABLES:
            named = sorted(place.glob(f"level_{level}*{suffix}"))
            if found := [p for p in named if re.fullmatch(rf"level_{level}(-.*)?", p.stem)]:
                return found
    return []


def _from_tables(
    level: int, paths: Sequence[Path], place: str, kind: str = "file", version: str | None = None
) -> tuple[Source, list[Problem]]:
    problems: dict[int, Problem] = {}
    for path in paths:
        rows = _read_parquet(path) if path.suffix == ".parquet" else _read_jsonl(path)
        for where, row in rows:
            for column, of in _COLUMNS.items():
                if not isinstance(row.get(column), of):
                    raise UserError(f"{where}: field '{column}': must be {'a text' if of is str else 'a number'}")
            if row["level"] != level:
                continue
            problem_id = row["problem_id"]
            if problem_id in problems:
                raise UserError(f"{where}: problem {problem_id} of level {level} is there twice")
            name = row["name"].removesuffix(".py")
            problems[problem_id] = Problem(problem_id, name, row["code"], Path(f"{path}#{problem_id}"))
    if not problems:
        raise UserError(f"{place}: holds no problem of level {level}; {_REMEDIES}")
    return _source(kind, place, version, level, problems), _ordered(problems)


def _read_jsonl(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for number, line in enumerate(read_problem(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as e:
            raise UserError(f"{path}:{number}: not JSON ({e})") from None
        if not isinstance(row, dict):
            raise UserError(f"{path}:{number}: must be a JSON object")
        yield f"{path}:{number}", row


def _read_parquet(path: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: reading Parquet needs pyarrow: pip install 'longodds[hub]'") from None
    try:
        rows = pyarrow.parquet.read_table(path).to_pylist()
    except (OSError, pyarrow.ArrowException) as e:
        raise UserError(f"{path}: not a Parquet file that can be read ({str(e).splitlines()[0]})") from None
    return ((f"{path}: row {i}", row) for i, row in enumerate(rows))


def _from_hub(level: int, revision: str | None) -> tuple[Source, list[Problem]]:
    try:
        import huggingface_hub
        import pyarrow.parquet  # noqa: F401
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError:
        raise UserError(f"KernelBench's problems are not here; {_REMEDIES}") from None
    from longodds.environment import secret

    try:
        folder = huggingface_hub.snapshot_download(
            HUB_DATASET,
            repo_type="dataset",
            revision=revision,
            allow_patterns=[f"data/level_{level}-*.parquet"],
            token=secret("HF_TOKEN") or None,
            etag_timeout=10,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as e:
        why = (str(e).strip() or type(e).__name__).splitlines()[0]
        raise UserError(
            f"KernelBench's dataset on the Hugging Face hub can't be reached ({why}); check the network and HF_TOKEN, "
            "or give a checkout (git clone https://github.com/ScalingIntelligence/KernelBench) by --kernelbench-root "
            "or LONGODDS_KERNELBENCH"
        ) from None
    tables = _tables(Path(folder), level)
    if not tables:
        raise UserError(f"{HUB_DATASET} at {Path(folder).name[:8]} on the hub has no level {level}; {_REMEDIES}")
    return _from_tables(level, tables, HUB_DATASET, "hub", Path(folder).name[:8])


def _ordered(problems: Mapping[int, Problem]) -> list[Problem]:
    return [problems[i] for i in sorted(problems)]


def _source(kind: str, place: str, version: str | None, level: int, problems: Mapping[int, Problem]) -> Source:
    texts = [part for p in _ordered(problems) for part in (str(p.problem_id), p.code)]
    return Source(kind, place, version, digest_text(str(level), *texts))
