"""Five steps of learning on one tiny model give the same losses in this process and through a Tinker service, whose
losses, gradients and Adam are an implementation of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from loopback import SDK_LEAK
from loopback_tinker import LoopbackTinker
from reference_model import ReferenceModel
from tiny_models import make_adapter, save_llama

from longodds.learning import AdamParams, Datum
from longodds.policy import LoraOptions, OpenOptions, open_learner
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.learning import Learner, Loss

pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    SDK_LEAK,
]
STEPS = 5
PROMPTS = ("def forward(self, x):\n       ", "def forward(self, a, b):\n       ")


def round_of(learner: Learner, loss: Loss) -> list[Datum]:
    """Two groups of three completions, with advantages of both signs that differ from token to token."""
    policy, data = learner.snapshot(), []
    for text in PROMPTS:
        prompt = Prompt(text=text)
        drawn = policy.sample(prompt, SamplingParams(1.0, 6), SampleKey(7, text, (0, 1, 2)))
        for i, c in enumerate(drawn):
            values = tuple(1.0 - 0.8 * i + 0.1 * j for j in range(len(c.token_ids)))
            own = {"weights": values} if loss == "cross_entropy" else {"advantages": values}
            behaviour = None if loss == "cross_entropy" else c.sampling_logprobs
            data.append(Datum(tuple(policy.encode(prompt)), c.token_ids, logprobs=behaviour, **own))
    return data


@pytest.mark.parametrize("loss", ["cross_entropy", "importance_sampling", "ppo", "cispo"])
def test_five_steps_have_the_same_losses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loss: Loss) -> None:
    base = save_llama(tmp_path / "model")
    start = make_adapter(base, tmp_path / "start")
    adam = AdamParams(learning_rate=3e-3, grad_clip_norm=1.0)
    monkeypatch.setenv("TINKER_API_KEY", "tml-test")
    here = open_learner(f"hf:{base}+adapter={start}", OpenOptions(dtype="fp32", threads=1))
    with LoopbackTinker(ReferenceModel(base), mode="raw", start=start) as service:
        options = OpenOptions(base_url=service.url, tokenizer=str(base))
        there = open_learner(f"tinker:{service.name}", options, LoraOptions(rank=4))
        data = round_of(here, loss)
        losses: list[tuple[float, float]] = []
        for _ in range(STEPS):
            mine, theirs = (learner.train_step(data, loss, adam) for learner in (here, there))
            losses.append((mine.loss, theirs.loss))
            for a, b in zip(mine.logprobs, theirs.logprobs, strict=True):
                assert a == pytest.approx(b, abs=1e-4)
        there.close()
    here.close()
    assert [a for a, _ in losses] == pytest.approx([b for _, b in losses], abs=1e-4)
    assert len({round(a, 3) for a, _ in losses}) == STEPS, "every step changed something"
