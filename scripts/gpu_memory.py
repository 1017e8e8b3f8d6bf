"""How much of a GPU's memory is in use, whoever uses it."""

from __future__ import annotations

import os
import subprocess


def used_mib() -> int:
    """MiB in use on the first GPU that is visible to this process. Raises what starting nvidia-smi raises."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", f"--id={first}"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0])
