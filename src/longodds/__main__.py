"""`python -m longodds`, the same as the `longodds` command."""

from __future__ import annotations

from longodds.cli import main

if __name__ == "__main__":
    main()
