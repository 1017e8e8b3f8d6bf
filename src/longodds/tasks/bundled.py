"""The bundled suite `cpu`: which problems there are, their families, and which half a policy may be trained on.

The rule of the split: the families of `EVAL_ONLY_FAMILIES` are eval, whole. Of all other problems together, ordered
by sha256 of their name, the first N // 2 are train, where N counts the whole suite; the rest are eval. So half of the
suite is train, chosen by nobody, and at least five families are never trained on.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from longodds.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SUITE_DIR = Path(__file__).parent / "cpu"
EVAL_ONLY_FAMILIES = frozenset({"attention", "convolution", "pooling", "pairwise", "small_networks"})


def problem_files(root: Path = SUITE_DIR) -> dict[str, Path]:
    """Problem name -> file (`<family>/<name>.py`), sorted by name. Raises UserError when two files share a name."""
    found: dict[str, Path] = {}
    for path in sorted(root.glob("*/*.py"), key=lambda p: (p.stem, p.parent.name)):
        if path.name.startswith("_"):
            continue
        if path.stem in found:
            raise UserError(f"{path}: the name {path.stem} is taken by {found[path.stem]}; names in a suite are unique")
        found[path.stem] = path
    return found


def train_names(families: Mapping[str, str]) -> frozenset[str]:
    """Names of the train problems by the rule above; `families` maps every name of the suite to its family."""
    open_names = [name for name, family in families.items() if family not in EVAL_ONLY_FAMILIES]
    return frozenset(sorted(open_names, key=_rank)[: len(families) // 2])


def problem_metadata(files: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """name -> {"name", "family", "split", "eval_only_family"} for the files of the whole suite."""
    families = {path.stem: path.parent.name for path in files}
    train = train_names(families)
    return {
        name: {
            "name": name,
            "family": family,
            "split": "train" if name in train else "eval",
            "eval_only_family": family in EVAL_ONLY_FAMILIES,
        }
        for name, family in families.items()
    }


def _rank(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
