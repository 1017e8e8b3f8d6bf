"""Tokenizers for models that run elsewhere: from a local directory, bundled with a package, or from the hub.

A remote service takes and gives token ids; what they mean has to be known here. No weights are loaded, and no torch.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from longodds.errors import InfraError, UserError
from longodds.policy.quiet import quiet_transformers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from longodds.types import Message

HUB_TIMEOUT_S = 10.0
# Model family -> tokenizer class in `tml_renderers.tokenizers` that holds its vocabulary.
_BUNDLED = {"openai/gpt-oss": "HarmonyTokenizer"}


class Vocabulary(Protocol):
    """Text to token ids and back.

    `decode` takes the keywords of transformers' tokenizers, so that `RowText` can use either.
    """

    def encode(self, text: str, *, ordinary: bool = False) -> list[int]:
        """Token ids of a text. ordinary: nothing added, and control tokens spelled out in it stay plain text."""
        ...

    def decode(self, ids: Sequence[int], **_: Any) -> str: ...

    def control(self, name: str) -> int | None:
        """Id of a control token by its bare name (`start` for `<|start|>`), or None."""
        ...

    def chat(self, messages: Sequence[Message]) -> list[int] | None:
        """Token ids of a conversation by the tokenizer's own template, the answer opened; None without a template."""
        ...


class HubVocabulary:
    """A tokenizer in Hugging Face format."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str, *, ordinary: bool = False) -> list[int]:
        if ordinary:
            return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        ids = list(self.tokenizer(text)["input_ids"])
        return ids or ([] if self.tokenizer.bos_token_id is None else [self.tokenizer.bos_token_id])

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return self.tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def control(self, name: str) -> int | None:
        found = self.tokenizer.convert_tokens_to_ids(f"<|{name}|>")
        return None if found is None or found == self.tokenizer.unk_token_id else int(found)

    def chat(self, messages: Sequence[Message]) -> list[int] | None:
        if not self.tokenizer.chat_template:
            return None
        turns = [{"role": m.role, "content": m.content} for m in messages]
        encoded: Any = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
        return list(encoded["input_ids"])


class BundledVocabulary:
    """A tokenizer that ships with `tml-renderers`: no network, no directory."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str, *, ordinary: bool = False) -> list[int]:
        return list(self.tokenizer.encode_ordinary(text))

    def decode(self, ids: Sequence[int], **_: Any) -> str:
        return self.tokenizer.decode(list(ids))

    def control(self, name: str) -> int | None:
        try:
            return int(self.tokenizer.encode_special(name))
        except (KeyError, ValueError):
            return None

    def chat(self, messages: Sequence[Message]) -> list[int] | None:
        return None


def open_vocabulary(spec: str, model: str, directory: str | None) -> Vocabulary:
    """The vocabulary of `model` (`owner/name`).

    directory: what the caller named, a local tokenizer directory or a hub id; it wins over everything else. Without
    it: the one that `tml-renderers` ships for this model, if installed; else the hub's, from its cache if it is there.

    Raises UserError for a directory without a tokenizer, a model that the hub does not know, a missing package;
    InfraError when the hub cannot be reached.
    """
    if directory is None:
        bundled = _bundled(model)
        if bundled is not None:
            return bundled
    if importlib.util.find_spec("transformers") is None:
        raise UserError(f"policy '{spec}' needs the package 'transformers' for its tokenizer; pip install transformers")
    wanted = directory or model
    path = Path(wanted).expanduser()
    if path.is_dir():
        return _load(spec, str(path), local=True)
    if path.exists() or wanted.startswith(("/", ".", "~")) or wanted.count("/") != 1:
        raise UserError(f"policy '{spec}': --tokenizer {wanted}: neither a directory nor a hub id (owner/name)")
    return _from_hub(spec, wanted)


def _bundled(model: str) -> Vocabulary | None:
    name = next((cls for family, cls in _BUNDLED.items() if model.startswith(family)), None)
    if name is None or importlib.util.find_spec("tml_renderers") is None:
        return None
    try:
        tokenizers: Any = importlib.import_module("tml_renderers.tokenizers")
    except ImportError:
        return None  # it imports torch, which may not be there; the hub's tokenizer will do
    return BundledVocabulary(getattr(tokenizers, name)()) if hasattr(tokenizers, name) else None


def _from_hub(spec: str, model: str) -> Vocabulary:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError

    patterns = [
        "tokenizer*",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab*",
        "merges.txt",
        "*.jinja",
        "*.model",
    ]
    try:
        try:
            where = snapshot_download(model, allow_patterns=patterns, local_files_only=True)
        except (OSError, HfHubHTTPError):
            where = snapshot_download(model, allow_patterns=patterns, etag_timeout=HUB_TIMEOUT_S)
    except (RepositoryNotFoundError, HFValidationError):
        raise UserError(
            f"policy '{spec}': the hub knows no tokenizer '{model}' (or HF_TOKEN may not read it); name a directory "
            "with --tokenizer"
        ) from None
    except (HfHubHTTPError, OSError) as e:
        why = (str(e).strip().splitlines() or [type(e).__name__])[0][:120]
        raise InfraError(
            f"policy '{spec}': the tokenizer of '{model}' is not here and the hub could not be reached ({why}); name a "
            "local directory with --tokenizer"
        ) from None
    return _load(spec, where, local=False)


def _load(spec: str, directory: str, *, local: bool) -> Vocabulary:
    import transformers

    library: Any = transformers
    try:
        with quiet_transformers():
            return HubVocabulary(library.AutoTokenizer.from_pretrained(directory))
    except (OSError, ValueError, KeyError, TypeError) as e:
        why = (str(e).strip().splitlines() or [type(e).__name__])[0][:160]
        what = f"--tokenizer {directory}" if local else f"the hub's tokenizer in {directory}"
        raise UserError(f"policy '{spec}': {what}: no usable tokenizer ({why})") from None
