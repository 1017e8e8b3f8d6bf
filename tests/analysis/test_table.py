"""Columns hold what samples hold: the same candidates, the same document, from a run, from samples or from a frame."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from synthetic_samples import completion, sample, study

from longodds.analysis import select_runs
from longodds.analysis.frame import is_frame, read_frame
from longodds.analysis.pool import build_pools
from longodds.analysis.table import TableBuilder, tabulate
from longodds.errors import UserError
from longodds.selection import to_candidates
from longodds.store import import_samples
from longodds.strategies.selecting import select
from longodds.types import FEW_PAIRS_LABEL, Status


@pytest.mark.parametrize("unit", ["program", "sample"])
def test_the_candidates_of_a_table_are_those_of_the_samples(unit):
    rows = study("informative", tasks=3, k=14, seeds=2, distinct=0.3)
    rows.append(sample("syn/task_000", 0, 99, mean_nll=1.0, n_tokens=4, status=Status.INFRA_ERROR))
    for cell in build_pools(rows, unit).cells:
        mine = [r for r in rows if r.task_id == cell.task_id and str(r.seed) == cell.replicate]
        for a, b in zip(cell.candidates, to_candidates(mine, unit), strict=True):
            assert (a.key, a.correct, a.count, a.popularity) == (b.key, b.correct, b.count, b.popularity)
            for name in ("surprisal", "sum_surprisal", "n_tokens"):
                assert getattr(a, name) == pytest.approx(getattr(b, name), abs=1e-12)
            assert math.isnan(a.tail_entropy)
            assert math.isnan(b.tail_entropy)


def test_a_program_timed_twice_has_its_lower_median():
    rows = [sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=s, program="p") for i, s in enumerate([1.4, 1.1, 1.2])]
    rows += [sample("t", 0, 3, mean_nll=1.0, n_tokens=4, program="p")]  # a copy that was not timed
    cell = build_pools(rows).cells[0]
    assert cell.speedup.tolist() == [1.2]
    assert cell.ci_low[0] == pytest.approx(rows[2].verdict.ci_low)
    assert build_pools(rows[:2]).cells[0].speedup.tolist() == [1.1]


def test_a_clear_loser_without_limits_does_not_hide_those_of_the_others():
    rows = [sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.2 + i / 10) for i in range(4)]
    at = 1
    lost = dataclasses.replace(
        rows[at].verdict, speedup=0.3, ci_low=None, ci_high=None, pairs=3, labels=(FEW_PAIRS_LABEL,)
    )
    rows[at] = dataclasses.replace(rows[at], verdict=lost)
    pools = build_pools(rows)
    assert pools.has_intervals
    assert select_runs(rows)["verdict"]["metric"] == "fast_1_sig"
    assert pools.tasks[0].ci_low[at] == 0.0
    # Any other timing without limits is one that was never made to have them.
    rows[at] = dataclasses.replace(rows[at], verdict=dataclasses.replace(lost, labels=()))
    assert not build_pools(rows).has_intervals


def test_timings_of_what_is_wrong_are_dropped_and_unjudged_samples_counted():
    builder = TableBuilder()
    common = {"task_id": "t", "replicate": "0", "program": "p"}
    builder.add(**common, sample_id="a", status=Status.INCORRECT, speedup=9.0, ci_low=8.0)
    builder.add(**common, sample_id="b", status=Status.INFRA_ERROR)
    builder.add(**common, sample_id="c", status=None)
    table = builder.build()
    assert (len(table), table.unjudged, table.statuses) == (1, 2, {"incorrect": 1, "infra_error": 1})
    assert np.isnan(table["speedup"]).all()
    assert len(TableBuilder().build()) == 0


def test_top_logprobs_reach_the_strategies_that_need_them():
    def with_top(row, spread):
        c = completion([-0.5] * 20)
        top = tuple((math.log(1 - spread), math.log(spread)) for _ in c.token_ids)
        return dataclasses.replace(row, completion=dataclasses.replace(c, top_logprobs=top))

    rows = [
        with_top(sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.0 + i / 10), 0.1 + 0.1 * i) for i in range(4)
    ]
    d = select_runs(rows)
    by_name = {s["name"]: s for s in d["strategies"]}
    assert by_name["low-tail-entropy"]["mean_speedup"] == pytest.approx(1.0)
    assert by_name["self-certainty"]["mean_speedup"] == pytest.approx(1.0)
    assert by_name["high-tail-entropy"]["mean_speedup"] == pytest.approx(1.3)
    assert by_name["low-self-certainty"]["mean_speedup"] == pytest.approx(1.3)


class Frame:
    """As little of a data frame as there can be: columns by name."""

    def __init__(self, columns):
        self._columns = columns
        self.columns = list(columns)

    def __getitem__(self, name):
        return np.array(self._columns[name], dtype=object)


def columns_of(rows):
    return {
        "task_id": [r.task_id for r in rows],
        "correct": [r.verdict.correct for r in rows],
        "speedup": [r.verdict.speedup for r in rows],
        "ci_low": [r.verdict.ci_low for r in rows],
        "logprobs": [list(r.completion.logprobs[1:-1]) for r in rows],
        "program": [r.program for r in rows],
        "seed": [r.seed for r in rows],
        "whatever": [object() for _ in rows],
    }


def test_a_frame_gives_the_document_of_the_samples():
    rows = study("informative", tasks=11, k=10, seeds=2)
    for frame in (columns_of(rows), Frame(columns_of(rows))):
        assert is_frame(frame)
        a, b = select_runs(read_frame(frame)), select_runs(rows)
        for key in ("verdict", "n_cells", "n_samples", "scaling", "likelihood"):
            assert a[key] == b[key], key
    assert not is_frame({"runs/a": rows})
    assert not is_frame("runs/a")


def test_a_frame_gives_what_an_import_of_its_rows_gives(tmp_path):
    rows = study("informative", tasks=4, k=8, seeds=2)
    columns = columns_of(rows)
    del columns["whatever"]
    columns["program"] = [f"{r.program.strip()}  # sample {i}" for i, r in enumerate(rows)]
    columns["correct"] = [int(c) for c in columns["correct"]]
    columns["ci_low"] = [low and -0.1 for low in columns["ci_low"]]
    columns["status"] = [r.verdict.status.value for r in rows]
    lines = [json.dumps(dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]
    (tmp_path / "s.jsonl").write_text("\n".join(lines))
    import_samples(tmp_path / "s.jsonl", tmp_path / "run")
    imported, framed = select(tmp_path / "run"), select(Frame(columns))
    del imported["runs"], framed["runs"]
    assert framed == imported
    assert sum(t["n_distinct"] for t in framed["per_task"]) < len(rows) / 2
    same = {"task_id": ["t"] * 2, "correct": [True] * 2, "speedup": [1.2] * 2, "logprobs": [[-0.1]] * 2}
    assert len(read_frame({**same, "program": ["a = 1", "b = 2"]}).programs) == 2
    assert len(read_frame({**same, "program_digest": ["d", "d"]}).programs) == 1


def test_a_mean_with_a_length_is_enough_and_speedups_need_no_interval():
    columns = columns_of(study("informative", tasks=3, k=6))
    columns["mean_logprob"] = [float(np.mean(x)) for x in columns["logprobs"]]
    columns["n_tokens"] = [len(x) for x in columns.pop("logprobs")]
    del columns["ci_low"], columns["program"], columns["seed"]
    d = select_runs(read_frame(columns))
    assert (d["verdict"]["metric"], d["n_cells"]) == ("fast_1", 3)
    assert all(s["fast_1_sig"] is None for s in d["strategies"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"task_id": [3]}, "row 0: field 'task_id': must be a string"),
        ({"correct": [2]}, "row 0: field 'correct': must be true or false"),
        ({"speedup": ["fast"]}, "row 0: field 'speedup': must be a number"),
        ({"speedup": [-1.0]}, "row 0: field 'speedup': must be above 0"),
        ({"speedup": [math.nan]}, "row 0: field 'speedup': is null"),
        ({"logprobs": [[-0.1, math.nan]]}, "row 0: field 'logprobs': item 1 must be a finite number"),
        ({"logprobs": ["abc"]}, "row 0: field 'logprobs': must be a list of numbers"),
    ],
)
def test_what_is_wrong_in_a_frame_is_named(change, says):
    good = {"task_id": ["t"], "correct": [True], "speedup": [1.2], "logprobs": [[-0.1, -0.2]]}
    with pytest.raises(UserError, match=says):
        read_frame({**good, **change})
    for name in ("correct", "speedup", "logprobs"):
        with pytest.raises(UserError, match=f"field '{name}': is missing"):
            read_frame({k: v for k, v in good.items() if k != name})


def test_labels_of_several_runs():
    rows = [sample("t", 0, i, mean_nll=1.0, n_tokens=4, speedup=1.2) for i in range(2)]
    assert tabulate({"a": rows, "b": rows}).replicates == ["a:0", "b:0"]
    assert tabulate({"a": rows}).replicates == ["0"]
