"""One draw of a law: inputs and what is expected of them; of a task too large to keep all, made when asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Made:
    """inputs: flat uint8 block; expected: one tensor per output leaf, in yardstick precision; left: of each input leaf
    that the reference changes, what it leaves there."""

    inputs: torch.Tensor
    expected: tuple[torch.Tensor, ...]
    left: tuple[torch.Tensor, ...] = ()


class Draw:
    """Inputs of one draw of a law and what is expected of them. made: what it is, if it is kept; make: makes it, the
    same each time."""

    def __init__(self, law: str, seed: int, make: Callable[[], Made], made: Made | None = None) -> None:
        self.law, self.seed = law, seed
        self._make, self._made, self.kept = make, made, made is not None

    @property
    def _here(self) -> Made:
        if self._made is None:
            self._made = self._make()
        return self._made

    @property
    def inputs(self) -> torch.Tensor:
        return self._here.inputs

    @property
    def expected(self) -> tuple[torch.Tensor, ...]:
        return self._here.expected

    @property
    def left(self) -> tuple[torch.Tensor, ...]:
        return self._here.left

    @property
    def nbytes(self) -> int:
        """Of what is here at the moment."""
        made = self._made
        return 0 if made is None else sum(t.nbytes for t in (made.inputs, *made.expected, *made.left))

    def forget(self) -> None:
        """Whoever used it is done with it: its memory is given back, unless it is kept."""
        if not self.kept:
            self._made = None
