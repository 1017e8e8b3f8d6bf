"""The evaluator as a reward function of other trainers, and the examples of its page as they stand there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from run_fakes import FakeEvaluator, make_tasks

import longodds as lo
from longodds.errors import InfraError, UserError
from longodds.strategies.reward import text_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "rewards.md"
BLOCKS = re.findall(r"```python\n(.*?\n)```\n", PAGE.read_text("utf-8"), re.DOTALL)
TASKS = make_tasks(2)
FAST, SAME, WRONG = "return torch.add(x, 0)", "return x + 0", "return x - 7"


def judge(completions, ids, *, evaluator=None, **columns):
    function = lo.Reward(tasks=TASKS, evaluator=evaluator or FakeEvaluator())
    return function(prompts=["p"] * len(completions), completions=completions, task_id=ids, **columns)


def test_rewards_come_in_the_order_of_the_completions():
    ids = ["fake/t1", "fake/t0", "fake/t1", "fake/t0", "fake/t1"]
    evaluator = FakeEvaluator()
    assert judge([FAST, WRONG, SAME, FAST, "return ("], ids, evaluator=evaluator) == [2.0, 0.0, 1.0, 2.0, 0.0]
    assert [task for task, _, _ in evaluator.ran] == ["fake/t1"] * 3 + ["fake/t0"] * 2


def test_texts_and_messages_and_further_columns():
    chat = [{"role": "assistant", "content": f"<think>hm</think>\n```python\n{FAST}\n```"}]
    turns = [{"role": "assistant", "content": WRONG}, {"role": "tool", "content": ""}, *chat]
    rewards = judge([FAST, chat, turns], ["fake/t0"] * 3, completion_ids=[[1]] * 3, trainer_state=None)
    assert rewards == [2.0, 2.0, 2.0]
    assert [text_of(c) for c in ("a", [], [{"role": "assistant", "content": None}])] == ["a", "", ""]


def test_only_correctness_times_nothing():
    evaluator = FakeEvaluator()
    function = lo.Reward(tasks=TASKS, evaluator=evaluator, reward="correct")
    assert function([None] * 2, [FAST, WRONG], task_id=["fake/t0"] * 2) == [1.0, 0.0]
    assert not any(timed for _, _, timed in evaluator.ran)
    assert function.__name__ == "longodds_correct"  # trainers log rewards by name


def test_a_failure_of_ours_is_never_scored():
    once = FakeEvaluator(broken="torch.add")
    assert judge([FAST], ["fake/t0"], evaluator=once) == [2.0]
    always = FakeEvaluator(broken="torch.add")
    always.stays_broken = True
    with pytest.raises(InfraError, match="fake/t0: a program got no verdict, twice: the machine said no"):
        judge([FAST], ["fake/t0"], evaluator=always)


def test_mistakes_are_named():
    function = lo.Reward(tasks=TASKS, evaluator=FakeEvaluator())
    with pytest.raises(UserError, match="no column 'task_id'"):
        function(["p"], [FAST])
    with pytest.raises(UserError, match="one task for each of the 2"):
        function(["p"] * 2, [FAST] * 2, task_id=["fake/t0"])
    with pytest.raises(UserError, match="unknown task 'cpu/nothing'"):
        function(["p"], [FAST], task_id=["cpu/nothing"])


def test_rows_are_prompts_and_ids():
    tasks = lo.load_suite("cpu")[:2]
    chat, text = (lo.reward_rows(tasks, form=form) for form in ("chat", "completion"))
    assert [row["task_id"] for row in chat] == [t.id for t in tasks] == [row["task_id"] for row in text]
    assert [m["role"] for m in chat[0]["prompt"]][:2] == ["system", "user"]
    assert text[0]["prompt"].endswith("):\n" + " " * 7)


# --- the page, on the real evaluator ---------------------------------------------------------------


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    example, _trl, verl, _skyrl = BLOCKS
    monkeypatch.setenv("LONGODDS_CACHE", str(tmp_path))
    names: dict = {}
    exec(compile(example, "docs/rewards.md", "exec"), names)
    assert names["rewards"] == [0.0, 0.0]
    module: dict = {}
    exec(compile(verl, "docs/rewards.md", "exec"), module)
    try:
        task = "cpu/row_softmax_by_hand"
        right = "```python\nreturn torch.softmax(logits, dim=1)\n```"
        score = module["compute_score"]("longodds", right, task, extra_info={})
        assert score > 0.1, score
        assert score > 0.1, score
        assert module["compute_score"]("longodds", "return logits", task) == 0.0
    finally:
        module["opened"]().close()


def test_the_other_examples_are_python():
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        ast.parse(block)
