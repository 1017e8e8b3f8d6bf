"""Asking for a GPU where there is none."""

from __future__ import annotations

import pytest
import torch

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_here_is_one_clear_line() -> None:
    with pytest.raises(UserError, match=r"--device cuda: no GPU .* use --device cpu"):
        open_evaluator(EvaluatorSettings(device="cuda"))


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UserError, match="--device tpu"):
        open_evaluator(EvaluatorSettings(device="tpu"))
