"""Programs of known speed for the A/A control: the unchanged program in other words, the reference slowed down."""

from __future__ import annotations

import ast
import random
from dataclasses import replace

from longodds.types import Task, digest_text


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


def slowed(task: Task, share: float) -> Task:
    """The task with a reference that spins after each call for `share` of what the call took."""
    source = (
        f"{task.reference}\n\nimport time as _time\n\n_Quick = Model\n\n\nclass Model(_Quick):\n"
        "    def forward(self, *inputs):\n        start = _time.perf_counter_ns()\n"
        "        out = super().forward(*inputs)\n        now = _time.perf_counter_ns()\n"
        f"        end = now + {share!r} * (now - start)\n"
        "        while _time.perf_counter_ns() < end:\n            pass\n        return out\n"
    )
    return replace(task, reference=source, digest=digest_text(source))
