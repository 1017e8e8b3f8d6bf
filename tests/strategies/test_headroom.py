"""What could be gained, from readings some of which fail."""

from __future__ import annotations

import pytest

from longodds.errors import InfraError, UserError
from longodds.strategies.headroom import Headroom, measure_headroom
from longodds.types import Status, Task, Verdict

TASK = Task("file:mine.py", "file:mine.py", "class Model: ...", "0" * 64)


class Evaluator:
    """Gives readings one after the other, of the module and of the copy in turn."""

    def __init__(self, *readings, status=Status.CORRECT):
        self.readings, self.status = list(readings), status

    def describe(self, task):
        return {"input_bytes": 600, "output_bytes": 400}

    def evaluate(self, task, program, *, timed):
        assert not timed
        return Verdict(task.id, self.status, message="differs")

    def process_pair(self, task, program, *, process, count):
        found = self.readings.pop(0)
        if isinstance(found, Exception):
            raise found
        return found


def us(reference, runtime):
    return {"d": [0.0], "reference_us": reference, "runtime_us": runtime}


def test_the_shortest_of_all_readings_counts():
    found = measure_headroom(Evaluator(us(9.0, 8.0), us(3.0, 2.5), us(7.0, 9.5), us(2.0, 4.0)), TASK)
    assert found == Headroom(7.0, 2.0, 1000)


def test_a_reading_that_fails_is_left_out():
    found = measure_headroom(Evaluator(UserError("clocks"), us(3.0, 2.5), us(7.0, 9.5), InfraError("gone")), TASK)
    assert found == Headroom(7.0, 2.5, 1000)


def test_a_module_too_slow_to_time_is_no_error():
    slow = {"d": []}
    assert measure_headroom(Evaluator(slow, us(3.0, 2.5), slow, us(2.0, 4.0)), TASK) == Headroom(None, 2.0, 1000)


@pytest.mark.parametrize("error", [UserError("it fails"), InfraError("it is gone")])
def test_a_module_that_cannot_be_timed_twice_says_why(error):
    with pytest.raises(type(error), match=str(error)):
        measure_headroom(Evaluator(error, us(3.0, 2.5), error, us(2.0, 4.0)), TASK)


def test_a_module_that_fails_its_own_check_is_the_users_mistake():
    with pytest.raises(UserError, match="even unchanged it is incorrect: differs"):
        measure_headroom(Evaluator(status=Status.INCORRECT), TASK)
