"""Which control's result later verdicts use."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from longodds.config import EvaluationSettings, TaskSettings, resolve
from longodds.errors import UserError
from longodds.evaluator import calibrate as control
from longodds.strategies import opening
from longodds.strategies.calibrating import calibrate_machine, known_calibration
from longodds.strategies.validate import validate_suite


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """calibrate_machine without the measuring: what a control of this size would write; and its notes."""
    monkeypatch.setenv("LONGODDS_CACHE", str(tmp_path))

    def fake(tasks, settings, *, n, path, workers, progress):
        document = {"n": n, "between_process_sd": 0.01 / n, "any_of_k": {"tasks": min(10, n, len(tasks))}}
        path.write_text(json.dumps(document))
        return document

    monkeypatch.setattr(control, "calibrate", fake)

    def measure(n, max_tasks=None):
        notes: list[str] = []
        document = calibrate_machine("cpu", n=n, max_tasks=max_tasks, note=notes.append)
        return document, notes

    return measure


def test_without_torch_programs_are_not_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("LONGODDS_CACHE", str(tmp_path))
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs the package 'torch'; install it: pip install 'longodds\[local\]'"):
        calibrate_machine("cpu", n=4)
    with pytest.raises(UserError, match="needs the package 'torch'"):
        opening.open_settings_evaluator(resolve(EvaluationSettings))
    with pytest.raises(UserError, match="needs the package 'torch'"):
        next(validate_suite(resolve(TaskSettings)))


def used() -> int | None:
    path = known_calibration("cpu")
    return None if path is None else json.loads(path.read_text())["n"]


def test_a_control_of_a_few_process_pairs_is_not_used(measured):
    for n, tasks in ((1, 1), (8, None), (49, 4), (50, 3), (199, 1)):
        document, notes = measured(n, tasks)
        assert used() is None, (n, tasks)
        assert json.loads(Path(document["file"]).read_text()) == document
        assert ["it is too small" in note for note in notes] == [True]
    for n, tasks in ((50, 4), (200, 1)):
        document, notes = measured(n, tasks)
        assert (used(), notes, document["file"]) == (n, [], str(known_calibration("cpu")))


def test_a_smaller_control_does_not_replace_a_larger_one_of_the_same_evaluator(measured, monkeypatch):
    measured(200)
    document, notes = measured(100)
    assert used() == 200
    assert document["file"] != str(known_calibration("cpu"))
    assert ["larger one, --n 200" in note for note in notes] == [True]
    measured(200, 4)
    measured(300)
    assert used() == 300
    monkeypatch.setattr("longodds.evaluator.settings.VERSION", -1)
    measured(100)
    assert used() == 100


@pytest.mark.parametrize("spread", [math.nan, math.inf, -0.1, "x", None])
def test_a_result_that_verdicts_refuse_is_replaced(measured, spread):
    measured(200)
    path = known_calibration("cpu")
    assert path is not None
    path.write_text(json.dumps(json.loads(path.read_text()) | {"between_process_sd": spread}))
    assert measured(100)[1] == []
    assert used() == 100


def test_a_log_that_something_else_changed_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("LONGODDS_CACHE", str(tmp_path))
    real = control.calibrate

    def spoilt(tasks, settings, *, path, **more):
        path.with_suffix(".log.jsonl").write_text("garbage\n")
        return real(tasks, settings, path=path, **more)

    monkeypatch.setattr(control, "calibrate", spoilt)
    with pytest.raises(UserError, match=r"\.log\.jsonl: a line is no row of a control"):
        calibrate_machine("cpu", n=1, max_tasks=1)
