"""A tiny real model behind the loopback services: one sequence at a time, plain forward passes, plain autograd.

It imports nothing of longodds, so that what the two agree on was computed twice.
"""

from __future__ import annotations

import copy
import inspect
import math
import threading
import warnings
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from transformers import AutoModelForCausalLM, AutoTokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class ReferenceModel:
    """Base weights and any number of named adapters, fp32 on the CPU; calls are made one at a time."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(directory))
        self.base: Any = AutoModelForCausalLM.from_pretrained(
            str(directory), dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.eos = int(self.tokenizer.eos_token_id)
        self.lock = threading.RLock()
        # transformers renames the argument; either name may be the one that is not deprecated.
        self.cache = "cache" if "cache" in inspect.signature(self.base.forward).parameters else "past_key_values"

    # --- likelihoods ------------------------------------------------------------------------------

    def logits(self, ids: Sequence[int], model: Any = None) -> torch.Tensor:
        """(len(ids), V): what is predicted after each token."""
        return (model or self.base)(input_ids=torch.tensor([list(ids)])).logits[0].float()

    @torch.no_grad()
    def score(self, ids: Sequence[int], model: Any = None) -> list[float | None]:
        """Log-probability of every token given those before it, at temperature 1; None for the first."""
        with self.lock:
            rows = torch.log_softmax(self.logits(ids, model), dim=-1)
        return [None, *(float(rows[i - 1, ids[i]]) for i in range(1, len(ids)))]

    @torch.no_grad()
    def sample(
        self,
        ids: Sequence[int],
        *,
        max_tokens: int,
        temperature: float = 1.0,
        top_p: float = 1.0,
        seed: int = 0,
        stop: frozenset[int] = frozenset(),
        mode: str = "raw",
        top: int = 0,
        model: Any = None,
    ) -> dict[str, Any]:
        """One continuation: tokens, log-probabilities as `mode` reports them, the `top` alternatives, why it ended."""
        with self.lock:
            generator = torch.Generator().manual_seed(seed % (1 << 62))
            context = torch.tensor([list(ids)])
            past: Any = None
            tokens: list[int] = []
            logprobs: list[float] = []
            alternatives: list[dict[int, float]] = []
            reason = "length"
            for _ in range(max_tokens):
                out = (model or self.base)(input_ids=context, use_cache=True, **{self.cache: past})
                past, row = out[self.cache], out.logits[0, -1].float()
                chances = sampled_from(row, temperature, top_p)
                token = int(torch.multinomial(chances, 1, generator=generator))
                shown = reported(row, temperature, top_p, mode)
                tokens.append(token)
                logprobs.append(float(shown[token]))
                best = torch.topk(shown, max(top, 1)).indices.tolist()[:top]
                alternatives.append({int(t): float(shown[t]) for t in best if math.isfinite(float(shown[t]))})
                if token in stop:
                    reason = "stop"
                    break
                context = torch.tensor([[token]])
            return {"tokens": tokens, "logprobs": logprobs, "top": alternatives, "reason": reason}

    # --- adapters ---------------------------------------------------------------------------------

    def adapter(self, *, rank: int = 4, seed: int = 0, start: Path | None = None) -> Any:
        """A trainable adapter over a copy of the base; start: a PEFT directory whose weights it begins with."""
        torch.manual_seed(seed)
        base = copy.deepcopy(self.base)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of one library about another
            if start is not None:
                return PeftModel.from_pretrained(base, str(start), is_trainable=True)
            config = LoraConfig(r=rank, lora_alpha=32, target_modules="all-linear", lora_dropout=0.0)
            return get_peft_model(base, config)


def sampled_from(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """The distribution that is sampled: tempered, then cut to the nucleus."""
    return torch.exp(reported(logits, temperature, top_p, "top-p"))


def reported(logits: torch.Tensor, temperature: float, top_p: float, mode: str) -> torch.Tensor:
    """(V,) log-probabilities as servers of one kind or another report them."""
    if mode == "raw":
        return torch.log_softmax(logits, dim=-1)
    if temperature == 0:
        point = torch.full_like(logits, -torch.inf)
        point[int(logits.argmax())] = 0.0
        return point
    tempered = torch.log_softmax(logits / temperature, dim=-1)
    if mode == "tempered" or top_p >= 1:
        return tempered
    order = torch.argsort(tempered, descending=True, stable=True)
    kept, mass = [], 0.0
    for token in order.tolist():
        kept.append(token)
        mass += math.exp(float(tempered[token]))
        if mass >= top_p:
            break
    cut = torch.full_like(tempered, -torch.inf)
    cut[kept] = tempered[kept]
    return torch.log_softmax(cut, dim=-1)


class Trainer:
    """Losses, gradients and Adam for one adapter, sample by sample, as Tinker's documentation defines them."""

    def __init__(self, reference: ReferenceModel, model: Any) -> None:
        self.reference = reference
        self.model = model
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.moments = [(torch.zeros_like(p), torch.zeros_like(p)) for p in self.parameters]
        self.count = 0

    def forward_backward(
        self, data: Sequence[dict[str, Any]], loss: str, config: dict[str, float], *, backward: bool = True
    ) -> tuple[list[list[float]], float]:
        """Each datum: {"ids", "targets", ...}. Returns the log-probabilities of its targets, and the summed loss."""
        rows, total = [], 0.0
        with self.reference.lock:
            self.model.train()
            for d in data:
                logits = self.reference.logits(d["ids"], self.model)
                picked = [torch.log_softmax(logits[i], dim=-1)[t] for i, t in enumerate(d["targets"])]
                one = torch.stack([_token_loss(p, i, d, loss, config) for i, p in enumerate(picked)]).sum()
                if backward:
                    one.backward()
                rows.append([float(p.detach()) for p in picked])
                total += float(one.detach())
        return rows, total

    @torch.no_grad()
    def adam(self, p: dict[str, float]) -> float:
        """One step with the accumulated gradient; returns its norm before clipping."""
        with self.reference.lock:
            self.count += 1
            gradients = [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in self.parameters]
            norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
            if p["grad_clip_norm"] > 0 and norm > p["grad_clip_norm"]:
                gradients = [g * (p["grad_clip_norm"] / norm) for g in gradients]
            for w, g, (m, v) in zip(self.parameters, gradients, self.moments, strict=True):
                m.mul_(p["beta1"]).add_(g, alpha=1 - p["beta1"])
                v.mul_(p["beta2"]).addcmul_(g, g, value=1 - p["beta2"])
                first, second = m / (1 - p["beta1"] ** self.count), v / (1 - p["beta2"] ** self.count)
                w.mul_(1 - p["learning_rate"] * p["weight_decay"])
                w.sub_(p["learning_rate"] * first / (second.sqrt() + p["eps"]))
                w.grad = None
            return norm

    def state(self) -> dict[str, Any]:
        return {
            "weights": {k: v.clone() for k, v in get_peft_model_state_dict(self.model).items()},
            "moments": [(m.clone(), v.clone()) for m, v in self.moments],
            "count": self.count,
        }

    def load(self, state: dict[str, Any], *, optimizer: bool) -> None:
        set_peft_model_state_dict(self.model, state["weights"])
        if optimizer:
            self.moments = [(m.clone(), v.clone()) for m, v in state["moments"]]
            self.count = state["count"]


def _token_loss(logprob: torch.Tensor, i: int, d: dict[str, Any], loss: str, config: dict[str, float]) -> torch.Tensor:
    if loss == "cross_entropy":
        return -d["weights"][i] * logprob
    ratio, a = torch.exp(logprob - d["logprobs"][i]), d["advantages"][i]
    low, high = config.get("clip_low_threshold", 0.8), config.get("clip_high_threshold", 1.2)
    if loss == "importance_sampling":
        return -ratio * a
    if loss == "ppo":
        return -torch.minimum(ratio * a, torch.clamp(ratio, low, high) * a)
    if loss == "cispo":
        return -torch.clamp(ratio, low, high).detach() * a * logprob
    raise KeyError(loss)
