"""How fast a local policy samples and learns beside plain transformers, in one run; one JSON document.

    python -m scripts.bench_policy --policy embedded --device cpu --json
    python -m scripts.bench_policy --random-config qwen2.5-0.5b --device cuda --json

sample: K samples of --new tokens from a prompt of --prompt tokens, against `generate(num_return_sequences=K)`.
learn: one step on --groups prompts x --completions completions, against one padded batch per prompt; speed, peak
memory (CUDA), and how far the two gradients differ; in 16 bits also how far each is from the gradient in fp32.
batch: the share of samples that differ when they are drawn alone instead of together (0 in fp32 on a CPU), and how far
log-probabilities are from those of a plain pass.

The two sides take turns; a ratio is the median over the turns. --random-config builds a model of that
architecture with random weights and a vocabulary of words, so nothing has to be fetched. Needs torch,
transformers and peft only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from longodds.errors import UserError
from longodds.learning import Datum
from longodds.policy.cascade import ATTENTION_NAME, register_cascade_attention
from longodds.policy.hf import HFPolicy
from longodds.policy.learner import HFLearner
from longodds.policy.loading import DTYPES, LoadedModel, active_parameters, check_device, check_dtype, load
from longodds.policy.lora import add_adapter, load_adapter
from longodds.policy.losses import token_losses
from longodds.policy.opening import LoraOptions, OpenOptions
from longodds.types import Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Callable

CONFIGS: dict[str, dict[str, Any]] = {
    "qwen2.5-0.5b": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
        "tie_word_embeddings": True,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": True,
    },
}


def random_model(name: str, device: torch.device, dtype: str) -> LoadedModel:
    """A Qwen2 of this shape with seeded random weights; its words are `w0`, `w1`, ..."""
    register_cascade_attention()
    config = transformers.Qwen2Config(**CONFIGS[name])
    config._attn_implementation = ATTENTION_NAME
    torch.manual_seed(0)
    model: Any = transformers.AutoModelForCausalLM.from_config(config, dtype=DTYPES[dtype])
    model = model.to(device).eval().requires_grad_(False)
    words = Tokenizer(WordLevel({f"w{i}": i for i in range(config.vocab_size)}, unk_token="w0"))
    words.pre_tokenizer = WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=words)
    return LoadedModel(Path(name), model, tokenizer, device, dtype, "0" * 64, active_parameters(model), frozenset())


def open_model(args: argparse.Namespace) -> tuple[LoadedModel, Path | None]:
    """The model, with nothing that ends a text, and its adapter."""
    if args.random_config:
        device = check_device(args.device)
        return random_model(args.random_config, device, check_dtype(args.dtype, device)), None
    from longodds.policy.local import find_source
    from longodds.policy.spec import parse_policy_spec

    options = OpenOptions(dtype=args.dtype, device=args.device, threads=args.threads)
    source = find_source(parse_policy_spec(args.policy), args.policy, options)
    loaded = load(source.directory, options, source.base_sha256)
    fields = {f: getattr(loaded, f) for f in LoadedModel.__slots__}
    return LoadedModel(**{**fields, "stop_ids": frozenset()}), source.adapter


def prompt_text(loaded: LoadedModel, tokens: int, number: int = 0) -> str:
    """A text of about so many tokens."""
    if loaded.directory.name in CONFIGS:
        return " ".join(f"w{(7 * i + 31 * number) % 500}" for i in range(tokens))
    source = f"# {number}\n" + Path(__file__).read_text("utf-8") * (1 + tokens // 2000)
    ids = loaded.tokenizer(source)["input_ids"][:tokens]
    return loaded.tokenizer.decode(ids)


def synchronised(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def alternately(device: torch.device, turns: int, sides: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Seconds of each side in each turn, after one turn that does not count (libraries set themselves up).

    On a GPU each side begins with an empty cache and runs twice, so that the run that counts finds the memory that it
    left: as in a loop of its own.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(turns + 1):
        for name in sides if turn % 2 else reversed(sides):
            if device.type == "cuda" and turn:
                torch.cuda.empty_cache()
                sides[name]()
            began = synchronised(device)
            sides[name]()
            if turn or turns == 1:
                seconds[name].append(synchronised(device) - began)
    return {name: times[-turns:] for name, times in seconds.items()}


def ratio(seconds: dict[str, list[float]]) -> float:
    return statistics.median(p / o for p, o in zip(seconds["plain"], seconds["longodds"], strict=True))


# --- sampling ---------------------------------------------------------------------------------------


def bench_sampling(loaded: LoadedModel, args: argparse.Namespace) -> dict[str, Any]:
    policy = HFPolicy("bench", loaded, version="bench", batch_bytes=args.batch_bytes)
    text = prompt_text(loaded, args.prompt)
    prompt, params = Prompt(text=text), SamplingParams(temperature=0.8, max_tokens=args.new)
    ids = torch.tensor([policy.encode(prompt)], device=loaded.device)
    drawn = 0

    def ours() -> None:
        nonlocal drawn
        policy.sample(prompt, params, SampleKey(drawn, "bench", tuple(range(args.k))))
        policy._last = None  # the prompt is read anew each time, as the other side does
        drawn += 1

    def plain() -> None:
        loaded.model.set_attn_implementation("sdpa")
        loaded.model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=True,
            temperature=0.8,
            top_k=0,
            num_return_sequences=args.k,
            max_new_tokens=args.new,
            min_new_tokens=args.new,
            pad_token_id=0,
        )
        loaded.model.set_attn_implementation(ATTENTION_NAME)

    seconds = alternately(loaded.device, args.turns, {"longodds": ours, "plain": plain})
    tokens = args.k * args.new
    rates = {f"{name}_tokens_per_s": tokens / statistics.median(times) for name, times in seconds.items()}
    sizes = {"k": args.k, "prompt_tokens": ids.shape[1], "new_tokens": args.new}
    return {**sizes, **rates, "speed_ratio": ratio(seconds), "seconds": seconds}


def bench_batch(loaded: LoadedModel, args: argparse.Namespace) -> dict[str, Any]:
    policy = HFPolicy("bench", loaded, version="bench", batch_bytes=args.batch_bytes)
    prompt = Prompt(text=prompt_text(loaded, min(args.prompt, 200)))
    params = SamplingParams(temperature=0.8, max_tokens=min(args.new, 64))
    together = policy.sample(prompt, params, SampleKey(0, "bench", tuple(range(16))))
    alone = [policy.sample(prompt, params, SampleKey(0, "bench", (i,)))[0] for i in range(16)]
    differ = sum(a.token_ids != b.token_ids for a, b in zip(together, alone, strict=True))
    pairs = [(a, b) for a, b in zip(together, alone, strict=True) if a.token_ids == b.token_ids]
    apart = [abs(x - y) for a, b in pairs for x, y in zip(a.logprobs, b.logprobs, strict=True)]
    result = {"samples": 16, "differ": differ, "largest_logprob_difference_where_equal": max(apart, default=None)}
    rescored = policy.compute_logprobs(prompt, [c.token_ids for c in together])
    loaded.model.set_attn_implementation("sdpa")
    plain = [plain_logprobs(loaded, policy.encode(prompt), c.token_ids) for c in together]
    loaded.model.set_attn_implementation(ATTENTION_NAME)
    for name, rows in {"sampled": [c.logprobs for c in together], "rescored": rescored}.items():
        errors = [abs(x - y) for row, other in zip(rows, plain, strict=True) for x, y in zip(row, other, strict=True)]
        result |= {f"{name}_against_plain_mean": statistics.mean(errors), f"{name}_against_plain_max": max(errors)}
    return result


@torch.no_grad()
def plain_logprobs(loaded: LoadedModel, prompt: list[int], ids: tuple[int, ...]) -> list[float]:
    """By one plain forward pass of prompt and completion."""
    row = torch.tensor([[*prompt, *ids]], device=loaded.device)
    logits = loaded.model(input_ids=row, use_cache=False).logits[0, len(prompt) - 1 : -1].float()
    chosen = torch.tensor(ids, device=loaded.device)[:, None]
    return torch.log_softmax(logits, dim=-1).gather(-1, chosen)[:, 0].tolist()


# --- learning ---------------------------------------------------------------------------------------


def bench_learning(loaded: LoadedModel, adapter: Path | None, args: argparse.Namespace) -> dict[str, Any]:
    if adapter is None:
        lora = add_adapter(loaded.model, LoraOptions(rank=16, alpha=32.0))
    else:
        lora = load_adapter(loaded.model, adapter, trainable=True)
    learner = HFLearner("bench", loaded, lora, batch_bytes=args.batch_bytes)
    groups = [make_group(loaded, args, g) for g in range(args.groups)]
    data = [d for group in groups for d in group]
    parameters = [p for p in lora.parameters() if p.requires_grad]
    memory: dict[str, int] = {}
    checkpoints = False

    def measured(name: str, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            for p in parameters:
                p.grad = None
            if loaded.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(loaded.device)
            work()
            if loaded.device.type == "cuda":
                memory[name] = torch.cuda.max_memory_allocated(loaded.device)

        return run

    def gradient(work: Callable[[], None]) -> torch.Tensor:
        work()
        return torch.cat([p.grad.flatten().float() for p in parameters if p.grad is not None]).cpu()

    def plain() -> None:
        loaded.model.set_attn_implementation("sdpa")
        for group in groups:
            with learner._pass._checkpointing(10_000 if checkpoints else 0):
                padded_batch(loaded, group)
        loaded.model.set_attn_implementation(ATTENTION_NAME)

    try:
        measured("plain", plain)()
    except torch.OutOfMemoryError:
        # The plain side does not fit: it gets checkpoints, which make it slower and smaller.
        checkpoints = True
        loaded.model.set_attn_implementation(ATTENTION_NAME)
    sides = {
        "longodds": measured("longodds", lambda: void(learner.forward_backward(data))),
        "plain": measured("plain", plain),
    }
    seconds, needed = alternately(loaded.device, args.turns, sides), checkpoints
    found = {name: gradient(work) for name, work in sides.items()}
    rows = len(learner._plan(data))
    if loaded.dtype != "fp32":
        # What both are off by: the gradient of the same weights in fp32, with checkpoints so that it fits.
        checkpoints = True
        loaded.model.float()
        found["exact"] = gradient(measured("exact", plain))
    errors = {name: float((found[name] - found["exact"]).norm()) for name in sides} if "exact" in found else {}
    apart = float((found["longodds"] - found["plain"]).norm() / found["plain"].norm())
    cosine = float(torch.nn.functional.cosine_similarity(found["longodds"].double(), found["plain"].double(), dim=0))
    result: dict[str, Any] = {
        "groups": args.groups,
        "completions": args.completions,
        "prompt_tokens": len(data[0].prompt_ids),
        "new_tokens": args.trained,
        "rows": rows,
        "seconds": seconds,
        "speed_ratio": ratio(seconds),
        "gradient_relative_difference": apart,
        **{f"{name}_gradient_error": error / float(found["exact"].norm()) for name, error in errors.items()},
        "gradient_cosine": cosine,
        "plain_needed_checkpoints": needed,
    }
    if memory:
        result |= {f"{name}_peak_bytes": memory[name] for name in sides}
        result["memory_ratio"] = memory["longodds"] / memory["plain"]
    return result


def void(_: object) -> None: ...


def make_group(loaded: LoadedModel, args: argparse.Namespace, number: int) -> list[Datum]:
    """Completions of the full length, with behaviour log-probabilities near those of the model."""
    ids = tuple(loaded.tokenizer(prompt_text(loaded, args.prompt, number))["input_ids"])
    draw = torch.Generator().manual_seed(number)
    vocabulary = int(loaded.model.config.get_text_config().vocab_size)
    made: list[Datum] = []
    for i in range(args.completions):
        tokens = tuple(torch.randint(0, vocabulary, (args.trained,), generator=draw).tolist())
        made.append(Datum(ids, tokens, logprobs=(-12.0,) * args.trained, advantages=((-1.0) ** i,) * args.trained))
    return made


def padded_batch(loaded: LoadedModel, group: list[Datum]) -> None:
    """What is usually written: every completion behind its own copy of the prompt, logits where they are needed."""
    rows = torch.tensor([[*d.prompt_ids, *d.token_ids[:-1]] for d in group], device=loaded.device)
    targets = torch.tensor([d.token_ids for d in group], device=loaded.device)
    logits = loaded.model(input_ids=rows, use_cache=False, logits_to_keep=targets.shape[1]).logits
    chosen = torch.log_softmax(logits.float(), dim=-1).gather(-1, targets[..., None])[..., 0]
    token_losses("importance_sampling", chosen.flatten(), group).sum().backward()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policy", default="embedded")
    parser.add_argument("--random-config", choices=list(CONFIGS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=list(DTYPES))
    parser.add_argument("--threads", type=int)
    parser.add_argument("--what", default="sample,learn,batch", help="which of them, separated by commas")
    parser.add_argument("--k", type=int, help="samples (64 on a GPU, 16 on a CPU)")
    parser.add_argument("--prompt", type=int, help="prompt tokens (1000 on a GPU, 600 on a CPU)")
    parser.add_argument("--new", type=int, help="new tokens (128 on a GPU, 64 on a CPU)")
    parser.add_argument("--groups", type=int, default=5)
    parser.add_argument("--completions", type=int, help="per group (32 on a GPU, 8 on a CPU)")
    parser.add_argument("--trained", type=int, default=64, help="tokens of a completion that is learned from")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--batch-bytes", type=int)
    parser.add_argument("--json", action="store_true", help="one document on one line, nothing else")
    args = parser.parse_args()
    big = args.device.startswith("cuda")
    for name, gpu, cpu in [("k", 64, 16), ("prompt", 1000, 600), ("new", 128, 64), ("completions", 32, 8)]:
        if getattr(args, name) is None:
            setattr(args, name, gpu if big else cpu)
    transformers.utils.logging.set_verbosity_error()
    try:
        loaded, adapter = open_model(args)
    except UserError as error:
        parser.error(str(error))
    result: dict[str, Any] = {
        "model": args.random_config or args.policy,
        "parameters": loaded.parameters,
        "dtype": loaded.dtype,
        "device": torch.cuda.get_device_name(loaded.device) if big else "cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    what = args.what.split(",")
    # Learning last: it puts an adapter into the model.
    if "sample" in what:
        result["sample"] = bench_sampling(loaded, args)
    if "batch" in what:
        result["batch"] = bench_batch(loaded, args)
    if "learn" in what:
        result["learn"] = bench_learning(loaded, adapter, args)
    sys.stdout.write(json.dumps(result, indent=None if args.json else 2) + "\n")


if __name__ == "__main__":
    main()
