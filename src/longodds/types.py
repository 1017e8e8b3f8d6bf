"""The values that pass between rooms: frozen dataclasses and protocols, nothing else.

Fields may grow, meanings may not. Units are in the names or the docstrings: seconds (`_s`),
microseconds (`_us`), nats for log-probabilities, tokens for lengths.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable


def digest_text(*parts: str) -> str:
    """Content hash of several texts (sha256, first 16 hex digits); parts can't run into each other."""
    h = hashlib.sha256()
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        h.update(len(data).to_bytes(8, "little"))
        h.update(data)
    return h.hexdigest()[:16]


# --- tasks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    """One problem in KernelBench's file format.

    id: `SUITE/NAME`, e.g. `cpu/row_softmax_by_hand`.
    reference: the source text (`Model`, `get_inputs`, `get_init_inputs`).
    digest: content hash of what decides a verdict (the source), the key for resume and caches.
    metadata: family, split, description, ...; never decides a verdict.
    """

    id: str
    suite: str
    reference: str
    digest: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


# --- prompts and completions ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a policy is asked: either a plain text to continue or chat messages (exactly one of the two).

    stop_regex: generation ends at the first match of this pattern in the generated text; the match
    and what follows belong to the format, not to the program (outside `score_span`).
    style: the prompt style that made it, e.g. `forward-body`; recorded, not interpreted by policies.
    """

    text: str | None = None
    messages: tuple[Message, ...] | None = None
    stop_regex: str | None = None
    style: str = "forward-body"

    def __post_init__(self) -> None:
        if (self.text is None) == (self.messages is None):
            raise ValueError("a Prompt has either text or messages")


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """temperature 0 is greedy; max_tokens counts new tokens."""

    temperature: float = 0.8
    max_tokens: int = 256
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class SampleKey:
    """Names each sample, so that noise is a function of it alone: same key, same sample (fp32, CPU).

    indices: the sample numbers wanted now; their count is K for this call.
    """

    seed: int
    task_digest: str
    indices: tuple[int, ...]


FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Completion:
    """One sampled continuation.

    token_ids: (n,) all sampled tokens, the stop token included if one was sampled.
    logprobs: (n,) nats, at temperature 1, full distribution: what surprisal is made of.
    sampling_logprobs: (n,) nats, of the distribution actually sampled (tempered, top-p'd): the
        behaviour policy for learning.
    score_span: [start, end) token positions that write the program; format and stop tokens lie outside.
    text: decoded text of the kept tokens (up to the stop).
    top_logprobs: per token the log-probabilities (nats, temperature 1) of its k likeliest alternatives, highest first;
        None where the policy does not give them.
    returned_logprobs: (n,) nats, what a service reported, where that was not `logprobs`: they were scored again, or
        are missing (empty) because it cannot score. dropped_tokens: tokens sampled, and paid for, behind the end of
        what is kept, by a service that cannot stop at the prompt's pattern.
    mean_logprob: nats per token of the score span, for imported samples of which nothing finer is known; their
        `logprobs` are empty.
    text_ends: (n,) characters of the text that are complete after each token, so that the tokens behind a part of it
        can be found; empty where that is not known. Not stored.
    A service may leave more unknown: `sampling_logprobs` is empty where it reports another distribution, and a token
    id is -1 where it names none.
    """

    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    sampling_logprobs: tuple[float, ...]
    score_span: tuple[int, int]
    text: str
    finish_reason: FinishReason
    policy_version: str
    top_logprobs: tuple[tuple[float, ...], ...] | None = None
    returned_logprobs: tuple[float, ...] = ()
    dropped_tokens: int = 0
    mean_logprob: float | None = None
    text_ends: tuple[int, ...] = field(default=(), compare=False)


# --- verdicts --------------------------------------------------------------------------------


class Status(StrEnum):
    """What a run said about a program. INFRA_ERROR is ours: retried, never scored as wrong."""

    CORRECT = "correct"
    INCORRECT = "incorrect"
    COMPILE_ERROR = "compile_error"
    RUNTIME_ERROR = "runtime_error"
    TIMEOUT = "timeout"
    REJECTED = "rejected"
    INFRA_ERROR = "infra_error"


