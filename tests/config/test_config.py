"""Settings: recipes, flags over recipes, one-line errors, digests, the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from longodds.config import BestOfNSettings, config_digest, describe_differences, differing_keys, load_recipe, resolve
from longodds.environment import read_environment, secret
from longodds.errors import UserError
from longodds.files import read_dotenv
from longodds.strategies.learning_settings import RLVRSettings, TTTSettings
from longodds.strategies.refine_settings import RefineSettings


def recipe(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "r.toml"
    path.write_text(text)
    return path


def failing(tmp_path: Path, text: str | None, **flags: object) -> str:
    with pytest.raises(UserError) as caught:
        resolve(BestOfNSettings, recipe=recipe(tmp_path, text) if text is not None else None, flags=flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_flags_override_the_recipe_and_the_recipe_overrides_defaults(tmp_path: Path):
    path = recipe(tmp_path, 'k = 4\ntemperature = 1\nseeds = [3, 4]\nproblem_ids = [4, "softmax"]\n')
    s = resolve(BestOfNSettings, recipe=path, flags={"k": 8, "suite": None}, defaults={"max_pairs": 16, "k": 2})
    assert (s.k, s.temperature, s.seeds, s.max_pairs) == (8, 1.0, (3, 4), 16)
    assert s.problem_ids == ("4", "softmax")
    assert s.suite == "cpu"


def test_seed_is_short_for_seeds_and_the_flag_wins(tmp_path: Path):
    path = recipe(tmp_path, "seed = 7\n")
    assert resolve(BestOfNSettings, recipe=path).seeds == (7,)
    assert resolve(BestOfNSettings, recipe=path, flags={"seeds": [1, 2]}).seeds == (1, 2)


@pytest.mark.parametrize(
    ("text", "flags", "parts"),
    [
        ("temprature = 1\n", {}, ["r.toml", "unknown key 'temprature'", "did you mean 'temperature'?"]),
        ("k = 0\n", {}, ["r.toml: key 'k'", "at least 1", "not 0"]),
        ("k = 4\n", {"k": 0}, ["--k:", "at least 1", "not 0"]),
        (None, {"temperature": -0.5}, ["--temperature:", "at least 0", "-0.5"]),
        ("temperature = nan\n", {}, ["key 'temperature'", "finite"]),
        ('k = "8"\n', {}, ["key 'k'", "integer", '"8"']),
        ("k = true\n", {}, ["key 'k'", "integer", "true"]),
        ("k = 1979-05-27\n", {}, ["key 'k'", "integer"]),
        ("seeds = []\n", {}, ["key 'seeds'", "at least one seed"]),
        ("seeds = [1, 1]\n", {}, ["key 'seeds'", "1 is given twice"]),
        ("seed = 1\nseeds = [1]\n", {}, ["r.toml", "both seed and seeds"]),
        ("k = \n", {}, ["r.toml: not TOML"]),
        (None, {"subset": "test"}, ["--subset", "'train' or 'eval'"]),
        (None, {"max_cost": 2.0}, ["max_cost needs a price"]),
        ("[k]\nn = 1\n", {}, ["key 'k'", "integer"]),
    ],
)
def test_mistakes_are_one_line_that_names_key_and_value(tmp_path, text, flags, parts):
    message = failing(tmp_path, text, **flags)
    for part in parts:
        assert part in message


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere\.toml: no such recipe"):
        load_recipe(tmp_path / "nowhere.toml", BestOfNSettings)
    with pytest.raises(UserError, match="is a directory"):
        load_recipe(tmp_path, BestOfNSettings)
    (tmp_path / "latin.toml").write_bytes(b'suite = "\xe9"')
    with pytest.raises(UserError, match=r"latin\.toml: not UTF-8"):
        load_recipe(tmp_path / "latin.toml", BestOfNSettings)


def test_recipes_of_longodds_are_found_from_any_folder(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("recipes/demo.toml", BestOfNSettings)["k"] == 16
    with pytest.raises(UserError, match=r"recipes/nowhere\.toml: no such recipe; those of longodds.*demo"):
        load_recipe("recipes/nowhere.toml", BestOfNSettings)
    with pytest.raises(UserError, match="no such recipe"):
        load_recipe("demo.toml", BestOfNSettings)
    Path("recipes").mkdir()
    Path("recipes/demo.toml").write_text("k = 3\n")
    assert load_recipe("recipes/demo.toml", BestOfNSettings)["k"] == 3


def test_the_digest_ignores_budgets_and_nothing_else():
    base = resolve(BestOfNSettings)
    operational = {"max_seconds": 5.0, "threads": 2, "batch_size": 3, "cache": False, "price_device": 1.0}
    assert resolve(BestOfNSettings, flags=operational).digest() == base.digest()
    for key, value in {"k": 17, "temperature": 0.7, "seeds": [5], "suite": "dir:x", "time": "none"}.items():
        other = resolve(BestOfNSettings, flags={key: value})
        assert other.digest() != base.digest()
        assert differing_keys(base.identity(), other.identity()) == [key]


def test_digest_does_not_depend_on_key_order_and_differences_show_both_values():
    assert config_digest({"a": 1, "b": [1, 2]}) == config_digest({"b": [1, 2], "a": 1})
    assert describe_differences({"a": 1, "b": 2}, {"a": 3, "b": 2}) == "a (1, now 3)"


def test_every_setting_is_documented_or_obvious():
    obvious = {"policy", "policy_device", "style", "device"}
    fields = BestOfNSettings.model_fields.items()
    assert [n for n, f in fields if not f.description and n not in obvious | {"top_p", "seeds"}] == []


def test_environment_reads_dotenv_and_the_environment_wins(tmp_path: Path):
    env = tmp_path / ".env"
    env.write_text(
        "# a comment\nexport LONGODDS_CACHE='/a b/c'  # why\nOMP_NUM_THREADS=2 # two\nHF_TOKEN=\"x # y\"\nnonsense\n"
        "KERNELBENCH_EVAL_MODE=fast\n"
    )
    got = read_environment({"OMP_NUM_THREADS": "4"}, env)
    assert got.cache_dir == Path("/a b/c")
    assert got.threads == 4
    assert (got.eval_mode, got.max_pairs) == ("fast", 16)
    assert got.keys_present == {"TINKER_API_KEY": False, "OPENAI_API_KEY": False, "HF_TOKEN": True}
    assert "x # y" not in repr(got)
    assert secret("HF_TOKEN", {}, env) == "x # y"
    assert read_dotenv(tmp_path / "absent") == {}


def test_environment_defaults_and_mistakes():
    got = read_environment({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, None)
    assert (got.kernelbench_root, got.threads, got.max_pairs) == (None, None, 64)
    for name, value in {"OMP_NUM_THREADS": "many", "KERNELBENCH_EVAL_MODE": "quick"}.items():
        with pytest.raises(UserError, match=name):
            read_environment({name: value}, None)


@pytest.mark.parametrize(
    ("kind", "key", "value", "words"),
    [
        (BestOfNSettings, "k", 10**23, "--k: must be at most 1000000"),
        (BestOfNSettings, "max_tokens", 10**9, "--max-tokens: must be at most 1000000"),
        (BestOfNSettings, "batch_size", 10**9, "--batch-size: must be at most 1000000"),
        (BestOfNSettings, "threads", 100_000, "--threads: must be at most 1024"),
        (BestOfNSettings, "timeout", 1e300, "--timeout: must be at most 604800"),
        (BestOfNSettings, "temperature", 1e-300, "--temperature: must be 0 (greedy) or at least 0.001, not 1e-300"),
        (BestOfNSettings, "seeds", (1 << 64,), "--seeds: seeds are whole numbers from 0, below 2^63"),
        (TTTSettings, "held_out", 10**23, "--held-out: must be at most 1000000"),
        (TTTSettings, "steps", 10**23, "--steps: must be at most 1000000"),
        (TTTSettings, "updates", 10**23, "--updates: must be at most 1000000"),
        (RLVRSettings, "k", 10**23, "--k: must be at most 1000000"),
        (RLVRSettings, "eval_k", 10**23, "--eval-k: must be at most 1000000"),
        (RLVRSettings, "steps", 10**23, "--steps: must be at most 1000000"),
        (RefineSettings, "chains", 10**23, "--chains: must be at most 1000000"),
        (RefineSettings, "history", 10**23, "--history: must be at most 1000000"),
    ],
)
def test_numbers_that_no_machine_holds_are_refused(kind, key, value, words):
    with pytest.raises(UserError, match=re.escape(words)):
        resolve(kind, flags={key: value})
