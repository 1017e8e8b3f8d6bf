"""A learner whose model is a table: for each prompt the logits of six programs. Everything about it can be computed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import numpy as np
from run_fakes import BODIES

from longodds.learning import AdamParams, Datum, ForwardBackward
from longodds.types import Completion, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

EXPECTED = np.array([1.0, 1.0, 2.0, 0.0, 0.0, 0.0])  # reward of each program


def softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max())
    return e / e.sum()


class TabularPolicy:
    name, parameters = "tabular", 10

    def __init__(self, table: dict[str, np.ndarray], version: str) -> None:
        self.table, self.version = table, version

    def encode(self, prompt: Prompt) -> list[int]:
        return list(hashlib.sha256((prompt.text or "").encode()).digest()[:8])

    def logits(self, prompt_ids: Sequence[int]) -> np.ndarray:
        return self.table.get(bytes(prompt_ids).hex(), np.zeros(len(BODIES)))

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        p = softmax(self.logits(self.encode(prompt)))
        return [self._one(p, key, i) for i in key.indices]

    def _one(self, p: np.ndarray, key: SampleKey, index: int) -> Completion:
        noise = hashlib.sha256(f"{key.seed}|{key.task_digest}|{index}".encode()).digest()
        u = int.from_bytes(noise[:8], "little") / 2**64
        token = min(int(np.searchsorted(np.cumsum(p), u)), len(BODIES) - 1)
        logprob = (float(np.log(p[token])),)
        return Completion((token,), logprob, logprob, (0, 1), BODIES[token], "stop", self.version)

    def compute_logprobs(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        p = softmax(self.logits(self.encode(prompt)))
        return [[float(np.log(p[t])) for t in row] for row in token_ids]

    def reward(self) -> float:
        """Expected reward over the prompts that it has learned of, or of any other."""
        tables = list(self.table.values()) or [np.zeros(len(BODIES))]
        return float(np.mean([softmax(t) @ EXPECTED for t in tables]))

    def close(self) -> None: ...


class TabularLearner:
    """Adam on the table; the importance-sampling loss."""

    name, parameters = "tabular", 10

    def __init__(self) -> None:
        self.table: dict[str, np.ndarray] = {}
        self.moments: dict[str, list[np.ndarray]] = {}
        self.gradient: dict[str, np.ndarray] = {}
        self.steps = 0

    @property
    def version(self) -> str:
        text = json.dumps({k: v.tolist() for k, v in sorted(self.table.items())})
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def snapshot(self) -> TabularPolicy:
        return TabularPolicy({k: v.copy() for k, v in self.table.items()}, self.version)

    def forward_backward(
        self,
        data: Sequence[Datum],
        loss: str = "importance_sampling",
        config: Mapping[str, float] | None = None,
    ) -> ForwardBackward:
        assert loss == "importance_sampling"
        total, now = 0.0, []
        for d in data:
            assert d.advantages is not None and d.logprobs is not None
            key = bytes(d.prompt_ids).hex()
            p = softmax(self.table.setdefault(key, np.zeros(len(BODIES))))
            logprob = float(np.log(p[d.token_ids[0]]))
            weight = np.exp(logprob - d.logprobs[0]) * d.advantages[0]
            one = np.eye(len(BODIES))[d.token_ids[0]]
            self.gradient[key] = self.gradient.get(key, 0.0) - weight * (one - p)
            total -= weight
            now.append((logprob,))
        return ForwardBackward(total, tuple(now), len(data))

    def optim_step(self, params: AdamParams | None = None) -> dict[str, float]:
        params = params or AdamParams()
        self.steps += 1
        for key, g in self.gradient.items():
            m, v = self.moments.setdefault(key, [np.zeros_like(g), np.zeros_like(g)])
            m[:] = params.beta1 * m + (1 - params.beta1) * g
            v[:] = params.beta2 * v + (1 - params.beta2) * g**2
            m_hat, v_hat = m / (1 - params.beta1**self.steps), v / (1 - params.beta2**self.steps)
            self.table[key] = self.table[key] - params.learning_rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        norm = float(np.sqrt(sum((g**2).sum() for g in self.gradient.values())))
        self.gradient.clear()
        return {"grad_norm": norm}

    def train_step(self, data, loss="importance_sampling", params=None, config=None):  # type: ignore[no-untyped-def]
        done = self.forward_backward(data, loss, config)
        return ForwardBackward(done.loss, done.logprobs, done.trained_tokens, self.optim_step(params))

    def save_state(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        state = {
            "table": {k: v.tolist() for k, v in self.table.items()},
            "moments": {k: [x.tolist() for x in pair] for k, pair in self.moments.items()},
            "steps": self.steps,
        }
        (directory / "table.json").write_text(json.dumps(state))

    def load_state(self, directory: Path) -> None:
        state = json.loads((directory / "table.json").read_text())
        self.table = {k: np.array(v) for k, v in state["table"].items()}
        self.moments = {k: [np.array(x) for x in pair] for k, pair in state["moments"].items()}
        self.steps = state["steps"]

    def close(self) -> None: ...
