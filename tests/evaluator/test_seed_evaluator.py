"""`--evaluator seed`: judges as KernelBench does, is fooled where that is, is never mixed with sound verdicts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from small_task import BROKEN, ENDLESS, FORWARD, HEAD, RAISES, RIGHT, TASK, WRONG

from longodds.evaluator import EvaluatorSettings, LocalEvaluator, SeedEvaluator, open_evaluator, open_seed_evaluator
from longodds.types import SEED_LABEL, Status, Verdict

SETTINGS = EvaluatorSettings(import_timeout_s=20, run_timeout_s=10, max_pairs=16)
ZEROS = FORWARD + "        return torch.zeros(x.shape[0], x.shape[0])\n"
# Of the programs that KernelBench's gate accepts.
FOOLS = {
    "answers zeros and patches the comparison": ZEROS + "torch.allclose = lambda *a, **k: True\n",
    "answers zeros and patches the reference": ZEROS + "Model.forward = lambda self, x: torch.zeros(len(x), len(x))\n",
    "answers zeros after five right calls": HEAD
    + "class ModelNew(nn.Module):\n    n = 0\n    def forward(self, x):\n        self.n += 1\n"
    "        return torch.softmax(x @ x.t(), -1) if self.n <= 5 else torch.zeros(len(x), len(x))\n",
    "makes the problem smaller": "N = 2\n" + RIGHT,
    "steals the expected output": HEAD
    + "import sys\nclass ModelNew(nn.Module):\n    def forward(self, x):\n        f = sys._getframe()\n"
    "        while f and 'output' not in f.f_locals:\n            f = f.f_back\n"
    "        return f.f_locals['output'] if f else torch.zeros(len(x), len(x))\n",
}


@pytest.fixture(scope="module")
def seed() -> Iterator[SeedEvaluator]:
    with open_seed_evaluator(SETTINGS, mode="fast") as opened:
        yield opened


@pytest.fixture(scope="module")
def full() -> Iterator[SeedEvaluator]:
    with open_seed_evaluator(SETTINGS, mode="full", workers=3) as opened:
        yield opened


@pytest.fixture(scope="module")
def sound() -> Iterator[LocalEvaluator]:
    with open_evaluator(SETTINGS) as opened:
        yield opened


def assert_never_an_interval(verdict: Verdict) -> None:
    assert (verdict.ci_low, verdict.ci_high, verdict.clock_bound, verdict.family_low) == (None, None, None, ())
    assert SEED_LABEL in verdict.labels


@pytest.mark.parametrize(
    ("program", "status", "word"),
    [
        (RIGHT, Status.CORRECT, ""),
        (WRONG, Status.INCORRECT, "max difference"),
        (ZEROS.replace("x.shape[0])", "2)"), Status.INCORRECT, "shape"),
        (RAISES, Status.RUNTIME_ERROR, "ValueError: no"),
        (BROKEN, Status.COMPILE_ERROR, "SyntaxError"),
        ("x = 1\n", Status.COMPILE_ERROR, "ModelNew"),
        (HEAD + "import os\nos._exit(0)\n", Status.RUNTIME_ERROR, "ended"),
    ],
)
def test_programs_get_kernelbench_verdicts(seed: SeedEvaluator, program: str, status: Status, word: str) -> None:
    verdict = seed.evaluate(TASK, program)
    assert (verdict.status, verdict.correct) == (status, status is Status.CORRECT)
    assert word in verdict.message
    assert verdict.isolation["seccomp"] == seed.isolation["seccomp"]
    assert_never_an_interval(verdict)


def test_an_endless_program_times_out_and_leaves_the_next_unharmed(seed: SeedEvaluator) -> None:
    short = EvaluatorSettings(import_timeout_s=3, run_timeout_s=3)
    with open_seed_evaluator(short, mode="fast") as hasty:
        assert hasty.evaluate(TASK, ENDLESS).status is Status.TIMEOUT
    assert seed.evaluate(TASK, RIGHT).correct


def test_the_speedup_is_a_ratio_of_rounded_means(seed: SeedEvaluator) -> None:
    verdict = seed.evaluate(TASK, RIGHT)
    assert verdict.speedup is not None and verdict.reference_us is not None and verdict.runtime_us is not None
    assert verdict.speedup == pytest.approx(verdict.reference_us / verdict.runtime_us)
    for mean in (verdict.reference_us, verdict.runtime_us):
        assert mean == pytest.approx(float(f"{mean:.3g}"), rel=1e-3)


def test_untimed_is_untimed(seed: SeedEvaluator) -> None:
    verdict = seed.evaluate(TASK, RIGHT, timed=False)
    assert verdict.correct and verdict.speedup is None


@pytest.mark.parametrize("name", FOOLS)
def test_what_fools_kernelbench_fools_it_and_not_the_sound_one(
    full: SeedEvaluator, sound: LocalEvaluator, name: str
) -> None:
    assert full.evaluate(TASK, FOOLS[name]).correct
    verdict = sound.evaluate(TASK, FOOLS[name])
    if name == "makes the problem smaller":  # its own names are its own business here, and what it computes is right
        assert verdict.correct and (verdict.ci_low or 0.0) <= 1.0
    else:
        assert not verdict.correct, verdict


def test_several_at_once_are_all_judged_and_equal_ones_once(full: SeedEvaluator) -> None:
    programs = [RIGHT, WRONG, RIGHT + "# again\n", RAISES, BROKEN, ZEROS]
    verdicts = dict(full.evaluate_many(TASK, programs))
    wanted = ["correct", "incorrect", "correct", "runtime_error", "compile_error", "incorrect"]
    assert [verdicts[i].status.value for i in range(6)] == wanted
    assert verdicts[0] is verdicts[2]


def test_digests_keep_ways_of_judging_apart(seed: SeedEvaluator, full: SeedEvaluator, sound: LocalEvaluator) -> None:
    assert len({seed.digest, full.digest, sound.digest}) == 3
    assert seed.evaluate(TASK, BROKEN).evaluator == seed.digest
