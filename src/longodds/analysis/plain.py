"""Documents as JSON: what can't be known is null, and nothing but plain values is left."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np


def plain(value: Any) -> Any:
    """JSON-ready: tuples to lists, NumPy scalars to Python's, and nan or infinity (what can't be known) to None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in cast("list[Any]", value)]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
