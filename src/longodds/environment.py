"""What the environment says: where files are kept, addresses and keys of services, completed from `.env`.

It is read here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longodds.errors import UserError
from longodds.files import read_dotenv

API_KEYS = ("TINKER_API_KEY", "OPENAI_API_KEY", "HF_TOKEN")


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says, already typed.

    cache_dir: model files and calibration. kernelbench_root: a checkout (or `hub@REVISION`), or None.
    threads: OMP_NUM_THREADS, or None. eval_mode: KERNELBENCH_EVAL_MODE. max_pairs: the cap of timed pairs that goes
    with it. keys_present: API key name -> whether it is set; never a value.
    tinker_base_url, openai_base_url: addresses of services, or None for the usual one.
    """

    cache_dir: Path
    kernelbench_root: Path | None
    threads: int | None
    eval_mode: Literal["fast", "full"]
    keys_present: Mapping[str, bool]
    tinker_base_url: str | None = None
    openai_base_url: str | None = None

    @property
    def max_pairs(self) -> int:
        return 16 if self.eval_mode == "fast" else 64


def read_environment(environ: Mapping[str, str] | None = None, dotenv: Path | str | None = ".env") -> Environment:
    """The environment, completed from a `.env` file (the environment wins). Raises UserError for a value of no use."""
    known = _variables(environ, dotenv)
    root = known.get("LONGODDS_KERNELBENCH")
    mode = known.get("KERNELBENCH_EVAL_MODE") or "full"
    if mode not in ("fast", "full"):
        raise UserError(f"KERNELBENCH_EVAL_MODE: must be 'fast' or 'full', not {mode!r}")
    threads = (known.get("OMP_NUM_THREADS") or "").partition(",")[0].strip()  # OpenMP allows one number per level
    if threads and not (threads.isdecimal() and int(threads) > 0):
        raise UserError(f"OMP_NUM_THREADS: must be a whole number of at least 1, not {threads!r}")
    return Environment(
        cache_dir=_cache_dir(known),
        kernelbench_root=Path(root).expanduser() if root else None,
        threads=int(threads) if threads else None,
        eval_mode="fast" if mode == "fast" else "full",
        keys_present={name: bool(known.get(name)) for name in API_KEYS},
        tinker_base_url=known.get("TINKER_BASE_URL") or None,
        openai_base_url=known.get("OPENAI_BASE_URL") or None,
    )


def secret(name: str, environ: Mapping[str, str] | None = None, dotenv: Path | str | None = ".env") -> str | None:
    """The value of an API key, for the one call that needs it; never stored or printed."""
    return _variables(environ, dotenv).get(name) or None


def _variables(environ: Mapping[str, str] | None, dotenv: Path | str | None) -> dict[str, str]:
    from_file = read_dotenv(Path(dotenv)) if dotenv is not None else {}
    return {**from_file, **(os.environ if environ is None else environ)}


def _cache_dir(known: Mapping[str, str]) -> Path:
    if given := known.get("LONGODDS_CACHE"):
        return Path(given).expanduser()
    try:
        if sys.platform == "darwin":
            return Path.home() / "Library" / "Caches" / "longodds"
        base = known.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache") / "longodds"
    except RuntimeError:
        raise UserError("no home directory to keep model files in; set LONGODDS_CACHE to a directory") from None
