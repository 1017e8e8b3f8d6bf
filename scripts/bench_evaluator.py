"""Verdicts per minute: this evaluator against a plain one that starts a Python process per candidate, in one run.

    python -m scripts.bench_evaluator [--tasks 6]

The plain one imports torch, compares 5 outputs and times reference and candidate 50 times each, in the candidate's own
process.
Candidates per task: the reference, trivial programs, one that does not parse and one that raises; no cache in either.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from longodds.evaluator import open_evaluator, trivial_programs, unchanged
from longodds.tasks import load_suite

PLAIN = """
import sys, time, torch
torch.set_num_threads(1); torch.set_grad_enabled(False)
space = {}
exec(open(sys.argv[1]).read(), space)
exec(open(sys.argv[2]).read(), own := {})
torch.manual_seed(0); a = space["Model"](*space["get_init_inputs"]())
torch.manual_seed(0); b = own["ModelNew"](*space["get_init_inputs"]())
for _ in range(5):
    x = space["get_inputs"]()
    torch.testing.assert_close(a(*x), b(*x), rtol=1e-4, atol=1e-4)
for model in (a, b):
    for _ in range(50):
        start = time.perf_counter(); model(*x); time.perf_counter() - start
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=6)
    count = parser.parse_args().tasks
    suite = load_suite("cpu")
    tasks = suite[:: max(1, len(suite) // count)][:count]
    seconds = {"longodds": 0.0, "plain": 0.0}
    verdicts = 0
    with open_evaluator() as evaluator, tempfile.TemporaryDirectory() as folder:
        script, reference, candidate = (Path(folder) / name for name in ("plain.py", "reference.py", "candidate.py"))
        script.write_text(PLAIN)
        for task in tasks:
            programs = [
                unchanged(task),
                *trivial_programs(task).values(),
                "def (",
                unchanged(task) + "\nraise ValueError\n",
            ]
            reference.write_text(task.reference)
            for program in programs:
                start = time.monotonic()
                evaluator.evaluate(task, program)
                seconds["longodds"] += time.monotonic() - start
                candidate.write_text(program)
                start = time.monotonic()
                subprocess.run([sys.executable, script, reference, candidate], capture_output=True, check=False)
                seconds["plain"] += time.monotonic() - start
                verdicts += 1
    for name, spent in seconds.items():
        print(f"{name:9s} {verdicts} verdicts in {spent:6.1f} s: {60 * verdicts / spent:6.1f} a minute")
    print(f"ratio {seconds['plain'] / seconds['longodds']:.2f}")


if __name__ == "__main__":
    main()
