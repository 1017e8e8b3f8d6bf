"""Verdicts kept on disk, so that a program that was judged once is not run again under the same conditions.

One SQLite file, shared by all processes of a user, in a folder that no candidate can see. A verdict counts for one
content of the task, one normalised program and one evaluator (settings, calibration, device, versions).
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from longodds.programs import program_digest
from longodds.types import CACHED_LABEL, Status, Task, Verdict

KEPT = frozenset({Status.CORRECT, Status.INCORRECT, Status.COMPILE_ERROR})
_MOST = 200_000
_PRUNE_EVERY = 500
_WAIT_S = 10.0
_TABLE = """CREATE TABLE IF NOT EXISTS verdicts (
    task TEXT NOT NULL, program TEXT NOT NULL, evaluator TEXT NOT NULL, timed INTEGER NOT NULL,
    used REAL NOT NULL, document TEXT NOT NULL,
    PRIMARY KEY (task, program, evaluator, timed)
) WITHOUT ROWID"""


class VerdictCache:
    """Verdicts by task, program and evaluator; at most `most` of them, those used last.

    A file that cannot be used (no space, read-only, not a database) makes every look-up a miss: `problem` says why.
    """

    def __init__(self, folder: Path, *, most: int = _MOST) -> None:
        self.folder, self.path, self.most = folder, folder / "verdicts.sqlite", most
        self.problem = ""
        self._puts = 0

    @contextlib.contextmanager
    def _open(self) -> Generator[sqlite3.Connection | None]:
        """A connection, its changes committed in the end; None, or whatever it failed at undone, if it can't be used.

        One for each use: nothing is held between them, so any process may end at any moment, or fork.
        """
        connection: sqlite3.Connection | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(self.path, timeout=_WAIT_S)
            connection.execute(_TABLE)
        except (OSError, sqlite3.Error) as error:
            self.problem = f"{self.path}: {error}"
            if connection is not None:
                connection.close()
            connection = None
        if connection is None:
            yield None
            return
        try:
            with connection:
                yield connection
        except sqlite3.Error as error:
            self.problem = f"{self.path}: {error}"
        finally:
            connection.close()

    def get(self, task: Task, program: str, evaluator: str, *, timed: bool) -> Verdict | None:
        """A verdict that holds for this request, labelled `cached`, with the seconds that it once took; or None.

        A correct program's verdict answers only the request that it was made for, to time it or not; a wrong program
        is wrong either way.
        """
        key = (task.digest, program_digest(program), evaluator)
        for was_timed in (timed, not timed):
            text = self._read((*key, int(was_timed)))
            verdict = _parse(text) if text is not None else None
            if verdict is None or verdict.evaluator != evaluator:
                continue
            if verdict.correct and timed != was_timed:
                continue
            return replace(verdict, task_id=task.id, labels=(*verdict.labels, CACHED_LABEL))
        return None

    def _read(self, key: tuple[str, str, str, int]) -> str | None:
        where = "task = ? AND program = ? AND evaluator = ? AND timed = ?"
        row: tuple[str] | None = None
        with self._open() as connection:
            if connection is not None:
                row = connection.execute(f"SELECT document FROM verdicts WHERE {where}", key).fetchone()
                if row is not None:
                    connection.execute(f"UPDATE verdicts SET used = ? WHERE {where}", (time.time(), *key))
        return row[0] if row is not None else None

    def put(self, task: Task, program: str, verdict: Verdict, *, timed: bool) -> None:
        """Keep a verdict, if it is of a kind that a second run would repeat and answers the whole request."""
        if verdict.status not in KEPT or CACHED_LABEL in verdict.labels or not verdict.evaluator:
            return
        if timed and verdict.correct and verdict.speedup is None:
            return
        key = (task.digest, program_digest(program), verdict.evaluator, int(timed))
        with self._open() as connection:
            if connection is None:
                return
            row = (*key, time.time(), json.dumps(verdict.to_json()))
            connection.execute("INSERT OR REPLACE INTO verdicts VALUES (?, ?, ?, ?, ?, ?)", row)
            self._puts += 1
            if self._puts % min(_PRUNE_EVERY, self.most) == 1:
                self._prune(connection)

    def _prune(self, connection: sqlite3.Connection) -> None:
        (count,) = connection.execute("SELECT COUNT(*) FROM verdicts").fetchone()
        if count > self.most:
            oldest = "SELECT task, program, evaluator, timed FROM verdicts ORDER BY used LIMIT ?"
            connection.execute(
                f"DELETE FROM verdicts WHERE (task, program, evaluator, timed) IN ({oldest})", (count - self.most,)
            )


def _parse(text: str) -> Verdict | None:
    try:
        return Verdict.from_json(json.loads(text))
    except (ValueError, KeyError, TypeError):
        return None  # a newer version's, or damaged: as if it were not there
