"""Finished runs as columns: streams the rows of run directories, so that hundreds of thousands of samples fit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.analysis.table import TableBuilder, completion_scores, replicate_name, timings
from longodds.errors import UserError
from longodds.store import RunDir, judging_seconds, sampled_tokens, scored_again
from longodds.types import Completion, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.analysis.table import Table


def open_runs(runs: Sequence[Path | str]) -> dict[str, RunDir]:
    """Runs by the names they were given.

    Raises UserError for none, a path that is no run, one named twice, or runs judged in ways that can't be compared.
    """
    found: dict[str, RunDir] = {}
    seen: set[Path] = set()
    for run in runs:
        where = Path(run).resolve()
        if where in seen:
            raise UserError(f"{run}: is named twice; its samples would count twice")
        seen.add(where)
        found[str(run)] = RunDir.open(run)
    if not found:
        raise UserError("name at least one RUN")
    ways = {run.config.get("evaluator") == "seed": name for name, run in found.items()}
    if len(ways) > 1:
        raise UserError(
            f"{ways[True]} was judged with --evaluator seed and {ways[False]} was not: they can't be compared"
        )
    return found


def check_seed(seed: int) -> None:
    """Raises UserError for a seed that no generator takes."""
    if seed < 0:
        raise UserError(f"--seed: must be at least 0, not {seed}")


def read_table(runs: Mapping[str, RunDir]) -> Table:
    """The judged samples of several runs in one table; a replicate is a seed, or a run and a seed.

    Raises UserError for a row that lacks a field, or where two runs mean different tasks by one id.
    """
    builder = TableBuilder()
    digests: dict[str, str] = {}
    for name, run in runs.items():
        prompts: dict[str, int] = {}
        for task_id, record in run.records().items():
            prompts[task_id] = len(record.prompt_token_ids)
            if digests.setdefault(task_id, record.task.digest) != record.task.digest:
                raise UserError(f"{run.path}: its task {task_id} differs from that of the runs before it")
        judging = judging_seconds(run)
        for sample, verdict in run.judged_rows():
            try:
                seconds = judging.get(sample["sample_id"], (None, None))
                _add(builder, sample, verdict, replicate_name(name, sample["seed"], runs=len(runs)), prompts, seconds)
            except KeyError as e:
                raise UserError(f"{run.path}: a row lacks the field {e}; it was written by something else") from None
            except (TypeError, ValueError, IndexError) as e:
                raise UserError(f"{run.path}: a row cannot be read: {e}") from None
    return builder.build()


def _add(
    builder: TableBuilder,
    row: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
    replicate: str,
    prompts: Mapping[str, int],
    judging: tuple[float | None, float | None],
) -> None:
    top = row.get("top_logprobs")
    revised = row.get("prompt_tokens") is not None
    prompt = row["prompt_tokens"] if revised else prompts.get(row["task_id"])
    completion = Completion(
        token_ids=(),
        logprobs=tuple(row["logprobs"]),
        sampling_logprobs=(),
        score_span=(row["score_span"][0], row["score_span"][1]),
        text="",
        finish_reason=row["finish_reason"],
        policy_version=row["policy_version"],
        top_logprobs=None if top is None else tuple(tuple(x) for x in top),
        mean_logprob=row.get("mean_logprob"),
    )
    builder.add(
        task_id=row["task_id"],
        replicate=replicate,
        sample_id=row["sample_id"],
        program=row["program_digest"],
        status=None if verdict is None else Status(verdict["status"]),
        evaluator="" if verdict is None else verdict.get("evaluator", ""),
        step=row["step"],
        index=row["index"],
        sampled_tokens=sampled_tokens(row),
        prompt_tokens=prompt,
        scored_tokens=len(row["token_ids"]) if scored_again(row) else 0,
        reread_tokens=prompt if scored_again(row) else 0,
        call=row.get("batch", 0),
        charged_seconds=judging[0],
        run_seconds=judging[1],
        own_prompt=float(revised),
        sampling_seconds=row.get("seconds"),
        duplicate=None if verdict is None else float(verdict.get("duplicate_of") is not None),
        **completion_scores(completion),
        **({} if verdict is None else timings(Verdict.from_json(verdict))),
    )
