"""The real embedded model, where it has been fetched: exactness, identity of samples, speed against `generate`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from longodds.environment import read_environment
from longodds.policy import OpenOptions, embedded_directory, open_policy, weights_digest
from longodds.policy.conversion import check_round_trip
from longodds.policy.embedded import read_base_record
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from longodds.policy.hf import HFPolicy

DIRECTORY = embedded_directory(read_environment().cache_dir)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        read_base_record(DIRECTORY) is None, reason="no embedded model here; get it: longodds model fetch embedded"
    ),
]

SHOT = """class Model(nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, x, w):
        y = torch.zeros(x.shape[0], w.shape[1])
        for i in range(x.shape[0]):
            y[i] = x[i] @ w
        return y


class ModelNew(nn.Module):
    def forward(self, x, w):
        return x @ w


"""
HEAD = "class Model(nn.Module):\n    def forward(self, x):\n        return x / x.sum(dim=1, keepdim=True)\n\n\n"
PROMPT = Prompt(
    text=SHOT * 5 + HEAD + "class ModelNew(nn.Module):\n    def forward(self, x):\n       ", stop_regex=r"\n {0,7}\S"
)


@pytest.fixture(scope="module")
def raw() -> Iterator[HFPolicy]:
    policy = open_policy("embedded:raw", OpenOptions(dtype="fp32", threads=1))
    yield policy
    policy.close()


def test_the_record_is_of_these_weights(raw: HFPolicy) -> None:
    record = read_base_record(DIRECTORY)
    assert record is not None
    assert record["base_sha256"] == weights_digest(DIRECTORY) == raw.base_sha256
    assert raw.parameters == 134_515_008


def test_the_tokenizer_keeps_code(raw: HFPolicy) -> None:
    check_round_trip(raw.tokenizer)
    # why a completion prompt ends on 7 blanks: the eighth belongs to the next word's token
    assert len(raw.tokenizer(" return")["input_ids"]) == 1
    assert len(raw.encode(Prompt(text=" " * 7 + " return"))) == 2
    ids = raw.encode(PROMPT)
    assert raw.tokenizer.decode(ids) == PROMPT.text
    assert raw.encode(Prompt(text="x"))[0] not in raw.stop_ids, "no token is put before the text"


def test_log_probabilities_equal_a_plain_pass(raw: HFPolicy) -> None:
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_pretrained(
        str(DIRECTORY), dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    ids = raw.encode(PROMPT)
    for c in raw.sample(PROMPT, SamplingParams(temperature=0.8, max_tokens=40), SampleKey(0, "t", (0, 1, 2, 3))):
        row = list(c.token_ids)
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids + row])).logits[0, len(ids) - 1 : -1].float()
        plain = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(row)[:, None])[:, 0].tolist()
        assert list(c.logprobs) == pytest.approx(plain, abs=1e-4)
        # a sample is a body: it ends before the first line that is indented less than it
        assert all(not line.strip() or line.startswith(" " * 8) for line in c.text.split("\n")[1:])


def test_samples_are_identical_however_batched(raw: HFPolicy) -> None:
    params = SamplingParams(temperature=0.8, max_tokens=24)
    together = raw.sample(PROMPT, params, SampleKey(3, "t", tuple(range(8))))
    alone = [raw.sample(PROMPT, params, SampleKey(3, "t", (i,)))[0] for i in range(8)]
    assert [c.token_ids for c in together] == [c.token_ids for c in alone]
    assert together == alone


@pytest.mark.timeout(1200)
def test_sharing_the_prompt_beats_generate(raw: HFPolicy) -> None:
    """16 rows of 24 tokens from a prompt of more than 500 tokens: at least twice `generate`'s tokens per second.

    Measured ratios are 3 and more; the bound leaves room for a noisy machine.
    """
    from transformers import AutoModelForCausalLM

    k, new = 16, 24
    model: Any = AutoModelForCausalLM.from_pretrained(
        str(DIRECTORY), dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    prompt = Prompt(text=f"# not read before\n{PROMPT.text}")
    ids = torch.tensor([raw.encode(prompt)])
    assert ids.shape[1] > 500
    start = time.perf_counter()
    done = raw.sample(prompt, SamplingParams(0.8, new), SampleKey(0, "t", tuple(range(k))))
    ours = sum(len(c.token_ids) for c in done) / (time.perf_counter() - start)
    start = time.perf_counter()
    with torch.no_grad():
        out = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=0.8,
            top_k=0,
            num_return_sequences=k,
            max_new_tokens=new,
            min_new_tokens=new,
        )
    theirs = out[:, ids.shape[1] :].numel() / (time.perf_counter() - start)
    assert ours > 2 * theirs, f"{ours:.1f} tokens/s, generate {theirs:.1f}"
