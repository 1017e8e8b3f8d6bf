"""What a program's own compilations are given in its process: one architecture, and headers that compile quickly.

`torch/extension.h` makes a ten-line kernel compile for a minute, most of it for parts of PyTorch that no kernel uses.
`headers/` holds a file of the same name with what kernels do use, found first through CPATH; where it does not do, the
same call is made again with the whole one. Source of the flags: torch.utils.cpp_extension.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from longodds.evaluator.extensions import call_of, compiles, digest

HEADERS = Path(__file__).resolve().parent / "headers"
_LOADERS = ("load", "load_inline")


def prepare(source: str, failed: Mapping[str, str] | None = None) -> None:
    """Before a program is loaded: its extensions are compiled with the small headers first.

    failed: digest -> message of calls that were made ahead and failed; they fail at once.
    """
    if not compiles(source):
        return
    from torch.utils import cpp_extension

    for name in _LOADERS:
        setattr(cpp_extension, name, _small_headers_first(getattr(cpp_extension, name), failed or {}))


def _small_headers_first(function: Any, failed: Mapping[str, str]) -> Any:
    from torch.utils import cpp_extension

    @functools.wraps(function)
    def first(*args: Any, **kwargs: Any) -> Any:
        if failed:
            with contextlib.suppress(ValueError):
                message = failed.get(digest(call_of(args, kwargs)))
                if message is not None:
                    raise RuntimeError(message)
        before = os.environ.get("CPATH")
        os.environ["CPATH"] = str(HEADERS) if before is None else f"{HEADERS}:{before}"
        try:
            return function(*args, **kwargs)
        except RuntimeError:  # what a failed build raises
            # PyTorch takes what it was asked for once as built, and would only load it.
            versions: Any = vars(cpp_extension).get("JIT_EXTENSION_VERSIONER")
            getattr(versions, "entries", {}).clear()
        finally:
            if before is None:
                os.environ.pop("CPATH", None)
            else:
                os.environ["CPATH"] = before
        return function(*args, **kwargs)

    return first
