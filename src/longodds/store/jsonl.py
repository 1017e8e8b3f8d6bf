"""Append-only JSON lines that survive a kill at any byte.

Each append is one `os.write` on an O_APPEND descriptor, so whole records reach the file or the tail is torn; a torn
tail is cut off when the file is next opened for writing, because appending after it would destroy the next record
as well. Readers never change a file: they leave a torn tail out.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_CHUNK = 1 << 16


def encode(record: Mapping[str, Any]) -> bytes:
    """One line. ASCII only, so that any text (lone surrogates too) comes back as it was. Raises ValueError for NaN."""
    return json.dumps(record, ensure_ascii=True, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"


class JsonlWriter:
    """Appends whole records to one file. Holds no lock: the run directory has one writer at a time."""

    def __init__(self, path: Path) -> None:
        """Opens, or creates, the file and repairs its tail. Raises InfraError when it cannot be written."""
        self.path = path
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            raise InfraError(f"{path}: cannot be opened for writing: {e.strerror}") from None
        self.repaired_bytes = self._repair()

    def append(self, records: Sequence[Mapping[str, Any]]) -> None:
        """All records or, after a failed write, none: a full disk leaves the file as it was. Synced to disk.

        Raises InfraError when the system cannot write, ValueError for a record that is no JSON (NaN, infinity).
        """
        data = memoryview(b"".join(encode(r) for r in records))
        if not data:
            return
        before = os.fstat(self._fd).st_size
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
        except OSError as e:
            os.ftruncate(self._fd, before)
            raise InfraError(f"{self.path}: cannot be written: {e.strerror}; what was done is kept") from None

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _repair(self) -> int:
        """Cuts the file after its last whole record; returns the number of bytes dropped."""
        size = os.fstat(self._fd).st_size
        end = _after_last_newline(self._fd, size)
        # After a power cut the tail may also hold whole lines of zeros or halves of two records.
        while end > 0:
            start = _after_last_newline(self._fd, end - 1)
            if _is_record(os.pread(self._fd, end - start, start)):
                break
            end = start
        if end < size:
            os.ftruncate(self._fd, end)
            os.fsync(self._fd)
        return size - end


def read_records(path: Path) -> Iterator[dict[str, Any]]:
    """The whole records of a file, in order; none when it does not exist.

    A torn last line is left out. Raises UserError, naming file and line, for a line before it that is no record.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
    with file:
        bad: int | None = None
        for number, line in enumerate(file, start=1):
            if bad is not None:
                raise UserError(f"{path}:{bad}: not a whole JSON record; the file was changed by something else")
            record = _parse(line) if line.endswith(b"\n") else None
            if record is None:
                bad = number  # forgiven if nothing follows
            else:
                yield record


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line.decode())  # of bytes json would guess the encoding, line by line
    except (ValueError, RecursionError):  # not JSON, or nested deeper than any of ours
        return None
    return record if isinstance(record, dict) else None


def _is_record(line: bytes) -> bool:
    return _parse(line) is not None


def _after_last_newline(fd: int, size: int) -> int:
    """Offset just after the last newline within the first `size` bytes; 0 when there is none."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        at = os.pread(fd, end - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        end = start
    return 0
