"""kill -9 in the middle of sampling from real policies, then the same again: nothing lost, nothing doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from longodds.store import RunDir

HERE = Path(__file__).parent
sys.path.append(str(HERE.parent / "policy"))

PROGRAM = """
import sys
sys.path[:0] = [sys.argv[1]]
from run_fakes import FakeEvaluator, make_tasks
from longodds.config import BestOfNSettings, resolve
from longodds.policy import OpenOptions
from longodds.strategies.best_of_n import best_of_n
from longodds.strategies.policies import open_policy

policy = open_policy(sys.argv[3], OpenOptions(dtype="fp32", threads=1))
flags = {"suite": "fake", "k": 12, "seeds": [0, 1], "batch_size": 4, "max_tokens": 24, "temperature": 1.0}
flags |= {"policy": "hf:tiny", "time": "none"}
print("ready", flush=True)
settings = resolve(BestOfNSettings, flags=flags)
best_of_n(sys.argv[2], settings, policy=policy, evaluator=FakeEvaluator(), tasks=make_tasks(3))
"""


def start(path: Path, spec: str) -> subprocess.Popen[bytes]:
    p = subprocess.Popen([sys.executable, "-c", PROGRAM, str(HERE), str(path), spec], stdout=subprocess.PIPE)
    assert p.stdout is not None
    assert p.stdout.readline() == b"ready\n"
    return p


def finished(p: subprocess.Popen[bytes]) -> bool:
    """Waits for its end: whether it came to it by itself."""
    p.communicate()
    return p.returncode == 0


def rows(path: Path) -> int:
    file = path / "samples.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def contents(path: Path) -> list[tuple]:
    samples = RunDir.open(path).samples()
    assert all(s.verdict is not None for s in samples)
    return sorted((s.sample_id, s.completion.token_ids, s.completion.logprobs) for s in samples)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["hf", "replay"])
def test_killed_while_sampling(tmp_path, backend):
    from tiny_models import save_llama

    whole = tmp_path / "whole"
    model = f"hf:{save_llama(tmp_path / 'model')}"
    assert finished(start(whole, model))
    spec = model if backend == "hf" else f"replay:{whole}"
    draw = random.Random(1)
    killed = 0
    while True:
        enough = rows(tmp_path / "a") + draw.randrange(1, 24)
        p = start(tmp_path / "a", spec)
        while killed < 3 and rows(tmp_path / "a") < enough and p.poll() is None:
            time.sleep(0.001)
        if killed < 3 and p.poll() is None:
            p.send_signal(signal.SIGKILL)
            killed += 1
        if finished(p):
            break
    assert killed
    assert contents(tmp_path / "a") == contents(whole)
    assert rows(tmp_path / "a") == 72
