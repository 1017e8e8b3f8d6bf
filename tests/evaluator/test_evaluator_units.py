"""The evaluator's parts that need no child process: frames, trees, laws, comparison, statistics."""

from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from longodds.evaluator import frames, laws, seccomp, stats, tree
from longodds.evaluator.compare import Errors, Tolerance, check
from longodds.evaluator.frames import Frame, Kind
from longodds.evaluator.variation import constant_leaves, vary, vary_leaves


@given(
    st.sampled_from([Kind.READY, Kind.CALL, Kind.DONE]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.lists(st.integers(0, 2**64 - 1), max_size=frames.MAX_LEAVES),
)
def test_a_frame_survives_the_wire(kind: Kind, value: int, nonce: int, words: list[int]) -> None:
    frame = Frame(kind, value, 0, tuple(words), "", nonce)
    data = frames.encode(frame)
    assert len(data) == frames.FRAME
    assert frames.decode(data) == frame


@given(st.binary(max_size=frames.FRAME + 10))
def test_any_bytes_decode_or_raise_value_error(data: bytes) -> None:
    try:
        frame = frames.decode(data.ljust(frames.FRAME, b"\0") if len(data) > 20 else data)
    except ValueError:
        return
    assert isinstance(frame, Frame)


@given(st.text())
def test_an_error_text_is_cut_and_decodes(text: str) -> None:
    frame = frames.decode(frames.encode(Frame(Kind.ERROR, code=2, text=text)))
    assert frame.kind is Kind.ERROR
    assert text.startswith(frame.text[:20]) or "�" in frame.text or "?" in frame.text


LEAVES = st.one_of(
    st.none(),
    st.text(max_size=5),
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.builds(
        lambda shape, dtype: torch.arange(math.prod(shape)).reshape(shape).to(dtype),
        st.lists(st.integers(0, 3), max_size=3),
        st.sampled_from([torch.float32, torch.float64, torch.int32, torch.bool, torch.bfloat16]),
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda c: st.one_of(st.lists(c, max_size=3), st.tuples(c, c), st.dictionaries(st.text(max_size=3), c, max_size=3)),
    max_leaves=8,
)


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


@settings(max_examples=200)
@given(TREES)
def test_a_tree_survives_being_written_and_read(value: object) -> None:
    spec, leaves, size = tree.describe(value)
    block = torch.zeros(size, dtype=torch.uint8)
    tree.write(value, leaves, block)
    assert same(tree.read(spec, block), value)
    assert tree.leaves_of(spec) == leaves
    assert tree.mismatch(spec, value) == ""


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.arange(12.0).reshape(3, 4).t(),
        lambda: torch.arange(3.0).reshape(3, 1).expand(3, 5),
        lambda: torch.arange(24.0).reshape(2, 3, 4)[:, ::2],
        lambda: torch.tensor(5),
    ],
)
def test_strides_survive(make: object) -> None:
    value = make()  # type: ignore[operator]
    spec, leaves, size = tree.describe([value])
    block = torch.zeros(size, dtype=torch.uint8)
    tree.write([value], leaves, block)
    back = tree.read(spec, block)[0]
    assert back.stride() == value.stride()
    assert torch.equal(back, value)


@pytest.mark.parametrize(
    ("value", "other", "word"),
    [
        (torch.zeros(2), torch.zeros(3), "shape"),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), "dtype"),
        (torch.zeros(2), torch.nn.Parameter(torch.zeros(2)), "Parameter"),
        ([torch.zeros(2)], (torch.zeros(2),), "list"),
        ({"a": 1}, {"b": 1}, "keys"),
        ([1, 2], [1], "items"),
        (1, 1.0, "int"),
    ],
)
def test_a_wrong_structure_is_named(value: object, other: object, word: str) -> None:
    assert word in tree.mismatch(tree.describe(value)[0], other)


