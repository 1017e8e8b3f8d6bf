"""Blocks of a task at work that are made once: contents of timed calls, and where outputs are copied to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from longodds.evaluator.tree import Leaf


class Bank:
    """most: bytes of contents that are kept."""

    def __init__(self) -> None:
        self.most = 0
        self._contents: list[torch.Tensor] = []
        self._outputs: list[torch.Tensor] = []

    def contents(self, number: int, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Block `number`, kept while there is room: numbers are first asked for in their order."""
        if number < len(self._contents):
            return self._contents[number]
        block = make()
        if number == len(self._contents) and (number + 1) * block.nbytes <= self.most:
            self._contents.append(block)
        return block

    def outputs(self, leaves: Sequence[Leaf], device: str) -> list[torch.Tensor]:
        """A uint8 block for each leaf, for answers of whatever process."""
        if not self._outputs:
            sizes = [max(leaf.nbytes, 1) for leaf in leaves]
            self._outputs += [torch.zeros(n, dtype=torch.uint8, device=device) for n in sizes]
        return self._outputs

    def clear(self) -> None:
        """Give it all back; what is asked for again is made again."""
        self._contents.clear()
        self._outputs.clear()
