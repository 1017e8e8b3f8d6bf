"""What decides a verdict besides task and program. Equal digests: comparable verdicts."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

VERSION = 16  # raise when the meaning of a verdict changes: caches and comparisons must not mix


@dataclass(frozen=True, slots=True)
class EvaluatorSettings:
    """Settings of an evaluator; times in seconds, memory in bytes.

    core: the CPU core that children are pinned to (None: the last one that is free). min_pairs, max_pairs: timed pairs
    of a screening before it may end early, and the cap, also of a confirmation. memory_bytes: resident memory of one
    child (None: half of the machine's). calibration: JSON file that `longodds calibrate` wrote for this device; without
    one a conservative between-process spread widens every interval. seed: of the evaluator's own draws; None (the
    default) draws a secret one per oracle process. hidden: folders that candidates must not see, beside the user's
    home.
    """

    device: str = "cpu"
    reference: str = "eager"
    import_timeout_s: float = 30.0
    run_timeout_s: float = 30.0
    compile_timeout_s: float = 300.0
    memory_bytes: int | None = None
    min_pairs: int = 8
    max_pairs: int = 64
    max_timing_s: float = 20.0
    core: int | None = None
    calibration: Path | None = None
    seed: int | None = None
    hidden: tuple[Path, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {
            "calibration": str(self.calibration) if self.calibration else None,
            "hidden": [str(p) for p in self.hidden],
        }

    @staticmethod
    def from_json(document: dict[str, Any]) -> EvaluatorSettings:
        """Inverse of `to_json`."""
        calibration = document["calibration"]
        paths: dict[str, Any] = {
            "calibration": Path(calibration) if calibration else None,
            "hidden": tuple(Path(p) for p in document["hidden"]),
        }
        return EvaluatorSettings(**(document | paths))

    def memory_limit(self) -> int:
        """Bytes of resident memory that a child may use."""
        if self.memory_bytes is not None:
            return self.memory_bytes
        if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
            return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
        return 8 << 30

    def digest(self, torch_version: str) -> str:
        """16 hex digits over everything that makes two timings incomparable: settings, device, library versions."""
        document = asdict(self)
        for name in ("seed", "core", "calibration", "hidden"):
            document.pop(name)
        document |= {
            "version": VERSION,
            "calibration": self.calibration.read_text() if self.calibration else "",
            "machine": platform.machine(),
            "processor": device_name(),
            "torch": torch_version,
            "python": platform.python_version(),
        }
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def device_name(device: str = "cpu") -> str:
    """The CPU's name and core count, e.g. `AMD EPYC 9R14 (2 cores)`, or the first GPU's name, as its driver says."""
    if device == "cuda":
        files = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
        lines = files[0].read_text().splitlines() if files else []
        return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("Model")), "CUDA GPU")
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name} ({os.cpu_count()} cores)"
