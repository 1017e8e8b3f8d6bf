"""A GGUF file as a model directory: converted once to bf16 and kept in the cache, because reading one takes minutes."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError, UserError
from longodds.policy.weights import file_sha256, weights_digest

if TYPE_CHECKING:
    from pathlib import Path

_RECORD = "longodds_base.json"


def converted_gguf(path: Path, cache_dir: Path, name: str) -> tuple[Path, str]:
    """Model directory and base digest of a GGUF file, converted if it is not in the cache yet.

    Safe against two processes (file lock) and against being killed (temporary directory, then rename). Raises UserError
    for a file that is no GGUF or of an architecture that transformers can't read, InfraError for a full disk or a
    tokenizer that does not give text back.
    """
    if not path.is_file():
        raise UserError(f"policy '{name}': {path} is no file; write gguf:PATH")
    with path.open("rb") as f:
        if f.read(4) != b"GGUF":
            raise UserError(f"policy '{name}': {path} is not a GGUF file")
    if importlib.util.find_spec("gguf") is None:
        raise UserError(f"policy '{name}' needs the package 'gguf'; install it: pip install 'longodds[local]'")
    from filelock import FileLock

    from longodds.policy.lora import whole_directory

    target = cache_dir / "gguf" / file_sha256(path)[:16]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(str(target) + ".lock"):
            base = _record(target)
            if base is None:
                with whole_directory(target) as ready:
                    _convert(path, ready, name)
                    base = weights_digest(ready)
                    (ready / _RECORD).write_text(json.dumps({"base_sha256": base}) + "\n", "utf-8")
    except OSError as e:
        raise InfraError(f"policy '{name}': {target} can't be written ({e.strerror or e}); name another cache") from e
    return target, base


def _record(directory: Path) -> str | None:
    try:
        return str(json.loads((directory / _RECORD).read_text("utf-8"))["base_sha256"])
    except (OSError, ValueError, KeyError):
        return None


def _convert(path: Path, ready: Path, name: str) -> None:
    import gguf
    import torch
    import transformers

    from longodds.policy.conversion import ROUND_TRIP, convert_gguf
    from longodds.policy.quiet import quiet_transformers

    try:
        reader: Any = gguf.GGUFReader(str(path))
        architecture = str(reader.get_field("general.architecture").contents())
    except (ValueError, AttributeError, IndexError) as e:
        raise UserError(f"policy '{name}': {path} is damaged ({e}); get it again") from e
    if architecture == "llama" and reader.get_field("tokenizer.ggml.model").contents() == "gpt2":
        convert_gguf(path, ready, lambda step, fraction: None)
        return
    factory: Any = transformers
    with quiet_transformers(), contextlib.redirect_stderr(io.StringIO()):
        try:
            source = {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
            tokenizer = factory.AutoTokenizer.from_pretrained(**source)
            model = factory.AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16)
        except (ValueError, KeyError, NotImplementedError) as e:
            first = (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
            raise UserError(f"policy '{name}': transformers can't read a GGUF of '{architecture}' ({first})") from e
        # It is no quantised model any more, and would refuse to be saved as one.
        model.hf_quantizer = None
        model.is_quantized = False
        for owner, attribute in ((model, "quantization_method"), (model.config, "quantization_config")):
            if hasattr(owner, attribute):
                delattr(owner, attribute)
        model.save_pretrained(str(ready))
        tokenizer.save_pretrained(str(ready))
        again = factory.AutoTokenizer.from_pretrained(str(ready))
    ids = again(ROUND_TRIP, add_special_tokens=False)["input_ids"]
    if again.decode(ids, clean_up_tokenization_spaces=False) != ROUND_TRIP:
        raise InfraError(
            f"policy '{name}': its tokenizer does not give indented Python code back "
            f"(transformers {transformers.__version__}); install transformers>=5.23 and try again"
        )
