"""Opening policies: specs, adapters, chat templates, threads, and each mistake as one clear line."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from tiny_models import make_adapter, save_llama
from transformers import LlamaForCausalLM

from longodds.errors import InfraError, UserError
from longodds.policy import OpenOptions, PolicySpec, open_policy, parse_policy_spec, record_adapter_base, weights_digest
from longodds.policy.loading import active_parameters, check_device, check_dtype
from longodds.policy.quiet import quiet_transformers
from longodds.policy.threads import available_cores, choose_threads
from longodds.types import Message, Policy, Prompt, SampleKey, SamplingParams

if TYPE_CHECKING:
    from longodds.policy.hf import HFPolicy


# --- specs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("embedded", PolicySpec("embedded")),
        ("embedded:raw", PolicySpec("embedded", raw=True)),
        ("embedded+adapter=a/b", PolicySpec("embedded", adapter=Path("a/b"))),
        ("hf:some/model", PolicySpec("hf", location="some/model")),
        ("hf:/m:odd+adapter=/a", PolicySpec("hf", location="/m:odd", adapter=Path("/a"))),
    ],
)
def test_specs_parse(text: str, parsed: PolicySpec) -> None:
    assert parse_policy_spec(text) == parsed


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "unknown policy"),
        ("embeded", "did you mean 'embedded'"),
        ("embedded:cooked", "embedded:raw"),
        ("embedded:raw+adapter=x", "raw"),
        ("hf:", "names no model"),
        ("hf:model+adapter=", "no directory"),
        ("hf:model+adaptor=x", "+adapter=PATH"),
        ("gpt-4", "known forms"),
    ],
)
def test_bad_specs_are_one_line_with_a_remedy(text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_policy_spec(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("location", ["./nowhere", "/nowhere/at/all", "nowhere"])
def test_a_model_that_is_not_there(location: str) -> None:
    with pytest.raises(UserError, match="not a model directory nor a hub id"):
        open_policy(f"hf:{location}")


def test_a_directory_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no weights"):
        open_policy(f"hf:{tmp_path}")


def test_damaged_weights(tiny_dir: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(tiny_dir, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match="safetensors"):
        open_policy(f"hf:{broken}")


def test_the_embedded_model_that_was_not_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="longodds model fetch embedded"):
        open_policy("embedded", OpenOptions(cache_dir=tmp_path))


def test_an_unreachable_hub_is_infrastructure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InfraError, match="hub could not be reached") as caught:
        open_policy("hf:longodds-no-such-owner/no-such-model")
    assert "\n" not in str(caught.value)


# --- what is opened -----------------------------------------------------------------------------


def test_the_policy_says_what_it_is(tiny: HFPolicy, tiny_dir: Path) -> None:
    assert isinstance(tiny, Policy)
    assert tiny.name == f"hf:{tiny_dir}"
    assert tiny.base_sha256 == weights_digest(tiny_dir)
    assert tiny.base_sha256.startswith(tiny.version)
    assert (tiny.dtype, tiny.adapter, tiny.shared_prefix) == ("fp32", None, True)
    model: Any = LlamaForCausalLM.from_pretrained(str(tiny_dir))
    assert tiny.parameters == sum(p.numel() for p in model.parameters())
    c = tiny.sample(Prompt(text="x"), SamplingParams(max_tokens=2), SampleKey(0, "t", (0,)))[0]
    assert c.policy_version == tiny.version


def test_the_version_is_of_the_weights_not_of_the_files(tiny_dir: Path, tmp_path: Path) -> None:
    model: Any = LlamaForCausalLM.from_pretrained(str(tiny_dir))
    model.save_pretrained(str(tmp_path / "shards"), max_shard_size="10KB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    assert weights_digest(tmp_path / "shards") == weights_digest(tiny_dir)
    with torch.no_grad():
        model.model.norm.weight[0] += 1
    model.save_pretrained(str(tmp_path / "changed"))
    assert weights_digest(tmp_path / "changed") != weights_digest(tiny_dir)


def test_experts_count_by_the_share_that_is_active() -> None:
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    config = Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        moe_intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        num_experts=8,
        num_experts_per_tok=2,
    )
    model: Any = Qwen3MoeForCausalLM(config)
    total = sum(p.numel() for p in model.parameters())
    experts = 2 * 8 * 3 * 16 * 8
    assert active_parameters(model) == total - experts + experts // 4


def test_bf16_is_near_fp32(tiny_dir: Path, tiny: HFPolicy, prompt: Prompt) -> None:
    half = open_policy(f"hf:{tiny_dir}", OpenOptions(dtype="bf16", threads=1))
    assert (half.dtype, half.version) == ("bf16", tiny.version)
    rows = [[3, 1, 4, 1, 5], [9, 2, 6]]
    exact, rough = tiny.compute_logprobs(prompt, rows), half.compute_logprobs(prompt, rows)
    for a, b in zip(exact, rough, strict=True):
        assert b == pytest.approx(a, abs=0.5)


def test_chat_goes_through_the_template(tiny: HFPolicy) -> None:
    chat = Prompt(messages=(Message("system", "Be brief."), Message("user", "Faster?")))
    assert tiny.tokenizer.decode(tiny.encode(chat)) == "[system]Be brief.\n[user]Faster?\n[assistant]"


def test_chat_without_a_template_is_the_callers_mistake(tmp_path: Path) -> None:
    policy = open_policy(f"hf:{save_llama(tmp_path / 'base', chat=False)}", OpenOptions(dtype="fp32", threads=1))
    with pytest.raises(UserError, match="no chat template"):
        policy.encode(Prompt(messages=(Message("user", "hello"),)))


def test_a_closed_policy_lets_go_of_its_weights(tiny_dir: Path) -> None:
    import gc
    import weakref

    policy = open_policy(f"hf:{tiny_dir}", OpenOptions(dtype="fp32", threads=1))
    policy.sample(Prompt(text="x"), SamplingParams(max_tokens=2), SampleKey(0, "t", (0,)))
    model = weakref.ref(policy.model)
    policy.close()
    gc.collect()
    assert model() is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"dtype": "fp8"}, "bf16 or fp32"),
        ({"device": "gpu"}, "cpu, cuda"),
        ({"device": "mps"}, "cpu, cuda"),
        ({"device": "cuda:99"}, "CUDA GPUs"),
        ({"threads": 0}, "at least 1"),
    ],
)
def test_bad_settings(tiny_dir: Path, arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        open_policy(f"hf:{tiny_dir}", OpenOptions(**arguments))


def test_the_default_dtype_needs_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = check_device("cpu")
    for capable, dtype in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=capable: {"avx512_bf16": c})
        assert check_dtype(None, cpu) == dtype
    assert check_dtype("bf16", cpu) == "bf16"


# --- adapters ----------------------------------------------------------------------------------


def test_an_adapter_is_applied_exactly(tiny_dir: Path, tiny: HFPolicy, prompt: Prompt, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_dir, tmp_path / "adapter")
    policy = open_policy(f"hf:{tiny_dir}+adapter={adapter}", OpenOptions(dtype="fp32", threads=1))
    base: Any = LlamaForCausalLM.from_pretrained(str(tiny_dir), dtype=torch.float32)
    with quiet_transformers():
        lora: Any = PeftModel.from_pretrained(base, str(adapter)).eval()
    row = [3, 1, 4, 1, 5, 9]
    ids = policy.encode(prompt)
    with torch.no_grad():
        logits = lora(input_ids=torch.tensor([ids + row])).logits[0, len(ids) - 1 : -1]
    plain = torch.log_softmax(logits, dim=-1).gather(1, torch.tensor(row)[:, None])[:, 0].tolist()
    scored = policy.compute_logprobs(prompt, [row])[0]
    assert scored == pytest.approx(plain, abs=1e-4)
    assert scored != pytest.approx(tiny.compute_logprobs(prompt, [row])[0], abs=1e-2)
    assert policy.adapter == adapter
    assert policy.version != tiny.version
    assert (policy.base_sha256, policy.parameters) == (tiny.base_sha256, tiny.parameters)


def test_versions_tell_adapters_apart(tiny_dir: Path, tmp_path: Path) -> None:
    def version(adapter: Path) -> str:
        return open_policy(f"hf:{tiny_dir}+adapter={adapter}", OpenOptions(dtype="fp32", threads=1)).version

    one = make_adapter(tiny_dir, tmp_path / "one", seed=1)
    same = shutil.copytree(one, tmp_path / "same")
    other = make_adapter(tiny_dir, tmp_path / "other", seed=2)
    scaled = shutil.copytree(one, tmp_path / "scaled")
    config = json.loads((scaled / "adapter_config.json").read_text())
    (scaled / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 16}))
    assert version(one) == version(same)
    assert len({version(one), version(other), version(scaled)}) == 3


def test_an_adapter_of_another_base_is_refused(tiny_dir: Path, tmp_path: Path) -> None:
    adapter = make_adapter(tiny_dir, tmp_path / "adapter")
    record_adapter_base(adapter, weights_digest(tiny_dir), note="kept")
    open_policy(f"hf:{tiny_dir}+adapter={adapter}", OpenOptions(dtype="fp32", threads=1))
    other = save_llama(tmp_path / "other", seed=1)
    with pytest.raises(UserError, match="trained on base") as caught:
        open_policy(f"hf:{other}+adapter={adapter}", OpenOptions(dtype="fp32", threads=1))
    assert str(adapter) in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        "missing",
        "no config",
        "no weights",
        "bad json",
        "bad record",
        "other shapes",
        "a tensor less",
        "a tensor more",
        "cut short",
    ],
)
def test_adapters_that_do_not_fit(tiny_dir: Path, tmp_path: Path, damage: str) -> None:
    adapter = make_adapter(tiny_dir, tmp_path / "adapter")
    config, weights = adapter / "adapter_config.json", adapter / "adapter_model.safetensors"
    if damage == "missing":
        adapter = tmp_path / "nowhere"
    elif damage == "no config":
        config.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "bad json":
        config.write_text("{")
    elif damage == "bad record":
        (adapter / "longodds_adapter.json").write_text("[")
    elif damage.startswith("a tensor"):
        tensors = load_file(weights)
        name = next(iter(tensors))
        tensors = (
            tensors | {name.replace("layers.0", "layers.7"): tensors[name].clone()} if "more" in damage else tensors
        )
        save_file({k: v for k, v in tensors.items() if k != name or "more" in damage}, weights)
    elif damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:-100])
    else:
        config.write_text(json.dumps({**json.loads(config.read_text()), "r": 2}))
    with pytest.raises(UserError) as caught:
        open_policy(f"hf:{tiny_dir}+adapter={adapter}", OpenOptions(dtype="fp32", threads=1))
    assert str(adapter) in str(caught.value)
    assert "\n" not in str(caught.value)


# --- threads and imports ------------------------------------------------------------------------


def test_threads_follow_the_load() -> None:
    assert choose_threads(None, 8) == 1
    assert choose_threads(4.1, 8) == 1
    assert choose_threads(4.0, 8) == 8
    assert choose_threads(0.0, 1) == 1
    assert available_cores() >= 1


def test_threads_are_a_setting(tiny_dir: Path) -> None:
    before = torch.get_num_threads()
    try:
        open_policy(f"hf:{tiny_dir}", OpenOptions(dtype="fp32", threads=2))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_importing_the_room_imports_nothing_heavy() -> None:
    code = "import sys, longodds.policy; print([m for m in ('torch', 'transformers', 'peft') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_infrastructure_and_user_errors_stay_apart() -> None:
    assert (UserError.exit_code, InfraError.exit_code) == (2, 3)
