"""A learner: exact gradients from packed rows, on many architectures; its optimiser; what it saves and restores."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from small_models import ARCHITECTURES, save_small
from tiny_models import save_llama

from longodds.errors import InfraError, UserError
from longodds.learning import AdamParams, Datum, Learner, Loss
from longodds.policy import LoraOptions, OpenOptions, open_learner, open_policy
from longodds.policy.losses import token_losses
from longodds.policy.packing import plan_rows

if TYPE_CHECKING:
    from pathlib import Path

    from longodds.policy.learner import HFLearner

FP32 = OpenOptions(dtype="fp32", threads=1)
LORA = LoraOptions(rank=4, alpha=8.0)


def close(rows: list[list[float]]) -> list[Any]:
    return [pytest.approx(row, abs=1e-4) for row in rows]


def make_data(seed: int = 0, prompts: int = 2, completions: int = 4, vocabulary: int = 97) -> list[Datum]:
    """Completions of 1 to 9 tokens, the prompts interleaved."""
    draw = random.Random(seed)

    def numbers(n: int) -> tuple[float, ...]:
        return tuple(draw.uniform(-1, 1) for _ in range(n))

    asked = [tuple(draw.randrange(3, vocabulary) for _ in range(9 + 4 * p)) for p in range(prompts)]
    data: list[Datum] = []
    for _, prompt in itertools.product(range(completions), asked):
        n = draw.randrange(1, 10)
        tokens = tuple(draw.randrange(3, vocabulary) for _ in range(n))
        logprobs = tuple(-4 + x for x in numbers(n))
        data.append(Datum(prompt, tokens, weights=numbers(n), logprobs=logprobs, advantages=numbers(n)))
    return data


def straightforward(
    learner: HFLearner, data: list[Datum], loss: Loss
) -> tuple[float, list[list[float]], dict[str, torch.Tensor]]:
    """Loss, log-probabilities and gradients of one plain forward pass per completion, with eager attention."""
    lora: Any = learner._lora
    model: Any = lora.get_base_model()
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    total, rows = 0.0, []
    for d in data:
        ids = torch.tensor([[*d.prompt_ids, *d.token_ids]])
        logits = model(input_ids=ids, use_cache=False).logits[0].float()
        at = len(d.prompt_ids) - 1
        chosen = torch.log_softmax(logits[at:-1], dim=-1).gather(1, torch.tensor(d.token_ids)[:, None])[:, 0]
        summed = token_losses(loss, chosen, [d]).sum()
        summed.backward()
        total += float(summed.detach())
        rows.append(chosen.tolist())
    model.set_attn_implementation(before)
    found = learner.gradients()
    for p in learner._adam.parameters.values():
        p.grad = None
    return total, rows, found


def assert_same_gradients(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert set(a) == set(b)
    assert any(float(g.abs().max()) > 1e-4 for g in a.values())
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_packed_gradients_are_those_of_plain_passes(name: str, tmp_path: Path) -> None:
    learner: Any = open_learner(f"hf:{save_small(name, tmp_path)}", FP32, LORA)
    # B starts at zero, which would hide the gradient of A
    for n, p in learner._adam.parameters.items():
        if "lora_B" in n:
            torch.nn.init.normal_(p, std=0.2, generator=torch.Generator().manual_seed(1))
    data = make_data()
    total, rows, gradients = straightforward(learner, data, "importance_sampling")
    done = learner.forward_backward(data, "importance_sampling")
    assert learner.shared_prompts == (name != "Qwen3Next")
    assert done.loss == pytest.approx(total, abs=1e-3)
    for got, expected in zip(done.logprobs, rows, strict=True):
        assert got == pytest.approx(expected, abs=1e-4)
    assert_same_gradients(learner.gradients(), gradients)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llama(tmp_path_factory.mktemp("base"))


def new_learner(base: Path, **options: Any) -> HFLearner:
    learner: Any = open_learner(f"hf:{base}", OpenOptions(dtype="fp32", threads=1, **options), LORA)
    return learner


@pytest.mark.parametrize("loss", get_args(Loss))
def test_every_loss_has_exact_gradients(base: Path, loss: Loss) -> None:
    learner = new_learner(base)
    data = make_data(1)
    total, _, gradients = straightforward(learner, data, loss)
    done = learner.forward_backward(data, loss)
    assert done.loss == pytest.approx(total, abs=1e-4)
    assert_same_gradients(learner.gradients(), gradients)


@pytest.mark.parametrize("room", [1, 200_000, 1_000_000])
def test_memory_budgets_change_nothing_but_the_rows(base: Path, room: int) -> None:
    """Down to one completion a row, with checkpoints: same losses, same gradients."""
    data = make_data(2, completions=6)
    reference = new_learner(base)
    expected = reference.forward_backward(data)
    learner = new_learner(base, batch_bytes=room)
    plan = learner._plan(data)
    assert len(plan) > 1 or room == 1_000_000
    assert any(checkpointing for _, checkpointing in plan) == (room < 1_000_000)
    done = learner.forward_backward(data)
    assert done.loss == pytest.approx(expected.loss, abs=1e-4)
    for got, row in zip(done.logprobs, expected.logprobs, strict=True):
        assert got == pytest.approx(row, abs=1e-4)
    assert_same_gradients(learner.gradients(), reference.gradients())


def test_a_prompt_is_computed_once_per_group(base: Path) -> None:
    data = make_data(3, prompts=2, completions=5)
    done = new_learner(base).forward_backward(data)
    prompts = {d.prompt_ids for d in data}
    assert done.trained_tokens == sum(map(len, prompts)) + sum(len(d.token_ids) - 1 for d in data)


def test_rows_hold_whole_groups_and_every_datum_once() -> None:
    data = make_data(4, prompts=5, completions=7)
    for most, fill in [(1, 1), (40, 30), (64, 64), (10_000, 100), (10_000, 10_000)]:
        rows = plan_rows(data, most, fill=fill)
        assert sorted(i for row in rows for group in row.groups for i in group) == list(range(len(data)))
        for row in rows:
            for group in row.groups:
                assert len({data[i].prompt_ids for i in group}) == 1
            size = sum(len(data[g[0]].prompt_ids) + sum(len(data[i].token_ids) for i in g) for g in row.groups)
            assert size == row.tokens
            assert len(row.groups) == 1 or size <= fill
            assert size <= most or all(len(g) == 1 for g in row.groups)
    assert len(plan_rows(data, 10_000, fill=10_000)) == 1


def test_gradients_add_up_until_the_step(base: Path) -> None:
    data = make_data(5)
    whole, parts = new_learner(base), new_learner(base)
    whole.forward_backward(data)
    losses = [parts.forward_backward([d]).loss for d in data]
    assert sum(losses) == pytest.approx(whole.forward_backward([]).loss + sum(losses))
    assert_same_gradients(whole.gradients(), parts.gradients())
    assert whole.optim_step()["grad_norm"] > 0
    assert whole.gradients() == {}


def test_the_step_is_adam_with_tinkers_defaults(base: Path) -> None:
    """Against Adam written out, over three steps, with clipping in the last."""
    learner = new_learner(base)
    start = {n: p.detach().clone() for n, p in learner._adam.parameters.items()}
    first = {n: torch.zeros_like(p) for n, p in start.items()}
    second = {n: torch.zeros_like(p) for n, p in start.items()}
    for t, clip in enumerate([0.0, 0.0, 0.05], start=1):
        learner.forward_backward(make_data(t), "cross_entropy")
        gradients = learner.gradients()
        norm = sum(float(g.pow(2).sum()) for g in gradients.values()) ** 0.5
        scale = min(1.0, clip / norm) if clip else 1.0
        for n, g in gradients.items():
            first[n] = 0.9 * first[n] + 0.1 * g * scale
            second[n] = 0.95 * second[n] + 0.05 * (g * scale) ** 2
            start[n] -= 1e-4 * (first[n] / (1 - 0.9**t)) / ((second[n] / (1 - 0.95**t)).sqrt() + 1e-12)
        assert learner.optim_step(AdamParams(grad_clip_norm=clip))["grad_norm"] == pytest.approx(norm, rel=1e-5)
    assert learner.steps == 3
    for n, p in learner._adam.parameters.items():
        assert torch.allclose(p, start[n], atol=2e-6), n


def test_learning_raises_what_is_rewarded(base: Path) -> None:
    learner = new_learner(base)
    prompt, good, bad = (10, 11, 12), (20, 21, 22), (30, 31)
    before = learner.forward_backward([Datum(prompt, good), Datum(prompt, bad)], "cross_entropy").logprobs
    learner.optim_step(AdamParams(learning_rate=0.0))
    for _ in range(5):
        data = [
            Datum(prompt, good, logprobs=before[0], advantages=(1.0,) * 3),
            Datum(prompt, bad, logprobs=before[1], advantages=(-1.0,) * 2),
        ]
        learner.train_step(data, "importance_sampling", AdamParams(learning_rate=1e-2))
    after = learner.forward_backward([Datum(prompt, good), Datum(prompt, bad)], "cross_entropy").logprobs
    assert sum(after[0]) > sum(before[0]) + 0.5
    assert sum(after[1]) < sum(before[1])


@pytest.mark.parametrize("merge_room", [0, 1 << 40])
def test_snapshots_are_immutable_and_equal_what_is_saved(
    base: Path, tmp_path: Path, merge_room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from longodds.policy import learner as module
    from longodds.types import Prompt, SampleKey, SamplingParams

    monkeypatch.setattr(module, "_MERGE_BYTES", {"cpu": merge_room})
    learner = new_learner(base)
    assert isinstance(learner, Learner)
    data = make_data(6)
    prompt, rows = Prompt(text="x = "), [(5, 6, 7), (8, 9)]
    fresh = learner.snapshot()
    start = fresh.compute_logprobs(prompt, rows)
    assert start == close(open_policy(f"hf:{base}", FP32).compute_logprobs(prompt, rows))
    learner.train_step(data, "cross_entropy", AdamParams(learning_rate=0.05))
    after = learner.snapshot()
    moved = after.compute_logprobs(prompt, rows)
    assert moved != close(start)
    assert fresh.compute_logprobs(prompt, rows) == start
    assert len({fresh.version, after.version}) == 2
    assert after.version == learner.version
    learner.save_state(tmp_path / "state")
    opened = open_policy(f"hf:{base}+adapter={tmp_path / 'state'}", FP32)
    assert opened.version == after.version
    assert opened.compute_logprobs(prompt, rows) == close(moved)
    drawn = after.sample(prompt, SamplingParams(max_tokens=5), SampleKey(0, "t", (0, 1)))
    assert {c.policy_version for c in drawn} == {after.version}


def test_restoring_gives_the_same_next_step(base: Path, tmp_path: Path) -> None:
    first = new_learner(base)
    for i in range(3):
        first.train_step(make_data(i), "ppo", AdamParams(learning_rate=1e-2))
    first.save_state(tmp_path / "state")
    first.save_state(tmp_path / "state")  # again is harmless
    assert [p.name for p in tmp_path.iterdir()] == ["state"]
    second = new_learner(base)
    second.train_step(make_data(9), "ppo", AdamParams(learning_rate=1e-2))
    second.forward_backward(make_data(8))  # dropped by the restoring
    second.load_state(tmp_path / "state")
    assert second.steps == 3
    assert second.version == first.version
    a, b = (x.train_step(make_data(7), "ppo", AdamParams(learning_rate=1e-2)) for x in (first, second))
    assert a == b
    assert second.version == first.version
    # a plain adapter in PEFT's format, too: training goes on from its weights
    third: Any = open_learner(f"hf:{base}+adapter={tmp_path / 'state'}", FP32)
    assert third.steps == 0
    assert third.forward_backward([], "ppo").loss == 0
    assert third.trainable_parameters == first.trainable_parameters


def test_states_of_something_else_are_refused(base: Path, tmp_path: Path) -> None:
    learner = new_learner(base)
    other: Any = open_learner(f"hf:{save_llama(tmp_path / 'other', seed=1)}", FP32, LORA)
    other.train_step(make_data(), "ppo")
    other.save_state(tmp_path / "foreign")
    with pytest.raises(UserError, match="trained on base"):
        learner.load_state(tmp_path / "foreign")
    wider: Any = open_learner(f"hf:{base}", FP32, LoraOptions(rank=8))
    wider.train_step(make_data(), "ppo")
    wider.save_state(tmp_path / "wider")
    with pytest.raises(UserError, match="another adapter"):
        learner.load_state(tmp_path / "wider")
    (tmp_path / "wider" / "optimizer.json").unlink()
    with pytest.raises(UserError, match="no optimiser state"):
        learner.load_state(tmp_path / "wider")
    with pytest.raises(UserError, match="rank 0"):
        open_learner(f"hf:{base}", FP32, LoraOptions(rank=0))


def test_bad_data_are_the_callers_mistake(base: Path) -> None:
    learner = new_learner(base)
    with pytest.raises(UserError, match="vocabulary"):
        learner.forward_backward([Datum((1,), (100_000,))], "cross_entropy")
    with pytest.raises(UserError, match="context"):
        learner.forward_backward([Datum((1,) * 600, (1,))], "cross_entropy")
    learner.forward_backward([Datum((1,), (2,), logprobs=(-1000.0,), advantages=(1.0,))])
    before = learner.version
    with pytest.raises(InfraError, match="not finite"):
        learner.optim_step()
    assert learner.version == before
    assert learner.gradients() == {}
