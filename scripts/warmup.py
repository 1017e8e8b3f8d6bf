"""Supervised warm-up: train a LoRA adapter of the embedded base on the generated corpus, then see what it writes.

    python -m scripts.warmup --base MODEL_DIR --corpus corpus.jsonl --out adapter/ --device cuda --seconds 200

The loss is taken on the body and on the token that ends it, never on the prompt. A short pilot chooses the learning
rate by the loss on held-out instances; the number of steps follows from the time given and the measured speed. Held-out
means: whole references, chosen by a hash of their text. Afterwards the adapter, merged as in use, is
sampled on held-out instances and on the suite's train half, and every program is run on the CPU.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import torch
from scripts.corpus.scoring import score_corpus, score_suite, summarise

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
Row = dict[str, Any]


# --- data ----------------------------------------------------------------------------------------


def load_rows(path: Path) -> list[Row]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(line) for line in data.splitlines()]


def held_out(row: Row, share: float) -> bool:
    digest = hashlib.sha256(row["reference"].encode()).digest()
    return int.from_bytes(digest[:4], "big") / 2**32 < share


def encode(tokenizer: Any, rows: list[Row]) -> list[tuple[list[int], list[int]]]:
    """(prompt ids, body ids with the end token): encoded apart, as in sampling."""
    prompts = tokenizer([r["prompt"] for r in rows])["input_ids"]
    bodies = tokenizer([r["body"] for r in rows], add_special_tokens=False)["input_ids"]
    return [(p, [*b, tokenizer.eos_token_id]) for p, b in zip(prompts, bodies, strict=True)]


def batches(
    data: list[tuple[list[int], list[int]]], size: int, seed: int
) -> Iterator[list[tuple[list[int], list[int]]]]:
    """Endless batches of similar length, in random order, each example once an epoch."""
    rng = Random(seed)
    while True:
        order = sorted(
            range(len(data)), key=lambda i: (len(data[i][0]) + len(data[i][1])) // 16 * 1000 + rng.randrange(1000)
        )
        parts = [order[i : i + size] for i in range(0, len(order), size)]
        rng.shuffle(parts)
        for part in parts:
            if len(part) >= size // 2:
                yield [data[i] for i in part]


def body_loss(model: Any, batch: list[tuple[list[int], list[int]]], device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean loss (nats a token) over the bodies, and the share of body tokens that the model would choose itself.

    Padding is on the right and nothing attends to it, so no mask is needed; logits are computed for bodies only.
    """
    width = max(len(p) + len(b) for p, b in batch) - 1
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    where: list[torch.Tensor] = []
    wanted: list[int] = []
    for i, (p, b) in enumerate(batch):
        row = [*p, *b]
        ids[i, : len(row) - 1] = torch.tensor(row[:-1])
        where.append(i * width + torch.arange(len(p) - 1, len(row) - 1))
        wanted += b
    causal = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal.model(input_ids=ids.to(device), use_cache=False).last_hidden_state
    picked = hidden.reshape(-1, hidden.shape[-1])[torch.cat(where).to(device)]
    logits = causal.lm_head(picked).float()
    target = torch.tensor(wanted, device=device)
    return torch.nn.functional.cross_entropy(logits, target), (logits.argmax(-1) == target).float().mean()


# --- training --------------------------------------------------------------------------------------


def new_model(base: Path, device: str, rank: int, seed: int, init: Path | None = None) -> Any:
    """The frozen base with a fresh adapter, or with the one in `init` to go on from."""
    from peft import LoraConfig, PeftModel, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.bfloat16, attn_implementation="sdpa")
    if init is not None:
        model = PeftModel.from_pretrained(model, str(init), is_trainable=True)
    else:
        config = LoraConfig(
            r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules=TARGETS, bias="none", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, config)
    model = model.to(device)
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data.float()
    return model


