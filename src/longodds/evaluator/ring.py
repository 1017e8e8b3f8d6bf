"""The ring of input slots that a child has: calls of one batch read a slot each, all written before it."""

from __future__ import annotations

from longodds.evaluator import frames
from longodds.evaluator.problem import Problem

_SLOTS, _BYTES, _PAGE = 64, 128 << 20, 4096
_SLOTS_GPU, _SHARE_GPU = 256, 1 / 16  # of the GPU's memory


def stride(problem: Problem) -> int:
    """Bytes from one input slot to the next."""
    return -(-problem.input_bytes // _PAGE) * _PAGE


def slots(problem: Problem) -> int:
    """Slots of the ring: as many as memory (inputs and kept outputs) and an answer's size allow."""
    each = stride(problem) + sum(leaf.nbytes for leaf in problem.output_leaves)
    addresses = frames.MAX_LEAVES // max(len(problem.output_leaves), 1)
    most, room = _SLOTS, _BYTES
    if problem.on_gpu:
        most, room = _SLOTS_GPU, int(_SHARE_GPU * problem.device.total_bytes)
    return max(1, min(most, room // max(each, 1), addresses))
