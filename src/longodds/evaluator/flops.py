"""How many floating-point operations a call's products and convolutions make, by PyTorch's own formulas, and how many
operations it has done at all.

`torch.utils.flop_counter.FlopCounterMode` counts the same, and has PyTorch load its compiler for it, for seconds.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class Flops(TorchDispatchMode):
    """Of all that is called while this is on. counts: operation -> its floating-point operations. launches: operations
    that have something done, of which each is at least one kernel on a GPU: all but views and empty tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.launches = 0

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
        self.launches += _works(func)
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


def _works(operation: Any) -> bool:
    schema: Any = getattr(operation, "_schema", None)
    if schema is None:  # an operator that takes functions
        return True
    if schema.name.split("::")[-1].startswith(("empty", "new_empty")):
        return False
    return not schema.returns or not all(r.alias_info and not r.alias_info.is_write for r in schema.returns)
