"""The probe on a real run of a tiny real model and adapters that PEFT saved."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "policy"))
from run_fakes import FakeEvaluator, make_tasks
from tiny_models import make_adapter, save_llama

from longodds.config import BestOfNSettings, resolve
from longodds.errors import UserError
from longodds.policy import OpenOptions, open_policy
from longodds.store import CheckpointRow, JsonlWriter, RunDir, read_records
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.probing import _known, probe, read_checkpoints


class Stingy:
    """Opens the real policies; counts what is scored and fails after a number of calls."""

    def __init__(self, calls: float = float("inf")) -> None:
        self.opened: list[str] = []
        self.scored = 0
        self.calls = calls

    def __call__(self, spec: str):
        self.opened.append(spec)
        outer, policy = self, open_policy(spec, OpenOptions(dtype="fp32", threads=1))

        class Counting:
            def compute_logprobs(self, prompt, token_ids):
                outer.calls -= 1
                if outer.calls < 0:
                    raise KeyboardInterrupt
                outer.scored += len(token_ids)
                return policy.compute_logprobs(prompt, token_ids)

            def close(self):
                policy.close()

        return Counting()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A Best-of-N run of a tiny Llama, and an adapted run with two checkpoints as `ttt` leaves them."""
    home = tmp_path_factory.mktemp("probe")
    base = save_llama(home / "model")
    flags = {"suite": "fake", "k": 6, "seeds": [0, 1], "max_tokens": 12, "temperature": 1.0, "policy": f"hf:{base}"}
    settings = resolve(BestOfNSettings, flags=flags)
    policy = open_policy(f"hf:{base}", OpenOptions(dtype="fp32", threads=1))
    best_of_n(home / "fixed", settings, policy=policy, evaluator=FakeEvaluator(), tasks=make_tasks(3))
    best_of_n(home / "adapted", settings, policy=policy, evaluator=FakeEvaluator(), tasks=make_tasks(1))
    writer = JsonlWriter(home / "adapted" / "checkpoints.jsonl")
    for step in range(3):
        where = f"checkpoints/step_{step}" if step else None
        if where:
            make_adapter(base, home / "adapted" / where, seed=step)
        row = {"step": step, "path": where, "base": f"hf:{base}", "policy_version": f"v{step}", "metrics": {}}
        writer.append([row])
    writer.close()
    return home


def test_every_checkpoint_scores_the_same_samples_and_scores_are_kept(runs):
    opener = Stingy()
    d = probe(runs / "fixed", adapted=runs / "adapted", open_checkpoint=opener)
    json.dumps(d, allow_nan=False)
    assert [c["step"] for c in d["checkpoints"]] == [0, 1, 2]
    assert (d["n_tasks"], d["n_samples"]) == (3, 36)
    samples = RunDir.open(runs / "fixed").samples()
    distinct = len({(s.task_id, s.completion.token_ids, s.completion.score_span) for s in samples})
    assert opener.scored == 3 * distinct
    rows = list(read_records(runs / "adapted" / "probe_scores.jsonl"))
    assert len(rows) == 3 * distinct
    nll = {}
    for s in samples:  # step 0 is the policy that wrote them: the stored log-probabilities
        start, end = s.completion.score_span
        if end > start:  # a program that no token belongs to has no surprisal, and is not one of 0
            nll.setdefault(s.task_id, []).append(-sum(s.completion.logprobs[start:end]) / (end - start))
    stored = sum(sum(x) / len(x) for x in nll.values()) / 3
    assert d["checkpoints"][0]["mean_nll"] == pytest.approx(stored, abs=1e-4)
    assert abs(d["checkpoints"][1]["mean_nll"] - stored) > 0.01
    assert d["checkpoints"][1]["mean_nll"] != d["checkpoints"][2]["mean_nll"]
    again = Stingy()
    assert probe(runs / "fixed", adapted=runs / "adapted", open_checkpoint=again) == d
    assert again.opened == []


def test_an_interrupted_probe_goes_on_where_it_stopped(runs, tmp_path):
    scores = runs / "adapted" / "probe_scores.jsonl"
    whole = probe(runs / "fixed", adapted=runs / "adapted", open_checkpoint=Stingy())
    scores.unlink()
    with pytest.raises(KeyboardInterrupt):
        probe(runs / "fixed", adapted=runs / "adapted", open_checkpoint=Stingy(calls=4))
    kept = len(list(read_records(scores)))
    assert kept > 0
    with scores.open("ab") as f:
        f.write(b'{"version": "v1", "torn')  # a kill in the middle of a row
    rest = Stingy()
    assert probe(runs / "fixed", adapted=runs / "adapted", open_checkpoint=rest) == whole
    assert kept + rest.scored == len(list(read_records(scores)))


def test_the_registry_opens_checkpoints(runs):
    (runs / "adapted" / "probe_scores.jsonl").unlink(missing_ok=True)
    d = probe(runs / "fixed", adapted=runs / "adapted", dtype="fp32", threads=1)
    assert [c["step"] for c in d["checkpoints"]] == [0, 1, 2]
    assert d["checkpoints"][2]["mean_nll"] != d["checkpoints"][0]["mean_nll"]


def test_a_service_keeps_its_weights_under_their_own_name(tmp_path):
    run = RunDir.create_or_resume(tmp_path / "r", {"kind": "ttt"}, {})
    with run:
        run.append_checkpoint(CheckpointRow(0, None, "base", "tinker:some/model", "v0"))
        run.append_checkpoint(CheckpointRow(1, "tinker://abc/weights/1", "tinker", "tinker:some/model", "v1"))
    specs = [c.spec for c in read_checkpoints(RunDir.open(tmp_path / "r"))]
    assert specs == ["tinker:some/model", "tinker://abc/weights/1"]


def test_a_run_without_checkpoints_is_the_callers_mistake(runs, tmp_path):
    with pytest.raises(UserError, match=r"has no checkpoints\.jsonl"):
        probe(runs / "fixed", adapted=runs / "fixed")
    with pytest.raises(UserError, match="no such run"):
        probe(runs / "nowhere", adapted=runs / "adapted")
    with pytest.raises(UserError, match="named twice"):
        probe(runs / "fixed", adapted=runs / "adapted", null=[runs / "adapted"])


@pytest.mark.parametrize("row", [{"a": 1}, {"version": "v", "label": "", "sequence": "s", "nll": "x", "total": 1.0}])
def test_a_score_of_something_else_is_named(tmp_path, row):
    path = tmp_path / "probe_scores.jsonl"
    good = {"version": "v", "label": "", "sequence": "s", "nll": None, "total": 0.0}
    path.write_text("".join(json.dumps(r) + "\n" for r in (good, row)))
    with pytest.raises(UserError, match=r"probe_scores\.jsonl:2: .*remove the file to score anew"):
        _known(path)
