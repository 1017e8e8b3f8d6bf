"""Every recipe that ships resolves to settings and names tasks that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from longodds.config import BestOfNSettings, resolve
from longodds.strategies.learning_settings import RLVRSettings, SDPOSettings, TTTSettings
from longodds.strategies.planning import choose_tasks
from longodds.strategies.refine_settings import RefineSettings
from longodds.strategies.stages import KINDS, read_stages
from longodds.tasks import EVAL_ONLY_FAMILIES

ALL = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))
STAGED = [p for p in ALL if p.stem.startswith("dual_loop")]
RECIPES = [p for p in ALL if p not in STAGED]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_resolves(path):
    kinds = {"ttt": TTTSettings, "sdpo": SDPOSettings, "rlvr": RLVRSettings, "refine": RefineSettings}
    kind = kinds.get(path.stem.partition("-")[0], BestOfNSettings)
    settings = resolve(kind, recipe=path)
    tasks = choose_tasks(settings)
    assert tasks
    half = "train" if kind is RLVRSettings else "eval"
    assert all(t.metadata["split"] == half for t in tasks)


@pytest.mark.parametrize("path", STAGED, ids=lambda p: p.stem)
def test_a_dual_loop_goes_from_the_outer_loop_to_every_inner_arm(path, tmp_path):
    stages = read_stages(path, tmp_path)
    assert {s.command for s in stages} == set(KINDS)
    outer, *inner = stages
    assert outer.command == "rlvr"
    assert all(s.settings.policy == f"run:{tmp_path / 'outer'}" for s in inner)
    judged = {frozenset(t.id for t in choose_tasks(s.settings)) for s in inner}
    assert len(judged) == 1, "all arms have the same tasks"
    assert not judged.pop() & {t.id for t in choose_tasks(outer.settings)}


def test_the_demo_covers_families_seen_in_training_and_not():
    path = next(p for p in RECIPES if p.stem == "demo")
    tasks = choose_tasks(resolve(BestOfNSettings, recipe=path))
    families = [t.metadata["family"] for t in tasks]
    assert len(tasks) == 12 == len(set(families))
    assert 0 < sum(f in EVAL_ONLY_FAMILIES for f in families) < 6
