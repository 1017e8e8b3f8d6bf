"""Time every text of every idiom on this machine and note which is the fastest: `idioms/speeds.json`.

    python -m scripts.corpus.measure

A module that is fast on a GPU may be slow on a CPU (Welford's variance, `aminmax` and 1-norms along a dimension, ...),
so the generator prefers what was measured. Ratios of one sitting: text against the fastest text, interleaved.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from random import Random
from statistics import median

import torch
from scripts.corpus.check import Mismatch, check_pair
from scripts.corpus.grammar import Grammar
from scripts.corpus.problem import Problem
from scripts.corpus.render import inline, render
from scripts.corpus.target import in_place
from scripts.corpus.template import IDIOM_DIR, Idiom
from scripts.corpus.write import finish_body, shrunken, write_reference

from longodds.prompts import extract_program
from longodds.types import Task


def measure_idiom(grammar: Grammar, idiom: Idiom, draws: int = 2) -> dict[str, float]:
    """Text -> time relative to the fastest text, the median over draws of sizes and dimensions."""
    found: dict[str, list[float]] = {}
    for draw in range(draws * 3):
        rng = Random(f"{idiom.name}/{draw}")
        problem = Problem(rng)
        try:
            grammar.start(problem, idiom)
            grammar.add(problem, idiom)
            reference = write_reference(problem, rng, [rng.choice(idiom.refs)])
            times = _times(problem, reference, dict.fromkeys((*idiom.fast, *idiom.refs)), rng)
        except (Mismatch, ValueError, KeyError, IndexError, RuntimeError):
            continue
        for text, seconds in times.items():
            found.setdefault(text, []).append(seconds / min(times.values()))
        if max(map(len, found.values()), default=0) >= draws:
            break
    return {text: round(median(values), 3) for text, values in found.items()}


def _times(problem: Problem, reference: str, texts: dict[str, None], rng: Random, rounds: int = 6) -> dict[str, float]:
    """Seconds of each text that passes the check, at real size: the least of several interleaved rounds."""
    small = shrunken(reference, problem)
    modules: dict[str, torch.nn.Module] = {}
    space: dict[str, object] = {}
    exec(compile(reference, "<reference>", "exec"), space)
    torch.manual_seed(0)
    inits = space["get_init_inputs"]()  # type: ignore[operator]
    model = space["Model"](*inits)  # type: ignore[operator]
    for text in texts:
        statements = inline(render(problem, [text]), rng, 1.0)
        for body in (finish_body(in_place(statements, rng), problem, rng), finish_body(statements, problem, rng)):
            program = extract_program(f" {body}", Task("corpus/x", "corpus", small, ""))
            if check_pair(small, [program], 0)[0] is None:
                full = extract_program(f" {body}", Task("corpus/x", "corpus", reference, ""))
                scope: dict[str, object] = {}
                exec(compile(full, "<program>", "exec"), scope)
                modules[text] = scope["ModelNew"](*inits)  # type: ignore[operator]
                modules[text].load_state_dict(model.state_dict())
                break
    inputs = space["get_inputs"]()  # type: ignore[operator]
    took: dict[str, list[float]] = {text: [] for text in modules}
    begun = time.perf_counter()
    with torch.no_grad():
        for turn in range(rounds):
            for text in rng.sample(list(modules), len(modules)):
                start = time.perf_counter()
                modules[text](*inputs)
                seconds = time.perf_counter() - start
                if turn or seconds > 0.1:
                    took[text].append(seconds)
                if seconds > 0.2:
                    took[text] += [seconds] * rounds
            if time.perf_counter() - begun > 3.0 and turn:
                break
    return {text: min(values) for text, values in took.items() if values}


def main() -> None:
    torch.set_num_threads(1)
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else IDIOM_DIR / "speeds.json"
    grammar = Grammar()
    speeds = {
        f"{family}/{idiom.name}": measure_idiom(grammar, idiom)
        for family, idioms in grammar.families.items()
        for idiom in idioms
    }
    out.write_text(json.dumps(speeds, indent=0, sort_keys=True) + "\n", "utf-8")
    print(f"{len(speeds)} idioms -> {out}")


if __name__ == "__main__":
    main()
