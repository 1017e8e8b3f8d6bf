"""A run directory: what a strategy writes as it goes and everything later is computed from.

config.json    settings that decide the content, with their digest: equal digest, same run
manifest.json  versions, git, device, isolation of the latest attempt that judged, policy; one entry per attempt
tasks.jsonl    task, prompt text and prompt token ids, once per task
samples.jsonl  one row per sample, with log-probabilities
verdicts.jsonl one row per verdict; the latest that settles a sample counts
metrics.jsonl  one row per finished cell (task x seed), of runs that learn one per step
checkpoints.jsonl  one row per checkpoint of a run that trains; the files are under checkpoints/
cost.json      charged and run, derivable from the rows; prices, where given
logs/          what is said of an attempt, a file for each; ordinary runs write none

A run has one writer (a lock says so) and any number of readers.
"""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from longodds.config import config_digest, describe_differences
from longodds.errors import InfraError, UserError
from longodds.store.checkpoints import CheckpointRow, checkpoint_from_row, checkpoint_to_row
from longodds.store.jsonl import JsonlWriter, read_records
from longodds.store.lock import WriterLock
from longodds.store.rows import (
    METRICS_KINDS,
    SAMPLE_KINDS,
    VERDICT_KINDS,
    TaskRecord,
    VerdictRow,
    check_row,
    merge_attempts,
    sample_from_row,
    sample_to_row,
    task_from_row,
    task_to_row,
    verdict_from_row,
    verdict_to_row,
)
from longodds.types import Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from longodds.types import Sample, Task

T = TypeVar("T")

TASKS, SAMPLES, VERDICTS, METRICS = "tasks.jsonl", "samples.jsonl", "verdicts.jsonl", "metrics.jsonl"
CHECKPOINTS = "checkpoints.jsonl"
CONFIG, MANIFEST, COST, LOCK, LOGS = "config.json", "manifest.json", "cost.json", "lock", "logs"
_OWN = {TASKS, SAMPLES, VERDICTS, METRICS, CHECKPOINTS, CONFIG, MANIFEST, COST, LOCK, LOGS, "probe_scores.jsonl"}
_BEFORE_CONFIG = {MANIFEST, LOCK, LOGS}  # what a run killed while it was being created may leave


