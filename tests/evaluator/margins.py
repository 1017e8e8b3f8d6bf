"""How far honest rewrites stay below the tolerance and mutants lie above it: the figures behind the multiples.

    python tests/evaluator/margins.py rewrites OUT.jsonl [--secrets 1,2] [--tasks a,b] [--bases hand]
    python tests/evaluator/margins.py mutants OUT.jsonl

One line a program and secret: {"task", "base", "kind", "secret", "laws": {law: error over tolerance}, "gap"}; gap is
the largest float64 difference over the output's scale. A program that fails has "error" instead.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from programs import Bench, Variant, tasks

DISTINCT = 1e-5  # as in `mutants`


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["rewrites", "mutants"])
    parser.add_argument("out", type=Path)
    parser.add_argument("--secrets", default="1")
    parser.add_argument("--tasks", default="")
    parser.add_argument("--bases", default="")
    parser.add_argument("--brief", action="store_true", help="stop at 20 tolerances and at the gap of a mutant")
    parser.add_argument("--limit", type=int, default=None, help="mutants per task")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    programs: Callable[[str], list[Variant]]
    if options.what == "rewrites":
        from rewrites import fragile, rewrites

        programs = lambda name: [*rewrites(name), *fragile(name)]  # noqa: E731
    else:
        from mutants import candidates as programs
    wanted = set(filter(None, options.bases.split(",")))
    with options.out.open("a") as sink:
        for name in filter(None, options.tasks.split(",")) if options.tasks else tasks():
            for secret in map(int, options.secrets.split(",")):
                bench = Bench(name, secret)
                for variant in programs(name)[: options.limit]:
                    if wanted and variant.base not in wanted:
                        continue
                    row = {"task": name, "base": variant.base, "kind": variant.kind, "secret": secret}
                    start = time.monotonic()
                    try:
                        row["laws"] = bench.margins(variant.program, enough=20.0 if options.brief else float("inf"))
                        row["seconds"] = time.monotonic() - start
                        wide = "narrow" not in variant.kind
                        row["gap"] = bench.gap(
                            variant.program, wide=wide, enough=DISTINCT if options.brief else float("inf")
                        )
                    except Exception as error:  # boundary: a program may raise anything
                        row["error"] = f"{type(error).__name__}: {error}"
                    sink.write(json.dumps(row) + "\n")
                    sink.flush()


if __name__ == "__main__":
    main()
