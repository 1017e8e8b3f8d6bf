"""`longodds split make`: seeded splits."""

from __future__ import annotations

from pathlib import Path

from longodds.cli.console import json_stdout, note_line, print_text, write_json
from longodds.errors import UserError


def make(
    *,
    suite: str,
    seed: int,
    out: Path,
    kernelbench_root: str | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Write a seeded 80/20 split of a suite.

    Parameters
    ----------
    suite
        cpu, kernelbench:1 to kernelbench:4, dir:PATH.
    seed
        Decides which problems are eval.
    out
        The file to write.
    kernelbench_root
        Take the ids of this checkout or dataset; the ids of a whole level are 1 to its size, with or without.
    force
        Replace a file that holds something else.
    json
        One JSON document on stdout.
    """
    from longodds.tasks import make_split, render_split

    split = make_split(
        suite,
        seed,
        kernelbench_root=kernelbench_root,
        on_skip=lambda problem: note_line(f"skipped {problem.reason}"),
    )
    text = render_split(split)
    if out.is_dir():
        raise UserError(f"{out}: is a directory; --out names a file")
    try:
        if out.exists() and not force and out.read_bytes() != text.encode():
            raise UserError(f"{out}: exists and holds something else; give another --out, or --force to replace it")
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")
    except OSError as e:
        raise UserError(f"{out}: cannot be written: {e.strerror}") from None
    ids = split["problem_ids"]
    with json_stdout(json) as stream:
        if json:
            write_json(stream, split)
        else:
            print_text(f"{out}: {len(ids['train'])} train, {len(ids['eval'])} eval, hash {split['split_hash'][:16]}")
            note_line(f"use it with --split {out} --subset eval")
