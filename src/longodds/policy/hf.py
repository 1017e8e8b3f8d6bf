"""A policy from a causal language model in Hugging Face format, with or without a LoRA adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from longodds.errors import UserError
from longodds.policy.cascade import ATTENTION_NAME
from longodds.policy.generate import in_chunks, sample_rows, score_rows
from longodds.policy.loading import DTYPES
from longodds.policy.prefix import PromptState, SharedPrefixModel
from longodds.policy.stopping import RowText, check_sampling, stop_pattern
from longodds.types import Completion, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from longodds.policy.loading import LoadedModel

_CPU_BATCH_BYTES = 1 << 30
_GPU_BATCH_BYTES = 8 << 30


class HFPolicy:
    """A frozen model that can be sampled and can score text (the `Policy` protocol).

    name: the spec. version: digest of base weights and adapter. parameters: active parameters of the base model.
    base_sha256: digest of the base weights alone. adapter: directory of the adapter in use, or None. dtype: `bf16`
    or `fp32`. notes: what whoever reads the results should know of this policy, one line each.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        *,
        version: str,
        model: Any = None,
        adapter: Path | None = None,
        batch_bytes: int | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """model: what to run instead of `loaded.model` (the same with an adapter). batch_bytes: memory that one batch
        of rows may take beside the model (default 1 GiB on the CPU, 8 GiB on a GPU)."""
        self.name = name
        self.version = version
        self.directory = loaded.directory
        self.parameters = loaded.parameters
        self.base_sha256 = loaded.base_sha256
        self.adapter = adapter
        self.notes: tuple[str, ...] = tuple(notes)
        self.device = loaded.device
        self.dtype = loaded.dtype
        self.tokenizer = loaded.tokenizer
        self.stop_ids = loaded.stop_ids
        self.model: Any = loaded.model if model is None else model
        exact = self.device.type == "cpu" and self.dtype == "fp32"
        shared = self.model.config._attn_implementation == ATTENTION_NAME
        routed = any(".experts." in name for name, _ in self.model.named_parameters())  # routing waits for the device
        static = self.device.type == "cuda" and not routed
        self._rows: Any = SharedPrefixModel(self.model, shared=shared, min_rows=16 if exact else 1, static=static)
        self.batch_bytes = batch_bytes or (_CPU_BATCH_BYTES if self.device.type == "cpu" else _GPU_BATCH_BYTES)
        self._last: tuple[tuple[int, ...], PromptState] | None = None

    @property
    def shared_prefix(self) -> bool:
        """Whether the rows share the prompt's cache (else each has a copy: architectures with other kinds of state)."""
        return self._rows.shared

    @property
    def context(self) -> int | None:
        """Tokens that the model can be conditioned on and write, None if unknown."""
        return _context(self.model)

    # --- the protocol ---------------------------------------------------------------------------

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is conditioned on. Chat messages go through the tokenizer's chat template."""
        if prompt.text is not None:
            ids: list[int] = self.tokenizer(prompt.text)["input_ids"]
        else:
            if not self.tokenizer.chat_template:
                raise UserError(
                    f"policy '{self.name}': its tokenizer has no chat template; use a prompt form that is plain text "
                    "(completion), or a chat model"
                )
            turns = [{"role": m.role, "content": m.content} for m in prompt.messages or ()]
            encoded: Any = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
            ids = encoded["input_ids"]
        if not ids and self.tokenizer.bos_token_id is not None:
            ids = [self.tokenizer.bos_token_id]
        if not ids:
            raise UserError(f"policy '{self.name}': the prompt is empty")
        return list(ids)

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        """One completion per index of the key, in that order; the prompt is read once."""
        check_sampling(params)
        pattern = stop_pattern(prompt)
        ids = self.encode(prompt)
        check_room(self.name, self.model, len(ids) + params.max_tokens)
        state = self._read(ids)

        def new_row() -> RowText:
            return RowText(self.tokenizer, ids, self.stop_ids, pattern)

        done: list[Completion] = []
        for indices in in_chunks(key.indices, self.max_rows(len(ids), params.max_tokens)):
            part = SampleKey(key.seed, key.task_digest, tuple(indices))
            done += sample_rows(self._rows, state, new_row, params, part, self.version)
        return done

    def compute_logprobs(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities (nats, temperature 1) of each continuation, given the prompt that is read once."""
        ids = self.encode(prompt)
        for row in token_ids:
            check_tokens(self.name, self.model, row)
        result: list[list[float]] = [[] for _ in token_ids]
        # Similar lengths together, so that little is padded; empty rows have nothing to score.
        order = sorted((i for i in range(len(token_ids)) if len(token_ids[i])), key=lambda i: len(token_ids[i]))
        if not order:
            return result
        longest = len(token_ids[order[-1]])
        check_room(self.name, self.model, len(ids) + longest)
        state = self._read(ids)
        for part in in_chunks(order, self._max_scored(len(ids), longest)):
            for i, row in zip(part, score_rows(self._rows, state, [token_ids[i] for i in part]), strict=True):
                result[i] = row
        return result

    def close(self) -> None:
        """Frees the model's memory; the policy can't be used afterwards."""
        self._last = None
        self.model = None
        self._rows = None
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    # --- sizes ----------------------------------------------------------------------------------

    def max_rows(self, prompt_tokens: int, new_tokens: int) -> int:
        """Rows that may be sampled at once: their tails, logits and attention scores stay within the budget."""
        heads = self.model.config.get_text_config().num_attention_heads
        scores = 3 * 4 * heads * (prompt_tokens + new_tokens)
        return max(1, self.batch_bytes // (self._tail_bytes() * new_tokens + 10 * 4 * self._vocabulary() + scores))

    def _max_scored(self, prompt_tokens: int, new_tokens: int) -> int:
        heads = self.model.config.get_text_config().num_attention_heads
        a_token = self._tail_bytes() + 3 * 4 * heads * (prompt_tokens + new_tokens)
        return max(1, self.batch_bytes // (a_token * new_tokens))

    def _tail_bytes(self) -> int:
        """Bytes of keys and values that one new token of one row takes."""
        config = self.model.config.get_text_config()
        kv_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        return config.num_hidden_layers * 2 * kv_heads * size * DTYPES[self.dtype].itemsize

    def _vocabulary(self) -> int:
        return int(self.model.config.get_text_config().vocab_size)

    def _read(self, ids: list[int]) -> PromptState:
        """The prompt's state; the last one is kept, as a prompt is often sampled in pieces and then scored."""
        if self._last is None or self._last[0] != tuple(ids):
            self._last = None
            with torch.no_grad():
                state = self._rows.prefill(torch.tensor([ids], device=self.device))
            self._last = (tuple(ids), state)
        return self._last[1]


def _context(model: Any) -> int | None:
    return getattr(model.config.get_text_config(), "max_position_embeddings", None)


def check_room(name: str, model: Any, tokens: int) -> None:
    """Raises UserError when so many tokens don't fit the model's context."""
    limit = _context(model)
    if limit is not None and tokens > limit:
        raise UserError(
            f"policy '{name}': prompt and new tokens are {tokens} tokens, its context is {limit}; "
            "lower max_tokens or shorten the prompt"
        )


def check_tokens(name: str, model: Any, ids: Sequence[int]) -> None:
    """Raises UserError for token ids that the model does not have."""
    vocabulary = int(model.config.get_text_config().vocab_size)
    if ids and not (min(ids) >= 0 and max(ids) < vocabulary):
        raise UserError(f"policy '{name}': a token id is outside its vocabulary of {vocabulary}")
