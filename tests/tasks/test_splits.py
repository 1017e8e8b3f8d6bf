"""Seeded splits: the published ids come back, and a file that was tampered with is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longodds.errors import UserError
from longodds.tasks import load_split, load_suite, make_split, render_split, select_tasks
from longodds.tasks.splits import shuffle_ids, split_hash

# Eval ids of the seed release (Barnes, arXiv:2602.07670) on KernelBench level 1.
PUBLISHED = {
    42: [4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98],
    43: [3, 5, 13, 19, 37, 48, 56, 59, 60, 64, 66, 71, 74, 77, 78, 80, 86, 90, 95, 98],
    44: [2, 4, 13, 15, 21, 23, 29, 38, 39, 49, 53, 66, 67, 70, 73, 82, 90, 93, 94, 96],
}
PUBLISHED_HASHES = {
    42: "e1669a9da6a2ca82d6f7cedec5d77bc0db4b2059accc51adc7a18d681e07a4fb",
    43: "ef8577fdb50fb243ac8d9eb4b06316b53e3afd75fbd7e10a690030fdcc0daeb8",
}
DATASET = {
    "name": "ScalingIntelligence/KernelBench",
    "config_name": "default",
    "version": "0.0.0",
    "fingerprint": "66eecc5652b90a3e",
    "num_rows": 100,
}


@pytest.mark.parametrize("seed", PUBLISHED)
def test_published_eval_ids(seed):
    ids = make_split("kernelbench:1", seed)["problem_ids"]
    assert ids["eval"] == PUBLISHED[seed]
    assert ids["train"] == sorted(set(range(1, 101)) - set(PUBLISHED[seed]))


def test_level_two_has_the_same_numbers_at_seed_42():
    split = make_split("kernelbench:2", 42)
    assert split["problem_ids"]["eval"] == PUBLISHED[42]
    assert split["level"] == "level_2"


@pytest.mark.parametrize("seed", PUBLISHED_HASHES)
def test_published_hashes(seed):
    assert make_split("kernelbench:1", seed, dataset=DATASET)["split_hash"] == PUBLISHED_HASHES[seed]


def test_bundled_suite_splits_by_name():
    names = {t.metadata["name"] for t in load_suite("cpu")}
    split = make_split("cpu", 1)
    train, held_out = split["problem_ids"]["train"], split["problem_ids"]["eval"]
    assert split["level"] == "cpu"
    assert sorted(train + held_out) == sorted(names)
    assert len(train) == len(names) * 8 // 10
    assert split == make_split("cpu", 1)
    assert held_out != make_split("cpu", 2)["problem_ids"]["eval"]


@given(st.lists(st.text(min_size=1), min_size=2, unique=True), st.integers())
def test_a_split_is_a_partition(ids, seed):
    train, held_out = shuffle_ids(sorted(ids), seed)
    assert sorted(train + held_out) == sorted(ids)
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    assert len(train) == int(len(ids) * 8 / 10)


def test_what_cannot_be_split():
    for suite in ("kernelbench:9", "kernelbench:x", "cpuu"):
        with pytest.raises(UserError, match="unknown suite"):
            make_split(suite, 42)
    with pytest.raises(UserError, match="at least 2"):
        shuffle_ids([1], 0)
    with pytest.raises(UserError, match="seed"):
        make_split("cpu", "42")  # type: ignore[arg-type]


def test_a_split_file_round_trips(tmp_path):
    split = make_split("kernelbench:1", 42)
    path = tmp_path / "split.json"
    path.write_text(render_split(split))
    assert load_split(path) == split
    assert load_split(str(path)) == split


def edited(**changes):
    split = {**make_split("kernelbench:1", 42), **changes}
    return {key: value for key, value in split.items() if value is not None}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([1, 2], "JSON object"),
        (edited(seed=None), "'seed' is missing"),
        (edited(level=None), "'level' is missing"),
        (edited(split_hash=None), "'split_hash' is missing"),
        (edited(seed="42"), "field 'seed'"),
        (edited(seed=True), "field 'seed'"),
        (edited(level=[1]), "field 'level'"),
        (edited(problem_ids=[1]), "field 'problem_ids'"),
        (edited(problem_ids={"train": [1]}), "'problem_ids.eval'"),
        (edited(problem_ids={"train": [1.5], "eval": [2]}), "'problem_ids.train'"),
        (edited(problem_ids={"train": [1, 2], "eval": [2]}), "2 occurs twice"),
        (edited(problem_ids={"train": [1, 2], "eval": [3]}), "field 'split_hash'"),
        (edited(seed=43), "field 'split_hash'"),
    ],
)
def test_a_bad_split_file_is_named_with_its_field(tmp_path, document, words):
    path = tmp_path / "split.json"
    path.write_text(json.dumps(document))
    with pytest.raises(UserError) as caught:
        load_split(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)


def test_a_split_file_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match="no such split file"):
        load_split(tmp_path / "none.json")
    with pytest.raises(UserError, match="cannot be read"):
        load_split(tmp_path)
    path = tmp_path / "split.json"
    for data in (b"{", b"\xff\xfe"):
        path.write_bytes(data)
        with pytest.raises(UserError, match=r"split\.json"):
            load_split(path)


def test_extra_keys_are_kept_and_hashed():
    split = make_split("kernelbench:1", 42, dataset=DATASET)
    assert split["dataset"] == DATASET
    assert split["split_hash"] == split_hash(split) != make_split("kernelbench:1", 42)["split_hash"]


def test_selecting_tasks_by_id():
    tasks = load_suite("cpu")
    names = [t.metadata["name"] for t in tasks]
    assert select_tasks(tasks, names[::-1]) == tasks[::-1]
    with pytest.raises(UserError, match=r"my\.json: not in cpu: 4, nothing"):
        select_tasks(tasks, [names[0], 4, "nothing"], source="my.json")
