"""What the candidate browser of the page shows: per task, its distinct programs by surprisal, with their differences
from the reference, within a size budget. Plain JSON values with short keys, since they are most of the page."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from longodds.report.text import visible
from longodds.selection import STRATEGIES, select_all, surprisal_of, to_candidates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from longodds.types import Sample, Task

MAX_ROWS = 8000
MAX_TEXT = 2_200_000
MAX_PROGRAM = 20_000
SHOWN_CHOICES = tuple(s for s in STRATEGIES if not s.startswith(("sum-", "random")))


def programs_of(
    samples: Sequence[Sample], *, seed: int, replicates: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Distinct programs of one task, most surprising first.

    replicates: of each sample what it was chosen within: a seed, or a run and a seed where there are several runs; None
    for one run. seed: breaks ties.
    Keys: `d` digest, `s` surprisal (nats per token), `n` tokens, `c` samples, `st` status, `v` speedup, `lo`, `hi`,
    `m` message, `l` labels, `by` strategies that chose it (in some seed), `e` seeds; None where unknown. `x`, the
    program text, is turned into a difference or dropped by `browser_data`.
    """
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.verdict is not None:
            groups.setdefault(sample.program_digest, []).append(sample)
    chosen: dict[str, list[str]] = {}
    within = [str(s.seed) for s in samples] if replicates is None else list(replicates)
    for replicate in sorted(set(within)):
        mine = [s for s, r in zip(samples, within, strict=True) if r == replicate]
        choices = select_all(to_candidates(mine), seed=seed)
        for name in SHOWN_CHOICES:
            for key in choices[name].keys:
                names = chosen.setdefault(key, [])
                if name not in names:
                    names.append(name)
    rows = [_program_row(digest, group, chosen.get(digest, [])) for digest, group in groups.items()]
    rows.sort(key=lambda r: (r["s"] is None, -(r["s"] or 0.0), r["d"]))
    return rows


def _program_row(digest: str, group: list[Sample], chosen: list[str]) -> dict[str, Any]:
    scores = [surprisal_of(s.completion) for s in group]
    nats = [s[0] for s in scores if not math.isnan(s[0])]
    timed = sorted(
        (s for s in group if s.verdict and s.verdict.speedup is not None),
        key=lambda s: s.verdict.speedup or 0.0 if s.verdict else 0.0,
    )
    shown = timed[(len(timed) - 1) // 2] if timed else group[0]
    verdict = shown.verdict
    if verdict is None:
        raise ValueError("a program without a verdict")
    return {
        "d": digest[:16],
        "s": round(sum(nats) / len(nats), 4) if nats else None,
        "n": round(sum(s[2] for s in scores) / len(scores), 1),
        "c": len(group),
        "st": verdict.status.value,
        "v": _rounded(verdict.speedup),
        "lo": _rounded(verdict.ci_low),
        "hi": _rounded(verdict.ci_high),
        "us": _rounded(verdict.runtime_us),
        "m": visible(verdict.message[:2000]),
        "l": [visible(x) for x in verdict.labels],
        "by": chosen,
        "e": sorted({s.seed for s in group}),
        "x": visible(shown.program[:MAX_PROGRAM]),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")


def browser_data(programs: Mapping[str, list[dict[str, Any]]], tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Tasks with their programs: `id`, `ref` (lines of the reference), `all` (distinct programs), `p` (those shown).

    Chosen programs come first in the budget, then the most surprising of each task in turn; `diff` is missing from
    programs whose text found no room.
    """
    limit = max(8, MAX_ROWS // max(len(programs), 1))
    kept = {task_id: _keep(rows, limit) for task_id, rows in programs.items()}
    room = MAX_TEXT
    order = sorted(
        ((not row["by"], i, task_id) for task_id, rows in kept.items() for i, row in enumerate(rows)),
    )
    references = {k: visible(tasks[k].reference).splitlines() if k in tasks else [] for k in kept}
    out = {k: [{key: v for key, v in row.items() if key != "x"} for row in rows] for k, rows in kept.items()}
    for _, i, task_id in order:
        text = kept[task_id][i]["x"]
        difference = line_difference(references[task_id], text.splitlines())
        size = 40 + sum(len(line) + 4 for op in difference for line in op[2:])
        if size <= room:
            out[task_id][i]["diff"] = difference
            room -= size
    return [
        {
            "id": visible(k),
            "ref": references[k],
            "all": len(programs[k]),
            "p": rows,
            "statuses": count_statuses(programs[k]),
        }
        for k, rows in out.items()
    ]


def _keep(rows: list[dict[str, Any]], limit: int) -> list[dict[str, Any]]:
    if len(rows) <= limit:
        return rows
    wanted = sorted(range(len(rows)), key=lambda i: (not rows[i]["by"], rows[i]["st"] != "correct", i))[:limit]
    return [rows[i] for i in sorted(wanted)]


def count_statuses(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Status -> samples, over program rows."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row["st"]] += row["c"]
    return dict(counts)


def line_difference(reference: list[str], program: list[str]) -> list[list[Any]]:
    """Program as edits of the reference: [first, last, added lines...]; lines outside the edits are equal.

    `reference[first:last]` is replaced. Common beginnings and ends are cut before the search, which is most of it.
    """
    start = 0
    while start < min(len(reference), len(program)) and reference[start] == program[start]:
        start += 1
    end = 0
    while end < min(len(reference), len(program)) - start and reference[-1 - end] == program[-1 - end]:
        end += 1
    a, b = reference[start : len(reference) - end], program[start : len(program) - end]
    matcher = difflib.SequenceMatcher(None, a, b, autojunk=False)
    return [[start + i1, start + i2, *b[j1:j2]] for tag, i1, i2, j1, j2 in matcher.get_opcodes() if tag != "equal"]
