"""The log of an A/A control: rows of what was measured, so that an interruption costs at most one."""

from __future__ import annotations

import fcntl
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from longodds.errors import UserError


class Log:
    """Append-only rows of finished measurements by key, so that none is measured twice; a torn last row is dropped.

    A context manager: one process at a time writes it. Raises UserError where another does or a row is something else.
    """

    def __init__(self, path: Path, header: dict[str, Any]) -> None:
        self.lock = threading.Lock()
        self.rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a+b")
        try:
            self._only_one()
            self.file.seek(0)
            lines = self.file.read().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith(b"\n")]
            try:
                known = bool(whole) and json.loads(whole[0]) == header
                self.rows = {row["key"]: row for row in map(json.loads, whole[1:])} if known else {}
            except (ValueError, KeyError, TypeError) as e:
                raise UserError(
                    f"{path}: a line is no row of a control ({e}); remove the file to measure anew"
                ) from None
            # What is whole is never written again: a kill here must not cost it.
            self.file.truncate(sum(map(len, whole)) if known else 0)
            if not known:
                self._append(header)
        except BaseException:  # raised again: a lock that nobody owns must not be left
            self.file.close()
            raise

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def get(self, key: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        if key not in self.rows:
            row = {"key": key, **measure()}
            with self.lock:
                self._append(row)
            self.rows[key] = row
        return self.rows[key]

    def _append(self, row: dict[str, Any]) -> None:
        self.file.write(json.dumps(row).encode() + b"\n")
        self.file.flush()

    def _only_one(self) -> None:
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{self.file.name}: another `calibrate` writes it; wait for it or end it") from None
        except OSError:
            pass  # a file system without locks
