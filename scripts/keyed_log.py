"""What a script has measured so far, so that the same command goes on where it stopped."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from longodds.store.jsonl import JsonlWriter, read_records

_SHOWN = 400  # characters of a line that are printed


class KeyedLog:
    """Rows by key, a line of a file for each addition; later lines add to earlier ones of the same key. The file is
    made by the first addition."""

    def __init__(self, path: Path) -> None:
        """Raises UserError for a file that is no such log."""
        self.path = path
        self.rows: dict[str, dict[str, Any]] = {}
        self._writer: JsonlWriter | None = None
        for row in read_records(path):
            self.rows.setdefault(row["key"], {}).update(row)

    def add(self, key: str, **found: Any) -> None:
        """Raises InfraError when it can't be written."""
        row = {"key": key, **found}
        self.rows.setdefault(key, {}).update(row)
        self._writer = self._writer or JsonlWriter(self.path)
        self._writer.append([row])
        print(json.dumps(row)[:_SHOWN], file=sys.stderr, flush=True)
