"""The corpus generator is a script, not part of the package: make `scripts` importable."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