def train(
    model: Any,
    data: list[tuple[list[int], list[int]]],
    *,
    steps: int,
    batch: int,
    lr: float,
    seed: int,
    device: str,
    note: Callable[[Row], None],
) -> float:
    """Trains for `steps`; returns seconds a step (the first five left out)."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=lr, weight_decay=0.0, betas=(0.9, 0.98))
    warm = max(2, min(40, steps // 10))
    source = batches(data, batch, seed)
    model.train()
    started = time.monotonic()
    for step in range(steps):
        if step == 5:
            _wait(device)
            started = time.monotonic()
        rate = lr * min(1.0, (step + 1) / warm) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16):
            loss, chosen = body_loss(model, next(source), device)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        if step % 25 == 0 or step == steps - 1:
            note(
                {"step": step, "loss": round(loss.item(), 4), "greedy_token_share": round(chosen.item(), 4), "lr": rate}
            )
    _wait(device)
    return (time.monotonic() - started) / max(1, steps - 5)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


@torch.no_grad()
def held_loss(model: Any, data: list[tuple[list[int], list[int]]], device: str, batch: int = 64) -> tuple[float, float]:
    model.eval()
    total = chosen = 0.0
    ordered = sorted(data, key=lambda pair: len(pair[0]) + len(pair[1]))
    parts = [ordered[i : i + batch] for i in range(0, len(ordered), batch)]
    for part in parts:
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16):
            loss, share = body_loss(model, part, device)
        total, chosen = total + loss.item() * len(part), chosen + share.item() * len(part)
    return total / len(data), chosen / len(data)


# --- sampling ------------------------------------------------------------------------------------


@torch.no_grad()
def sample(
    model: Any, tokenizer: Any, prompts: list[str], k: int, temperature: float, device: str, *, rows: int = 512
) -> list[list[str]]:
    """k continuations of each prompt (pure sampling, to the end token)."""
    tokenizer.padding_side = "left"
    results: list[list[str]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    per = max(1, rows // k)
    for start in range(0, len(order), per):
        part = order[start : start + per]
        inputs = tokenizer([prompts[i] for i in part], return_tensors="pt", padding=True).to(device)
        out = model.generate(
            **inputs,
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            max_new_tokens=200,
            num_return_sequences=k,
            pad_token_id=tokenizer.pad_token_id,
        )
        texts = tokenizer.batch_decode(out[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        for j, i in enumerate(part):
            results[i] = texts[j * k : (j + 1) * k]
    return results


def evaluate(model: Any, tokenizer: Any, rows: list[Row], args: argparse.Namespace, log: Row) -> None:
    """Samples and runs programs for held-out instances and for the suite's train half; fills `log`."""
    from longodds.prompts import build_prompt
    from longodds.tasks import load_suite

    rng = Random(1)
    unique = list({r["reference"]: r for r in rows}.values())
    chosen = rng.sample(unique, min(args.eval_instances, len(unique)))
    tasks = [t for t in load_suite("cpu") if t.metadata["split"] == "train"]
    prompts = [build_prompt(t).text or "" for t in tasks]
    log["samples"] = {}
    for temperature in args.temperatures:
        started = time.monotonic()
        texts = sample(model, tokenizer, [r["prompt"] for r in chosen], args.k, temperature, args.device)
        verdicts = score_corpus(chosen, texts, args.workers)
        log[f"held_out_T{temperature}"] = summarise([r["family"] for r in chosen], verdicts)
        print(
            "held out",
            temperature,
            log[f"held_out_T{temperature}"]["all"],
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        if args.suite_k:
            started = time.monotonic()
            texts = sample(model, tokenizer, prompts, args.suite_k, temperature, args.device)
            verdicts = score_suite([(t.id, t.reference) for t in tasks], texts, args.workers)
            log[f"suite_train_T{temperature}"] = summarise([str(t.metadata["family"]) for t in tasks], verdicts)
            log["samples"][str(temperature)] = {
                t.id: sorted(zip(v, x, strict=True)) for t, v, x in zip(tasks, verdicts, texts, strict=True)
            }
            print(
                "suite train",
                temperature,
                log[f"suite_train_T{temperature}"]["all"],
                f"{time.monotonic() - started:.0f} s",
                flush=True,
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True, help="model directory in Hugging Face format")
    parser.add_argument("--corpus", type=Path, required=True, help="JSON lines of make_corpus.py, may be gzipped")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--init", type=Path, help="an adapter to go on from")
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--lr", type=float, nargs="+", default=[1e-3], help="several: a pilot chooses")
    parser.add_argument("--pilot-steps", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=180.0, help="for training after the pilot")
    parser.add_argument("--steps", type=int, help="instead of --seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--eval-instances", type=int, default=200)
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--suite-k", type=int, default=16, help="samples for each train problem of the suite; 0: none")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.8, 0.25])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    run(args)


def run(args: argparse.Namespace) -> None:
    from transformers import AutoTokenizer

    torch.backends.cuda.matmul.allow_tf32 = True
    if args.device == "cpu":
        torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = load_rows(args.corpus)
    share = min(0.04, 1200 / len(rows))
    kept, held = [r for r in rows if not held_out(r, share)], [r for r in rows if held_out(r, share)]
    tokenizer = AutoTokenizer.from_pretrained(str(args.base))
    data, held_data = encode(tokenizer, kept), encode(tokenizer, held)
    log: Row = {"settings": {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}}
    log["torch"], log["pairs"], log["held_out_pairs"] = torch.__version__, len(kept), len(held)
    log["device"] = torch.cuda.get_device_name() if args.device.startswith("cuda") else "cpu"
    log["tokens"] = {
        "prompt": sum(len(p) for p, _ in data) / len(data),
        "body": sum(len(b) for _, b in data) / len(data),
    }
    print(log["pairs"], "pairs", log["tokens"], flush=True)

    log["pilot"] = []
    lr, pace = args.lr[0], None
    if len(args.lr) > 1 or args.steps is None:
        for candidate in args.lr:
            model = new_model(args.base, args.device, args.rank, args.seed, args.init)
            pace = train(
                model,
                data,
                steps=args.pilot_steps,
                batch=args.batch,
                lr=candidate,
                seed=args.seed,
                device=args.device,
                note=lambda row: None,
            )
            loss, chosen = held_loss(model, held_data[:256], args.device)
            log["pilot"].append(
                {"lr": candidate, "held_loss": loss, "greedy_token_share": chosen, "seconds_a_step": pace}
            )
            print("pilot", log["pilot"][-1], flush=True)
            del model
        lr = min(log["pilot"], key=lambda row: row["held_loss"])["lr"]
    steps = args.steps or max(20, int(args.seconds / (pace or 1.0)))

    log["lr"], log["steps"], log["trace"] = lr, steps, []
    started = time.monotonic()

    def note(row: Row) -> None:
        log["trace"].append({**row, "seconds": round(time.monotonic() - started, 1)})
        if row["step"] % 100 == 0 or row["step"] == steps - 1:
            print(log["trace"][-1], flush=True)

    model = new_model(args.base, args.device, args.rank, args.seed, args.init)
    log["trainable"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    train(model, data, steps=steps, batch=args.batch, lr=lr, seed=args.seed + 1, device=args.device, note=note)
    log["train_seconds"] = round(time.monotonic() - started, 1)
    log["held_loss"], log["held_greedy_token_share"] = held_loss(model, held_data, args.device)
    print("held loss", log["held_loss"], log["held_greedy_token_share"], flush=True)
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data.bfloat16()
    model.save_pretrained(str(args.out))
    (args.out / "adapter_model.safetensors").chmod(0o644)
    (args.out / "training.json").write_text(json.dumps(log, indent=1) + "\n", "utf-8")
    merged = model.merge_and_unload().eval()
    evaluate(merged, tokenizer, held, args, log)
    samples = log.pop("samples")
    (args.out / "training.json").write_text(json.dumps(log, indent=1) + "\n", "utf-8")
    (args.out / "samples.json").write_text(json.dumps(samples) + "\n", "utf-8")


if __name__ == "__main__":
    main()