def test_dicts_with_equal_items_are_equal_in_any_order() -> None:
    one, other = {"b": torch.zeros(3), "a": 2.0}, {"a": 3.0, "b": torch.ones(3)}
    spec, leaves, size = tree.describe(one)
    assert tree.mismatch(spec, other) == ""
    assert [leaf.dtype for leaf in leaves] == [torch.float64, torch.float32]
    back = tree.read(spec, tree.block_of(other, leaves, size, "cpu"))
    assert list(back) == ["b", "a"]  # as the task has them
    assert back["a"] == 3.0
    assert torch.equal(back["b"], torch.ones(3))
    assert tree.leaf_paths(spec) == ["a", "b"]


def test_what_can_not_be_passed_is_refused() -> None:
    with pytest.raises(tree.Unsupported, match="object"):
        tree.describe([object()])
    with pytest.raises(tree.Unsupported, match="strided"):
        tree.describe([torch.zeros(3).to_sparse()])


def test_dense_strides_keep_permutations_and_repair_gaps() -> None:
    assert tree.dense_strides((3, 4), (1, 3)) == (1, 3)
    assert tree.dense_strides((3, 4), (0, 1)) == (4, 1)
    assert tree.dense_strides((3, 4), (8, 1)) == (4, 1)


@pytest.mark.parametrize("law", [law for law in laws.LAWS if law not in laws.UNDEFINED])
def test_a_law_repeats_keeps_structure_and_restores_torch(law: str) -> None:
    originals = (torch.rand, torch.randn, torch.randint)

    def get_inputs() -> list[torch.Tensor]:
        return [torch.tril(torch.rand(16, 16)), torch.softmax(torch.randn(4, 8), -1), torch.randint(0, 7, (9,))]

    first, second = laws.draw(get_inputs, law, 3), laws.draw(get_inputs, law, 3)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(first[0], torch.tril(first[0]))
    assert torch.allclose(first[1].sum(-1), torch.ones(4))
    assert int(first[2].min()) >= 0
    assert int(first[2].max()) < 7
    assert (torch.rand, torch.randn, torch.randint) == originals


def test_laws_differ_from_the_base_as_they_say() -> None:
    def draw(law: str) -> torch.Tensor:
        return laws.draw(lambda: [torch.rand(64, 64)], law, 5)[0]

    assert (draw("base") >= 0).all()
    assert (draw("signs") < 0).any()
    assert draw("small").abs().max() < 2e-3
    assert draw("large").abs().max() > 32
    assert (draw("sparse") == 0).float().mean() > 0.8
    assert (draw("sparse") == 0).all(-1).any()
    assert 0 < (draw("outlier").abs() > 99).sum() <= 8
    assert (draw("outlier") != draw("base")).sum() <= 8
    assert len(draw("ties").unique()) <= 9
    assert (draw("constant_rows").std(-1) == 0).all()
    assert 0 < (draw("rare") != draw("base")).sum() <= 8


def test_errors_see_nan_infinities_and_exact_types() -> None:
    nan, inf = float("nan"), float("inf")
    a = torch.tensor([1.0, nan, inf])
    assert Errors.between(a, a.clone()).peak == 0
    assert Errors.between(torch.tensor([1.0, nan]), torch.tensor([1.0, 2.0])).peak == inf
    assert Errors.between(torch.tensor([1.0, -inf]), torch.tensor([1.0, inf])).peak == inf
    assert Errors.between(torch.tensor([1, 2]), torch.tensor([1, 3])).peak == 0.5
    assert Errors.between(torch.zeros(0), torch.zeros(0)).peak == 0
    assert not Errors(nan, 0.0).within(Tolerance(1.0, 1.0))


def test_small_rows_are_judged_by_their_own_size() -> None:
    want = torch.ones(20, 8, dtype=torch.float64) * torch.logspace(0, -6, 20, dtype=torch.float64)[:, None]
    off = want.clone()
    off[-1] *= 1.01
    errors = Errors.between(off, want)
    assert errors.small_rows == 13
    assert errors.row == pytest.approx(0.01)
    assert errors.within(Tolerance(1e-7, 1e-7)) and not errors.within(Tolerance(1e-7, 1e-7, row=1e-3))
    assert "small row" in check([off], [want], [Tolerance(1e-7, 1e-7, row=1e-3)], ["output"])
    assert Errors.between(torch.zeros(4, 4), torch.zeros(4, 4)) == Errors(0.0, 0.0)


