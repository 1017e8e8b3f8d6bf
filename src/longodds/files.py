"""Files that settings come from, as they are: TOML recipes and `.env`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from longodds.errors import UserError


def read_toml(path: Path | str) -> dict[str, Any]:
    """A TOML file as it is; `recipes/NAME.toml` names one of longodds' own where there is no such file.

    Raises UserError for one that cannot be read or is no TOML.
    """
    path = Path(path)
    try:
        return tomllib.loads(_or_own(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        own = ", ".join(p.stem for p in sorted(_own_recipes().glob("*.toml")))
        raise UserError(f"{path}: no such recipe; those of longodds, as recipes/NAME.toml: {own}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a directory; --config takes a TOML file") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text") from None
    except tomllib.TOMLDecodeError as e:
        raise UserError(f"{path}: not TOML: {e}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply") from None


def _or_own(path: Path) -> Path:
    own = _own_recipes() / path.name
    return own if path.parent == Path("recipes") and not path.exists() and own.is_file() else path


def _own_recipes() -> Path:
    package = Path(__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parents[1] / "recipes"  # as in a checkout


def read_dotenv(path: Path) -> dict[str, str]:
    """`NAME=value` lines of a `.env` file: comments, `export `, single and double quotes; nothing is expanded."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}  # absent or unreadable: the environment alone counts
    found: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$", line)
        if match is None:
            continue
        name, value = match.groups()
        quoted = re.match(r"""(["'])(.*?)\1\s*(?:#.*)?$""", value)
        found[name] = quoted.group(2) if quoted else re.sub(r"(^|\s)#.*$", "", value).rstrip()
    return found
