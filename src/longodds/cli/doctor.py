"""`longodds doctor`: what works on this machine, and what to do where something does not."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from dataclasses import asdict
from importlib import metadata
from typing import Any, Literal

from longodds.cli.console import json_stdout, make_table, print_table, write_json

_PACKAGES = ("torch", "transformers", "peft", "safetensors", "gguf", "triton", "tinker", "httpx", "numpy", "scipy")


def doctor(*, certify: bool = False, device: Literal["cpu", "cuda"] = "cpu", json: bool = False) -> int:
    """Say what works here: python, torch, GPU, compilers, model files, keys, isolation.

    Exits 0 when bundled tasks can be sampled and judged on this machine's CPU; with --certify, when every program
    also got the verdict that it deserves. Otherwise 3.

    Parameters
    ----------
    certify
        Also judge programs of known verdict on this very machine.
    device
        Where these run: cpu or cuda.
    json
        One JSON document on stdout.
    """
    with json_stdout(json) as out:
        document = examine()
        if certify:
            from longodds.strategies.certify import certify_evaluator

            document["certify"] = [asdict(c) for c in certify_evaluator(device)]
        if json:
            write_json(out, document)
        else:
            _print(document)
    certified = all(c["as_expected"] for c in document.get("certify", []))
    return 0 if document["ready"]["evaluate"] and certified else 3


def examine() -> dict[str, Any]:
    """Everything `doctor --json` says. Imports torch, where it is, to ask it for devices."""
    import longodds
    from longodds.environment import read_environment

    env = read_environment()
    torch = _torch()
    embedded = _embedded(env.cache_dir)
    isolation = _isolation()
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "longodds": longodds.__version__,
        "python": {"version": platform.python_version(), "executable": sys.executable},
        "machine": {"system": platform.system(), "release": platform.release(), "machine": platform.machine()},
        "cores": _cores(),
        "packages": packages,
        "torch": torch,
        "nvcc": shutil.which("nvcc"),
        "compiler": shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"),
        "models": {"embedded": embedded},
        "cache_dir": str(env.cache_dir),
        "kernelbench": None if env.kernelbench_root is None else str(env.kernelbench_root),
        "keys": dict(env.keys_present),
        "isolation": isolation,
        "ready": {
            "evaluate": torch is not None and "error" not in torch and "error" not in isolation,
            "sample": embedded["present"] and torch is not None and _can_load(packages),
        },
    }


def _can_load(packages: dict[str, str | None]) -> bool:
    return all(packages[name] is not None for name in ("torch", "transformers", "peft"))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _torch() -> dict[str, Any] | None:
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        import torch
    except (ImportError, OSError) as e:  # a broken build: missing libraries are an OSError
        return {"error": str(e)}
    gpus: list[dict[str, Any]] = []
    for i in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(i)
        gpus.append({"name": properties.name, "memory_bytes": properties.total_memory})
    return {"version": torch.__version__, "cuda": torch.version.cuda, "gpus": gpus}


def _embedded(cache_dir: Any) -> dict[str, Any]:
    from longodds.policy import EMBEDDED_ADAPTER, embedded_directory
    from longodds.policy.embedded import read_base_record

    directory = embedded_directory(cache_dir)
    adapter = (EMBEDDED_ADAPTER / "adapter_config.json").is_file()
    return {"present": read_base_record(directory) is not None, "path": str(directory), "adapter": adapter}


def _isolation() -> dict[str, str]:
    from longodds.errors import LongoddsError
    from longodds.strategies.opening import isolation_layers

    try:
        return isolation_layers()
    except LongoddsError as e:
        return {"error": str(e)}


def _print(document: dict[str, Any]) -> None:
    ready, torch = document["ready"], document["torch"]
    install = "missing: pip install 'longodds[local]'"
    rows: list[tuple[str, str]] = [
        ("longodds", document["longodds"]),
        ("python", f"{document['python']['version']}, {document['cores']} cores, {document['machine']['system']}"),
        ("torch", install if torch is None else torch.get("error") or torch["version"]),
    ]
    for name in ("transformers", "peft", "gguf", "triton"):
        rows.append((name, document["packages"][name] or ("no (GPU only)" if name == "triton" else install)))
    for name, extra in (("tinker", "tinker"), ("httpx", "openai")):
        missing = f"missing: pip install 'longodds[{extra}]' (for {extra}: policies)"
        rows.append((name, document["packages"][name] or missing))
    gpus = (torch or {}).get("gpus") or []
    rows.append(("GPU", ", ".join(f"{g['name']} ({g['memory_bytes'] / 2**30:.0f} GiB)" for g in gpus) or "none"))
    rows.append(("nvcc", document["nvcc"] or "no (needed for inline CUDA only)"))
    rows.append(("C++ compiler", document["compiler"] or "no (needed for inline C++ only)"))
    embedded = document["models"]["embedded"]
    state = embedded["path"] if embedded["present"] else "missing: longodds model fetch embedded"
    rows.append(("embedded model", state))
    rows.append(("its adapter", "shipped with this package" if embedded["adapter"] else "not in this checkout"))
    rows.append(("KernelBench", document["kernelbench"] or "no checkout (LONGODDS_KERNELBENCH)"))
    rows.append(("keys", ", ".join(k for k, present in document["keys"].items() if present) or "none (none needed)"))
    rows += [(f"isolation: {layer}", state) for layer, state in document["isolation"].items()]
    for c in document.get("certify", []):
        verdict = f"{c['status']} {'as it should be' if c['as_expected'] else 'WRONG, expected ' + c['expected']}"
        rows.append((f"certify: {c['name']}", verdict))
    rows.append(("judge programs", "ready" if ready["evaluate"] else "not ready"))
    remedy = "longodds model fetch embedded" if _can_load(document["packages"]) else "pip install 'longodds[local]'"
    rows.append(("sample locally", "ready" if ready["sample"] else f"not ready: {remedy}"))
    print_table(make_table(None, ["", ""], rows))
