"""Run sampled programs in worker processes and count what is right: a quick look during warm-up, not a verdict."""

from __future__ import annotations

import contextlib
import re
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from scripts.corpus.check import Mismatch, check_pair, time_pair

from longodds.prompts import extract_program, program_digest
from longodds.types import Task


class _TooLong(BaseException):
    """Raised by the alarm: nothing that a program catches."""


@contextlib.contextmanager
def _limit(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise _TooLong

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)


def _score(job: tuple[str, str, str, bool]) -> str:
    """`correct` (with a speed class where timed) or why not; job: reference, the same at full size, answer, timed."""
    import random
    import warnings

    small, full, text, timed = job
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    task = Task("corpus/x", "corpus", small, "")
    try:
        with _limit(40):
            program = extract_program(text, task)
            try:
                compile(program, "<program>", "exec")
            except (SyntaxError, ValueError):
                return "syntax"
            reason = check_pair(small, [program], 0)[0]
            if reason is not None:
                return f"wrong: {reason[:80]}"
            if not timed:
                return "correct"
            ratio = time_pair(full, program, random.Random(0), pairs=9)
            return "correct fast" if ratio > 1.2 else "correct same" if ratio > 0.9 else "correct slow"
    except _TooLong:
        return "wrong: timeout"
    except Mismatch as e:
        return f"unfit: {str(e)[:60]}"


def _score_all(jobs: list[tuple[str, str, str, bool]], workers: int) -> list[str]:
    unique = list(dict.fromkeys(jobs))
    with ProcessPoolExecutor(workers) as pool:
        futures = [pool.submit(_score, job) for job in unique]
        found: dict[tuple[str, str, str, bool], str] = {}
        for job, future in zip(unique, futures, strict=True):
            try:
                found[job] = future.result()
            except BrokenProcessPool:
                found[job] = "wrong: crash"
    return [found[job] for job in jobs]


def shrink_constants(reference: str, sizes: dict[str, int]) -> str:
    """The module with other values of its constants."""
    for name, value in sizes.items():
        reference = re.sub(rf"^{name} = \d+$", f"{name} = {value}", reference, flags=re.MULTILINE)
    return reference


def score_corpus(rows: Sequence[dict[str, Any]], texts: list[list[str]], workers: int) -> list[list[str]]:
    """One word for each sample of each corpus row, checked at small size."""
    jobs = [
        (s := shrink_constants(r["reference"], r["sizes"]), s, t, False)
        for r, ts in zip(rows, texts, strict=True)
        for t in ts
    ]
    return _regroup(_score_all(jobs, workers), texts)


def score_suite(tasks: list[tuple[str, str]], texts: list[list[str]], workers: int) -> list[list[str]]:
    """The same for problems of the suite, at their own size, with a rough timing."""
    jobs = [(ref, ref, t, True) for (_, ref), ts in zip(tasks, texts, strict=True) for t in ts]
    return _regroup(_score_all(jobs, workers), texts)


def _regroup(flat: list[str], like: list[list[str]]) -> list[list[str]]:
    it = iter(flat)
    return [[next(it) for _ in row] for row in like]


def summarise(families: list[str], verdicts: list[list[str]]) -> dict[str, dict[str, float]]:
    """Shares by family and over all: correct, fast, syntax errors; tasks with any correct or fast sample."""
    groups: dict[str, list[list[str]]] = {"all": verdicts}
    for family, row in zip(families, verdicts, strict=True):
        groups.setdefault(family, []).append(row)
    result: dict[str, dict[str, float]] = {}
    for name, rows in groups.items():
        flat = [v for row in rows for v in row if not v.startswith("unfit")]
        n = max(1, len(flat))
        result[name] = {
            "problems": len(rows),
            "correct": round(sum(v.startswith("correct") for v in flat) / n, 4),
            "fast": round(sum(v == "correct fast" for v in flat) / n, 4),
            "syntax": round(sum(v == "syntax" for v in flat) / n, 4),
            "any_correct": round(sum(any(v.startswith("correct") for v in row) for row in rows) / len(rows), 4),
            "any_fast": round(sum(any(v == "correct fast" for v in row) for row in rows) / len(rows), 4),
        }
    return result


def distinct(texts: list[str], reference: str) -> int:
    """How many different programs the texts are."""
    task = Task("corpus/x", "corpus", reference, "")
    return len({program_digest(extract_program(t, task)) for t in texts})
