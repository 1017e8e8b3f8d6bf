"""Converts a Llama's GGUF file, such as the embedded model's, to a Hugging Face directory: config, tokenizer, bf16
weights.

transformers can read a GGUF file too, but parses it three times over and reports no progress; going through the
`gguf` package directly takes a third of the time. The result is the same, weight for weight (a test compares them).
"""

from __future__ import annotations

import contextlib
import io
from importlib import metadata
from typing import TYPE_CHECKING, Any

import gguf
import torch
import transformers
from safetensors.torch import save_file

from longodds.errors import InfraError
from longodds.policy.quiet import quiet_transformers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Progress = Callable[[str, float], None]

# Partially typed libraries, taken as untyped in one place.
_gguf: Any = gguf
_transformers: Any = transformers

ROUND_TRIP = (
    "class ModelNew(nn.Module):\n    def forward(self, x):\n        # d\u00e9j\u00e0 vu, 1234.5e-6\n"
    "        for i in range(10):\n            x = x  @ self.w[i]\n\n        return {'y': x, \"z\": -x}\n\n\n\tend\n"
)


def convert_gguf(source: Path, target: Path, report: Progress) -> None:
    """GGUF file of a Llama -> config.json, generation_config.json, tokenizer files and model.safetensors in `target`.

    report(step, fraction) gets the steps `tokenizer`, `weights`, `write`. Raises InfraError when the tokenizer doesn't
    give text back or the file isn't what is expected.
    """
    with quiet_transformers():
        report("tokenizer", 0.0)
        with contextlib.redirect_stderr(io.StringIO()):
            tokenizer = _transformers.AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name)
        reader = _gguf.GGUFReader(str(source))
        _name_special_tokens(tokenizer, reader)
        tokenizer.save_pretrained(str(target))
        report("tokenizer", 0.9)
        check_round_trip(_transformers.AutoTokenizer.from_pretrained(str(target)))
        report("tokenizer", 1.0)
        config = _llama_config(reader, tokenizer)
        state = _llama_weights(reader, config, report)
        report("write", 0.0)
        save_file(state, str(target / "model.safetensors"), metadata={"format": "pt"})
        config.save_pretrained(str(target))
        # A chat model ends a turn with <|im_end|>; continuing plain text it may also end the document.
        known = tokenizer.get_vocab()
        named = [known.get("<|im_end|>"), known.get("<|endoftext|>"), tokenizer.eos_token_id]
        ends = list(dict.fromkeys(t for t in named if t is not None))
        _transformers.GenerationConfig(
            bos_token_id=tokenizer.bos_token_id, eos_token_id=ends, pad_token_id=ends[0]
        ).save_pretrained(str(target))


def _name_special_tokens(tokenizer: Any, reader: Any) -> None:
    """As the file names them: transformers 5.17 takes the token that begins a text for the one that ends it."""
    for key, name in (("bos", "bos_token"), ("eos", "eos_token"), ("padding", "pad_token")):
        field = reader.get_field(f"tokenizer.ggml.{key}_token_id")
        if field is not None:
            setattr(tokenizer, name, tokenizer.convert_ids_to_tokens(int(field.contents())))


def _llama_config(reader: Any, tokenizer: Any) -> Any:
    def value(key: str) -> Any:
        field = reader.get_field(key)
        if field is None:
            raise InfraError(f"the GGUF file has no field '{key}': not the file that is expected")
        return field.contents()

    if value("general.architecture") != "llama":
        raise InfraError(f"the GGUF file holds a '{value('general.architecture')}' model, not a llama")
    return _transformers.LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=value("llama.vocab_size"),
        hidden_size=value("llama.embedding_length"),
        intermediate_size=value("llama.feed_forward_length"),
        num_hidden_layers=value("llama.block_count"),
        num_attention_heads=value("llama.attention.head_count"),
        num_key_value_heads=value("llama.attention.head_count_kv"),
        max_position_embeddings=value("llama.context_length"),
        # stored in fp32: 1e-5 reads 9.999999747e-06
        rms_norm_eps=float(f"{value('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        rope_parameters={"rope_type": "default", "rope_theta": float(value("llama.rope.freq_base"))},
        tie_word_embeddings=all(t.name != "output.weight" for t in reader.tensors),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="bfloat16",
    )


def _llama_weights(reader: Any, config: Any, report: Progress) -> dict[str, torch.Tensor]:
    """Hugging Face parameter name -> bf16 tensor."""
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in _transformers.LlamaForCausalLM(config).state_dict().items()}
    if config.tie_word_embeddings:
        del shapes["lm_head.weight"]
    names = _gguf.get_tensor_name_map(_gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    tensors = {t.name: t for t in reader.tensors}
    state: dict[str, torch.Tensor] = {}
    for i, (name, shape) in enumerate(shapes.items()):
        tensor = tensors.get(names.get_name(name, try_suffixes=(".weight",)))
        if tensor is None:
            raise InfraError(f"the GGUF file has no tensor for '{name}'")
        weight = torch.from_numpy(_gguf.dequantize(tensor.data, tensor.tensor_type).copy()).float()
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
            # llama.cpp stores the two halves of a rotary pair next to each other
            weight = weight.view(heads, shape[0] // heads // 2, 2, shape[1]).transpose(1, 2).reshape(shape)
        if tuple(weight.shape) != shape:
            raise InfraError(f"the GGUF file's tensor for '{name}' has shape {tuple(weight.shape)}, expected {shape}")
        state[name] = weight.to(torch.bfloat16).contiguous()
        report("weights", (i + 1) / len(shapes))
    return state


def check_round_trip(tokenizer: Any) -> None:
    """Raises InfraError unless indented Python survives encode and decode, whole and token by token.

    Some transformers versions build a decoder for GGUF tokenizers that leaves byte-level symbols in the
    text: every program would be a syntax error, hours later and elsewhere.
    """
    ids: list[int] = tokenizer(ROUND_TRIP, add_special_tokens=False)["input_ids"]
    whole: str = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    raw = b"".join(_token_bytes(tokenizer, i) for i in ids)
    if whole != ROUND_TRIP or raw.decode("utf-8", "replace") != ROUND_TRIP:
        raise InfraError(
            "the converted tokenizer doesn't give indented Python code back "
            f"(transformers {metadata.version('transformers')}); install transformers>=5.23 and fetch again"
        )


def _token_bytes(tokenizer: Any, token_id: int) -> bytes:
    """Bytes of one token of a byte-level BPE vocabulary (GPT-2's printable stand-ins undone)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in printable]
    stand_in = {chr(b): b for b in printable} | {chr(256 + i): b for i, b in enumerate(others)}
    text: str = tokenizer.convert_ids_to_tokens(token_id)
    return b"".join(bytes([stand_in[c]]) if c in stand_in else c.encode() for c in text)
