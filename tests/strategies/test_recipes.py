"""Every recipe that ships resolves to settings and names tasks that exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from longodds.config import BestOfNSettings, resolve
from longodds.strategies import choose_tasks
from longodds.strategies.learning_settings import RLVRSettings, SDPOSettings, TTTSettings
from longodds.strategies.refine_settings import RefineSettings
from longodds.tasks import EVAL_ONLY_FAMILIES

RECIPES = sorted((Path(__file__).resolve().parents[2] / "recipes").glob("*.toml"))


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.stem)
def test_a_recipe_resolves(path):
    kinds = {"ttt": TTTSettings, "sdpo": SDPOSettings, "rlvr": RLVRSettings, "refine": RefineSettings}
    kind = kinds.get(path.stem.partition("-")[0], BestOfNSettings)
    settings = resolve(kind, recipe=path)
    tasks = choose_tasks(settings)
    assert tasks
    half = "train" if kind is RLVRSettings else "eval"
    assert all(t.metadata["split"] == half for t in tasks)


def test_the_demo_covers_families_seen_in_training_and_not():
    path = next(p for p in RECIPES if p.stem == "demo")
    tasks = choose_tasks(resolve(BestOfNSettings, recipe=path))
    families = [t.metadata["family"] for t in tasks]
    assert len(tasks) == 12 == len(set(families))
    assert 0 < sum(f in EVAL_ONLY_FAMILIES for f in families) < 6
