"""How often is the verdict of `select` right? The table of docs/statistics.md, from simulated studies of known truth.

    python -m scripts.verdict_table [--studies 40] [--world NAME] [--resume FILE]

Prints a Markdown table; with --resume the counts are kept in a JSON file, and a second call goes on from there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "analysis"))


def main() -> None:
    from hard_worlds import KINDS, WORLDS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=40, help="of each truth in each world")
    parser.add_argument("--world", action="append", choices=list(WORLDS), help="only this one; may be repeated")
    parser.add_argument("--resume", type=Path, help="JSON file of counts to go on from")
    arguments = parser.parse_args()
    counts = json.loads(arguments.resume.read_text()) if arguments.resume and arguments.resume.exists() else {}
    print("| world | truth | studies | better | of them beyond length | worse | no difference | cannot tell |")
    print("|---|---|---|---|---|---|---|---|")
    for world in arguments.world or WORLDS:
        for kind in KINDS:
            said = Counter(counts.get(f"{world}/{kind}", {}))
            _study(said, world, kind, arguments.studies)
            counts[f"{world}/{kind}"] = dict(said)
            if arguments.resume:
                arguments.resume.write_text(json.dumps(counts))
            shown = ("better", "beyond", "worse", "no difference", "cannot tell")
            print(f"| {world} | {kind} | {said['studies']} | {' | '.join(str(said[x]) for x in shown)} |", flush=True)


def _study(said: Counter[str], world: str, kind: str, studies: int) -> None:
    from hard_worlds import WORLDS, hard_study

    from longodds.analysis import headline

    for i in range(said["studies"], studies):
        design = {"tasks": 20 + i % 5, "k": 48 + 4 * (i % 5)}
        verdict = headline(hard_study(kind, WORLDS[world], rng=10_000 + i, **design), unit=("program", "sample")[i % 2])
        said["studies"] += 1
        said[verdict["answer"]] += 1
        said["beyond"] += verdict["answer"] == "better" and bool(verdict["beyond_length"])


if __name__ == "__main__":
    main()
