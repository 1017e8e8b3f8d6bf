"""Advantages against their definitions, written out slowly; and what all of them have in common."""

from __future__ import annotations

import itertools
import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longodds.strategies.advantages import ADVANTAGES, ENTROPIC_KL, advantages

rewards = st.lists(
    st.lists(st.floats(0, 30).map(lambda x: round(x, 3)), min_size=1, max_size=9), min_size=1, max_size=5
)


def flat(groups):
    return [x for g in groups for x in g]


@given(rewards)
def test_global_is_the_z_score_of_all(groups):
    values = flat(groups)
    sd = statistics.pstdev(values)
    want = [(r - statistics.fmean(values)) / sd for r in values] if sd > 1e-3 else None
    if want is not None:
        assert flat(advantages("global", groups)) == pytest.approx(want, abs=1e-6)


@given(rewards)
def test_group_and_leave_one_out_know_only_their_group(groups):
    for kind in ("group", "loo"):
        for found, g in zip(advantages(kind, groups), groups, strict=True):
            assert found == advantages(kind, [g])[0]
            for i, r in enumerate(g):
                others = g[:i] + g[i + 1 :]
                if not others or statistics.pstdev(g) <= 1e-3:
                    continue
                want = r - statistics.fmean(others)
                if kind == "group":
                    want = (r - statistics.fmean(g)) / statistics.pstdev(g)
                assert found[i] == pytest.approx(want, abs=1e-6)


@given(rewards)
def test_entropic_weights_are_one_bit_away_from_uniform(groups):
    for found, g in zip(advantages("entropic", groups), groups, strict=True):
        if max(g) - min(g) <= 1e-3:
            continue
        q = [(a + 1) / len(g) for a in found]
        assert sum(q) == pytest.approx(1)
        apart = sum(x * math.log(x * len(g)) for x in q if x > 0)
        top = sum(r == max(g) for r in g)
        assert apart == pytest.approx(min(ENTROPIC_KL, 0.999 * math.log(len(g) / top)), abs=1e-3)


@given(rewards, st.sampled_from(ADVANTAGES))
def test_what_all_have_in_common(groups, kind):
    found = advantages(kind, groups)
    assert [len(g) for g in found] == [len(g) for g in groups]
    assert sum(flat(found)) == pytest.approx(0, abs=1e-5)
    for values, g in zip(found, groups, strict=True):
        order = sorted(range(len(g)), key=lambda i: g[i])
        assert all(values[a] <= values[b] + 1e-9 for a, b in itertools.pairwise(order))
    equal = [[1.5] * len(g) for g in groups]
    assert set(flat(advantages(kind, equal))) == {0.0}


def test_what_is_no_reward_is_refused():
    with pytest.raises(ValueError, match="finite"):
        advantages("group", [[1.0, math.nan]])
    with pytest.raises(ValueError, match="unknown advantage 'best'; known: global"):
        advantages("best", [[1.0]])  # type: ignore[arg-type]
    assert advantages("global", []) == []
