"""The `longodds` command. Importing this loads no model library; each command imports what it needs."""

from __future__ import annotations


def main() -> None:
    """Console entry point: runs the command line of this process and exits with its code."""
    import io
    import os
    import sys

    # A stream that was closed before we began (`>&-`) is none at all to Python: what is written to it goes nowhere, and
    # no file that is opened later gets its number.
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))
    # A dash or a name that the terminal's encoding does not have is a question mark there, and no traceback.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    # NumPy's products here are small: several threads would wait for a busy core longer than they compute.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from longodds.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # before the command line was read, or once more while it was being left
        code = 130
    sys.exit(code)