def test_half_and_complex_types_are_compared_in_a_wider_one() -> None:
    big = torch.full((64,), 6e4, dtype=torch.float16)
    assert Errors.between(big, -big).peak == 1.2e5
    turned = torch.tensor([1 + 1j, 2 - 1j])
    assert Errors.between(turned, turned.conj().resolve_conj()).peak == 2
    assert "got 1+0j, expected 1+1j" in check([turned.real + 0j], [turned], [Tolerance(0.1, 0.1)], ["output"])


@pytest.mark.parametrize(
    "make",
    [
        lambda: [torch.rand(9, 9), torch.ones(9, 9, dtype=torch.bool).tril(), torch.arange(9)],
        lambda: [torch.rand(9, 9), torch.full((9, 9), float("-inf")).triu(1), torch.tensor([0, 3, 3, 7, 9])],
        lambda: [torch.rand(9, 9), torch.eye(9), torch.linspace(0, 1, 9)],
        lambda: [torch.rand(9, 9), torch.zeros(3, 1).expand(3, 5), 1.5],
        lambda: [torch.rand(9, 9), torch.arange(6.0).reshape(3, 2).t() + 0.5, [2.0, {"a": -1.0}]],
    ],
)
def test_constant_inputs_are_found_and_vary_within_their_kind(make: Callable[[], list[object]]) -> None:
    first, second = make(), make()
    found = constant_leaves(first, second)
    assert found == list(range(1, len(tree.values(first))))
    other = vary_leaves(first, found, 5)
    assert tree.describe(other)[0] == tree.describe(first)[0]
    assert constant_leaves(first, other) == [0]
    mask, more = tree.values(other)[1:3]
    assert isinstance(mask, torch.Tensor)
    before = tree.values(first)[1]
    assert isinstance(before, torch.Tensor)
    if before.shape == (9, 9):  # masks stay masks: what they hold, and how much of it in all
        assert torch.equal(mask.flatten().sort().values, before.flatten().sort().values)
    if isinstance(more, torch.Tensor) and more.dim() == 1 and more.shape[0] == 5:
        assert more[0] == 0 and more[-1] == 9 and bool((more.diff() >= 0).all())
    if isinstance(more, torch.Tensor) and more.is_floating_point() and more.dim() == 1:
        assert bool((more.diff() >= 0).all())


def test_flags_and_sizes_do_not_vary() -> None:
    for value in (True, 5, torch.tensor(3), torch.zeros(0), float("inf"), "text"):
        assert vary(value, torch.Generator()) is None


@pytest.mark.parametrize(
    "source",
    [
        "torch.empty(64).uniform_()",
        "torch.normal(30.0, 1.0, (64,))",
        "torch.from_numpy(np.random.rand(64))",
        "torch.from_numpy(np.random.default_rng(3).random(64))",
        "torch.from_numpy(GENERATOR.random(64))",
        "torch.tensor([random.random() for _ in range(64)])",
        "torch.distributions.Uniform(0.0, 1.0).sample((64,))",
        "rand(64)",
        "torch.rand(64, generator=torch.Generator().manual_seed(0))",
        "(torch.manual_seed(0), torch.rand(64))[1]",
    ],
)
def test_laws_reach_every_source_of_randomness(source: str) -> None:
    namespace: dict[str, Any] = {"torch": torch, "np": np, "random": random, "rand": torch.rand}
    namespace["GENERATOR"] = np.random.default_rng(0)
    exec(f"def get_inputs():\n    return [{source}]", namespace)
    make = namespace["get_inputs"]
    kept = dict(namespace)
    originals = [torch.rand, torch.Tensor.uniform_, np.random.rand, np.random.default_rng, random.random, random.Random]

    def draw(law: str, seed: int) -> torch.Tensor:
        return laws.draw(make, law, seed, namespace)[0]

    assert (draw("base", 1) >= 0).all()
    assert not torch.equal(draw("base", 1), draw("base", 2))
    assert torch.equal(draw("base", 1), draw("base", 1))
    changed = draw("signs", 1)
    assert not torch.equal(changed, draw("base", 1))
    after = [torch.rand, torch.Tensor.uniform_, np.random.rand, np.random.default_rng, random.random, random.Random]
    assert all(a is b or a == b for a, b in zip(originals, after, strict=True))
    assert "uniform_" not in vars(torch.Tensor)
    assert namespace == kept


