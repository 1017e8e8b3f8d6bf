"""The `longodds` command. Importing this loads no model library; each command imports what it needs."""

from __future__ import annotations


def main() -> None:
    """Console entry point: runs the command line of this process and exits with its code."""
    import sys

    from longodds.cli.app import run

    sys.exit(run(sys.argv[1:]))
