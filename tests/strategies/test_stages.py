"""Recipes of several stages: shared keys, references to earlier stages, what is finished, mistakes in one line."""

from __future__ import annotations

import pytest

from longodds.config import BestOfNSettings, load_recipe
from longodds.errors import UserError
from longodds.strategies.learning_settings import RLVRSettings, SDPOSettings
from longodds.strategies.stages import DONE, finished, mark_finished, read_stages

RECIPE = """
policy = "hf:tiny"
max_tokens = 32
seed = 3

[[stage]]
name = "outer"
command = "rlvr"
steps = 2

[[stage]]
name = "bon"
command = "best-of-n"
policy = "run:outer@2"
seeds = [0, 1]

[[stage]]
name = "inner"
command = "sdpo"
policy = "run:outer"

[[stage]]
name = "again"
command = "refine"
policy = "run:elsewhere"
match = "bon"
max_tokens = 64
"""


def read(tmp_path, text=RECIPE, *, into=None, **flags):
    (tmp_path / "r.toml").write_text(text)
    return read_stages(tmp_path / "r.toml", into or tmp_path / "d", flags=flags)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """A run that no stage makes."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)


def test_shared_keys_own_keys_and_earlier_stages(tmp_path):
    outer, bon, inner, again = read(tmp_path)
    assert [type(s.settings) for s in (outer, bon, inner)] == [RLVRSettings, BestOfNSettings, SDPOSettings]
    assert [s.path for s in (outer, again)] == [tmp_path / "d" / "outer", tmp_path / "d" / "again"]
    assert [s.settings.policy for s in (outer, bon, inner, again)] == [
        "hf:tiny",
        f"run:{tmp_path / 'd' / 'outer'}@2",
        f"run:{tmp_path / 'd' / 'outer'}",
        "run:elsewhere",  # no stage: a run like any other
    ]
    assert again.settings.match == str(tmp_path / "d" / "bon")
    assert [s.settings.max_tokens for s in (outer, again)] == [32, 64]
    assert [s.settings.seeds for s in (outer, bon)] == [(3,), (0, 1)]


def test_flags_replace_what_is_shared(tmp_path):
    recipe = RECIPE.replace("run:elsewhere", "run:outer")
    outer, bon, _, _ = read(tmp_path, recipe, policy="hf:other", style="module")
    assert outer.settings.policy == "hf:other"
    assert bon.settings.policy.endswith("outer@2")  # begins from the outer loop all the same
    assert {s.settings.style for s in (outer, bon)} == {"module"}
    assert read(tmp_path, recipe.replace("seeds = [0, 1]", ""), seeds=[5])[0].settings.seeds == (5,)
    with pytest.raises(UserError, match=r"--policy: stage 'again' of .* sets policy itself; change it there"):
        read(tmp_path, policy="hf:other")
    with pytest.raises(UserError, match="--seed: stage 'bon'"):
        read(tmp_path, recipe, seed=5)
    with pytest.raises(UserError, match=r"--max-tokens: stage 'again' of .* sets max_tokens itself"):
        read(tmp_path, max_tokens=8)


def test_a_stage_is_finished_with_these_very_settings(tmp_path):
    outer, bon, *_ = read(tmp_path)
    assert not finished(outer)
    for stage in (outer, bon):
        stage.path.mkdir(parents=True)
        mark_finished(stage)
    assert finished(outer) and finished(bon)
    other, *_ = read(tmp_path, style="module")
    assert not finished(other)
    outer.path.rmdir()
    assert not finished(outer) and finished(bon)
    (tmp_path / "d" / DONE).write_text("{")
    assert not finished(bon)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[[stage]]", "[[step]]", r"r.toml: has no \[\[stage\]\]"),
        ('command = "rlvr"', 'command = "train"', "stage 'outer': key 'command': must be one of best-of-n, ttt, sdpo"),
        ('command = "rlvr"', "", "stage 'outer': key 'command': must be one of .*, not None"),
        ('name = "outer"', 'name = "../x"', r"stage 1: key 'name': must be letters, .*, not '../x'"),
        ('name = "bon"', 'name = "outer"', "stage 'outer': is there twice"),
        ('policy = "run:outer"', 'policy = "run:again"', "stage 'inner': key 'policy': stage 'again' is not before it"),
        ("steps = 2", "stepz = 2", "stage 'outer': unknown key 'stepz'; did you mean 'steps'"),
        ("steps = 2", "steps = 0", "stage 'outer': key 'steps': must be at least 1, not 0"),
        ("max_tokens = 32", "max_tokenz = 32", "r.toml: unknown key 'max_tokenz'; did you mean 'max_tokens'"),
        ("max_tokens = 32", "lr = 1e-4", "key 'lr': is shared by all, and best-of-n does not have it"),
    ],
)
def test_mistakes_are_one_line(tmp_path, old, new, said):
    with pytest.raises(UserError, match=said) as e:
        read(tmp_path, RECIPE.replace(old, new))
    assert "\n" not in str(e.value)


def test_other_commands_say_what_a_staged_recipe_is_for(tmp_path):
    (tmp_path / "r.toml").write_text(RECIPE)
    with pytest.raises(UserError, match="has several stages; it is for `longodds pipeline DIR"):
        load_recipe(tmp_path / "r.toml", BestOfNSettings)


def test_what_a_stage_begins_from_is_looked_at_before_anything_runs(tmp_path):
    for old, new, words in (
        (
            'policy = "run:outer"',
            'policy = "run:outr"',
            r"stage 'inner': key 'policy': 'outr' is no .*did you mean 'outer'",
        ),
        (
            'match = "bon"',
            'match = "nope"',
            "stage 'again': key 'match': 'nope' is no earlier stage and no run directory",
        ),
        (
            "run:elsewhere",
            "run:bon",
            "stage 'again': key 'policy': stage 'bon' is of best-of-n, which learns no weights",
        ),
        ('name = "inner"', 'name = "stages.json"', "stage 3: key 'name': stages.json is a file of the pipeline's own"),
    ):
        with pytest.raises(UserError, match=words):
            read(tmp_path, RECIPE.replace(old, new))


def test_a_pipeline_that_was_moved_is_the_same_pipeline(tmp_path):
    here, there = read(tmp_path), read(tmp_path, into=tmp_path / "moved")
    assert [s.digest for s in here] == [s.digest for s in there]
    assert here[1].settings.identity()["policy"] == "run:outer@2"
    assert there[1].settings.policy == f"run:{tmp_path / 'moved' / 'outer'}@2"
    other = read(tmp_path, RECIPE.replace("run:outer@2", "run:outer@1"))
    assert other[1].digest != here[1].digest
