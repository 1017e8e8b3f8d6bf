"""Revision from feedback: what a prompt shows, what it costs, that a kill changes nothing, and when it pays.

The policy here is a table of chances that depend on what the prompt shows, so the world in which revision must win, and
the ones in which it must not, are known.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import statistics
from collections import Counter
from itertools import pairwise

import pytest
from run_fakes import BODIES, FakeEvaluator, FakePolicy, Recorder, make_tasks
from scipy.stats import t

from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.store import RunDir, import_samples
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.comparing import compare
from longodds.strategies.matching import match_budgets
from longodds.strategies.refine import refine
from longodds.strategies.refine_settings import RefineSettings
from longodds.types import Completion, SampleKey, Status, digest_text

TASKS = make_tasks(3)
FAST, HALF = "return torch.add(x, 0)", "return x - 7"
OTHERS = [b for b in BODIES if b not in (FAST, HALF)]


class TwoSteps(FakePolicy):
    """Writes HALF with chance 0.3 and the fast program never, unless the prompt shows HALF and what came of it: then
    with chance 0.5. deaf: does not read what the prompt shows."""

    def __init__(self, deaf=False):
        super().__init__()
        self.deaf = deaf
        self.prompts = []

    def encode(self, prompt):
        return list(prompt.text.encode())[::8]

    def sample(self, prompt, params, key):
        self.prompts.append(prompt.text)
        self.calls.append(key)
        shown = re.search(re.escape(HALF) + r"\n# Wrong result: ", prompt.text) is not None
        return [self._two(key, i, params.max_tokens, knows=shown and not self.deaf) for i in key.indices]

    def _two(self, key: SampleKey, index: int, most: int, *, knows: bool):
        noise = hashlib.sha256(f"{key.seed}|{key.task_digest}|{index}".encode()).digest()
        u = int.from_bytes(noise[:4], "little") / 2**32
        if knows and u < 0.5:
            text = FAST
        elif u < 0.3:
            text = HALF
        else:
            text = OTHERS[noise[4] % len(OTHERS)]
        n = min(len(text), most)
        return Completion(tuple(range(n)), (-0.1,) * n, (-0.1,) * n, (0, n), text[:n], "stop", self.version)


def settings(kind=RefineSettings, **flags):
    return resolve(kind, flags={"suite": "fake", "k": 6, "max_tokens": 40, **flags})


def go(path, policy=None, evaluator=None, *, tasks=TASKS, progress=None, **flags):
    policy, evaluator = policy or TwoSteps(), evaluator or FakeEvaluator()
    return refine(path, settings(**flags), policy=policy, evaluator=evaluator, tasks=tasks, progress=progress)


def solved(path):
    """Tasks with a program that is verified faster."""
    samples = RunDir.open(path).samples()
    return len({s.task_id for s in samples if s.verdict.correct and s.verdict.ci_low > 1})


def charged_tokens(path):
    cost = json.loads((path / "cost.json").read_text())["charged"]
    return cost["prompt_tokens"] + cost["sampled_tokens"]


# --- what an attempt is shown --------------------------------------------------------------------


def test_an_attempt_is_shown_the_one_before_it_and_what_came_of_it(tmp_path):
    policy = TwoSteps()
    assert go(tmp_path / "r", policy, k=5).complete
    samples = RunDir.open(tmp_path / "r").samples()
    assert Counter((s.task_id, s.step) for s in samples) == {(task.id, i): 1 for task in TASKS for i in range(5)}
    for task in TASKS:
        mine = [s for s in samples if s.task_id == task.id]
        assert mine[0].parents == () and mine[0].prompt_tokens is None
        for before, after in pairwise(mine):
            assert after.parents == (before.sample_id,)
    told = {Status.INCORRECT: "# Wrong result", Status.RUNTIME_ERROR: "# Fails when it runs"}
    told |= {Status.COMPILE_ERROR: "# Does not compile", Status.CORRECT: "# Correct. Speed relative to the original"}
    for i, prompt in enumerate(policy.prompts):
        turn, before = i % 5, samples[i - 1]
        assert prompt.count("# Same result, faster.") == (2 if turn else 1)
        if turn:
            assert f"{before.completion.text}\n{told[before.verdict.status]}" in prompt
    assert policy.prompts[0] != policy.prompts[5]


def test_history_and_chains(tmp_path):
    go(tmp_path / "r", k=7, chains=2, history=2, tasks=TASKS[:1])
    samples = {s.index: s for s in RunDir.open(tmp_path / "r").samples()}
    assert {i: s.step for i, s in samples.items()} == {0: 0, 1: 0, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3}
    parents = {i: [int(p) for p in s.parents and _indices(samples, s.parents)] for i, s in samples.items()}
    assert parents == {0: [], 1: [], 2: [0], 3: [1], 4: [0, 2], 5: [1, 3], 6: [2, 4]}


def _indices(samples, ids):
    by_id = {s.sample_id: i for i, s in samples.items()}
    return [by_id[x] for x in ids]


def test_the_best_attempt_is_revised_where_that_is_asked_for(tmp_path):
    go(tmp_path / "r", k=12, revise="best", tasks=TASKS[:2])
    samples = RunDir.open(tmp_path / "r").samples()
    moved = 0
    for task in TASKS[:2]:
        mine = [s for s in samples if s.task_id == task.id]
        for i, s in enumerate(mine[1:], 1):
            before = mine[:i]
            best = max(before, key=lambda b: (b.verdict.correct, b.verdict.ci_low or 0.0, b.index))
            assert s.parents == (best.sample_id,)
            moved += best is not before[-1]
    assert moved > 3


# --- cost ----------------------------------------------------------------------------------------


def test_every_prompt_is_charged(tmp_path):
    policy = TwoSteps()
    go(tmp_path / "r", policy, k=5)
    cost = json.loads((tmp_path / "r" / "cost.json").read_text())
    prompts = sum(len(p.encode()[::8]) for p in policy.prompts)
    samples = RunDir.open(tmp_path / "r").samples()
    sampled = sum(len(s.completion.token_ids) for s in samples)
    for account in ("charged", "run"):
        assert (cost[account]["prompt_tokens"], cost[account]["sampled_tokens"]) == (prompts, sampled)
        assert cost[account]["flops"] == 2 * 1000 * (prompts + sampled)
    winners = sum(1 for task in TASKS if any(s.task_id == task.id and s.program.count("add") for s in samples))
    assert cost["charged"]["evaluations"] == 15 + winners > cost["run"]["evaluations"]


def test_comparing_counts_the_same_tokens(tmp_path):
    go(tmp_path / "r", k=8, chains=2)
    best_of_n(tmp_path / "b", settings(BestOfNSettings), policy=TwoSteps(), evaluator=FakeEvaluator(), tasks=TASKS)
    document = compare(tmp_path / "b", tmp_path / "r", axis="tokens")
    arm = next(a for a in document["arms"] if a["strategy"] == "refine")
    assert not arm["exchangeable"]
    assert arm["curve"][-1]["cost"]["tokens"] == pytest.approx(charged_tokens(tmp_path / "r") / 3)


@pytest.mark.parametrize("chains", [1, 3])
def test_a_cell_never_takes_more_than_its_tokens(tmp_path, chains):
    outcome = go(tmp_path / "r", tokens=700, chains=chains, seeds=[0, 1])
    assert outcome.complete
    samples = RunDir.open(tmp_path / "r").samples()
    records = RunDir.open(tmp_path / "r").records()
    for task in TASKS:
        for seed in (0, 1):
            mine = [s for s in samples if (s.task_id, s.seed) == (task.id, seed)]
            spent = len(records[task.id].prompt_token_ids)
            spent += sum((s.prompt_tokens or 0) + len(s.completion.token_ids) for s in mine)
            assert 700 - 130 < spent <= 700  # less than another attempt is left
    assert go(tmp_path / "r", tokens=700, chains=chains, seeds=[0, 1]).samples == len(samples)


def test_too_few_tokens_for_a_prompt(tmp_path):
    with pytest.raises(UserError, match=r"fake/t0: its prompt leaves no token of 5; raise --tokens"):
        go(tmp_path / "r", tokens=5)


# --- resuming ------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [{"k": 6}, {"tokens": 500, "chains": 2}, {"k": 6, "revise": "best", "history": 2}])
def test_stopped_anywhere_and_again_gives_the_same_run(tmp_path, flags):
    go(tmp_path / "whole", **flags)
    whole = [
        (s.sample_id, s.completion.text, s.parents, s.prompt_tokens) for s in RunDir.open(tmp_path / "whole").samples()
    ]
    for stop in (0, 1, 3, 5):
        path, stopped = tmp_path / f"r{stop}", FakeEvaluator()
        stopped.stop_after = stop
        with pytest.raises(KeyboardInterrupt):
            go(path, evaluator=stopped, **flags)
        again = go(path, **flags)
        assert again.resumed and again.complete
        samples = RunDir.open(path).samples()
        assert [(s.sample_id, s.completion.text, s.parents, s.prompt_tokens) for s in samples] == whole
    rows = (tmp_path / "whole" / "samples.jsonl").read_bytes()
    policy = TwoSteps()
    assert go(tmp_path / "whole", policy, **flags).complete
    assert (tmp_path / "whole" / "samples.jsonl").read_bytes() == rows
    assert policy.calls == []


def test_a_failure_of_ours_is_never_told_and_tried_again(tmp_path):
    evaluator = FakeEvaluator(broken="x - 7")
    policy = TwoSteps()
    assert go(tmp_path / "r", policy, evaluator, k=8).complete
    assert not any("machine said no" in p for p in policy.prompts)
    stuck = FakeEvaluator(broken="x - 7")
    stuck.stays_broken = True
    outcome = go(tmp_path / "s", evaluator=stuck, k=8)
    assert outcome.unjudged and not outcome.complete
    with pytest.raises(UserError, match=r"the two cannot be compared; give another RUN$"):
        go(tmp_path / "s", evaluator=FakeEvaluator("e2"), k=8)  # refine has no --re-evaluate
    assert go(tmp_path / "s", k=8).complete
    mine = [[(s.sample_id, s.completion.text) for s in RunDir.open(tmp_path / n).samples()] for n in ("r", "s")]
    assert sorted(mine[0]) == sorted(mine[1])


def test_budgets_keep_what_was_paid_for(tmp_path):
    recorder = Recorder()
    outcome = go(tmp_path / "r", price_sampled=1e6, max_cost=60.0, progress=recorder)
    assert (outcome.stopped, outcome.complete) == ("max_cost", False)
    samples = RunDir.open(tmp_path / "r").samples()
    assert samples and all(s.verdict is not None for s in samples)
    assert any("has cost 60" in note for note in recorder.notes)
    assert go(tmp_path / "r").complete


def test_mistakes_are_named(tmp_path):
    go(tmp_path / "r", k=2)
    with pytest.raises(UserError, match=r"history \(1, now 2\)"):
        go(tmp_path / "r", k=2, history=2)
    with pytest.raises(UserError, match="give one"):
        go(tmp_path / "s", tokens=100, match="x")
    with pytest.raises(UserError, match="top:1:surprisal"):
        go(tmp_path / "s", time="top:1:surprisal")
    with pytest.raises(UserError, match="no such run"):
        go(tmp_path / "s", match=str(tmp_path / "none"))
    go(tmp_path / "q", k=2, tasks=TASKS[:2])
    with pytest.raises(UserError, match="no samples of fake/t2"):
        go(tmp_path / "s", match=str(tmp_path / "q"))
    assert not (tmp_path / "s").exists()


# --- does it pay? --------------------------------------------------------------------------------

SEEDS = range(10)
EFFECT = 0.2
"""Share of tasks, fixed before the first run of this file."""


def gains(tmp_path, *, deaf):
    """Per seed: share of tasks solved by revision less that of Best-of-N, at Best-of-N's tokens."""
    tasks = make_tasks(8)
    found = []
    for seed in SEEDS:
        bon, ours = tmp_path / f"bon{seed}", tmp_path / f"refine{seed}"
        flags = {"seeds": [seed], "k": 40}
        best_of_n(
            bon,
            settings(BestOfNSettings, **flags),
            policy=TwoSteps(deaf),
            evaluator=FakeEvaluator(),
            tasks=tasks,
        )
        assert go(ours, TwoSteps(deaf), tasks=tasks, seeds=[seed], match=str(bon)).complete
        budgets = match_budgets(bon, tasks)
        assert all(match_budgets(ours, tasks)[task] <= budgets[task] for task in budgets)
        assert 0.85 < charged_tokens(ours) / charged_tokens(bon) <= 1
        found.append((solved(ours) - solved(bon)) / len(tasks))
    return found


def test_imported_samples_are_budgets_by_what_they_sampled(tmp_path):
    """An import knows how many tokens there were, not which."""
    tasks = [dataclasses.replace(t, digest=digest_text("import", t.id)) for t in TASKS[:1]]
    rows = [
        {"task_id": tasks[0].id, "index": i, "correct": True, "speedup": 1.0, "mean_logprob": -0.5, "n_tokens": 30}
        for i in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    import_samples(tmp_path / "rows.jsonl", tmp_path / "run")
    assert match_budgets(tmp_path / "run", tasks) == {tasks[0].id: 120}


def interval(values):
    """99 % interval of the mean over seeds."""
    half = t.ppf(0.995, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return statistics.fmean(values) - half, statistics.fmean(values) + half


def test_what_takes_two_steps_is_solved_by_revision_at_equal_tokens(tmp_path):
    found = gains(tmp_path, deaf=False)
    assert interval(found)[0] > EFFECT, found


def test_without_reading_the_feedback_revision_solves_nothing(tmp_path):
    assert gains(tmp_path, deaf=True) == [0.0] * 10
