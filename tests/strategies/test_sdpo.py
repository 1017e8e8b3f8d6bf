"""Self-distillation: what a teacher is told, advantages by token, its weights, what it costs, and that it teaches."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from run_fakes import BODIES, FakeEvaluator, make_tasks
from tabular import TabularLearner, TabularPolicy, softmax

from longodds.config import resolve
from longodds.errors import UserError
from longodds.learning import AdamParams, Datum
from longodds.prompts import feedback
from longodds.store import RunDir
from longodds.strategies.adapt import sdpo
from longodds.strategies.learning_settings import SDPOSettings
from longodds.strategies.lessons import Distilled, Weights, clip, solution_for, token_advantages
from longodds.strategies.sampling import Asked
from longodds.types import Completion, Prompt, Sample, SampleKey, SamplingParams, Status, Verdict

sys.path.append(str(Path(__file__).parents[1] / "policy"))

FLAGS = {"suite": "fake", "k": 16, "held_out": 2, "lr": 0.3, "temperature": 1.0, "steps": 3, "max_kl": 50.0}
ANSWER = 2  # torch.add, in BODIES


class Reader(TabularPolicy):
    """One row of logits for all prompts; likelier is what is shown as a solution, and what is not said to be wrong."""

    asked: ClassVar[list[str]] = []

    def encode(self, prompt):
        return [0] * 8

    def compute_logprobs(self, prompt, token_ids):
        text = prompt.text or ""
        self.asked.append(text)
        _, _, told = text.partition("# A correct solution:")
        extra = np.array([4.0 if body in told.partition("# Correctly solve")[0] else 0.0 for body in BODIES])
        if "Wrong result" in text:
            extra[3] -= 2.0
        p = softmax(self.logits(self.encode(prompt)) + extra)
        return [[float(np.log(p[t])) for t in row] for row in token_ids]


class ReaderLearner(TabularLearner):
    def snapshot(self):
        return Reader({k: v.copy() for k, v in self.table.items()}, self.version)


class AveragingLearner(ReaderLearner):
    """The average of tables, as of adapters."""

    def average(self, directories, shares):
        mine, total = (self.table, self.moments, self.steps), {}
        for directory, share in zip(directories, shares, strict=True):
            self.load_state(directory)
            for key, row in self.table.items():
                total[key] = total.get(key, 0.0) + share * row
        self.table, self.moments, self.steps = mine
        return Reader(total, "average")


class OneRight(FakeEvaluator):
    """Only the answer is correct."""

    def evaluate(self, task, program, *, timed=True):
        verdict = super().evaluate(task, program, timed=timed)
        if verdict.correct and "torch.add" not in program:
            return replace(verdict, status=Status.INCORRECT, speedup=None, ci_low=None, ci_high=None)
        return verdict


def settings_of(**flags):
    return resolve(SDPOSettings, flags={**FLAGS, **flags})


def go(path, *, learner=None, evaluator=None, tasks=1, **flags):
    return sdpo(
        path,
        settings_of(**flags),
        learner=learner or ReaderLearner(),
        evaluator=evaluator or FakeEvaluator(),
        tasks=make_tasks(tasks),
    )


def sample(index, body, *, status=Status.CORRECT, low=None, message=""):
    verdict = Verdict("t", status, speedup=low, ci_low=low, ci_high=low, message=message)
    done = Completion((0, 1), (-1.0, -2.0), (-1.0, -2.0), (0, 1), body, "stop", "v")
    return Sample(f"s{index}", "fake/t0", 0, index, "sdpo", 0, done, body, body, verdict)


# --- does it teach? ------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_teacher_that_is_shown_the_answer_raises_it(tmp_path, seed):
    """EFFECT, in nats, was fixed beforehand; it is not reached where the teacher is not shown the answer."""
    effect = 0.5
    gains = {}
    for shown in (True, False):
        learner = ReaderLearner()
        go(tmp_path / str(shown), learner=learner, evaluator=OneRight(), feedback=False, solution=shown, seeds=[seed])
        assert len(learner.table) == shown
        now = np.array([np.log(softmax(row)[ANSWER]) for row in learner.table.values()])
        gains[shown] = float(now.mean() if shown else math.log(1 / 6)) - math.log(1 / 6)
    assert gains[True] > effect
    assert gains[False] == 0.0


def test_feedback_teaches_without_a_solution(tmp_path):
    learner = ReaderLearner()
    go(tmp_path / "r", learner=learner)
    (row,) = learner.table.values()
    assert softmax(row)[3] < 1 / 6 - 0.02  # of the wrong results one is unlearned: the one that the teacher was told of


# --- what the teacher is told ---------------------------------------------------------------------


def test_each_sample_has_its_own_context():
    task = make_tasks(1)[0]
    asked = Asked(task, Prompt(text="Solve it.\ndef forward(self, x):\n        "))
    wrong = sample(0, "return x - 7", status=Status.INCORRECT)
    fails = sample(1, "raise ValueError", status=Status.RUNTIME_ERROR, message="ValueError: no")
    slow, fast = sample(2, "return x + 0", low=0.9), sample(3, "return torch.add(x, 0)", low=1.9)
    group = [wrong, fails, slow, fast]
    asked = replace(asked, prompt=built_prompt(task))
    both = Distilled(settings_of(solution=True))
    texts = [both.context(asked, s, group).text or "" for s in group]
    for s, text in zip(group, texts, strict=True):
        assert feedback(s.verdict) in text
        assert s.program not in text.partition("# A correct solution:")[2]
    assert [("torch.add" in t, "x + 0" in t.partition("# A correct")[2]) for t in texts] == [
        (True, False),
        (True, False),
        (True, False),
        (False, True),
    ]
    alone = Distilled(settings_of())
    assert all("A correct solution" not in (alone.context(asked, s, group).text or "") for s in group)
    silent = Distilled(settings_of(feedback=False))
    assert len({silent.context(asked, s, group) for s in group}) == 1
    assert "What came of" not in (silent.context(asked, wrong, group).text or "")


def built_prompt(task):
    from longodds.prompts import build_prompt

    return build_prompt(task, "forward-body", "completion")


def test_the_solution_is_the_fastest_verified_else_the_shortest_and_never_its_own():
    a, b, c = sample(0, "aaaa", low=1.2), sample(1, "bbbbbb", low=2.0), sample(2, "cc", low=0.9)
    bad = sample(3, "d", status=Status.INCORRECT)
    again = sample(4, "bbbbbb", low=2.0)  # the program of b, drawn again
    assert solution_for(bad, [a, b, c, bad, again]) is b
    assert solution_for(again, [a, b, c, bad, again]) is a
    assert solution_for(a, [a, c, bad]) is c
    assert solution_for(bad, [c, sample(5, "eee", low=0.8), bad]) is c
    assert solution_for(c, [c, bad]) is None


def test_samples_that_are_held_out_are_shown_to_nobody(tmp_path):
    Reader.asked.clear()
    go(tmp_path / "r", evaluator=OneRight(), solution=True, k=2, held_out=30, steps=1, seeds=[3])
    samples = [s for s in RunDir.open(tmp_path / "r").samples() if s.step == 0]
    assert not any("torch.add" in s.program for s in samples if s.index < 2)
    assert any("torch.add" in s.program for s in samples)
    assert Reader.asked and not any("A correct solution" in t for t in Reader.asked)


def test_an_infrastructure_failure_is_no_feedback():
    broken = sample(0, "return x + 0", status=Status.INFRA_ERROR)
    task = make_tasks(1)[0]
    asked = Asked(task, built_prompt(task))
    learner = ReaderLearner()
    weights = Weights(learner.snapshot, learner.snapshot, lambda _decay: learner.snapshot())
    assert Distilled(settings_of()).draw([(asked, [broken])], weights).metrics["teacher_contexts"] == 0
    assert Distilled(settings_of(feedback=False)).draw([(asked, [broken])], weights).metrics["teacher_contexts"] == 1


# --- advantages -----------------------------------------------------------------------------------


def test_advantages_are_differences_over_the_score_span():
    done = Completion((5, 6, 7, 8), (-1.0, -2.0, -3.0, -4.0), (0.0,) * 4, (1, 3), "x", "stop", "v")
    assert token_advantages(done, [-0.5, -0.5, -0.5, -0.5], beta=2.0) == [0.0, 3.0, 5.0, 0.0]
    assert clip([-9.0, 0.5, 9.0], 2.0) == [-2.0, 0.5, 2.0]
    assert clip([-9.0, 0.5, 9.0], 0.0) == [-9.0, 0.5, 9.0]


def test_clipping_and_beta_reach_the_learner(tmp_path):
    class Watching(ReaderLearner):
        def forward_backward(self, data, loss="importance_sampling", config=None):
            seen.extend(a for d in data for a in d.advantages)
            return super().forward_backward(data, loss, config)

    largest, shares = {}, {}
    for limit, beta in ((0.0, 1.0), (0.0, 2.0), (0.25, 1.0)):
        seen = []
        path = tmp_path / f"{limit}_{beta}"
        flags = {"solution": True, "steps": 1, "clip_advantage": limit, "beta": beta}
        go(path, learner=Watching(), evaluator=OneRight(), **flags)
        largest[limit, beta] = max(map(abs, seen))
        shares[limit, beta] = RunDir.open(path).checkpoints()[1].metrics["clipped"]
    assert largest[0.0, 1.0] > 1.0
    assert largest[0.0, 2.0] == pytest.approx(2 * largest[0.0, 1.0])
    assert largest[0.25, 1.0] == 0.25
    assert shares[0.0, 1.0] == 0.0 < shares[0.25, 1.0]


# --- a real model ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    from tiny_models import save_llama

    return save_llama(tmp_path_factory.mktemp("tiny") / "tiny")


def trained(tiny, steps, root):
    """A real learner after so many steps, each saved under `root`."""
    from longodds.policy import LoraOptions, OpenOptions, open_learner

    learner = open_learner(f"hf:{tiny}", OpenOptions(dtype="fp32", threads=1), LoraOptions(rank=4, alpha=8.0))
    learner.save_state(root / "step_0000")
    data = [Datum((5, 6), (7, 8), logprobs=(-1.0, -1.0), advantages=(1.0, -0.5))]
    for step in range(1, steps + 1):
        learner.train_step(data, params=AdamParams(learning_rate=0.05))
        learner.save_state(root / f"step_{step:04}")
    return learner


class SamePrompt(Distilled):
    def context(self, asked, sample, group):
        return asked.prompt


def drawn(learner, prompt, n=4):
    policy = learner.snapshot()
    done = policy.sample(prompt, SamplingParams(1.0, 24), SampleKey(0, "d", tuple(range(n))))
    return [
        replace(sample(i, f"p{i}"), completion=replace(c, score_span=(0, len(c.token_ids)))) for i, c in enumerate(done)
    ]


def test_teacher_and_student_with_one_prompt_have_no_advantage(tiny, tmp_path):
    learner = trained(tiny, 2, tmp_path)
    task = make_tasks(1)[0]
    asked = Asked(task, Prompt(text="def forward(self, x):\n       "))
    samples = drawn(learner, asked.prompt)
    start = trained(tiny, 0, tmp_path / "start").snapshot()
    weights = Weights(learner.snapshot, lambda: start, lambda _decay: start)

    def largest(**flags):
        data = SamePrompt(settings_of(clip_advantage=0.0, **flags)).draw([(asked, samples)], weights).data
        return max((abs(a) for d in data for a in d.advantages or ()), default=0.0)

    assert sum(len(s.completion.token_ids) for s in samples) > 40
    assert largest() < 1e-5
    assert largest(teacher="base") > 1e-2  # other weights, and it shows
    data = Distilled(settings_of(feedback=False)).draw([(replace(asked, prompt=built_prompt(task)), [])], weights).data
    assert data == []


def test_the_average_is_of_the_adapters_and_leaves_the_learner_alone(tiny, tmp_path):
    from safetensors.torch import load_file

    learner = trained(tiny, 2, tmp_path)
    prompt, before = Prompt(text="def forward"), learner.version
    ids = [[10, 20, 30], [40, 50]]
    folders = [tmp_path / f"step_{t:04}" for t in range(3)]
    last = learner.average(folders, [0.0, 0.0, 1.0])
    assert last.compute_logprobs(prompt, ids) == learner.snapshot().compute_logprobs(prompt, ids)
    mixed = learner.average(folders, [0.25, 0.25, 0.5])
    assert learner.version == before
    files = [load_file(f / "adapter_model.safetensors") for f in folders]
    blend = {k: 0.25 * files[0][k] + 0.25 * files[1][k] + 0.5 * files[2][k] for k in files[0]}
    from safetensors.torch import save_file

    save_file(blend, folders[0] / "adapter_model.safetensors", metadata={"format": "pt"})
    learner.load_state(folders[0])
    assert [x for row in mixed.compute_logprobs(prompt, ids) for x in row] == pytest.approx(
        [x for row in learner.snapshot().compute_logprobs(prompt, ids) for x in row], abs=1e-5
    )


# --- a run ----------------------------------------------------------------------------------------


def test_the_teachers_differ_as_they_say(tmp_path):
    """After one step `student` is what was learned, `base` what was not, `ema` decay of the one and the rest of the
    other, which the advantages of the second step show."""

    class Watching(AveragingLearner):
        def forward_backward(self, data, loss="importance_sampling", config=None):
            if self.steps == 1:
                seen.update({d.token_ids[0]: d.advantages[0] for d in data})
            return super().forward_backward(data, loss, config)

    found, rows = {}, {}
    for teacher in ("student", "base", "ema"):
        seen, learner = {}, Watching()
        flags = {"teacher": teacher, "ema_decay": 0.25, "steps": 2, "feedback": False, "solution": True}
        go(tmp_path / teacher, learner=learner, evaluator=OneRight(), clip_advantage=0.0, **flags)
        found[teacher] = dict(seen)
        table = json.loads((tmp_path / teacher / "checkpoints" / "step_0001" / "table.json").read_text())["table"]
        (rows[teacher],) = (np.array(v) for v in table.values())
    w = rows["student"]
    assert all(np.allclose(w, other) for other in rows.values())  # the first step is the same for all
    extra = np.zeros(6)
    extra[ANSWER] = 4.0
    weights = {"student": w, "base": 0 * w, "ema": 0.75 * w}
    for teacher, told in found.items():
        assert len(told) > 3
        for token, advantage in told.items():
            extra = np.eye(6)[ANSWER] * 4.0 * (token != ANSWER)  # no sample of the answer is shown its own program
            want = np.log(softmax(weights[teacher] + extra)) - np.log(softmax(w))
            assert advantage == pytest.approx(want[token], abs=1e-8)


@pytest.mark.parametrize("teacher", ["student", "base", "ema"])
def test_stopped_anywhere_and_again_gives_the_same_run(tmp_path, teacher):
    flags = {"teacher": teacher, "solution": True, "k": 6, "tasks": 2}
    go(tmp_path / "whole", learner=AveragingLearner(), **flags)
    for stop in (1, 4, 7):
        stopped = FakeEvaluator()
        stopped.stop_after = stop
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path / str(stop), learner=AveragingLearner(), evaluator=stopped, **flags)
        assert go(tmp_path / str(stop), learner=AveragingLearner(), **flags).complete
        runs = [RunDir.open(tmp_path / name) for name in ("whole", str(stop))]
        assert len({tuple(c.policy_version for c in r.checkpoints()) for r in runs}) == 1
        assert len({tuple(s.completion.token_ids for s in r.samples()) for r in runs}) == 1


def test_what_the_teacher_reads_is_charged(tmp_path):
    go(tmp_path / "r", steps=2)
    run = RunDir.open(tmp_path / "r")
    kept = run.checkpoints()
    contexts = [c.metrics.get("teacher_contexts", 0) for c in kept]
    assert contexts[0] == 0 and 1 < contexts[1] <= 16
    taught = [8 * n + 16 * (n > 0) for n in contexts]  # a prompt has 8 tokens, a sample one
    looked = [0, 8 + 16, 8 + 16]  # the KL from step 0
    assert [c.metrics.get("scored_tokens", 0) for c in kept] == [t + k for t, k in zip(taught, looked, strict=True)]
    assert run.cost()["charged"]["scored_tokens"] == sum(taught) + sum(looked)


# --- mistakes -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"teacher": "oracle"}, "--teacher: must be 'student', 'base' or 'ema'"),
        ({"ema_decay": 1.0}, "--ema-decay: must be less than 1"),
        ({"clip_advantage": -1.0}, "--clip-advantage: must be at least 0"),
        ({"beta": 0.0}, "--beta: must be greater than 0"),
        ({"advantage": "group"}, "--advantage"),
        ({"teacher": "ema"}, "--teacher ema: the adapters of 'tabular' cannot be averaged; take --teacher student"),
    ],
)
def test_settings_that_make_no_sense(tmp_path, flags, said):
    with pytest.raises(UserError, match=said):
        go(tmp_path / "r", **flags)
    assert not (tmp_path / "r").exists()
