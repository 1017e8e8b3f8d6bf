"""The cache of verdicts: what it keeps, for whom it holds, several processes at once, and that no program sees it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_task import BROKEN, RAISES, RIGHT, TASK, WRONG

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, open_evaluator
from longodds.evaluator.cache import VerdictCache
from longodds.types import CACHED_LABEL, Status, Task, Verdict

GOOD = Verdict(TASK.id, Status.CORRECT, labels=("x",), evaluator="e1", seconds=3.5, family_low=((4, 0.9),))
TIMED = replace(GOOD, speedup=1.5, ci_low=1.2, ci_high=1.8, clock_bound=1.1, pairs=64)


def test_a_verdict_comes_back_as_it_was_with_its_cost_and_a_label(tmp_path: Path) -> None:
    VerdictCache(tmp_path / "new").put(TASK, RIGHT, TIMED, timed=True)
    found = VerdictCache(tmp_path / "new").get(TASK, RIGHT, "e1", timed=True)
    assert found == replace(TIMED, labels=("x", CACHED_LABEL))


def test_it_holds_for_other_words_of_the_same_program_and_other_names_of_the_same_task(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, TIMED, timed=True)
    other = replace(TASK, id="dir/other")
    found = cache.get(other, RIGHT.replace("(self, x):", "(self,  x):  # quick"), "e1", timed=True)
    assert found is not None and found.task_id == "dir/other"


@pytest.mark.parametrize(
    ("task", "program", "evaluator"),
    [(replace(TASK, digest="other"), RIGHT, "e1"), (TASK, WRONG, "e1"), (TASK, RIGHT, "e2")],
)
def test_it_holds_for_nothing_else(tmp_path: Path, task: Task, program: str, evaluator: str) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, TIMED, timed=True)
    assert cache.get(task, program, evaluator, timed=True) is None


@pytest.mark.parametrize("status", list(Status))
def test_only_what_a_second_run_would_repeat_is_kept(tmp_path: Path, status: Status) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, replace(GOOD, status=status), timed=False)
    kept = cache.get(TASK, RIGHT, "e1", timed=False) is not None
    assert kept == (status in (Status.CORRECT, Status.INCORRECT, Status.COMPILE_ERROR))


def test_an_untimed_verdict_does_not_stand_in_for_a_timed_one(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, GOOD, timed=False)
    assert cache.get(TASK, RIGHT, "e1", timed=True) is None
    cache.put(TASK, RIGHT, TIMED, timed=True)
    untimed = cache.get(TASK, RIGHT, "e1", timed=False)
    assert untimed is not None and untimed.speedup is None
    cache.put(TASK, WRONG, replace(GOOD, status=Status.INCORRECT), timed=False)
    wrong = cache.get(TASK, WRONG, "e1", timed=True)
    assert wrong is not None and wrong.status is Status.INCORRECT


def test_a_request_to_time_that_timed_nothing_is_not_kept(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, GOOD, timed=True)
    assert cache.get(TASK, RIGHT, "e1", timed=True) is None


def test_a_hit_is_not_kept_again(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, replace(TIMED, labels=(CACHED_LABEL,)), timed=True)
    assert cache.get(TASK, RIGHT, "e1", timed=True) is None


def test_it_is_bounded_and_forgets_what_was_not_used(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path, most=10)
    for i in range(10):
        cache.put(TASK, f"x = {i}\n", TIMED, timed=True)
    assert cache.get(TASK, "x = 0\n", "e1", timed=True) is not None  # used just now
    for i in range(10, 21):
        cache.put(TASK, f"x = {i}\n", TIMED, timed=True)
        assert cache.get(TASK, "x = 0\n", "e1", timed=True) is not None
    left = [i for i in range(21) if cache.get(TASK, f"x = {i}\n", "e1", timed=True) is not None]
    assert len(left) <= 20
    assert 0 in left and 20 in left and 1 not in left


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at " * 50, b""])
def test_a_damaged_file_is_a_cache_without_verdicts(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "verdicts.sqlite").write_bytes(content)
    cache = VerdictCache(tmp_path)
    cache.put(TASK, RIGHT, TIMED, timed=True)
    found = cache.get(TASK, RIGHT, "e1", timed=True)
    assert (found is None) == bool(content)
    assert bool(cache.problem) == bool(content)


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = VerdictCache(tmp_path / "file" / "below")
    cache.put(TASK, RIGHT, TIMED, timed=True)
    assert cache.get(TASK, RIGHT, "e1", timed=True) is None
    assert "below" in cache.problem


def _write_many(folder: str, name: int) -> None:
    cache = VerdictCache(Path(folder))
    for i in range(40):
        cache.put(TASK, f"x = {i}\ny = {name if i % 2 else 0}\n", TIMED, timed=True)


def test_several_processes_share_it(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_write_many, args=(str(tmp_path), i)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
        assert worker.exitcode == 0
    cache = VerdictCache(tmp_path)
    for name in range(3):
        for i in range(40):
            assert cache.get(TASK, f"x = {i}\ny = {name if i % 2 else 0}\n", "e1", timed=True) is not None


# --- in the evaluator --------------------------------------------------------------------------

SPY = (
    RIGHT
    + """
