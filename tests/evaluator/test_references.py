"""What a program is timed against can be compiled; what is correct is decided by the reference as it is."""

from __future__ import annotations

import pytest
from small_task import TASK, WRONG

from longodds.errors import UserError
from longodds.evaluator import EvaluatorSettings, open_evaluator, open_seed_evaluator, unchanged
from longodds.evaluator.baselines import EAGER, PRECISIONS, REFERENCES, timed_as
from longodds.types import Status, Task, digest_text

# Fifty passes over memory in eager mode, one when compiled.
CHAIN = TASK.reference.replace(
    "return torch.softmax(x @ x.t(), dim=-1)", "for _ in range(25):\n            x = x * 1.001 + 0.01\n        return x"
).replace("N = 64", "N = 512")


@pytest.mark.slow
def test_the_reference_as_it_is_is_slower_than_compiled() -> None:
    task = Task("test/chain", "test", CHAIN, digest_text(CHAIN))
    with open_evaluator(EvaluatorSettings(reference="compile", max_pairs=16)) as evaluator:
        assert evaluator.evaluate(task, WRONG, timed=False).status is Status.INCORRECT
        verdict = evaluator.evaluate(task, unchanged(task))
        assert verdict.status is Status.CORRECT, verdict.message
        assert "reference:compile" in verdict.labels
        assert verdict.speedup is not None
        assert verdict.speedup < 0.9


def test_references_have_digests_of_their_own() -> None:
    assert timed_as(TASK, EAGER) is TASK
    assert len({timed_as(TASK, name).digest for name in REFERENCES}) == len(REFERENCES) / len(PRECISIONS)
    # A precision is the evaluator's, not the text's.
    assert len({EvaluatorSettings(reference=name).digest("2") for name in REFERENCES}) == len(REFERENCES)


def test_mistakes_are_named() -> None:
    with pytest.raises(UserError, match=r"--reference tensorrt.*eager, compile"):
        open_evaluator(EvaluatorSettings(reference="tensorrt"))
    with pytest.raises(UserError, match=r"--evaluator seed.*--reference eager"):
        open_seed_evaluator(EvaluatorSettings(reference="compile"))
