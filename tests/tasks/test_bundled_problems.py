"""Each bundled problem: runs, repeats, fits in memory, can't be passed trivially; its gold program agrees with it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from longodds.tasks import EVAL_ONLY_FAMILIES, load_suite

torch = pytest.importorskip("torch")

GOLDS = Path(__file__).parents[1] / "golds"
TASKS = {task.metadata["name"]: task for task in load_suite("cpu")}
LIMIT_BYTES = 8.5e6
MARGIN = 2e-3  # relative; hundreds of times what fp32 rounding leaves, so that a tolerance can tell


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def execute(source: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "problem"}
    exec(compile(source, "<problem>", "exec"), scope)
    return scope


def leaves(value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, (list, tuple)) else []


def size(tensors: list[Any]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def relative_distance(a: Any, b: Any) -> float:
    """Mean absolute difference over the mean absolute value of `b`."""
    a, b = a.double(), b.double()
    return float((a - b).abs().mean() / b.abs().mean())


@pytest.mark.parametrize("name", TASKS)
def test_problem_and_its_gold(name):
    scope = execute(TASKS[name].reference)
    torch.manual_seed(0)
    with torch.no_grad():
        model = scope["Model"](*scope["get_init_inputs"]())
        inputs = scope["get_inputs"]()
        kept = [t.clone() for t in leaves(inputs)]
        outputs = leaves(model(*inputs))
        again = leaves(model(*inputs))
        torch.manual_seed(1)
        other = leaves(model(*scope["get_inputs"]()))
    assert size(kept) <= LIMIT_BYTES
    assert size(outputs) <= LIMIT_BYTES
    assert all(torch.equal(a, b) for a, b in zip(outputs, again, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(leaves(inputs), kept, strict=True))

    # A problem is degenerate when every one of its outputs is close to something trivial.
    worth = [t for t in outputs if t.numel()]
    assert all(torch.isfinite(t).all() for t in worth)
    trivial = {
        "ones": [torch.ones_like(t) for t in outputs],
        "mean": [t.double().mean().expand(t.shape) for t in outputs],
        "previous output": other,
    }
    assert all(t.double().abs().mean() > 1e-6 for t in worth)
    for kind, guesses in trivial.items():
        if kind == "mean" and all(t.numel() == 1 for t in worth):
            continue
        assert max(relative_distance(g, t) for g, t in zip(guesses, outputs, strict=True)) > MARGIN, kind
    for echo in leaves(inputs):
        same_shape = [relative_distance(echo, t) for t in outputs if t.shape == echo.shape]
        assert not same_shape or max(same_shape) > MARGIN

    path = GOLDS / f"{name}.py"
    if not path.exists():
        return
    gold = execute(path.read_text(encoding="utf-8"))["ModelNew"](*scope["get_init_inputs"]())
    with torch.no_grad():
        assert {k: v.shape for k, v in gold.state_dict().items()} == {k: v.shape for k, v in model.state_dict().items()}
        gold.load_state_dict(model.state_dict())
        answers = leaves(gold(*inputs))
    assert all(torch.equal(a, b) for a, b in zip(leaves(inputs), kept, strict=True))
    for got, want in zip(answers, outputs, strict=True):
        assert (got.dtype, got.shape) == (want.dtype, want.shape)
        scale = float(want.double().abs().max())
        tolerance = 1e-4 * scale if want.dtype.is_floating_point else 0.0
        assert float((got.double() - want.double()).abs().max()) <= tolerance


def test_every_gold_belongs_to_a_problem():
    golds = {path.stem for path in GOLDS.glob("*.py")}
    assert golds <= set(TASKS)
    assert len(golds) >= 0.6 * len(TASKS)


def test_the_suite_is_large_enough_and_half_train():
    splits = [task.metadata["split"] for task in TASKS.values()]
    assert len(splits) >= 80
    assert splits.count("train") == len(splits) // 2
    assert {task.metadata["family"] for task in TASKS.values()} >= EVAL_ONLY_FAMILIES
    seen = {task.metadata["family"] for task in TASKS.values() if task.metadata["split"] == "train"}
    assert not seen & EVAL_ONLY_FAMILIES


def test_no_two_problems_share_an_operation_chain():
    """Two problems whose `forward` is the same text up to white space would be one problem twice."""
    bodies: dict[str, str] = {}
    for name, task in TASKS.items():
        tree = ast.parse(task.reference)
        body = next(
            ast.unparse(item)
            for node in tree.body
            if isinstance(node, ast.ClassDef) and node.name == "Model"
            for item in node.body
            if isinstance(item, ast.FunctionDef) and item.name == "forward"
        )
        assert bodies.setdefault(body, name) == name
