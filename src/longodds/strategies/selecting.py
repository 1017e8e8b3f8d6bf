"""All selection strategies on finished runs: reads the runs, leaves the statistics to `analysis`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from longodds.analysis import select_runs
from longodds.analysis.frame import is_frame, read_frame
from longodds.analysis.scaling import early_stops
from longodds.errors import UserError
from longodds.store import RunDir
from longodds.strategies.reading import check_seed, open_runs, read_table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from longodds.selection import Unit
    from longodds.types import Sample, Task


def select(
    *runs: Path | str | Mapping[str, Sequence[Sample]] | object, unit: Unit = "program", seed: int = 0
) -> dict[str, Any]:
    """The document of `select --json` (docs/cli.md).

    runs: run directories; or samples by the name of their run; or one data frame of your own samples (pandas, Polars,
    Arrow, or a mapping of columns) with the columns that `import` reads. unit: what is chosen among, distinct programs
    or samples. seed: breaks ties and drives the bootstrap. Raises UserError for a path that is no run, a run named
    twice, a frame with a missing or ill-typed column, nothing judged, timings that cannot be compared, a negative seed.
    """
    check_seed(seed)
    if len(runs) == 1 and is_frame(runs[0]):
        return select_runs(read_frame(runs[0]), unit=unit, seed=seed)
    if all(isinstance(run, Path | str) for run in runs):
        opened = open_runs(cast("Sequence[Path | str]", runs))
        return _warned(select_runs(read_table(opened), unit=unit, seed=seed, runs=list(opened)), opened)
    return select_runs(read_runs(*cast("Sequence[Path]", runs)), unit=unit, seed=seed)


def select_live(
    *runs: Path | str,
    unit: Unit = "program",
    seed: int = 0,
    told: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """As `select`, with races that are run on this machine instead of simulated from the stored intervals.

    The evaluator is opened with the settings of the first run. Raises UserError also where it can't be opened.
    """
    from longodds.config import EvaluationSettings, resolve
    from longodds.strategies.opening import open_sound_evaluator
    from longodds.strategies.racing import live_races

    check_seed(seed)
    opened = open_runs(runs)
    samples, tasks = read_runs(*runs), read_tasks(*runs)
    config = next(iter(opened.values())).config
    flags = {name: config[name] for name in ("device", "reference", "timeout", "memory") if name in config}
    evaluator = open_sound_evaluator(resolve(EvaluationSettings, flags={**flags, "cache": False}))
    try:
        live = live_races(samples, tasks, evaluator, unit=unit, told=told)
    finally:
        evaluator.close()
    return _warned(select_runs(read_table(opened), unit=unit, seed=seed, runs=list(opened), live=live), opened)


def _what_sampled(run: RunDir) -> list[Any]:
    policy: Any = run.manifest.get("policy") or {}
    return [policy.get("version"), *(run.config.get(name) for name in ("style", "temperature", "top_p"))]


def _warned(document: dict[str, Any], opened: Mapping[str, RunDir]) -> dict[str, Any]:
    sampled = {json.dumps(_what_sampled(run)) for run in opened.values()}
    if len(sampled) > 1:
        document["warnings"].append(
            f"the {len(opened)} runs are not of one policy, prompt and temperature: choices are made within a run, but "
            "curves over K and what likelihood says are of their mixture, and may differ for that alone"
        )
    document["warnings"] += early_stops({name: run.metrics() for name, run in opened.items()})
    return document


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
    paths = [run for run in runs if isinstance(run, Path | str)]
    read_tasks(*paths)
    opened = open_runs(paths) if paths else {}
    found: dict[str, Sequence[Sample]] = {}
    for run in runs:
        if isinstance(run, Path | str):
            found[str(run)] = opened[str(run)].samples()
        elif isinstance(run, Mapping):
            found.update(run)
        else:
            raise UserError(f"{type(run).__name__}: is no run; give run directories, samples by run, or one data frame")
    if not found:
        raise UserError("name at least one RUN")
    return found
