"""Operations are counted as PyTorch counts them, without its compiler."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from longodds.evaluator.flops import Flops

X = torch.ones(2, 4, 8, 8)


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda: torch.ones(3, 4) @ torch.ones(4, 5),
        lambda: torch.einsum("bij,bjk->bik", torch.ones(2, 3, 4), torch.ones(2, 4, 5)),
        lambda: nn.Linear(8, 3)(X),
        lambda: nn.Conv2d(4, 6, 3, padding=1)(X).softmax(1),
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2)(X),
        lambda: nn.functional.scaled_dot_product_attention(X, X, X),
        lambda: nn.LSTM(8, 5, batch_first=True)(X[0]),
        lambda: nn.LayerNorm(8)(X).relu().sum(),
    ],
)
def test_the_same_is_counted_as_by_pytorch(call, inference: bool) -> None:
    with torch.inference_mode(inference), torch.no_grad():
        with FlopCounterMode(display=False) as theirs:
            call()
        with Flops() as ours:
            call()
    convolved = sum(n for op, n in theirs.get_flop_counts().get("Global", {}).items() if "convolution" in str(op))
    assert (ours.total, ours.convolved) == (theirs.get_total_flops(), convolved)


@pytest.mark.parametrize(
    ("call", "launches"),
    [
        (lambda: X.softmax(-1), 1),
        (lambda: X.view(-1).unsqueeze(0).transpose(0, 1)[3:], 0),
        (lambda: torch.empty(3).add_(1).mul(2), 2),
        (lambda: (X - X.amax(-1, keepdim=True)).exp() / X.sum(), 5),
    ],
)
def test_what_is_done_is_counted_and_what_is_only_looked_at_is_not(call, launches: int) -> None:
    with torch.no_grad(), Flops() as counter:
        call()
    assert counter.launches == launches


def test_counting_loads_no_compiler() -> None:
    code = (
        "import sys, torch\nfrom longodds.evaluator.flops import Flops\n"
        "with Flops() as f: torch.ones(4, 4) @ torch.ones(4, 4)\n"
        "assert f.total == 128\nprint('torch._dynamo' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