Reference = Literal[
    "eager",
    "compile",
    "compile-max-autotune",
    "eager-tf32",
    "compile-tf32",
    "compile-max-autotune-tf32",
    "eager-ieee",
    "compile-ieee",
    "compile-max-autotune-ieee",
]
"""What programs are timed against (`evaluator/baselines.py`): how it is compiled, and its precision on a GPU."""

REMEASURED = "remeasured"
"""Label of a verdict on a winner that was timed again: its interval allows for the number of candidates."""
CACHED_LABEL = "cached"  # reached earlier, under the same conditions, and kept: charged, but not run
TIMER_LABEL = "timer"  # a REJECTED of clocks that disagree
FEW_PROCESSES_LABEL = "few_processes"  # confirmed in fewer process pairs than usual: a GPU's memory holds no more
NO_ROOM_LABEL = "no_room"  # not confirmed: a GPU's memory does not hold one fresh process pair
THIN_LABEL = "thin_bound"  # the clock outside supports it only if the program pays what asking usually costs
FEW_PAIRS_LABEL = "few_pairs"  # dropped as a clear loser before its limits could be told
UNTIMED_LABEL = "untimed"  # timing was asked for, but the program was too slow for a single pair
SEED_LABEL = "evaluator:seed"  # reached KernelBench's way, for comparison only


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the evaluator says of one program.

    speedup: point estimate exp(median log(t_ref/t_cand)); ci_low, ci_high: 99 % interval of the whole
    sequential procedure; clock_bound: the lowest speedup that the oracle's own clock supports.
    All None when the program was not timed (not correct, timing not asked for, or too slow for one pair).
    reference_us, runtime_us: median microseconds per call, on a GPU of the GPU's own time; there
    reference_end_to_end_us, runtime_end_to_end_us: the same with what the host takes to launch it, from outside.
    pairs: timed pairs behind the interval.
    gbps, tflops: 10^9 bytes of inputs and outputs, 10^12 operations a second that the program's calls amount to, where
    they are known; of_ceiling: the larger of the two as a share of what the device was measured to do.
    labels: what a reader of the number should know, as docs/cli.md lists. message: why it is not correct, one line.
    isolation: layer name -> "on" or the reason it is off. evaluator: digest of settings and device:
    only verdicts with equal digests may be compared.
    """

    task_id: str
    status: Status
    speedup: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    clock_bound: float | None = None
    pairs: int = 0
    reference_us: float | None = None
    runtime_us: float | None = None
    reference_end_to_end_us: float | None = None
    runtime_end_to_end_us: float | None = None
    gbps: float | None = None
    tflops: float | None = None
    of_ceiling: float | None = None
    labels: tuple[str, ...] = ()
    isolation: Mapping[str, str] = field(default_factory=dict)
    evaluator: str = ""
    message: str = ""
    seconds: float = 0.0  # wall-clock seconds that reaching this verdict took
    # (m, lower bound of the speedup at the level of 1 % divided by m): for claims about the best of m programs.
    family_low: tuple[tuple[int, float], ...] = ()

    def low_for(self, programs: int) -> float | None:
        """Lower bound of the speedup that stays valid when it is one of `programs` distinct ones (Bonferroni)."""
        if programs <= 1:
            return self.ci_low
        return next((low for m, low in self.family_low if m >= programs), None)

    @property
    def correct(self) -> bool:
        return self.status is Status.CORRECT

    @property
    def too_slow(self) -> bool:
        """Correct, and too slow for a single timed pair: not faster, though by how much is not known."""
        return self.correct and self.speedup is None and UNTIMED_LABEL in self.labels

    @property
    def untold(self) -> bool:
        """Correct, and whether it is faster is not known: its timing was not asked for."""
        return self.correct and self.speedup is None and not self.too_slow

    @property
    def has_interval(self) -> bool:
        """Whether more is known than a point speedup: limits, or that it was dropped early as a clear loser."""
        return self.ci_low is not None or FEW_PAIRS_LABEL in self.labels

    @property
    def remeasured_among(self) -> int:
        """Number of programs that this one is the re-measured best of; 0 if it is not."""
        return (
            self.family_low[0][0] if REMEASURED in self.labels and self.family_low else int(REMEASURED in self.labels)
        )

    def to_json(self) -> dict[str, Any]:
        """The document of docs/cli.md, `evaluate --json`."""
        row = asdict(self)
        row["status"] = self.status.value
        row["labels"] = list(self.labels)
        row["isolation"] = dict(self.isolation)
        return {"task_id": row.pop("task_id"), "status": row.pop("status"), "correct": self.correct, **row}

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Verdict:
        """Inverse of `to_json`; keys that a newer version added are ignored."""
        kept = {k: v for k, v in row.items() if k in Verdict.__slots__}
        kept["status"] = Status(kept["status"])
        kept["labels"] = tuple(kept.get("labels") or ())
        kept["family_low"] = tuple((int(m), float(low)) for m, low in kept.get("family_low") or ())
        return Verdict(**kept)


# --- samples and cost --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sample:
    """One candidate: who wrote it, with what probability, and what became of it.

    parents: ids of the attempts that its prompt showed, oldest first; prompt_tokens: length of that prompt. Empty and
    None where the prompt was the task's. metadata: further columns of an imported sample; they decide nothing.
    """

    sample_id: str
    task_id: str
    seed: int
    index: int
    strategy: str
    step: int
    completion: Completion
    program: str
    program_digest: str
    verdict: Verdict | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    parents: tuple[str, ...] = ()
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """What a method is charged. FLOPs: 2P a token prompted, sampled or scored, 6P a token trained."""

    prompt_tokens: int = 0
    sampled_tokens: int = 0
    scored_tokens: int = 0
    trained_tokens: int = 0
    flops: float = 0.0
    evaluations: int = 0
    timings: int = 0
    device_seconds: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))


# --- selection ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a selector may see of a candidate (a distinct program or a sample): no timings, by construction.

    surprisal: mean negative log-probability per token of the score span (nats); for a program the mean
    over its samples. sum_surprisal: the sum instead. n_tokens: mean length. count: samples behind it.
    popularity: samples of the cell that wrote the same program. tail_entropy, self_certainty: nats, from the
    top-k log-probabilities, nan without them.
    """

    key: str
    correct: bool
    surprisal: float
    sum_surprisal: float
    n_tokens: float
    count: int = 1
    popularity: int = 1
    tail_entropy: float = math.nan
    self_certainty: float = math.nan


