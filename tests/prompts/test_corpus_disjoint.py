"""The warm-up corpus shares idiom families with the suite's evaluation half, and nothing else."""

from __future__ import annotations

import os
import re

import pytest
from scripts.corpus.check import check_pair
from scripts.corpus.fingerprint import class_constants, names_in, normalised_reference, op_chain
from scripts.corpus.scoring import shrink_constants
from scripts.corpus.template import FAMILIES
from scripts.make_corpus import Exclusions, generate

from longodds.prompts import extract_program
from longodds.prompts.shots import BODIES, MODULE_REFERENCE
from longodds.tasks import EVAL_ONLY_FAMILIES, load_suite
from longodds.types import Task

EVAL = [t for t in load_suite("cpu") if t.metadata["split"] == "eval"]
# What problems of the evaluation-only families are made of.
FOREIGN = re.compile(
    r"conv|pool|attention|multihead|cdist|pdist|pairwise|unfold|fold$|interpolate|upsample|lstm|gru|rnn|transformer|"
    r"sequential|modulelist|mlp"
)


@pytest.fixture(scope="module")
def sample():
    return list(generate(range(45), 0))


def check_disjoint(pairs) -> None:
    references = {normalised_reference(t.reference, t.id) for t in EVAL}
    chains = {op_chain(t.reference, t.id) for t in EVAL}
    constants = {class_constants(t.reference) for t in EVAL} - {frozenset()}
    names = {t.id.partition("/")[2] for t in EVAL}
    for pair in pairs:
        assert normalised_reference(pair.reference, "corpus") not in references, pair.reference
        assert op_chain(pair.reference, "corpus") not in chains, pair.reference
        assert class_constants(pair.reference) not in constants, pair.reference
        assert not names & set(pair.idioms)
        used = names_in(extract_program(pair.body, Task("c/x", "c", pair.reference, ""))) | names_in(pair.reference)
        assert not names & used
        foreign = sorted(n for n in used if FOREIGN.search(n))
        assert not foreign, (foreign, pair.reference)


def test_sample_is_disjoint_from_the_evaluation_half(sample):
    check_disjoint(sample)
    assert not EVAL_ONLY_FAMILIES & set(FAMILIES)
    assert not EVAL_ONLY_FAMILIES & {p.family for p in sample}


@pytest.mark.slow
def test_large_sample_is_disjoint():
    check_disjoint(generate(range(1500), 0))


def test_an_evaluation_problem_would_be_refused():
    exclusions = Exclusions()
    for task in EVAL:
        assert exclusions.reason(task.reference) == "op chain"


def contains(chain, part) -> bool:
    return any(chain[i : i + len(part)] == part for i in range(len(chain) - len(part) + 1))


def check_shots(problems) -> None:
    """No shot is a part of a problem, and no problem of more than one operation a part of a shot."""
    head = "import torch\nimport torch.nn as nn\n"
    for shot in [*(head + reference for reference, _, _ in BODIES), MODULE_REFERENCE]:
        chain = op_chain(shot, "shot")
        for name, other in problems.items():
            assert not contains(other, chain), (name, shot)
            assert len(other) < 2 or not contains(chain, other), (name, shot)


def test_the_examples_of_prompts_give_no_problem_away():
    of_diagonal = "class Model(nn.Module):\n    def forward(self, A, B):\n        return torch.diag(A) @ B\n"
    problems = {t.id: op_chain(t.reference, t.id) for t in load_suite("cpu")}
    # KernelBench's level 1, number 12, before its reference was made fast: once an example here.
    check_shots({**problems, "kernelbench:1/12": op_chain(of_diagonal, "12")})


@pytest.mark.skipif("LONGODDS_KERNELBENCH" not in os.environ, reason="LONGODDS_KERNELBENCH names no checkout")
@pytest.mark.parametrize("level", [1, 2, 3])
def test_the_examples_of_prompts_give_no_problem_of_kernelbench_away(level):
    check_shots({t.id: op_chain(t.reference, t.id) for t in load_suite(f"kernelbench:{level}")})


def test_renaming_does_not_hide_a_problem():
    task = next(t for t in EVAL if "def forward(self, x)" in t.reference)
    renamed = re.sub(r"\bx\b", "renamed_argument", task.reference)
    assert renamed != task.reference
    assert normalised_reference(renamed, "a") == normalised_reference(task.reference, "b")
    assert op_chain(renamed, "a") == op_chain(task.reference, "b")


def test_generation_is_deterministic(sample):
    again = list(generate(range(8), 0))
    assert again == sample[: len(again)]
    assert next(generate(range(5), 1)) != sample[0]


def test_pairs_are_what_training_needs(sample):
    assert len({p.family for p in sample}) >= 7
    assert len({p.reference for p in sample}) > 30
    for pair in sample[:30]:
        assert pair.prompt.endswith("):\n       ")
        assert pair.body.startswith(" ")
        assert not pair.body.startswith("  ")
        assert not re.search(r"\n {0,7}\S", pair.body)
        small = shrink_constants(pair.reference, pair.sizes)
        program = extract_program(pair.body, Task("c/x", "c", small, ""))
        assert check_pair(small, [program], 12345) == [None], (pair.reference, pair.body)
