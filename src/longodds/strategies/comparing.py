"""Runs as arms at matched cost: reads them and what their learning cost, leaves the statistics to `analysis`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from longodds.analysis.arms import ArmData, Learning
from longodds.analysis.compare import compare_arms
from longodds.analysis.scaling import early_stops
from longodds.store import PRICES, RunDir, cost_document, derive_cost
from longodds.strategies.reading import check_seed, open_runs, read_table

if TYPE_CHECKING:
    from longodds.analysis.documents import CompareDocument


def compare(*runs: Path | str, axis: str = "samples", seed: int = 0) -> CompareDocument:
    """The document of `compare --json` (docs/cli.md).

    runs: run directories, each an arm. axis: `samples`, `tokens`, `flops`, `device-seconds` or `cost`. seed: drives
    the bootstrap. Raises UserError for a path that is no run, no task in common, verdicts that can't be compared, or a
    negative seed.
    """
    check_seed(seed)
    opened = open_runs(runs)
    document = compare_arms([read_arm(name, run) for name, run in opened.items()], axis=axis, seed=seed)
    document["warnings"] += early_stops({name: run.metrics() for name, run in opened.items()})
    return document


def read_arm(name: str, run: RunDir) -> ArmData:
    """One run as an arm, its cost from its rows."""
    table = read_table({name: run})
    strategies = Counter(row["strategy"] for row, _ in run.judged_rows())
    given = run.cost().get("prices") or {}
    prices = {p: float(given.get(p) or 0.0) for p in PRICES}
    parameters = run.manifest.get("policy", {}).get("parameters") if run.manifest.get("policy") else None
    return ArmData(
        run=name,
        strategy=strategies.most_common(1)[0][0] if strategies else "",
        table=table,
        parameters=int(parameters) if parameters else None,
        prices=prices,
        learning=_learning(run),
        learned_from=_learned_from(run),
        totals={account: dict(c) for account, c in cost_document(derive_cost(run), prices).items()},
    )


def _learned_from(run: RunDir) -> frozenset[str]:
    """Tasks that rlvr learned from; those that it is judged on have the other numbers of a step (`Rounds`)."""
    if run.config.get("kind") != "rlvr":
        return frozenset()
    k = int(run.config["k"])
    width = k + int(run.config["eval_k"])
    return frozenset(str(row["task_id"]) for row in run.sample_rows() if row["index"] % width < k)


def _learning(run: RunDir) -> tuple[Learning, ...]:
    """Steps of learning, from checkpoints.jsonl: the weights of step t cost what its row says."""
    found: list[Learning] = []
    for row in run.checkpoints():
        spent = [float(row.metrics.get(k) or 0.0) for k in ("trained_tokens", "scored_tokens", "seconds")]
        if any(spent):
            found.append(Learning(row.step, *spent))
    return tuple(found)
