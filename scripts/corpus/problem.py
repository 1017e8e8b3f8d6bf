"""A problem under construction: its inputs, attributes and sizes, and the idioms that make up its forward."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from random import Random

from scripts.corpus import names
from scripts.corpus.template import Idiom, shape_letters

# Sizes for the equality check: small, distinct, with divisors where groups and halves are taken.
_SMALL = {"B": 5, "N": 10, "C": 12, "H": 4, "W": 3, "M": 9, "K": 11, "O": 13, "R": 3, "G": 3, "b": 5, "n": 14, "c": 12}
_REAL_VECTOR = (65536, 100000, 131072, 200000, 262144, 500000)
_REAL_WIDE = (128, 192, 200, 256, 300, 320, 384, 400, 500, 512, 640, 768, 1000, 1024, 1536, 2048, 3000, 4096)
_REAL_MATRIX = (96, 128, 160, 192, 256, 300, 320, 384, 400, 512, 600, 640, 768)


@dataclass
class Dim:
    name: str
    real: int
    small: int


@dataclass
class Stage:
    """One idiom with everything in it decided but which of its texts is used."""

    idiom: Idiom
    holes: dict[str, ast.expr]
    d: int | None
    rank: int


@dataclass
class Problem:
    rng: Random
    dims: dict[str, Dim] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)
    inputs: list[tuple[str, str]] = field(default_factory=list)  # argument -> generator text
    init_args: list[tuple[str, str | None, str]] = field(
        default_factory=list
    )  # name, default, value in get_init_inputs
    init_lines: list[str] = field(default_factory=list)
    constants: dict[str, str] = field(default_factory=dict)  # module constants that are no sizes
    stages: list[Stage] = field(default_factory=list)
    families: set[str] = field(default_factory=set)
    letters: dict[str, str] = field(default_factory=dict)  # dimension letter -> key into dims
    shape: list[str] = field(default_factory=list)  # of the value so far: keys into dims, or '1'
    input_args: set[str] = field(default_factory=set)

    # --- sizes -----------------------------------------------------------------------------

    def dim(self, letter: str, idiom: Idiom | None = None, small: int | None = None) -> str:
        """The key of a dimension letter, made on first use."""
        if letter in self.letters:
            return self.letters[letter]
        key = names.dimension(self.rng, letter, self.taken)
        self.taken.add(key)
        sizes = (idiom.sizes or {}).get(letter) if idiom else None
        real = self.rng.choice(sizes) if sizes else self._real(letter)
        self.dims[key] = Dim(key, real, small or _SMALL.get(letter, 8))
        self.letters[letter] = key
        return key

    def _real(self, letter: str) -> int:
        rng = self.rng
        if letter in "HW":
            return rng.choice((16, 24, 28, 32, 40, 48))
        if letter in "RG":
            return rng.choice((4, 6, 8, 12, 16))
        if letter == "n":
            return rng.choice(_REAL_VECTOR)
        if letter in "MKO":
            return rng.choice(_REAL_MATRIX)
        return rng.choice(_REAL_WIDE)

    def shrink(self, limit: int = 1_500_000) -> None:
        """Halve the larger sizes until the value so far has a reasonable number of elements."""
        while self.count() > limit:
            key = max((k for k in self.shape if k in self.dims), key=lambda k: self.dims[k].real)
            self.dims[key].real = max(2, self.dims[key].real // 4 * 2)

    def count(self) -> int:
        total = 1
        for key in self.shape:
            total *= self.dims[key].real if key in self.dims else 1
        return total

    def size(self, token: str, idiom: Idiom) -> str:
        """Source text of one dimension token: a constant's name, less one, or half of it."""
        if token == "*":
            raise ValueError("a star is no single size")
        key = self.dim(token[0], idiom)
        if token.endswith("/2"):
            return f"{key} // 2"
        return f"{key} - {token[1]}" if token[1:] and token[0].isupper() else key

    def sizes(self, shape: str, idiom: Idiom) -> list[str]:
        texts: list[str] = []
        for token in shape_letters(shape):
            if token == "*":
                named = len([t for t in shape_letters(shape) if t != "*"])
                texts += self.shape[: len(self.shape) - named]
            elif shape.startswith("*") and token[0] in "Cc":
                key = self.shape[-1]
                texts.append(f"{key} // 2" if token.endswith("/2") else key)
            else:
                texts.append(self.size(token, idiom))
        if "#" in texts:
            raise ValueError(f"{idiom.name} needs a size that has no name")
        return texts

    # --- things that a module has -------------------------------------------------------------

    def add_input(self, role: str, text: str) -> ast.expr:
        name = names.argument(self.rng, role, self.taken)
        self.taken.add(name)
        self.input_args.add(name)
        self.inputs.append((name, text))
        return ast.Name(name, ast.Load())

    def add_scalar(self, kind: str, value: str) -> ast.expr:
        """A number: literal, attribute from an argument, attribute with a literal, or module constant."""
        rng = self.rng
        roll = rng.random()
        if roll < (0.15 if kind in ("e", "e2") else 0.4):
            return ast.parse(value, mode="eval").body
        attr = names.attribute(rng, kind, self.taken)
        self.taken.add(attr)
        if roll > 0.93:
            const = names.constant(rng, attr, self.taken)
            self.taken.add(const)
            self.constants[const] = value
            return ast.Name(const, ast.Load())
        self._scalar_attribute(attr, value)
        return ast.parse(f"self.{attr}", mode="eval").body

    def _scalar_attribute(self, attr: str, value: str) -> None:
        rng = self.rng
        if rng.random() < 0.2:
            self.init_lines.append(f"self.{attr} = {value}")
            return
        default = value if rng.random() < 0.45 else None
        given = value
        if rng.random() < 0.2:
            const = names.constant(rng, attr, self.taken)
            self.taken.add(const)
            self.constants[const] = value
            given = const
        self.init_args.append((attr, default, given))
        self.init_lines.append(f"self.{attr} = {attr}")

    def init_size(self, text: str) -> str:
        """A size inside `__init__`: the constant itself or an argument that carries it."""
        rng = self.rng
        if not text.isidentifier() or rng.random() < 0.35:
            return text
        for name, _, given in self.init_args:
            if given == text:
                return name
        pool = ["dim", "size", "features", "width", "channels", "in_features", "num_features", "hidden", "units", "n"]
        name = text.lower() if rng.random() < 0.5 else rng.choice(pool)
        if name in self.taken:
            return text
        self.taken.add(name)
        self.init_args.append((name, None, text))
        return name

    def add_tensor(self, kind: str, shape: list[str], fill: str) -> ast.expr:
        """A parameter (`P`) or buffer (`R`) of a shape, filled by a text in which `{}` stands for the shape."""
        named = "PM" if kind == "P" and len(shape) > 1 else kind
        attr = names.attribute(self.rng, named, self.taken)
        self.taken.add(attr)
        value = fill.format(", ".join(self.init_size(s) for s in shape))
        if kind == "P":
            self.init_lines.append(f"self.{attr} = nn.Parameter({value})")
        else:
            self.init_lines.append(f"self.register_buffer('{attr}', {value})")
        return ast.parse(f"self.{attr}", mode="eval").body

    def add_linear(self, spec: str, idiom: Idiom) -> ast.expr:
        attr = names.attribute(self.rng, "L", self.taken)
        self.taken.add(attr)
        inner, outer = spec.rstrip("-").split(">")
        sizes = [self.init_size(self.size(t, idiom)) for t in (inner, outer)]
        bias = ", bias=False" if spec.endswith("-") else ""
        self.init_lines.append(f"self.{attr} = nn.Linear({sizes[0]}, {sizes[1]}{bias})")
        return ast.parse(f"self.{attr}", mode="eval").body
