"""What a prompt can say of the device that programs will run on: one line, without loading torch."""

from __future__ import annotations

import subprocess
from importlib import metadata

from longodds.errors import UserError

_QUERY = ("name", "memory.total", "compute_cap", "clocks.max.sm", "clocks.max.memory")


def describe_device(device: str) -> str:
    """`NVIDIA H200, 143771 MiB, compute capability 9.0, ..., PyTorch 2.13.0` or the CPU's name with `one core`.

    Raises UserError where a CUDA device was asked for and nvidia-smi names none.
    """
    torch = _torch()
    if not device.startswith("cuda"):
        from longodds.evaluator import device_name

        return f"{device_name()}, one core, float32{torch}"
    index = device.partition(":")[2] or "0"
    try:
        done = subprocess.run(
            ["nvidia-smi", f"--id={index}", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as e:
        raise UserError(f"--device-facts: nvidia-smi does not describe {device} ({e}); leave the flag out") from None
    name, memory, capability, sm, mem = (part.strip() for part in done.stdout.splitlines()[0].split(","))
    return f"{name}, {memory}, compute capability {capability}, clocks {sm} (SM) and {mem} (memory), float32{torch}"


def _torch() -> str:
    try:
        return f", PyTorch {metadata.version('torch')}"
    except metadata.PackageNotFoundError:
        return ""
