"""Which tests need the machine to themselves: those that measure, count processes, or time something out."""

from __future__ import annotations

from pathlib import Path

import pytest

_HERE = Path(__file__).parent
_ALONE = ("evaluator", "strategies/test_optimize.py", "strategies/test_racing.py", "cli/test_cli_optimize.py")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = item.path.relative_to(_HERE).as_posix()
        if place.startswith(_ALONE):
            item.add_marker(pytest.mark.alone)
