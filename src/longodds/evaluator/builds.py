"""What was compiled, for processes that come later: extension modules, Triton's and Inductor's kernels. No torch here.

A process can write to its own caches alone. A program's are copied out of it while it stands still, and into processes
of the same program and evaluation only, and on a GPU only: on a CPU a program would gain little, and what one process
leaves no other finds. References are trusted, theirs are kept everywhere. So are extensions that were compiled with no
program beside them (`extensions`): every program with the same calls gets them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path

from longodds.evaluator.extensions import calls, digest

_MOST_BYTES, _MOST_FILES, _MOST_DEPTH = 128 << 20, 5_000, 12  # of one program
_KEPT_BYTES, _KEPT = 2 << 30, 256  # of all, and programs


class Builds:
    """A folder of what was compiled: DIGEST.BYTES for each program. Several processes may use one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self._failures = folder / "failed"
        self._failures.mkdir(exist_ok=True)

    def find(self, program: str) -> Path | None:
        """What was kept of a program's compilations, if anything."""
        return next(self.folder.glob(f"{_digest(program)}.*"), None)

    def fail(self, call: str, message: str) -> None:
        """A call that compiles an extension failed with no program beside it: it will fail again."""
        (self._failures / digest(call)).write_text(message, encoding="utf-8", errors="replace")

    def failures(self, program: str) -> dict[str, str]:
        """Digest -> message of those of the program's calls that are known to fail."""
        found = {key: self._failures / key for key in map(digest, calls(program) or ())}
        return {key: path.read_text(encoding="utf-8") for key, path in found.items() if path.is_file()}

    def forget(self, program: str) -> None:
        """Its evaluation is over: another one of the same program finds nothing."""
        kept = self.find(program)
        if kept is not None:
            shutil.rmtree(kept, ignore_errors=True)

    def keep(self, program: str, pid: int, caches: Path) -> None:
        """Copy the caches of a process of the program, which stands still or ends: they replace what was kept.

        pid: of the process; caches: where it sees them. What can't be read, or is too much, is not kept.
        """
        try:
            source = os.open(f"/proc/{pid}/root{caches}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            with os.scandir(source) as entries:
                if next(entries, None) is None:  # most programs compile nothing
                    return
            made = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
            try:
                copy = _Copy()
                copy.folder(source, made, 0)
                self._publish(made, program, copy.bytes)
            except (OSError, _TooMuch):
                shutil.rmtree(made, ignore_errors=True)
        finally:
            os.close(source)

    def _publish(self, made: Path, program: str, size: int) -> None:
        """Put it in the place of what was kept of the program; drop the oldest of all beyond the limits."""
        old = self.find(program)
        if old is not None:
            gone = made.with_name(f"old-{made.name}")
            old.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)
        made.rename(self.folder / f"{_digest(program)}.{size}")
        kept = sorted(self.folder.glob("*.*"), key=lambda p: p.stat().st_mtime_ns, reverse=True)
        total = 0
        for number, place in enumerate(kept):
            total += int(place.suffix[1:])
            if total > _KEPT_BYTES or number >= _KEPT:
                shutil.rmtree(place, ignore_errors=True)


def _digest(program: str) -> str:
    return hashlib.sha256(program.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class _TooMuch(Exception):
    pass


class _Copy:
    """Copies folders and plain files that a hostile program wrote, times included: ninja and Triton go by those."""

    def __init__(self) -> None:
        self.bytes = self.files = 0

    def folder(self, source: int, target: Path, depth: int) -> None:
        """Raises OSError, and _TooMuch beyond the limits."""
        if depth > _MOST_DEPTH:
            raise _TooMuch
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            self.files += 1
            if self.files > _MOST_FILES:
                raise _TooMuch
            # No link is followed and no pipe waited for: the kinds are told by the open file, not by its name.
            try:
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=source)
            except OSError:
                continue
            try:
                found = os.fstat(fd)
                if stat.S_ISDIR(found.st_mode):
                    (target / name).mkdir()
                    self.folder(fd, target / name, depth + 1)
                elif stat.S_ISREG(found.st_mode):
                    self._file(fd, target / name, found)
            finally:
                os.close(fd)

    def _file(self, source: int, target: Path, found: os.stat_result) -> None:
        self.bytes += found.st_size
        if self.bytes > _MOST_BYTES:
            raise _TooMuch
        with open(source, "rb", closefd=False) as reader, target.open("xb") as writer:
            left = found.st_size  # and no more, should it grow meanwhile
            while left > 0 and (chunk := reader.read(min(left, 1 << 20))):
                writer.write(chunk)
                left -= len(chunk)
        target.chmod(0o755 if found.st_mode & 0o100 else 0o644)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
