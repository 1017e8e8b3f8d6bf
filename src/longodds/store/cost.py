"""What a run cost, from its rows alone: charged to the method, and actually run.

Charged: every sample and every answer, duplicates and verdicts from the cache at the cost of the run that they repeat,
and a winner that is measured again once; after --re-evaluate the answers of the evaluator that counts. Run: what the
machine did, infrastructure failures and verdicts that were replaced included. FLOPs by the usual count of 2 P per token
prompted, sampled or scored and 6 P per token trained, P the active parameters (Kaplan et al., arXiv:2001.08361).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from longodds.types import CACHED_LABEL, Cost

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from longodds.store.rows import VerdictRow
    from longodds.store.rundir import RunDir


def derive_cost(run: RunDir, *, parameters: int | None = None) -> dict[str, Cost]:
    """{"charged", "run"} of a run.

    parameters: active parameters of the policy; the default is the manifest's. A prompt is charged once per cell
    (its K samples share it) and run once per call to the policy; one that shows earlier attempts is its sample's own,
    and charged with it. A timing is an evaluation that timed a program.
    """
    p = parameters if parameters is not None else int(run.manifest.get("policy", {}).get("parameters", 0))
    prompt_tokens = {task_id: len(r.prompt_token_ids) for task_id, r in run.records().items()}
    cells: set[tuple[str, int, int]] = set()
    calls: set[tuple[str, int, int, int]] = set()
    sampled, scored, reread, revised, seconds = 0, 0, 0, 0, 0.0
    for row in run.sample_rows():
        cell = (row["task_id"], row["seed"], row["step"])
        prompt = row.get("prompt_tokens")
        if prompt is None:
            cells.add(cell)
            calls.add((*cell, row.get("batch", 0)))
            prompt = prompt_tokens.get(row["task_id"], 0)
        else:
            revised += prompt
        sampled += sampled_tokens(row)
        if scored_again(row):  # each with its prompt
            scored += len(row["token_ids"])
            reread += prompt
        seconds += row.get("seconds", 0.0)
    asked = {name: sum(prompt_tokens.get(c[0], 0) for c in each) for name, each in (("once", cells), ("ran", calls))}
    charged = _sampling(asked["once"] + revised, sampled, scored, p, seconds)
    ran = _sampling(asked["ran"] + revised + reread, sampled, scored, p, seconds)
    learning = _learning(run, p)
    charged, ran = charged + learning, ran + learning
    rows = run.verdict_rows()
    judged = {"charged": [0, 0, 0.0], "run": [0, 0, 0.0]}  # evaluations, timings, seconds; plain sums: rows are many
    for account, those in (("charged", _charged(rows)), ("run", filter(_was_run, rows))):
        for row in those:
            verdict = row.verdict
            _add(judged[account], int(verdict.pairs > 0 or verdict.speedup is not None), verdict.seconds)
    costs = {"charged": charged, "run": ran}
    return {
        name: cost + Cost(evaluations=int(n), timings=int(timed), device_seconds=seconds)
        for (name, cost), (n, timed, seconds) in zip(costs.items(), judged.values(), strict=True)
    }


def sampled_tokens(row: Mapping[str, Any]) -> int:
    """Tokens that were sampled for a row of samples.jsonl; of imported samples only their number is known."""
    return (len(row["token_ids"]) or row["score_span"][1]) + row.get("dropped_tokens", 0)


def scored_again(row: Mapping[str, Any]) -> bool:
    """Whether a sample came from a service whose log-probabilities are not those of temperature 1."""
    return bool(row.get("returned_logprobs") and row["logprobs"])


def judging_seconds(run: RunDir) -> dict[str, tuple[float, float]]:
    """Seconds of all verdicts of each sample: (charged, run)."""
    rows = run.verdict_rows()
    found = {row.sample_id: [0.0, 0.0] for row in rows}
    for account, those in enumerate((_charged(rows), filter(_was_run, rows))):
        for row in those:
            found[row.sample_id][account] += row.verdict.seconds
    return {key: (charged, ran) for key, (charged, ran) in found.items()}


def _charged(rows: Iterable[VerdictRow]) -> Iterator[VerdictRow]:
    """Of each sample what its last evaluator answered: another's answers were replaced (--re-evaluate), and the method
    needs none of them."""
    kept: dict[str, list[VerdictRow]] = {}
    for row in rows:
        if not row.settled:
            continue
        mine = kept.setdefault(row.sample_id, [])
        if mine and mine[-1].verdict.evaluator != row.verdict.evaluator:
            mine.clear()
        mine.append(row)
    for mine in kept.values():
        yield from (row for row in mine if not (row.duplicate_of is not None and row.verdict.remeasured_among))


def _was_run(row: VerdictRow) -> bool:
    return row.duplicate_of is None and CACHED_LABEL not in row.verdict.labels


def _learning(run: RunDir, parameters: int) -> Cost:
    """What the steps of a run that learns cost, as its checkpoints say."""
    metrics = [c.metrics for c in run.checkpoints()]
    trained, scored = (int(sum(m.get(name, 0) for m in metrics)) for name in ("trained_tokens", "scored_tokens"))
    return Cost(
        trained_tokens=trained,
        scored_tokens=scored,
        flops=parameters * (6.0 * trained + 2.0 * scored),
        device_seconds=float(sum(m.get("seconds", 0.0) for m in metrics)),
    )


def _add(total: list[float], timed: int, seconds: float) -> None:
    total[0] += 1
    total[1] += timed
    total[2] += seconds


def _sampling(prompt: int, sampled: int, scored: int, parameters: int, seconds: float) -> Cost:
    flops = 2.0 * parameters * (prompt + sampled + scored)
    return Cost(prompt_tokens=prompt, sampled_tokens=sampled, scored_tokens=scored, flops=flops, device_seconds=seconds)


PRICES = ("price_prompt", "price_sampled", "price_device")


def money(cost: Cost, prices: Mapping[str, float]) -> float:
    """Money for a cost. prices: `price_prompt` and `price_sampled` per million tokens, `price_device` per hour."""
    return (
        cost.prompt_tokens * prices.get("price_prompt", 0.0) / 1e6
        + cost.sampled_tokens * prices.get("price_sampled", 0.0) / 1e6
        + cost.device_seconds * prices.get("price_device", 0.0) / 3600
    )


def cost_document(costs: Mapping[str, Cost], prices: Mapping[str, float]) -> dict[str, Any]:
    """The content of cost.json; money only where a price is given, and for learning, whose tokens have none, one by the
    hour."""
    document: dict[str, Any] = {}
    for name, cost in costs.items():
        document[name] = asdict(cost)
        if any(prices.values()) and (prices.get("price_device") or not cost.trained_tokens):
            document[name]["money"] = round(money(cost, prices), 6)
    return document
