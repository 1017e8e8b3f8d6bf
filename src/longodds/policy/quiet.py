"""Keeps transformers' own progress bars and notices off the user's terminal; progress is the caller's to show."""

from __future__ import annotations

import contextlib
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def quiet_transformers() -> Generator[None]:
    """Errors only and no progress bars inside the block; the settings found are put back after it.

    Warnings that a name will go away are hushed too: they come from one library using another, and whoever runs
    longodds can do nothing about them.
    """
    from transformers.utils import logging

    level = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
