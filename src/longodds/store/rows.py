"""The rows of a run's files and the values they stand for: names as in docs/cli.md, exact both ways."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from longodds.errors import InfraError
from longodds.types import Completion, Message, Prompt, Sample, Status, Task, Verdict, digest_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def owed_indices(task: Task, *, seed: int, strategy: str, step: int, k: int, have: set[str]) -> list[int]:
    """Indices below k that are not among the sample ids `have`."""
    return [i for i in range(k) if sample_id(task, seed=seed, strategy=strategy, step=step, index=i) not in have]


def sample_id(task: Task, *, seed: int, strategy: str, step: int, index: int) -> str:
    """Name of a sample (16 hex digits): equal when task content, seed, strategy, step and index are equal."""
    return digest_text(task.id, task.digest, str(seed), strategy, str(step), str(index))


# --- kinds of fields ---------------------------------------------------------------------------

_TEXT, _WHOLE, _NUMBER, _NUMBERS = "a string", "a whole number", "a finite number", "a list of finite numbers"
_LIST, _LISTS, _SPAN, _OBJECT = (
    "a list",
    "a list of lists of finite numbers",
    "a list of two whole numbers",
    "an object",
)
Kinds = tuple[dict[str, str], dict[str, str]]  # of fields that must have a value, and of those that may be null


def _of(names: str, kind: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), kind)


TASK_KINDS: Kinds = (
    _of("task_id suite digest reference", _TEXT),
    _of("metadata prompt", _OBJECT) | _of("prompt_token_ids", _NUMBERS),
)
SAMPLE_KINDS: Kinds = (
    _of("sample_id task_id strategy text program program_digest finish_reason policy_version", _TEXT)
    | _of("seed index step", _WHOLE)
    | _of("token_ids logprobs sampling_logprobs", _NUMBERS)
    | _of("score_span", _SPAN),
    _of("top_logprobs", _LISTS)
    | _of("returned_logprobs", _NUMBERS)
    | _of("mean_logprob prompt_tokens dropped_tokens batch seconds", _NUMBER)
    | _of("parents", _LIST)
    | _of("metadata", _OBJECT),
)
VERDICT_KINDS: Kinds = (
    _of("sample_id task_id status", _TEXT),
    _of("speedup ci_low ci_high clock_bound pairs gbps tflops of_ceiling seconds", _NUMBER)
    | _of("reference_us runtime_us reference_end_to_end_us runtime_end_to_end_us", _NUMBER)
    | _of("labels family_low", _LIST)
    | _of("evaluator message duplicate_of", _TEXT)
    | _of("isolation", _OBJECT),
)
METRICS_KINDS: Kinds = ({}, _of("task_id strategy", _TEXT) | _of("seed step n", _WHOLE))


def _is(kind: str, value: Any) -> bool:
    if kind == _TEXT:
        return isinstance(value, str)
    if kind == _WHOLE:
        return isinstance(value, int)
    if kind == _NUMBER:
        return isinstance(value, int | float) and abs(value) < math.inf
    if kind == _OBJECT:
        return isinstance(value, dict)
    if not isinstance(value, list):
        return False
    if kind == _NUMBERS:
        try:
            return math.isfinite(sum(value))  # thousands a row: no loop of ours
        except (TypeError, OverflowError):
            return False
    if kind == _LISTS:
        return all(_is(_NUMBERS, v) for v in value)
    return kind == _LIST or (len(value) == 2 and all(isinstance(v, int) for v in value))


def check_row(row: Mapping[str, Any], kinds: Kinds) -> Mapping[str, Any]:
    """The row as it is. Raises TypeError, naming the field, for a value of another kind, not for a missing field."""
    for fields, null in zip(kinds, (False, True), strict=True):
        for name, kind in fields.items():
            if name in row and not (null and row[name] is None) and not _is(kind, row[name]):
                raise TypeError(f"field '{name}': must be {kind}, not {json.dumps(row[name])[:60]}")
    return row


# --- tasks -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """A task as a run asks it: the prompt and the token ids that the policy is conditioned on."""

    task: Task
    prompt: Prompt | None = None
    prompt_token_ids: tuple[int, ...] = ()


def task_to_row(record: TaskRecord) -> dict[str, Any]:
    task, prompt = record.task, record.prompt
    return {
        "task_id": task.id,
        "suite": task.suite,
        "digest": task.digest,
        "reference": task.reference,
        "metadata": dict(task.metadata),
        "prompt": None if prompt is None else _prompt_to_row(prompt),
        "prompt_token_ids": list(record.prompt_token_ids),
    }


def task_from_row(row: Mapping[str, Any]) -> TaskRecord:
    check_row(row, TASK_KINDS)
    task = Task(row["task_id"], row["suite"], row["reference"], row["digest"], row.get("metadata") or {})
    prompt = row.get("prompt")
    return TaskRecord(
        task, None if prompt is None else _prompt_from_row(prompt), tuple(row.get("prompt_token_ids") or ())
    )


def _prompt_to_row(prompt: Prompt) -> dict[str, Any]:
    row: dict[str, Any] = {"style": prompt.style, "stop_regex": prompt.stop_regex}
    if prompt.messages is None:
        return {"text": prompt.text, **row}
    return {"messages": [{"role": m.role, "content": m.content} for m in prompt.messages], **row}


def _prompt_from_row(row: Mapping[str, Any]) -> Prompt:
    messages = row.get("messages")
    return Prompt(
        text=row.get("text"),
        messages=None if messages is None else tuple(Message(m["role"], m["content"]) for m in messages),
        stop_regex=row.get("stop_regex"),
        style=row["style"],
    )


# --- samples -----------------------------------------------------------------------------------


def sample_to_row(sample: Sample, **more: Any) -> dict[str, Any]:
    """more: further columns. Raises InfraError when a log-probability is not finite: it could not be learned from."""
    c = sample.completion
    if c.returned_logprobs:
        more["returned_logprobs"] = _nats(c.returned_logprobs, sample)
    if c.dropped_tokens:
        more["dropped_tokens"] = c.dropped_tokens
    if c.mean_logprob is not None:
        more["mean_logprob"] = c.mean_logprob
    if sample.metadata:
        more["metadata"] = dict(sample.metadata)
    if sample.parents:
        more |= {"parents": list(sample.parents), "prompt_tokens": sample.prompt_tokens}
    return {
        "sample_id": sample.sample_id,
        "task_id": sample.task_id,
        "seed": sample.seed,
        "index": sample.index,
        "strategy": sample.strategy,
        "step": sample.step,
        "token_ids": list(c.token_ids),
        "logprobs": _nats(c.logprobs, sample),
        "sampling_logprobs": _nats(c.sampling_logprobs, sample),
        "score_span": list(c.score_span),
        "text": c.text,
        "program": sample.program,
        "program_digest": sample.program_digest,
        "finish_reason": c.finish_reason,
        "policy_version": c.policy_version,
        "top_logprobs": None if c.top_logprobs is None else [_nats(row, sample) for row in c.top_logprobs],
        **more,
    }


def sample_from_row(row: Mapping[str, Any], verdict: Verdict | None = None) -> Sample:
    check_row(row, SAMPLE_KINDS)
    return Sample(
        sample_id=row["sample_id"],
        task_id=row["task_id"],
        seed=row["seed"],
        index=row["index"],
        strategy=row["strategy"],
        step=row["step"],
        completion=Completion(
            token_ids=tuple(row["token_ids"]),
            logprobs=tuple(row["logprobs"]),
            sampling_logprobs=tuple(row["sampling_logprobs"]),
            score_span=(row["score_span"][0], row["score_span"][1]),
            text=row["text"],
            finish_reason=row["finish_reason"],
            policy_version=row["policy_version"],
            top_logprobs=None if (top := row.get("top_logprobs")) is None else tuple(tuple(t) for t in top),
            returned_logprobs=tuple(row.get("returned_logprobs") or ()),
            dropped_tokens=row.get("dropped_tokens", 0),
            mean_logprob=row.get("mean_logprob"),
        ),
        program=row["program"],
        program_digest=row["program_digest"],
        verdict=verdict,
        metadata=row.get("metadata") or {},
        parents=tuple(row.get("parents") or ()),
        prompt_tokens=row.get("prompt_tokens"),
    )


def _nats(values: Sequence[float], sample: Sample) -> list[float]:
    if not all(math.isfinite(v) for v in values):
        raise InfraError(
            f"{sample.task_id}, seed {sample.seed}, sample {sample.index}: the policy gave a log-probability "
            "that is not finite"
        )
    # Models compute in float32 at most; 9 significant digits give that back exactly and halve the file.
    return [float(f"{v:.9g}") for v in values]


# --- verdicts ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """A verdict as stored: of which sample, whether timing was asked for, and whose verdict it repeats.

    duplicate_of: the sample with an equal program that was run; this one was charged but not run.
    """

    sample_id: str
    verdict: Verdict
    timed: bool = True
    duplicate_of: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """Whether this answers the question; an INFRA_ERROR does not, it is owed again."""
        return self.verdict.status is not Status.INFRA_ERROR

    @property
    def has_timing(self) -> bool:
        """Settled, and with nothing left to time."""
        return self.settled and (self.timed or not self.verdict.correct)


def verdict_to_row(row: VerdictRow) -> dict[str, Any]:
    return {
        "sample_id": row.sample_id,
        **row.verdict.to_json(),
        "timed": row.timed,
        "duplicate_of": row.duplicate_of,
        **row.more,
    }


def verdict_from_row(row: Mapping[str, Any]) -> VerdictRow:
    check_row(row, VERDICT_KINDS)
    return VerdictRow(
        sample_id=row["sample_id"],
        verdict=Verdict.from_json(row),
        timed=bool(row.get("timed", True)),
        duplicate_of=row.get("duplicate_of"),
    )


def merge_attempts(attempts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The manifest of a run: machine and evaluator are those of its verdicts, which --re-evaluate replaces, so of the
    latest attempt that judged; the policy is the one that the run began with."""
    first = attempts[0]
    judged = next((a for a in reversed(attempts) if "evaluator" in a), first)
    kept = {name: first[name] for name in ("policy", "started") if name in first}
    return {**judged, **kept, "attempts": list(attempts)}
