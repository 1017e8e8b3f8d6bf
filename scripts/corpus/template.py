"""What an idiom is: ways people write a computation, and faster ways to write it.

Idioms live in text files beside this module, one block each:

    [name] X-SHAPE -> OUT-SHAPE  HOLE=kind ... option=value ...
    ? a way people write it first     (indented lines continue it; the last line is the value)
    ! a faster way, the best first    (without any, `?` is all there is)

A template is Python text with upper-case holes: `X` is the value so far; `D` is one of its dimensions; the rest are
declared.

Shapes are strings of letters, one a dimension (repeated letters are equal sizes): `BC` wants exactly two, `*C` any
number and names the last, `*` anything, `**` anything and takes no D. A letter may carry a suffix: `M1` is one less,
`c2` an even size, `c2/2` its half. OUT-SHAPE also knows `-D` (D removed), `-` (a scalar) and `*` (as X).

Holes, numbers: `s` scale, `o` offset, `e` small epsilon, `e2` larger one, `t` temperature, `f` fraction, `f9` near
one, `f1` small fraction, `f3` between 2.5 and 3.7, `lo`/`hi` bounds, `big` large negative number, `k:LO-HI` integer,
`g:C` a divisor of C, `size:K` the size of a dimension. Inputs: `I:shape` any, `U:` non-negative, `S:` signs, `bin:`
zeros and ones, `prob:` rows that sum to one, `T:`/`T2:` lower/upper triangular, `M:` Boolean, `G:shape<C` integers
below C, `perm:M` a permutation. State: `P:` parameter, `Q:` positive, `Q01:` in (0, 1), `R:` buffer, `V:` positive
buffer, `sorted:k` increasing buffer, `BD:C`/`KD:C` blocks for `g:C`, `L:in>out` linear layer, `L:in>out-` without
bias.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

IDIOM_DIR = Path(__file__).parent / "idioms"
FAMILIES = (
    "elementwise",
    "reductions",
    "norms",
    "softmax",
    "structured_matmul",
    "matmul_chain",
    "scans",
    "losses",
    "indexing",
)
_HEAD = re.compile(r"\[(\w+)\] (\S+) -> (\S+)(.*)")


@dataclass(frozen=True)
class Idiom:
    """One computation. refs: ways to write it first; fast: better ways, the best first.

    law: what X is when it is an input. sizes: real sizes of dimension letters. pre, post: whether other idioms may
    come before and after.
    """

    name: str
    family: str
    x: str
    out: str
    refs: tuple[str, ...]
    fast: tuple[str, ...]
    holes: dict[str, str]
    law: str = "any"
    weight: float = 1.0
    sizes: dict[str, tuple[int, ...]] | None = None
    pre: bool = True
    post: bool = True


def load_idioms(family: str, directory: Path = IDIOM_DIR) -> list[Idiom]:
    """The idioms of a family, in the order of its file. ValueError names the line that can't be read."""
    idioms: list[Idiom] = []
    path = directory / f"{family}.txt"
    head: re.Match[str] | None = None
    blocks: list[tuple[str, str]] = []
    for number, line in enumerate([*path.read_text().splitlines(), "[end] * -> *"], 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _HEAD.fullmatch(line)
        if found:
            if head is not None:
                idioms.append(_idiom(family, head, blocks))
            head, blocks = found, []
        elif line[:2] in ("? ", "! ") and head is not None:
            blocks.append((line[0], line[2:]))
        elif line.startswith("  ") and blocks:
            blocks[-1] = (blocks[-1][0], blocks[-1][1] + "\n" + line[2:])
        else:
            raise ValueError(f"{path}:{number}: can't read '{line}'")
    return idioms


def _idiom(family: str, head: re.Match[str], blocks: list[tuple[str, str]]) -> Idiom:
    name, x, out, options = head.groups()
    holes: dict[str, str] = {}
    known: dict[str, str] = {}
    for option in options.split():
        key, _, value = option.partition("=")
        (known if key in ("law", "weight", "sizes", "pre", "post") else holes)[key] = value
    sizes = {
        letter: tuple(int(v) for v in values.split(","))
        for letter, _, values in (part.partition(":") for part in known.get("sizes", "").split(";") if part)
    }
    return Idiom(
        name,
        family,
        x,
        out,
        tuple(text for mark, text in blocks if mark == "?"),
        tuple(text for mark, text in blocks if mark == "!"),
        holes,
        law=known.get("law", "any"),
        weight=float(known.get("weight", 1)),
        sizes=sizes,
        pre=known.get("pre") != "no",
        post=known.get("post") != "no",
    )


_TOKEN = re.compile(r"[A-Za-z](?:\d(?:/2)?)?|\*")


def shape_letters(shape: str) -> list[str]:
    """`*C` -> ['*', 'C'], `BN1` -> ['B', 'N1'], `-` -> []."""
    return [] if shape in ("-", "-D") else _TOKEN.findall(shape)
