"""Runs the real command line in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).resolve().parents[2] / "src"


def restore_interrupts() -> None:
    """For a child that is to be interrupted: a test run started in the background of a shell ignores SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def longodds(*arguments: object, cwd: Path, timeout: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
    """`longodds ARGUMENTS` in `cwd`, with an empty cache directory unless `env` names one."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SRC),
        "LONGODDS_CACHE": str(cwd / "no-cache"),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "120",
        **env,
    }
    return subprocess.run(
        [sys.executable, "-m", "longodds", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def files(root: Path) -> dict[str, bytes]:
    """Every file below a directory, with its content."""
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}
