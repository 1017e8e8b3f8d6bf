"""Two small problems, and a real model that has learnt to write right and wrong programs for them."""

from __future__ import annotations

import json
from pathlib import Path

from longodds.tasks.splits import split_hash
from longodds.types import Status, Verdict

PROBLEM = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        return x.sin() + {n}


def get_inputs():
    return [torch.randn(64, 100)]


def get_init_inputs():
    return []
"""
BODIES = (" return x.sin() + {n}\n\n", " return x.cos() + {n}\n\n")  # one right, one wrong


def teach(directory: Path, texts: list[tuple[str, str]], steps: int = 150) -> None:
    """Write a Llama of two layers over bytes that has learnt by heart to answer each prompt."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    torch.manual_seed(0)
    size = len(fast)
    shape = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
    ends = {"bos_token_id": None, "eos_token_id": size - 1, "pad_token_id": size - 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=size, max_position_embeddings=4096, **shape, **ends))
    rows = [(fast(prompt)["input_ids"], [*fast(body)["input_ids"], size - 1]) for prompt, body in texts]
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        optimiser.zero_grad()
        total = 0.0
        for prompt, body in rows:
            ids = torch.tensor([[*prompt, *body]])
            labels = torch.tensor([[*[-100] * len(prompt), *body]])
            loss = model(input_ids=ids, labels=labels).loss
            (loss / len(rows)).backward()
            total += float(loss.detach()) / len(rows)
        optimiser.step()
        if total < 0.01:
            break
    model.save_pretrained(str(directory))
    fast.save_pretrained(str(directory))


def lessons(problems: Path) -> list[tuple[str, str]]:
    """Either body of each problem, and the right one where it is told, as a teacher is, what came of an attempt."""
    from longodds.prompts import build_prompt, feedback, teacher_prompt, written_code
    from longodds.tasks import load_suite

    texts: list[tuple[str, str]] = []
    for number, task in enumerate(load_suite(f"dir:{problems}")):
        asked = build_prompt(task, "forward-body", "completion")
        right, wrong = (body.format(n=number) for body in BODIES)
        texts += [(asked.text or "", right), (asked.text or "", wrong)]
        solution = written_code(right, task, "forward-body")
        failed = Verdict(task.id, Status.INCORRECT, message="0.9 of 1: 6391 of 6400 elements differ, allowed 0")
        told = [teacher_prompt(task, asked, feedback=feedback(failed), solution=s) for s in (solution, None)]
        told.append(teacher_prompt(task, asked, feedback=feedback(Verdict(task.id, Status.CORRECT))))
        texts += [(prompt.text or "", right) for prompt in told]
    return texts


def make_place(root: Path) -> None:
    """`problems`, `tiny` and a split for each command, in a folder."""
    (root / "problems").mkdir()
    for n in range(2):
        (root / "problems" / f"shifted_sine_{n}.py").write_text(PROBLEM.format(n=n))
    teach(root / "tiny", lessons(root / "problems"), steps=120)
    for name in ("ttt", "sdpo"):
        write_split(root / f"{name}.json", train=[], held_out=["shifted_sine_0", "shifted_sine_1"])
    write_split(root / "rlvr.json", train=["shifted_sine_0"], held_out=["shifted_sine_1"])


def write_split(path: Path, *, train: list[str], held_out: list[str]) -> None:
    ids = {"train": train, "eval": held_out}
    document = {"version": 1, "level": "dir:problems", "seed": 0, "problem_ids": ids}
    path.write_text(json.dumps(document | {"split_hash": split_hash(document)}))
