"""Hostile text made harmless to look at, and numbers as people read them.

Programs and messages are written by a model and by what it ran. HTML escaping is the template's; here invisible
characters (terminal escapes, bidirectional overrides, lone surrogates) become visible ones.
"""

from __future__ import annotations

import re
from typing import Any

_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ud800-\udfff\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    r"""The text with control and format characters written out (`\x1b`, `\u202e`); newline and tab stay."""
    return _INVISIBLE.sub(lambda m: _escape(ord(m.group())), text.replace("\r\n", "\n"))


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def visible_values(value: Any) -> Any:
    """`visible` on every text inside a JSON value."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {visible(str(k)): visible_values(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [visible_values(v) for v in value]
    return value


def percent(share: float | None, digits: int = 0) -> str:
    """0.713 -> "71 %"; a dash where it can't be known."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def percent_interval(interval: list[float] | tuple[float, float] | None) -> str:
    """[0.2, 0.45] -> "20 to 45 %"."""
    return "–" if interval is None else f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %"


def points(difference: float | None) -> str:
    """A difference of shares in percentage points, with its sign: 0.231 -> "+23"."""
    if difference is None:
        return "–"
    value = round(100 * difference)
    return f"{value:+d}" if value else "0"


def points_interval(interval: list[float] | tuple[float, float] | None) -> str:
    """[-0.05, 0.2] -> "-5 to +20"."""
    return "–" if interval is None else f"{points(interval[0])} to {points(interval[1])}"


def times(speedup: float | None) -> str:
    """1.2345 -> "1.23x", 139.2 -> "139x"."""
    if speedup is None:
        return "–"
    return f"{speedup:.0f}x" if speedup >= 100 else f"{speedup:.1f}x" if speedup >= 10 else f"{speedup:.2f}x"


def times_interval(interval: list[float] | tuple[float, float] | None) -> str:
    """[1.1, 1.3] -> "1.10 to 1.30x"."""
    return "–" if interval is None else f"{times(interval[0])[:-1]} to {times(interval[1])}"


def number(value: float | None, digits: int = 2) -> str:
    """A plain number, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def p_value(p: float | None) -> str:
    """0.00003 -> "< 0.001"."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
