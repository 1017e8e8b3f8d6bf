"""The sweep over KernelBench: its gate as that repository has it, and the table of what was seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.keyed_log import KeyedLog
from scripts.sweep_kernelbench import Gate, chosen, evaluated, table

from longodds.errors import UserError
from longodds.types import Task, digest_text

NOTHING = """import torch
import torch.nn as nn
class Model(nn.Module):
    def forward(self, x):
        return x @ x * 0.0
def get_inputs():
    print("answer none")
    return [torch.randn(8, 8)]
def get_init_inputs():
    return []
"""


def task_of(reference: str) -> Task:
    return Task("test/gate", "test", reference, digest_text(reference))


@pytest.mark.slow
def test_the_gate_lets_through_what_kernelbench_would_and_outlives_what_ends_it() -> None:
    with Gate("cpu") as gate:
        assert gate.tried(task_of(NOTHING)) == {"passed": ["zeros", "mean", "previous-output"]}
        assert gate.tried(task_of(NOTHING.replace("* 0.0", "+ 1"))) == {"passed": []}
        assert "name 'y' is not defined" in gate.tried(task_of(NOTHING.replace("x @ x", "x @ y")))["error"]
        assert "ended" in gate.tried(task_of(f"import os\nos._exit(3)\n{NOTHING}"))["error"]
        assert gate.tried(task_of(NOTHING))["passed"] == ["zeros", "mean", "previous-output"]


def row(key: str, low: float, floor_us: float | None, passed: list[str]) -> dict[str, object]:
    numbers = {"speedup": 1.0, "reference_us": 12.3456, "gbps": 1000.0, "tflops": None, "floor_us": floor_us}
    return numbers | {
        "key": key,
        "status": "correct",
        "ci": [low, 1.1],
        "seconds": 2.0,
        "prepare_s": 0.5,
        "peak_mib": 2048,
        "ok": not passed,
        "problems": ["zeros is correct"] if passed else [],
        "labels": ["tf32:matmul=off,cudnn=on", "yardstick:fewer-laws"],
        "gate": {"passed": passed},
    }


def test_the_table_says_what_is_odd_and_counts() -> None:
    text = table([row("kernelbench:1/1", 0.99, 6.1728, []), row("kernelbench:1/2", 1.01, None, ["zeros"])])
    first, second = [line for line in text.splitlines() if line.startswith("| 1/")]
    cells = ["correct 1.000", "12.35", "1000", "", "2x", "2.0", "2", "fp64, fewer laws"]
    assert first.split(" | ")[1:9] == cells
    assert "tf32" not in first
    assert second.endswith("| zeros | zeros is correct |")
    assert "2 problems: 2 unchanged programs correct, 1 of them called faster, off by 0.00% at the median" in text
    assert "1 fit to judge by; 4 s in all" in text
    assert "1 let a program that computes nothing through" in text


def test_the_evaluation_half_of_a_split_is_named_as_its_tasks_are() -> None:
    found = evaluated(Path(__file__).parents[2] / "splits" / "l1_seed42.json")
    assert len(found) == 20
    assert {"kernelbench:1/4", "kernelbench:1/98"} <= found


def test_a_log_is_gone_on_with_and_later_lines_add_to_earlier_ones(tmp_path: Path) -> None:
    log = KeyedLog(tmp_path / "sweep.jsonl")
    log.add("kernelbench:1/1", status="correct", gate={})
    log.add("kernelbench:1/2", status="incorrect", gate={})
    log.add("kernelbench:1/1", gate={"passed": ["zeros"]})
    with (tmp_path / "sweep.jsonl").open("a") as file:
        file.write('{"key": "kernelbench:1/3", "sta')  # killed while it wrote
    again = KeyedLog(tmp_path / "sweep.jsonl").rows
    assert list(again) == ["kernelbench:1/1", "kernelbench:1/2"]
    assert again["kernelbench:1/1"] == {"key": "kernelbench:1/1", "status": "correct", "gate": {"passed": ["zeros"]}}
    KeyedLog(tmp_path / "sweep.jsonl").add("kernelbench:1/3", status="correct")
    assert KeyedLog(tmp_path / "sweep.jsonl").rows["kernelbench:1/3"]["status"] == "correct"


@pytest.mark.parametrize("levels", ["", "1", "1:5", "5:1-2", "1:1-2,x"])
def test_what_is_no_range_of_problems_is_named(levels: str) -> None:
    with pytest.raises(UserError, match=r"--levels: .* is not level:first-last"):
        chosen(levels, "tests")
