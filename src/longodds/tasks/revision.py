"""Which commit a directory is at: runs say what made them, problems where they came from."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def git_revision(directory: Path, *, below: str = ".") -> dict[str, Any] | None:
    """Commit of the checkout that holds `directory`, and whether tracked files differ from it; None outside one.

    below: only files under this path (relative to `directory`) count as changed.
    """
    commit = _git(directory, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "changed": bool(_git(directory, "status", "--porcelain", "-uno", "--", below))}


def git_top(directory: Path) -> str | None:
    """The top of the checkout that holds `directory`, as git names it; None outside one."""
    return _git(directory, "rev-parse", "--show-toplevel")


def _git(directory: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *arguments], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
