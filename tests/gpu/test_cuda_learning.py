"""Learning on a GPU by the command line: every method raises what it is trained for, a real model and real verdicts.

Run on a GPU machine: pytest tests/gpu -m gpu.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_model import make_place

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that PyTorch can use"),
]
ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--suite", "dir:problems", "--policy", "hf:tiny", "--policy-device", "cuda", "--time", "none"]
FLAGS += ["--reward", "correct", "--k", "8", "--lr", "2e-3", "--max-tokens", "32", "--max-kl", "50", "--no-cache"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("learning")
    make_place(root)
    return root


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["ttt", "sdpo", "rlvr"])
def test_it_learns(place: Path, kind: str, dtype: str) -> None:
    recipe = str(ROOT / "recipes" / f"{kind}-tiny.toml")
    named = ["--problem-ids", "shifted_sine_0,shifted_sine_1"] if kind != "rlvr" else []
    argv = [kind, f"{kind}_{dtype}", "--config", recipe, *FLAGS, "--dtype", dtype, "--split", f"{kind}.json", *named]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "LONGODDS_CACHE": str(place / "no-cache")}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "longodds", *argv, "--json"]
    done = subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["complete"], document["stopped"]) == (True, None)
    rows = document["trajectory"]
    print(kind, dtype, [(r["correct"], r["n"], r["kl"]) for r in rows])
    assert document["cost"]["charged"]["trained_tokens"] > 0
    assert rows[-1]["kl"]  # of what was looked at: no step follows it
    if kind != "rlvr":  # it has other tasks at each step
        assert rows[-1]["correct"] > rows[0]["correct"]
