"""Thousands of evaluations in one evaluator, a tenth of them attacks: is anything lost, misjudged, leaking or left?

    python -m scripts.soak [--n 2000] [--hostile 0.1] [--seed 0] [--timed 0.1] [--out soak.json]

Attacks and honest programs are those of tests/cheats (attacks marked `not-covered` are left out). Prints its figures as
one JSON document on one line. With --out the evaluations are also kept there: the same command goes on where it was
stopped, and a larger --n adds to them. Memory and descriptors are those of the processes of the last attempt.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_EVERY = 10  # evaluations between two looks at memory and descriptors


def schedule(n: int, hostile: float, timed: float, seed: int) -> list[tuple[Any, bool]]:
    """Program and whether it is timed, for each evaluation; a prefix of the schedule of a larger n. Task by task in
    stretches, as a run would be, so that tasks are not prepared again for every program."""
    from cheat_corpus import CHEATS, load_programs  # type: ignore[import-not-found]

    attacks = [p for p in load_programs() if "not-covered" not in p.header]
    honest = load_programs(CHEATS / "controls")
    tasks = sorted({p.header["task"] for p in honest})
    plan: list[tuple[Any, bool]] = []
    rng = random.Random(seed)
    while len(plan) < n:
        task = rng.choice(tasks)
        for _ in range(25):
            attack = int((len(plan) + 1) * hostile) > int(len(plan) * hostile)  # exactly this share
            source = attacks if attack else honest
            program = rng.choice([p for p in source if p.header["task"] == task] or source)
            plan.append((program, program.timed if attack else rng.random() < timed))
    return plan[:n]


def fields(pid: int) -> dict[str, int]:
    """Resident bytes and open descriptors of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return {
        "rss": pages * os.sysconf("SC_PAGE_SIZE"),
        "fds": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def right(program: Any, status: str) -> bool:
    """Whether this verdict was to come out; an attack that fails may leave a right program."""
    return status in program.expected or (program.harmless and status == "correct")


def trend(values: list[int]) -> dict[str, float]:
    """First and last of the second half, in medians of its quarters: what grows after everything is warm."""
    half = values[len(values) // 2 :]
    part = max(len(half) // 4, 1)
    first, last = statistics.median(half[:part]), statistics.median(half[-part:])
    return {"start": values[0], "half_way": first, "end": last, "growth": round(last / first - 1, 4) if first else 0.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--hostile", type=float, default=0.1)
    parser.add_argument("--timed", type=float, default=0.1, help="share of honest programs that are timed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds for importing, and again for running")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.out is not None and (asked.out.is_dir() or not asked.out.parent.is_dir()):
        parser.error(f"--out {asked.out}: not a file in a folder that exists")
    sys.path.insert(0, str(ROOT / "tests" / "evaluator"))
    print(json.dumps(soak(asked)))


def soak(asked: argparse.Namespace) -> dict[str, Any]:
    from cheat_bench import SETTINGS, children, descendants  # type: ignore[import-not-found]

    from longodds.evaluator import open_evaluator

    plan = schedule(asked.n, asked.hostile, asked.timed, asked.seed)
    rows = _known(asked.out)
    watched: dict[str, list[int]] = {"controller_rss": [], "oracle_rss": [], "controller_fds": [], "oracle_fds": []}
    folder = Path(tempfile.mkdtemp(prefix="longodds-soak-", dir="/tmp"))
    folder.chmod(0o711)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    start = time.monotonic()
    settings = replace(SETTINGS, import_timeout_s=asked.timeout, run_timeout_s=asked.timeout)
    with open_evaluator(settings) as evaluator:
        for number in range(len(rows), len(plan)):
            program, timed = plan[number]
            begin = time.monotonic()
            verdict = evaluator.evaluate(program.task, program.source, timed=timed)
            row = {
                "number": number,
                "program": program.name,
                "status": verdict.status.value,
                "right": right(program, verdict.status.value),
                "message": verdict.message[:200],
                "seconds": round(time.monotonic() - begin, 3),
            }
            rows.append(row)
            if asked.out is not None:
                with asked.out.open("a", encoding="utf-8") as f:
                    f.write(json.dumps(row) + "\n")
            if number % _EVERY == 0:
                oracle = next(pid for pid in children(os.getpid()) if children(pid))
                for name, pid in (("controller", os.getpid()), ("oracle", oracle)):
                    with contextlib.suppress(OSError):
                        for what, value in fields(pid).items():
                            watched[f"{name}_{what}"].append(value)
    spent = time.monotonic() - start
    left = {"processes": len(descendants(os.getpid())), "folders": [p.name for p in folder.iterdir()]}
    with contextlib.suppress(OSError):
        folder.rmdir()
    names = {p.name: p for p, _ in plan}
    hostile = [r for r in rows if "controls" not in str(names[r["program"]].path)]
    return {
        "n": len(rows),
        "hostile": len(hostile),
        "lost": sum(r["status"] == "infra_error" for r in rows),
        "misjudged": [(r["program"], r["status"], r["message"]) for r in rows if not r["right"]],
        "statuses": dict(Counter(r["status"] for r in rows).most_common()),
        "median_s": statistics.median(r["seconds"] for r in rows),
        "seconds": round(spent, 1),
        **{name: trend(values) for name, values in watched.items() if values},
        "left": left,
    }


def _known(out: Path | None) -> list[dict[str, Any]]:
    if out is None or not out.exists():
        return []
    rows: list[dict[str, Any]] = []
    for line in out.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a torn last line
            rows.append(json.loads(line))
    return rows


if __name__ == "__main__":
    main()
