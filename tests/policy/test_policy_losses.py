"""The losses against sums written out token by token, and their gradients against the formulas' derivatives."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch

from longodds.learning import Datum, Loss
from longodds.policy.losses import check_data, token_losses

DATA = [
    Datum((1,), (5, 6, 7), logprobs=(-1.0, -0.2, -3.0), advantages=(1.0, -2.0, 0.5), weights=(1.0, 0.0, 2.0)),
    Datum((1, 2), (9, 4), logprobs=(-0.5, -2.0), advantages=(-1.0, 0.0), weights=(0.5, 1.0)),
]
NOW = (-0.4, -0.25, -3.4, -0.9, -1.0)


def by_hand(loss: str, now: float, then: float, a: float, w: float, low: float, high: float) -> tuple[float, float]:
    """(loss of a token, its derivative by the log-probability)."""
    r = math.exp(now - then)
    clipped = min(max(r, low), high)
    if loss == "cross_entropy":
        return -w * now, -w
    if loss == "importance_sampling":
        return -r * a, -r * a
    if loss == "ppo":
        return (-r * a, -r * a) if r * a <= clipped * a else (-clipped * a, 0.0)
    return -clipped * a * now, -clipped * a


@pytest.mark.parametrize("config", [None, {"clip_low_threshold": 0.5, "clip_high_threshold": 1.05}])
@pytest.mark.parametrize("loss", get_args(Loss))
def test_losses_and_gradients(loss: Loss, config: dict[str, float] | None) -> None:
    if config and loss not in ("ppo", "cispo"):
        with pytest.raises(ValueError, match="no setting"):
            check_data(DATA, loss, config)
        return
    check_data(DATA, loss, config)
    now = torch.tensor(NOW, dtype=torch.float64, requires_grad=True)
    losses = token_losses(loss, now, DATA, config)
    losses.sum().backward()
    low, high = (config or {}).get("clip_low_threshold", 0.8), (config or {}).get("clip_high_threshold", 1.2)
    flat = [
        (lp, a, w) for d in DATA for lp, a, w in zip(d.logprobs or (), d.advantages or (), d.weights or (), strict=True)
    ]
    expected = [by_hand(loss, n, lp, a, w, low, high) for n, (lp, a, w) in zip(NOW, flat, strict=True)]
    assert losses.tolist() == pytest.approx([e[0] for e in expected], abs=1e-12)
    assert now.grad is not None
    assert now.grad.tolist() == pytest.approx([e[1] for e in expected], abs=1e-12)


def test_missing_weights_are_ones() -> None:
    plain = [Datum((1,), (2, 3))]
    losses = token_losses("cross_entropy", torch.tensor([-1.0, -2.0]), plain)
    assert losses.tolist() == [1.0, 2.0]


def test_data_without_what_a_loss_needs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"datum 0.*logprobs"):
        check_data([Datum((1,), (2,))], "ppo", None)
    with pytest.raises(ValueError, match="unknown"):
        check_data(DATA, "dro", None)
    with pytest.raises(ValueError, match="2 numbers for 1"):
        Datum((1,), (2,), advantages=(1.0, 2.0))
    with pytest.raises(ValueError, match="at least one"):
        Datum((), (2,))
