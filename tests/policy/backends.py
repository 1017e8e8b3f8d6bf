"""The backends that the contract suite runs: each opens a policy (and a learner, if it has one) over a tiny real model.

To add one: a context manager from a scratch directory to a `Backend`, and an entry in `BACKENDS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tiny_gguf import write_gguf
from tiny_models import make_adapter, save_llama

from longodds.learning import AdamParams, Datum
from longodds.policy import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.store import CheckpointRow, RunDir, TaskRecord
from longodds.strategies.policies import open_learner as open_any_learner
from longodds.strategies.policies import open_policy as open_any_policy
from longodds.types import Prompt, Sample, SampleKey, SamplingParams, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from longodds.learning import Learner
    from longodds.types import Policy


PROMPT = Prompt(text="def forward(self, x):\n       ")
PARAMS = SamplingParams(temperature=0.8, max_tokens=24)


@dataclass(frozen=True)
class Backend:
    """open: a new policy each time, over the same weights. learner: a new learner at the same start, or None.

    prompt, params: what can be asked of it (`replay` has only what its run holds); k: how many indices at most.
    seed, task_digest: of the sample keys that it has. any_text: whether it scores tokens that it did not sample.
    deterministic: whether equal keys give equal samples across separate policies. tolerance: of log-probabilities.
    """

    open: Callable[[], Policy]
    learner: Callable[[], Learner] | None = None
    prompt: Prompt = PROMPT
    params: SamplingParams = PARAMS
    k: int = 8
    seed: int = 0
    task_digest: str = "task"
    any_text: bool = True
    deterministic: bool = True
    tolerance: float = 1e-4


FP32 = OpenOptions(dtype="fp32", threads=1)
LORA = LoraOptions(rank=4, alpha=8.0)


@contextlib.contextmanager
def _hf(scratch: Path) -> Generator[Backend]:
    spec = f"hf:{save_llama(scratch)}"
    yield Backend(lambda: open_policy(spec, FP32), lambda: open_learner(spec, FP32, LORA))


@contextlib.contextmanager
def _gguf(scratch: Path) -> Generator[Backend]:
    write_gguf(scratch / "model.gguf")
    options = dataclasses.replace(FP32, cache_dir=scratch / "cache")
    spec = f"gguf:{scratch / 'model.gguf'}"
    yield Backend(lambda: open_policy(spec, options), lambda: open_learner(spec, options, LORA))


@contextlib.contextmanager
def _adapter(scratch: Path) -> Generator[Backend]:
    """A model with an adapter: merged when it samples, beside the weights when it learns."""
    base = save_llama(scratch / "base")
    spec = f"hf:{base}+adapter={make_adapter(base, scratch / 'adapter')}"
    yield Backend(lambda: open_policy(spec, FP32), lambda: open_learner(spec, FP32))


@contextlib.contextmanager
def _replay(scratch: Path) -> Generator[Backend]:
    """A real run of a tiny model on one task, and the run as a policy."""
    spec = f"hf:{save_llama(scratch / 'model')}"
    task = Task("own/t", "own", "class Model: ...\n", "0123456789abcdef")
    policy = open_policy(spec, FP32)
    config = {"temperature": PARAMS.temperature, "top_p": PARAMS.top_p, "max_tokens": PARAMS.max_tokens}
    manifest = {"policy": {"name": spec, "version": policy.version, "parameters": policy.parameters}}
    with RunDir.create_or_resume(scratch / "run", config, manifest) as run:
        run.add_tasks([TaskRecord(task, PROMPT, tuple(policy.encode(PROMPT)))])
        drawn = policy.sample(PROMPT, PARAMS, SampleKey(3, task.digest, tuple(range(6))))
        run.append_samples(
            [Sample(f"s{i}", task.id, 3, i, "best_of_n", 0, c, c.text, f"d{i}") for i, c in enumerate(drawn)]
        )
    yield Backend(
        lambda: open_any_policy(f"replay:{scratch / 'run'}"), k=6, seed=3, task_digest=task.digest, any_text=False
    )


@contextlib.contextmanager
def _run(scratch: Path) -> Generator[Backend]:
    """The second of two checkpoints that a run made by training."""
    spec = f"hf:{save_llama(scratch / 'model')}"
    learner = open_learner(spec, FP32, LORA)
    with RunDir.create_or_resume(scratch / "run", {}, {}) as run:
        for step in (1, 2):
            data = [Datum((1, 2, 3), (4 + step, 5, 6))]
            done = learner.train_step(data, "cross_entropy", AdamParams(learning_rate=0.02))
            path = f"checkpoints/step_{step:04}"
            learner.save_state(run.path / path)
            metrics = {"loss": done.loss, **done.metrics}
            run.append_checkpoint(CheckpointRow(step, path, "adapter", spec, learner.version, metrics=metrics))
    named = f"run:{scratch / 'run'}@2"
    yield Backend(lambda: open_any_policy(named, FP32), lambda: open_any_learner(named, FP32))


@contextlib.contextmanager
def _tinker(scratch: Path) -> Generator[Backend]:
    from loopback_tinker import LoopbackTinker
    from reference_model import ReferenceModel

    directory = save_llama(scratch)
    with (
        pytest.MonkeyPatch.context() as patch,
        LoopbackTinker(ReferenceModel(directory), mode="tempered") as service,
    ):
        patch.setenv("TINKER_API_KEY", service.accept)
        options = OpenOptions(base_url=service.url, tokenizer=str(directory))
        yield Backend(
            open=lambda: open_policy(f"tinker:{service.name}", options),
            learner=lambda: open_learner(f"tinker:{service.name}", options, LoraOptions(rank=4)),
            deterministic=False,
        )


@contextlib.contextmanager
def _openai(scratch: Path) -> Generator[Backend]:
    from loopback_openai import LoopbackOpenAI
    from reference_model import ReferenceModel

    directory = save_llama(scratch)
    with LoopbackOpenAI(ReferenceModel(directory), mode="top-p") as server:
        options = OpenOptions(base_url=f"{server.url}/v1", tokenizer=str(directory))
        yield Backend(open=lambda: open_policy(f"openai:{server.name}", options), deterministic=False)


BACKENDS: dict[str, Callable[[Path], AbstractContextManager[Backend]]] = {
    "hf": _hf,
    "openai": _openai,
    "tinker": _tinker,
    "adapter": _adapter,
    "gguf": _gguf,
    "replay": _replay,
    "run": _run,
}
