"""A vLLM server as the sampler of a model trained in this process: every snapshot is swapped in as a LoRA adapter.

vLLM loads and unloads adapters while it runs (`--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING=True). It reads them
from a directory, so the server has to see the one that the learner writes to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from longodds.policy.openai_policy import OpenAIPolicy
from longodds.policy.openai_server import KEY, OpenAIServer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from longodds.learning import AdamParams, Datum, ForwardBackward, Learner, Loss
    from longodds.policy.opening import OpenOptions
    from longodds.policy.vocabularies import Vocabulary


class HotSwapLearner:
    """A learner whose snapshots sample on a vLLM server (the `Learner` protocol).

    learner: trains here. server: serves the same base model. directory: where adapters go, seen by the server under the
    same path. keep: adapters that stay loaded; a snapshot older than that can no longer be sampled.
    Log-probabilities come from the server: its mode is probed like any other's.
    """

    def __init__(
        self,
        learner: Learner,
        server: OpenAIServer,
        directory: Path,
        *,
        vocabulary: Vocabulary | None = None,
        keep: int = 4,
    ) -> None:
        self.name = learner.name
        self.parameters = learner.parameters
        self._learner = learner
        self._server = server
        self._directory = directory
        self._vocabulary = vocabulary
        self._keep = max(keep, 1)
        self._loaded: list[str] = []

    @property
    def steps(self) -> int:
        return self._learner.steps

    @property
    def version(self) -> str:
        return self._learner.version

    def forward_backward(
        self, data: Sequence[Datum], loss: Loss = "importance_sampling", config: Mapping[str, float] | None = None
    ) -> ForwardBackward:
        return self._learner.forward_backward(data, loss, config)

    def optim_step(self, params: AdamParams | None = None) -> dict[str, float]:
        return self._learner.optim_step(params)

    def train_step(
        self,
        data: Sequence[Datum],
        loss: Loss = "importance_sampling",
        params: AdamParams | None = None,
        config: Mapping[str, float] | None = None,
    ) -> ForwardBackward:
        return self._learner.train_step(data, loss, params, config)

    def snapshot(self) -> OpenAIPolicy:
        """A policy with the weights of now, on the server. Raises UserError for a server that cannot swap adapters."""
        version = self._learner.version
        adapter = f"longodds-{version}"
        if adapter not in self._loaded:
            path = self._directory / adapter
            if not path.exists():
                self._learner.save_state(path)
            self._swap_in(adapter, path)
        return OpenAIPolicy(
            f"openai:{adapter}", self._server, self._vocabulary, adapter=adapter, version=version, owner=False
        )

    def _swap_in(self, adapter: str, path: Path) -> None:
        request = {"lora_name": adapter, "lora_path": str(path.resolve())}
        self._server.post("/load_lora_adapter", request, text=True, allowed="already been loaded")
        self._loaded.append(adapter)
        while len(self._loaded) > self._keep:
            old = self._loaded.pop(0)
            self._server.try_post("/unload_lora_adapter", {"lora_name": old}, text=True)

    def save_state(self, directory: Path) -> None:
        self._learner.save_state(directory)

    def load_state(self, directory: Path) -> None:
        self._learner.load_state(directory)

    def close(self) -> None:
        """Takes the adapters off the server and closes both."""
        for adapter in self._loaded:
            self._server.try_post("/unload_lora_adapter", {"lora_name": adapter}, text=True)
        self._loaded.clear()
        self._server.close()
        self._learner.close()


def sample_on_server(learner: Learner, model: str, directory: Path, options: OpenOptions) -> HotSwapLearner:
    """A learner that samples on the vLLM server at `options.base_url`, where `model` names its base model.

    Raises UserError or InfraError for a server that cannot be used, as opening `openai:MODEL` does.
    """
    from longodds.environment import read_environment, secret
    from longodds.policy.vocabularies import open_vocabulary

    spec = f"openai:{model}"
    server = OpenAIServer(spec, options.base_url or read_environment().openai_base_url, secret(KEY), model)
    vocabulary = None if options.tokenizer is None else open_vocabulary(spec, model, options.tokenizer)
    return HotSwapLearner(learner, server, directory, vocabulary=vocabulary)