class RunDir:
    """One run. Use `create_or_resume` to write, `open` to read; a context manager either way."""

    def __init__(self, path: Path, config: dict[str, Any], digest: str, manifest: dict[str, Any]) -> None:
        self.path = path
        self.config = config
        self.digest = digest
        self.manifest = manifest
        self.resumed = False
        self.repaired: dict[str, int] = {}
        self._lock: WriterLock | None = None
        self._writers: dict[str, JsonlWriter] = {}

    # --- opening -------------------------------------------------------------------------------

    @classmethod
    def check(cls, path: Path | str, config: Mapping[str, Any]) -> bool:
        """Whether `path` holds a run of this config (True) or can become one (False). Writes nothing.

        Raises UserError for a run of another config (naming the keys), a path that is something else, a
        directory that may not be written. For use before anything expensive is loaded.
        """
        path = Path(path)
        _require_writable(path)
        if not (path / CONFIG).exists():
            if path.is_dir() and any(e.name not in _BEFORE_CONFIG and e.suffix != ".tmp" for e in path.iterdir()):
                raise UserError(f"{path}: exists and is no run directory; give another RUN")
            return False
        old, digest = _read_config(path)
        if digest != config_digest(config):
            differs = describe_differences(old, config) or "its digest"
            raise UserError(f"{path}: is a run of another config: {differs}; repeat its settings or give another RUN")
        return True

    @classmethod
    def create_or_resume(cls, path: Path | str, config: Mapping[str, Any], manifest: Mapping[str, Any]) -> RunDir:
        """A run to write to: new, or the one at `path` if its config is equal (see `check` for what is raised).

        Takes the writer lock (UserError if another process has it) and repairs torn tails.
        """
        path = Path(path)
        cls.check(path, config)
        try:
            (path / LOGS).mkdir(parents=True, exist_ok=True)
        except OSError as e:
            full = e.errno in (errno.ENOSPC, errno.EDQUOT)  # no mistake of the caller
            raise (InfraError if full else UserError)(f"{path}: cannot be created: {e.strerror}") from None
        lock = WriterLock(path / LOCK)
        try:
            resumes = cls.check(path, config)  # again: another process may have made it since
            attempts = _read_json(path / MANIFEST).get("attempts", []) if resumes else []
            merged = merge_attempts([*attempts, {**manifest, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}])
            _write_json(path / MANIFEST, merged)
            digest = config_digest(config)
            if not resumes:  # last: a directory with a config is a run
                _write_json(path / CONFIG, {"digest": digest, "config": dict(config)})
            run = cls(path, dict(config), digest, merged)
            run.resumed = resumes
            run._lock = lock
            for name in (TASKS, SAMPLES, VERDICTS, METRICS):
                run._writers[name] = writer = JsonlWriter(path / name)
                if writer.repaired_bytes:
                    run.repaired[name] = writer.repaired_bytes
                    run.log(f"{name}: dropped a torn tail of {writer.repaired_bytes} bytes")
        except BaseException:
            lock.release()
            raise
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunDir:
        """A run to read. Raises UserError when there is none."""
        path = Path(path)
        if not path.exists():
            raise UserError(f"{path}: no such run directory")
        if not (path / CONFIG).exists():
            raise UserError(f"{path}: is no run directory (it has no {CONFIG})")
        config, digest = _read_config(path)
        manifest = _read_json(path / MANIFEST) if (path / MANIFEST).exists() else {}
        return cls(path, config, digest, manifest)

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- writing -------------------------------------------------------------------------------

    def add_tasks(self, records: Iterable[TaskRecord]) -> list[str]:
        """Tasks that the run does not have yet, in one write.

        Returns the ids of those that it has with a prompt of other tokens, where token ids are known; its rows stay.

        Raises UserError when the run has a task of this id with another content: its samples would be mixed.
        """
        have = self.records()
        new: list[TaskRecord] = []
        other: list[str] = []
        for record in records:
            old = have.get(record.task.id)
            if old is None:
                new.append(record)
                have[record.task.id] = record
            elif old.task.digest != record.task.digest:
                raise UserError(
                    f"{self.path}: task {record.task.id} has changed since this run began "
                    f"({old.task.digest}, now {record.task.digest}); give another RUN"
                )
            elif _differ(old.prompt_token_ids, record.prompt_token_ids):
                other.append(record.task.id)
        self._append(TASKS, [task_to_row(r) for r in new])
        return other

    def append_samples(self, samples: Sequence[Sample], *, seconds: float = 0.0) -> None:
        """Samples of one call to the policy, in one write. seconds: wall-clock of that call, shared out evenly."""
        if not samples:
            return
        share = {"batch": min(s.index for s in samples), "seconds": round(seconds / len(samples), 6)}
        self._append(SAMPLES, [sample_to_row(s, **share) for s in samples])

    def append_verdicts(self, rows: Sequence[VerdictRow]) -> None:
        """Verdicts that belong together (a program and its duplicates), in one write."""
        self._append(VERDICTS, [verdict_to_row(r) for r in rows])

    def append_rows(self, samples: Sequence[Mapping[str, Any]], verdicts: Sequence[Mapping[str, Any]]) -> None:
        """Rows of samples.jsonl, then of verdicts.jsonl, made and checked already (an import): one write each."""
        self._append(SAMPLES, samples)
        self._append(VERDICTS, verdicts)

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        self._append(METRICS, [row])

    def append_checkpoint(self, row: CheckpointRow) -> None:
        """A checkpoint whose files are whole."""
        if CHECKPOINTS not in self._writers:
            if self._lock is None:
                raise RuntimeError(f"{self.path}: was opened for reading")
            self._writers[CHECKPOINTS] = JsonlWriter(self.path / CHECKPOINTS)  # only in runs that train
        self._append(CHECKPOINTS, [checkpoint_to_row(row)])

    def write_json(self, name: str, value: Any) -> None:
        """A whole JSON document beside the rows (`cost.json`), replaced at once."""
        _write_json(self.path / name, value)

    def log(self, line: str) -> None:
        """A line in this attempt's log."""
        attempt = len(self.manifest.get("attempts", [])) or 1
        path = self.path / LOGS / f"attempt_{attempt}.log"
        try:
            with path.open("a", encoding="utf-8") as f:
                f.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        except OSError as e:
            raise InfraError(f"{path}: cannot be written: {e.strerror}") from None

    def _append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if name not in self._writers:
            raise RuntimeError(f"{self.path}: was opened for reading")
        try:
            self._writers[name].append(rows)
        except ValueError as e:
            raise InfraError(f"{self.path / name}: a record that JSON cannot hold: {e}") from None

    # --- reading -------------------------------------------------------------------------------

    def records(self) -> dict[str, TaskRecord]:
        """Task id -> task with its prompt, in the order of the run."""
        return {r.task.id: r for r in self._rows(TASKS, task_from_row)}

    def tasks(self) -> dict[str, Task]:
        """Task id -> task, in the order of the run."""
        return {task_id: record.task for task_id, record in self.records().items()}

    def verdict_rows(self) -> list[VerdictRow]:
        """All verdicts as they were written."""
        return list(self._rows(VERDICTS, verdict_from_row))

    def verdicts(self) -> dict[str, VerdictRow]:
        """Sample id -> the verdict that counts: the latest, but an INFRA_ERROR never replaces an answer."""
        latest: dict[str, VerdictRow] = {}
        for row in self._rows(VERDICTS, verdict_from_row):
            old = latest.get(row.sample_id)
            if old is None or row.settled or not old.settled:
                latest[row.sample_id] = row
        return latest

    def samples(self) -> list[Sample]:
        """All samples, each once, with the verdict that counts (or None), in the order they were drawn."""
        verdicts = self.verdicts()
        seen: dict[str, Sample] = {}
        where = self.path / SAMPLES
        for number, row in enumerate(read_records(where), start=1):
            key = str(_convert(row, lambda r: r["sample_id"], where, number))
            if key not in seen:
                known = verdicts.get(key)
                seen[key] = _convert(row, lambda r, v=known: sample_from_row(r, v and v.verdict), where, number)
        return list(seen.values())

    def sample_rows(self) -> Iterator[dict[str, Any]]:
        """The rows of samples.jsonl as they are (with `batch` and `seconds`), each sample once."""
        seen: set[str] = set()
        for row in self._rows(SAMPLES, lambda r: cast("dict[str, Any]", check_row(r, SAMPLE_KINDS))):
            if row.get("sample_id") not in seen:
                seen.add(str(row.get("sample_id")))
                yield row

    def judged_rows(self) -> Iterator[tuple[dict[str, Any], dict[str, Any] | None]]:
        """The rows of samples.jsonl, each sample once, with the row of the verdict that counts (or None).

        As `samples`, but nothing is built of them: for hundreds of thousands of samples.
        """
        latest: dict[str, dict[str, Any]] = {}
        for row in self._rows(VERDICTS, _verdict_row):
            key, failed = row["sample_id"], row["status"] == Status.INFRA_ERROR.value
            if key in latest and failed and latest[key]["status"] != Status.INFRA_ERROR.value:
                continue
            row.pop("isolation", None)
            latest[key] = row
        for row in self.sample_rows():
            yield row, latest.get(str(row.get("sample_id")))

    def metrics(self) -> list[dict[str, Any]]:
        return list(self._rows(METRICS, lambda r: dict(check_row(r, METRICS_KINDS))))

    def checkpoints(self) -> list[CheckpointRow]:
        """By step, the latest of each."""
        found = {row.step: row for row in self._rows(CHECKPOINTS, checkpoint_from_row)}
        return [found[step] for step in sorted(found)]

    def cost(self) -> dict[str, Any]:
        """The content of cost.json, as the last attempt left it; empty before its end."""
        return _read_json(self.path / COST) if (self.path / COST).exists() else {}

    def sampled_ids(self) -> set[str]:
        return {str(row.get("sample_id")) for row in self._rows(SAMPLES, dict)}

    def judged_ids(self) -> set[str]:
        return {str(row.get("sample_id")) for row in self._rows(VERDICTS, dict)}

    def _rows(self, name: str, convert: Callable[[Mapping[str, Any]], T]) -> Iterator[T]:
        where = self.path / name
        for number, row in enumerate(read_records(where), start=1):
            yield _convert(row, convert, where, number)


