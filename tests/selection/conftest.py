"""Lets these tests use the synthetic samples that live beside the tests of `analysis`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))
