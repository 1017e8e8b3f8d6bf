"""One writer per run directory: an advisory file lock that dies with its process, kill -9 included."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from longodds.errors import InfraError, UserError

if TYPE_CHECKING:
    from pathlib import Path


class WriterLock:
    """Held from construction until `release`. Raises UserError when another process (or this one) holds it, InfraError
    where it can't be written."""

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as e:
            if e.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise UserError(f"{path}: cannot be written: {e.strerror}; give another RUN") from None
            raise InfraError(f"{path}: cannot be opened: {e.strerror}") from None
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._fd, 32, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            self._fd = -1
            by = f" (process {holder})" if holder.isdecimal() else ""
            raise UserError(f"{path.parent}: another longodds is writing this run{by}; wait for it or end it") from None
        except OSError:
            pass  # a file system without locks: the run goes on, unguarded as any file there
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(os.getpid()).encode("ascii"), 0)
        except OSError as e:  # a full disk: nothing else could be written either
            self.release()
            raise InfraError(f"{path}: cannot be written: {e.strerror}") from None

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