def refuse_own_file(path: Path, flag: str) -> None:
    """Raises UserError where a file that is to be written is one that a run consists of."""
    where = path.resolve()
    if where.name in _OWN and (where.parent / CONFIG).exists():
        raise UserError(f"{flag} {path}: is a file of the run {path.parent}; name another file")


def _differ(old: Sequence[int], new: Sequence[int]) -> bool:
    """Whether two prompts are of other tokens; not where ids are unknown (none, or -1 from a service)."""
    return bool(old) and bool(new) and tuple(old) != tuple(new) and min(*old, *new) >= 0


def _convert(row: Mapping[str, Any], convert: Callable[[Mapping[str, Any]], T], where: Path, number: int) -> T:
    """number: of the line, from 1."""
    try:
        return convert(row)
    except KeyError as e:
        raise UserError(
            f"{where}: a row lacks the field {e} (line {number}); it was written by something else"
        ) from None
    except (TypeError, ValueError, IndexError, AttributeError) as e:
        raise UserError(f"{where}: a row cannot be read (line {number}): {e}") from None


def _verdict_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """For `judged_rows`: as it is, with the two fields that it needs."""
    _ = row["sample_id"], Status(row["status"])
    return cast("dict[str, Any]", check_row(row, VERDICT_KINDS))