def test_the_first_mismatch_is_named() -> None:
    want = torch.zeros(3, 4, dtype=torch.float64)
    got = torch.zeros(3, 4)
    got[1, 2] = 0.5
    message = check([got], [want], [Tolerance(1e-3, 1.0)], ["output"])
    assert "output[1, 2]: got 0.5, expected 0" in message
    assert "1 of 12" in message
    spread = torch.full((3, 4), 9e-4)
    assert "root-mean-square" in check([spread], [want], [Tolerance(1e-3, 1e-4)], ["output"])


def test_rank_gives_the_exact_coverage() -> None:
    for n, level in ((16, 0.01), (32, 0.003), (64, 0.004), (128, 0.01)):
        k = stats.rank(n, level)
        outside = 2 * sum(math.comb(n, i) for i in range(k)) / 2**n
        wider = 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n
        assert outside <= level < wider
    assert stats.rank(4, 0.01) == 0
    assert math.isinf(stats.median_interval([1.0] * 4, 0.01).low)


def test_the_looks_spend_the_whole_error_and_no_more() -> None:
    for last in (16, 32, 64):
        spent = sum(stats.look_level(n, last) for n in stats.LOOKS[1:] if n <= last)
        assert spent == pytest.approx(stats.LEVEL)
        assert stats.look_level(last - 1, last) == stats.look_level(last, last) <= stats.LEVEL


def test_the_sequential_interval_rarely_excludes_the_truth() -> None:
    rng = np.random.default_rng(0)
    wrong, runs = 0, 4000
    for _ in range(runs):
        x = rng.standard_t(2, 64) * 0.01  # heavy-tailed noise around no difference
        for look in stats.LOOKS[1:]:
            at = stats.median_interval(x[:look], stats.look_level(look, 64))
            if at.low > 0 or at.high < 0:
                wrong += 1
                break
    assert wrong <= stats.LEVEL * runs + 3 * math.sqrt(stats.LEVEL * runs)


def test_between_process_spread_is_recovered_and_small_without_one() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.normal(rng.normal(0, 0.02), 0.01, 16) for _ in range(400)]
    assert stats.between_process_sd(groups) == pytest.approx(0.02, rel=0.15)
    alike = [rng.normal(0, 0.01, 16) for _ in range(400)]
    assert 0 < stats.between_process_sd(alike) < 0.003


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_seccomp_filter_is_well_formed(machine: str) -> None:
    code = seccomp.build_filter(machine)
    assert len(code) % 8 == 0
    count = len(code) // 8
    for i in range(count):
        op = int.from_bytes(code[8 * i : 8 * i + 2], "little")
        jt, jf = code[8 * i + 2], code[8 * i + 3]
        if op & 7 == 5:  # a jump lands inside the program
            assert i + 1 + max(jt, jf) < count
    assert int.from_bytes(code[-8:-6], "little") == 6  # ends in a return


def test_the_seccomp_filter_keeps_sigcont_from_programs() -> None:
    code = """
import ctypes, signal, sys, threading
from longodds.evaluator import sandbox, seccomp

libc = sandbox.load_libc()
libc.prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS
seccomp.apply(libc)
signal.signal(signal.SIGUSR1, lambda *_: None)
assert signal.getsignal(signal.SIGCONT) == signal.SIG_DFL
assert libc.sigaction(int(signal.SIGCONT), None, ctypes.create_string_buffer(256)) == 0
thread = threading.Thread(target=print)
thread.start()
thread.join()
try:
    signal.signal(signal.SIGCONT, lambda *_: None)
except PermissionError:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
