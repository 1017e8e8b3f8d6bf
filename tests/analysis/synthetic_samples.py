"""Realistic samples with known truth, for tests of selection, analysis and report. No model, no evaluator.

A study has tasks; a task has distinct programs, each with a length, a true log-speedup and a surprisal that
depend on each other as `kind` says; a sample picks a program (popular ones often) and writes its tokens.
"""

from __future__ import annotations

import math

import numpy as np

from longodds.types import Completion, Sample, Status, Task, Verdict, digest_text

KINDS = ("informative", "uninformative", "anti", "length")
WRONG = (Status.INCORRECT, Status.COMPILE_ERROR, Status.RUNTIME_ERROR, Status.TIMEOUT)


def completion(logprobs, *, pad: int = 1, text: str = "x", version: str = "p0") -> Completion:
    """Tokens with `pad` format tokens of absurd probability on both sides, outside the score span."""
    body = tuple(float(v) for v in logprobs)
    full = (-50.0,) * pad + body + (-60.0,) * pad
    return Completion(
        token_ids=tuple(range(len(full))),
        logprobs=full,
        sampling_logprobs=full,
        score_span=(pad, pad + len(body)),
        text=text,
        finish_reason="stop",
        policy_version=version,
    )


def sample(
    task_id,
    seed,
    index,
    *,
    mean_nll,
    n_tokens,
    status=Status.CORRECT,
    speedup=None,
    sd=0.01,
    program=None,
    evaluator="dev0",
    intervals=True,
    **more,
) -> Sample:
    """One sample whose span has exactly `n_tokens` tokens and that mean negative log-probability (nats)."""
    program = program if program is not None else f"# {task_id} {seed} {index}\n"
    timed = status is Status.CORRECT and speedup is not None
    verdict = Verdict(
        task_id=task_id,
        status=status,
        speedup=speedup if timed else None,
        ci_low=speedup * math.exp(-2.576 * sd) if timed and intervals else None,
        ci_high=speedup * math.exp(2.576 * sd) if timed and intervals else None,
        pairs=16 if timed else 0,
        reference_us=1000.0 if timed else None,
        runtime_us=1000.0 / speedup if timed else None,
        isolation={"seccomp": "on", "landlock": "not available"},
        evaluator=evaluator,
        message="" if status is Status.CORRECT else f"{status.value}: made up",
    )
    return Sample(
        sample_id=f"{task_id}-{seed}-{index}",
        task_id=task_id,
        seed=seed,
        index=index,
        strategy="best_of_n",
        step=0,
        completion=completion([-mean_nll] * n_tokens, text=program),
        program=program,
        program_digest=digest_text(program),
        verdict=more.get("verdict", verdict),
    )


def make_task(i: int) -> Task:
    body = f"class Model(nn.Module):\n    def forward(self, x):\n        return torch.relu(x * {i} + 1).sum(-1)\n"
    reference = "import torch\nimport torch.nn as nn\n\n\n" + body
    return Task(f"syn/task_{i:03d}", "syn", reference, digest_text(reference), {"family": f"family{i % 4}"})


def program_text(task: Task, number: int, n_tokens: int) -> str:
    lines = "\n".join(f"        y{j} = x * {number + j}" for j in range(max(1, n_tokens // 6)))
    return task.reference.replace("class Model(", "class ModelNew(").replace(
        "        return torch", f"{lines}\n        return torch"
    )


def study(
    kind: str = "informative",
    *,
    tasks: int = 12,
    k: int = 32,
    seeds: int = 1,
    effect: float = 1.6,
    correct: float = 0.7,
    distinct: float = 0.6,
    noise_sd: float = 0.01,
    rng=0,
    intervals: bool = True,
) -> list[Sample]:
    """`tasks` x `seeds` x `k` samples. The latent that makes a program fast is its standardised surprisal
    (informative), its negative (anti), its length (length: short programs are both surprising and fast), or
    nothing. `effect` scales the logistic slope of "faster than the reference" per unit of the latent."""
    if kind not in KINDS:
        raise ValueError(kind)
    random = np.random.default_rng(rng)
    out: list[Sample] = []
    for i in range(tasks):
        task = make_task(i)
        pool = max(2, int(k * distinct))
        length = np.clip(np.round(np.exp(random.normal(3.0, 0.5, pool))), 4, 120).astype(int)
        z_len = (np.log(length) - 3.0) / 0.5
        own = random.normal(size=pool)
        z = (-0.8 * z_len + 0.6 * own) if kind == "length" else own
        nll = np.exp(-1.2 + 0.5 * z)
        latent = {"informative": z, "anti": -z, "length": -z_len, "uninformative": 0.0 * z}[kind]
        base = random.normal(-0.2, 0.8)
        fast = random.random(pool) < 1 / (1 + np.exp(-(base + effect * latent)))
        size = np.abs(random.normal(0.25, 0.2, pool)) + 0.06
        speedup = np.exp(np.where(fast, size, -size))
        right = random.random(pool) < correct
        wrong = random.integers(len(WRONG), size=pool)
        weight = np.exp(-0.5 * z)
        for seed in range(seeds):
            for index, j in enumerate(random.choice(pool, size=k, p=weight / weight.sum())):
                measured = float(speedup[j] * math.exp(noise_sd * random.normal()))
                out.append(
                    sample(
                        task.id,
                        seed,
                        index,
                        mean_nll=float(nll[j]),
                        n_tokens=int(length[j]),
                        status=Status.CORRECT if right[j] else WRONG[wrong[j]],
                        speedup=measured,
                        sd=noise_sd,
                        intervals=intervals,
                        program=program_text(task, int(j), int(length[j])),
                    )
                )
    return out
