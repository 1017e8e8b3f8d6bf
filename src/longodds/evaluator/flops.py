"""How many floating-point operations a call's products and convolutions make, by PyTorch's own formulas.

`torch.utils.flop_counter.FlopCounterMode` counts the same, and has PyTorch load its compiler for it, for seconds.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):
    """counts: operation -> its floating-point operations, of all that is called while this is on."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # that is what loads the compiler; where it is unknown, the compiler is loaded

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        packet: Any = getattr(func, "_overloadpacket", None)
        formula = flop_registry.get(packet)
        if formula is None and hasattr(func, "decompose"):
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if formula is not None:
            self.counts[str(packet)] += int(formula(*args, **kwargs, out_val=out))
        return out

    @property
    def total(self) -> int:
        return self.counts.total()

    @property
    def convolved(self) -> int:
        """Of convolutions alone."""
        return sum(n for operation, n in self.counts.items() if "convolution" in operation)