# --- protocols ---------------------------------------------------------------------------------


@runtime_checkable
class Policy(Protocol):
    """A frozen model that can be sampled and can score text.

    name: the spec it was opened from; version: digest of the weights; parameters: active parameters (for FLOPs).
    """

    name: str
    version: str
    parameters: int

    def encode(self, prompt: Prompt) -> list[int]:
        """Token ids that the model is conditioned on."""
        ...

    def sample(self, prompt: Prompt, params: SamplingParams, key: SampleKey) -> list[Completion]:
        """One completion per index of the key, in that order."""
        ...

    def compute_logprobs(self, prompt: Prompt, token_ids: Sequence[Sequence[int]]) -> list[list[float]]:
        """Log-probabilities (nats, temperature 1) of each continuation given the prompt."""
        ...

    def close(self) -> None: ...


class Evaluator(Protocol):
    """Runs programs against tasks. A context manager; `evaluate` never raises for a bad program.

    digest: of settings and device, the same text as `Verdict.evaluator`.
    """

    digest: str

    def evaluate(self, task: Task, program: str, *, timed: bool = True) -> Verdict: ...

    def evaluate_many(
        self, task: Task, programs: Sequence[str], *, timed: bool = True
    ) -> Iterator[tuple[int, Verdict]]:
        """Yields (position, verdict) as each is known; equal programs are run once."""
        ...

    def remeasure(self, task: Task, program: str, *, among: int) -> Verdict:
        """The verdict on the best of `among` distinct programs, timed again in fresh processes; its interval is at 1 %
        divided by `among`, and its labels say `remeasured`."""
        ...

    def close(self) -> None: ...
