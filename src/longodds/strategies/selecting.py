"""All selection strategies on finished runs: reads the runs, leaves the statistics to `analysis`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.analysis import select_runs
from longodds.errors import UserError
from longodds.store import RunDir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.selection import Unit
    from longodds.types import Sample, Task


def select(*runs: Path | str | Mapping[str, Sequence[Sample]], unit: Unit = "program", seed: int = 0) -> dict[str, Any]:
    """The document of `select --json` (docs/cli.md).

    runs: run directories, or samples by the name of their run. unit: what is chosen among, distinct programs or
    samples. seed: breaks ties and drives the bootstrap. Raises UserError for a path that is no run, a run named
    twice, nothing judged, timings that cannot be compared.
    """
    return select_runs(read_runs(*runs), unit=unit, seed=seed)


def read_tasks(*runs: Path | str) -> dict[str, Task]:
    """Task id -> task, over several runs. Raises UserError where two runs mean different tasks by one id."""
    found: dict[str, Task] = {}
    for run in runs:
        for task_id, task in RunDir.open(run).tasks().items():
            if found.setdefault(task_id, task).digest != task.digest:
                raise UserError(f"{run}: its task {task_id} differs from that of the runs before it")
    return found


def read_runs(*runs: Path | str | Mapping[str, Sequence[Sample]]) -> dict[str, Sequence[Sample]]:
    """Samples by run, in the order given."""
    read_tasks(*(run for run in runs if isinstance(run, Path | str)))
    found: dict[str, Sequence[Sample]] = {}
    seen: set[Path] = set()
    for run in runs:
        if not isinstance(run, Path | str):
            found.update(run)
            continue
        where = Path(run).resolve()
        if where in seen:
            raise UserError(f"{run}: is named twice; its samples would count twice")
        seen.add(where)
        found[str(run)] = RunDir.open(run).samples()
    if not found:
        raise UserError("name at least one RUN")
    return found
