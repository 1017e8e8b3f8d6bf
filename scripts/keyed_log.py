"""What a script has measured so far, so that the same command goes on where it stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SHOWN = 400  # characters of a line that are printed


class KeyedLog:
    """Rows by key, a line of a file for each addition; later lines add to earlier ones of the same key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            row = json.loads(line)
            self.rows.setdefault(row["key"], {}).update(row)

    def add(self, key: str, **found: Any) -> None:
        row = {"key": key, **found}
        self.rows.setdefault(key, {}).update(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row)[:_SHOWN], file=sys.stderr, flush=True)