import os
found = []
for folder in ({folder!r}, os.path.dirname({folder!r})):
    try:
        found += os.listdir(folder)
    except OSError as error:
        found.append(type(error).__name__)
try:
    open({file!r}, "ab").close()
    found.append("written")
except OSError as error:
    found.append(type(error).__name__)
raise ValueError("saw " + " ".join(found))
"""
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kept") / "verdicts"


@pytest.fixture(scope="module")
def evaluator(folder: Path) -> Iterator[LocalEvaluator]:
    with open_evaluator(EvaluatorSettings(run_timeout_s=20, max_pairs=16), cache=folder) as opened:
        yield opened


@pytest.mark.parametrize("program", [RIGHT, WRONG, BROKEN])
def test_a_program_is_run_once(evaluator: LocalEvaluator, folder: Path, program: str) -> None:
    first = evaluator.evaluate(TASK, program, timed=False)
    again = evaluator.evaluate(TASK, program + "# again\n", timed=False)
    if program is BROKEN:
        again = evaluator.evaluate(TASK, program, timed=False)
    assert CACHED_LABEL not in first.labels
    assert again == replace(first, labels=(*first.labels, CACHED_LABEL))
    assert again.seconds > 0


def test_a_program_that_raises_is_run_again(evaluator: LocalEvaluator) -> None:
    for _ in range(2):
        verdict = evaluator.evaluate(TASK, RAISES, timed=False)
        assert verdict.status is Status.RUNTIME_ERROR
        assert CACHED_LABEL not in verdict.labels


def test_equal_programs_of_one_request_are_run_once(evaluator: LocalEvaluator) -> None:
    programs = [RAISES.replace("no", "once"), RAISES.replace("no", "once") + "\n# the same\n", RIGHT]
    verdicts = dict(evaluator.evaluate_many(TASK, programs, timed=False))
    assert verdicts[0] is verdicts[1]
    assert [verdicts[i].status for i in range(3)] == [Status.RUNTIME_ERROR, Status.RUNTIME_ERROR, Status.CORRECT]


def test_a_program_cannot_see_or_write_it(evaluator: LocalEvaluator, folder: Path) -> None:
    evaluator.evaluate(TASK, RIGHT, timed=False)
    file = folder / "verdicts.sqlite"
    before = file.read_bytes()
    verdict = evaluator.evaluate(TASK, SPY.format(folder=str(folder), file=str(file)), timed=False)
    assert verdict.status is Status.RUNTIME_ERROR
    assert "saw" in verdict.message
    assert "sqlite" not in verdict.message and "written" not in verdict.message
    assert file.read_bytes() == before
