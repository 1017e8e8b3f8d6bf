"""Best-of-N through the real command line, a real (tiny, random) model and the real evaluator; killed and resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from cli_runner import SRC, longodds, restore_interrupts
from tiny_model import PROBLEM

from longodds.store import RunDir
from longodds.types import Status

pytestmark = pytest.mark.slow

FLAGS = ["--suite", "dir:problems", "--k", "8", "--seed", "0", "--max-tokens", "12"]


def save_tiny_model(directory: Path) -> Path:
    """A random Llama of two layers over bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.save_pretrained(str(directory))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        bos_token_id=None,
        eos_token_id=len(fast) - 1,
        pad_token_id=len(fast) - 1,
        initializer_range=0.3,
    )
    LlamaForCausalLM(config).save_pretrained(str(directory))
    return directory


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("real")
    (root / "problems").mkdir()
    for n in range(4):
        (root / "problems" / f"shifted_sine_{n}.py").write_text(PROBLEM.format(n=n))
    save_tiny_model(root / "tiny")
    return root


def command(run: str, size: str = "4") -> list[str]:
    return ["best-of-n", run, *FLAGS, "--policy", "hf:tiny", "--dtype", "fp32", "--batch-size", size]


def test_killed_in_the_middle_and_repeated(place):
    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    verdicts = place / "killed" / "verdicts.jsonl"
    p = subprocess.Popen([sys.executable, "-m", "longodds", *command("killed")], cwd=place, env=env)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None:
        if verdicts.exists() and verdicts.read_bytes().count(b"\n") >= 10:
            break
        time.sleep(0.02)
    p.send_signal(signal.SIGKILL)
    assert p.wait() == -signal.SIGKILL, "it was still running"
    before = {s.sample_id: s.verdict for s in RunDir.open(place / "killed").samples() if s.verdict is not None}
    assert 10 <= len(before) < 32

    done = longodds(*command("killed"), "--json", cwd=place, timeout=280)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["samples"], document["complete"]) == (32, True)
    run = RunDir.open(place / "killed")
    samples = run.samples()
    rows = (place / "killed" / "samples.jsonl").read_text().splitlines()
    assert len(rows) == 32 == len({json.loads(r)["sample_id"] for r in rows})
    assert set(Counter(s.task_id for s in samples).values()) == {8}
    assert all(s.verdict is not None and s.verdict.status is not Status.INFRA_ERROR for s in samples)
    after = {s.sample_id: s.verdict for s in samples}
    assert before.items() <= after.items(), "finished verdicts are kept"
    assert all(len(s.completion.logprobs) == len(s.completion.token_ids) > 0 for s in samples)
    assert len(run.metrics()) == 4

    began = time.monotonic()
    again = longodds(*command("killed"), "--json", cwd=place)
    assert again.returncode == 0
    assert time.monotonic() - began < 20, "a finished run loads no model"
    assert json.loads(again.stdout)["statuses"] == document["statuses"]
    assert (place / "killed" / "samples.jsonl").read_text().splitlines() == rows


def test_ctrl_c_leaves_a_run_that_goes_on(place):
    env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
    samples = place / "stopped" / "samples.jsonl"
    argv = [sys.executable, "-m", "longodds", *command("stopped"), "--time", "none"]
    p = subprocess.Popen(argv, cwd=place, env=env, stderr=subprocess.PIPE, text=True, preexec_fn=restore_interrupts)
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and p.poll() is None:
        if samples.exists() and samples.read_bytes().count(b"\n") >= 8:
            break
        time.sleep(0.02)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    assert p.returncode == 130, err
    assert "Traceback" not in err
    assert (place / "stopped" / "cost.json").exists()
    done = longodds(*command("stopped"), "--time", "none", "--json", cwd=place, timeout=280)
    assert json.loads(done.stdout)["complete"] is True
    other = longodds(*command("stopped"), cwd=place)
    assert other.returncode == 2
    assert 'time ("none", now "all")' in other.stderr


def test_the_same_seed_gives_the_same_samples_in_another_run(place):
    for run, size in (("first", "8"), ("second", "3")):
        done = longodds(*command(run, size), "--max-tasks", "1", "--time", "none", cwd=place, timeout=280)
        assert done.returncode == 0, done.stderr
    first, second = (
        {s.sample_id: s.completion.token_ids for s in RunDir.open(place / r).samples()} for r in ("first", "second")
    )
    assert first == second
