"""Several evaluators side by side: the same verdicts as one, on cores of their own."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, EvaluatorTeam, open_team, unchanged
from longodds.evaluator.cores import usable_cores
from longodds.tasks import load_task
from longodds.types import Status

TASKS = ("cpu/row_softmax_by_hand", "cpu/cosine_similarity_table")
WRONG = "import torch\nclass ModelNew(torch.nn.Module):\n    def forward(self, x):\n        return x * 0\n"

pytestmark = pytest.mark.skipif(usable_cores() < 2, reason="needs two cores")


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Generator[EvaluatorTeam]:
    with open_team(EvaluatorSettings(), 2, tmp_path_factory.mktemp("cache")) as opened:
        yield opened


def test_all_programs_of_a_task_get_their_verdicts(team: EvaluatorTeam) -> None:
    task = load_task(TASKS[0])
    programs = [unchanged(task), WRONG, "def forward(self, x:\n", WRONG + "# the same again\n"]
    found = dict(team.evaluate_many(task, programs, timed=False))
    assert [found[i].status for i in range(4)] == [
        Status.CORRECT,
        Status.INCORRECT,
        Status.COMPILE_ERROR,
        Status.INCORRECT,
    ]
    assert found[3] is found[1]
    assert {v.evaluator for v in found.values()} == {team.digest}
    again = dict(team.evaluate_many(task, programs[:1], timed=False))
    assert "cached" in again[0].labels


def test_two_tasks_are_timed_side_by_side(team: EvaluatorTeam) -> None:
    tasks = [load_task(name) for name in TASKS]
    with ThreadPoolExecutor(2) as pool:
        verdicts = list(pool.map(lambda task: team.evaluate(task, unchanged(task)), tasks))
    for task, verdict in zip(tasks, verdicts, strict=True):
        assert verdict.task_id == task.id
        assert verdict.correct
        assert verdict.speedup == pytest.approx(1.0, abs=0.3)


def test_an_unusable_task_is_the_callers_mistake_and_the_team_goes_on(team: EvaluatorTeam) -> None:
    good = load_task(TASKS[0])
    bad = good.__class__("file/bad", "file", "raise RuntimeError('no')\n", "0" * 64)
    with pytest.raises(UserError, match="file/bad"):
        list(team.evaluate_many(bad, [WRONG, unchanged(good)]))
    assert team.evaluate(good, WRONG, timed=False).status is Status.INCORRECT


def test_more_than_there_are_cores_is_refused() -> None:
    with pytest.raises(UserError, match="only on a CPU"):
        open_team(EvaluatorSettings(device="cuda"), 2)
    with pytest.raises(UserError, match=rf"use --eval-workers {usable_cores()}"):
        open_team(EvaluatorSettings(), usable_cores() + 1)
