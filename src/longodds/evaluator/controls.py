"""Programs of known speed for the A/A control: the unchanged program in other words, the reference slowed down."""

from __future__ import annotations

import ast
import random
from dataclasses import replace

from longodds.types import Task, digest_text

# The class stays the reference's own: its constructor may say `super(Model, self)`.
_SPIN = """
import time as _time

_quick = Model.forward


def _slow(self, *inputs):
    start = _time.perf_counter_ns()
    out = _quick(self, *inputs)
    now = _time.perf_counter_ns()
    end = now + SHARE * (now - start)
    while _time.perf_counter_ns() < end:
        pass
    return out


Model.forward = _slow
"""
# A kernel that only waits, behind those of the call. How long it must wait is found in the second call, which is made
# with nothing beside it: answers of several calls are timed, as the evaluator does it, queued and on inputs that are in
# no cache, with the wait and without it by turns, until it adds what it should. Not until they take what they should:
# of large inputs a GPU's own speed changes by a percent within a second.
_SPIN_GPU = """
from statistics import median as _median

import torch as _torch
from torch.utils import _pytree

_quick = Model.forward
Model._asked = Model._cycles = 0


def _slow(self, *inputs):
    self._asked += 1
    if self._asked == 2:
        self._cycles = _find(self, inputs)
        _torch.cuda.empty_cache()
    out = _quick(self, *inputs)
    if self._cycles:
        _torch.cuda._sleep(self._cycles)
    return out


def _find(self, inputs):
    cache = _torch.cuda.get_device_properties(0).L2_cache_size
    size = sum(x.nbytes for x in _pytree.tree_leaves(inputs) if isinstance(x, _torch.Tensor))
    copies = max(1, min(64, 2 * cache // max(size, 1)))
    own = lambda x: x.clone() if isinstance(x, _torch.Tensor) else x
    ring = [_pytree.tree_map(own, inputs) for _ in range(copies)]

    def took(cycles, calls):
        start, end = (_torch.cuda.Event(enable_timing=True) for _ in range(2))
        _torch.cuda._sleep(4_000_000)
        start.record()
        for i in range(calls):
            _quick(self, *ring[i % copies])
            if cycles:
                _torch.cuda._sleep(cycles)
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / calls

    def more(cycles):
        return _median(took(cycles, calls) - took(0, calls) for _ in range(9))

    usual = _median(took(0, 1) for _ in range(9))
    calls = max(1, min(copies if copies > 1 else 8, int(1.5 / max(usual, 1e-3))))
    wanted = SHARE * _median(took(0, calls) for _ in range(9))
    cycles = int(wanted * 1.7e6)
    for _ in range(4):
        cycles = max(1, cycles + int((wanted - more(cycles)) * 1.7e6))
    return cycles


Model.forward = _slow
"""


def reworded(task: Task, number: int) -> str:
    """The unchanged program in other words: inert names and constants, so that no two texts or digests are equal."""
    tree = ast.parse(task.reference)
    rng = random.Random(number)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            spare = ast.parse(f"unused_{number} = {rng.randrange(1 << 30)}").body
            node.body = [*spare, *node.body]
    body = ast.unparse(tree)
    return f"VARIANT = {number}\n{body}\n\nclass ModelNew(Model):\n    pass\n"


def slowed(task: Task, share: float, device: str = "cpu") -> Task:
    """The task with a reference that spins after each call for `share` of what the call took; on a GPU for `share` of
    what its calls usually take."""
    spin = _SPIN_GPU if device == "cuda" else _SPIN
    source = f"{task.reference}\n{spin.replace('SHARE', repr(share))}"
    return replace(task, reference=source, digest=digest_text(source))