def _require_writable(path: Path) -> None:
    existing = path
    try:
        while not existing.exists():
            existing = existing.parent
        if not existing.is_dir():
            what = "is a file" if existing == path else f"{existing} is a file"
            raise UserError(f"{path}: {what}; RUN is a directory")
    except OSError as e:
        raise UserError(f"{path}: cannot be used as RUN: {e.strerror}") from None
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"{path}: no permission to write in {existing}; give another RUN")


def _read_config(path: Path) -> tuple[dict[str, Any], str]:
    document = _read_json(path / CONFIG)
    config, digest = document.get("config"), document.get("digest")
    if not isinstance(config, dict) or not isinstance(digest, str):
        raise UserError(f"{path / CONFIG}: has no 'config' and 'digest'; it was written by something else")
    return config, digest


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as e:
        raise UserError(f"{path}: cannot be read: {e.strerror}") from None
    except (ValueError, RecursionError) as e:
        raise UserError(f"{path}: not JSON: {e}") from None
    if not isinstance(document, dict):
        raise UserError(f"{path}: not a JSON object")
    attempts = document.get("attempts", [])  # of a manifest
    if not isinstance(attempts, list) or not all(isinstance(a, dict) for a in attempts):
        raise UserError(f"{path}: field 'attempts': must be a list of objects")
    return document


def _write_json(path: Path, value: Any) -> None:
    temporary = path.with_name(path.name + ".tmp")
    try:
        with temporary.open("w", encoding="utf-8") as f:
            json.dump(value, f, indent=2, allow_nan=False)
            f.write("\n")
            f.flush()
            os.fsync(f.fileno())
        temporary.replace(path)
    except OSError as e:
        raise InfraError(f"{path}: cannot be written: {e.strerror}") from None
