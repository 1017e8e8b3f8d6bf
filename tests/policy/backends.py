"""The backends that the contract suite runs: each opens a policy (and a learner, if it has one) over a tiny real model.

To add one: a context manager from a scratch directory to a `Backend`, and an entry in `BACKENDS`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tiny_models import save_llama

from longodds.policy import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.types import Prompt, SamplingParams

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


@contextlib.contextmanager
def _hf(scratch: Path) -> Generator[Backend]:
    spec = f"hf:{save_llama(scratch)}"
    yield Backend(open=lambda: open_policy(spec, FP32))


@contextlib.contextmanager
def _tinker(scratch: Path) -> Generator[Backend]:
    from loopback_tinker import LoopbackTinker
    from reference_model import ReferenceModel

    directory = save_llama(scratch)
    with pytest.MonkeyPatch.context() as patch, LoopbackTinker(ReferenceModel(directory), mode="tempered") as service:
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
}
