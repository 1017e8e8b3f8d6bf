"""The seed release's command line: its flags, its mistakes in one line, its summary files from a real run."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import files
from test_cli_run_real import PROBLEM, save_tiny_model

ROOT = Path(__file__).resolve().parents[2]


def script(*arguments: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("TINKER_API_KEY", "LONGODDS_KERNELBENCH")}
    environment |= {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "LONGODDS_CACHE": str(cwd / "no-cache"),
        "OMP_NUM_THREADS": "1",
        **env,
    }
    return subprocess.run(
        [sys.executable, "-m", "scripts.best_of_n", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "splits").symlink_to(ROOT / "splits")
    (tmp_path / "empty.jsonl").write_text("{}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], {}, ["TINKER_API_KEY is not set", "--policy"]),
        (["--checkpoint_jsonl", "none.jsonl"], {"TINKER_API_KEY": "x"}, ["none.jsonl: no such file"]),
        (["--checkpoint_jsonl", "empty.jsonl"], {"TINKER_API_KEY": "x"}, ["no row names a sampler_path"]),
        (["--sampler_path", "weights"], {"TINKER_API_KEY": "x"}, ["tinker://"]),
        (["--renderer_name", "qwen3"], {"TINKER_API_KEY": "x"}, ["--renderer_name qwen3"]),
        (["--policy", "embedded", "--split", "none.json"], {}, ["none.json: no such split file"]),
        (["--policy", "embedded", "--task_offset", "20"], {}, ["no problem is left"]),
        (["--policy", "embedded", "--kernelbench_root", "none", "--device", "cpu"], {}, ["none: no such checkout"]),
    ],
)
def test_mistakes_are_one_line(place, arguments, env, words):
    before = files(place)
    done = script(*arguments, cwd=place, **env)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[-1].startswith("longodds: error: ")
    assert all(word in lines[-1] for word in words), lines
    assert "Traceback" not in done.stderr
    assert files(place) == before


def test_flags_and_defaults_are_the_originals():
    sys.path.insert(0, str(ROOT))
    try:
        from scripts.best_of_n import parse
    finally:
        sys.path.remove(str(ROOT))
    args = vars(parse([]))
    originals = {
        "split": "splits/l1_seed42.json",
        "model": "openai/gpt-oss-120b",
        "k": 32,
        "temperature": 0.25,
        "max_tokens": 1024,
        "max_tasks": 1,
        "task_offset": 0,
        "problem_ids": "",
        "log_path": "runs/best_of_n",
        "sampler_path": "",
        "renderer_name": "gpt_oss_no_sysprompt",
        "eval_mode": "full",
        "num_correct_trials": None,
        "num_perf_trials": None,
        "level": 1,
        "eval_workers": 4,
        "prefetch": 2,
    }
    assert {name: args[name] for name in originals} == originals
    readme = parse(["--split", "splits/l1_seed42.json", "--subset", "eval", "--k", "64", "--max_tasks", "20"])
    assert (readme.k, readme.max_tasks, readme.subset) == (64, 20, "eval")


@pytest.mark.parametrize(
    ("flag", "variable", "mode"), [(None, "fast", "fast"), ("full", "fast", "full"), ("fast", "full", "fast")]
)
def test_the_mode_is_the_flags_else_the_environments_for_both_evaluators(tmp_path, monkeypatch, flag, variable, mode):
    monkeypatch.syspath_prepend(str(ROOT))
    from scripts import adapting, best_of_n

    from longodds.environment import read_environment

    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERNELBENCH_EVAL_MODE", variable)
    monkeypatch.setattr(best_of_n, "run_and_summarise", lambda path, settings, **_: asked.append(settings))
    monkeypatch.setattr(best_of_n, "write_summary", lambda *_, **__: None)
    more = ["--eval_mode", flag] if flag else []
    command = ["--policy", "embedded", "--problem_ids", "1", "--device", "cpu", "--evaluator", "seed"]
    best_of_n.main([*command, *more])
    assert asked[0].max_pairs == {"fast": 16, "full": 64}[mode]
    assert read_environment().eval_mode == mode  # what --evaluator seed reads
    parser = argparse.ArgumentParser()
    adapting.add_flags(parser, steps=1, log_path="x")
    learned = adapting.settings_flags(parser.parse_args([*command, "--eval_mode", mode]))
    assert (learned["max_pairs"], read_environment().eval_mode) == (asked[0].max_pairs, mode)


@pytest.mark.slow
def test_a_run_to_its_summary_files(place):
    pytest.importorskip("transformers")
    model = save_tiny_model(place / "model")
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    level = place / "kb" / "KernelBench" / "level1"
    level.mkdir(parents=True)
    for i in (4, 5):
        (level / f"{i}_Sines_.py").write_text(PROBLEM.format(n=i))
    command = ["--policy", f"hf:{model}", "--kernelbench_root", "kb", "--device", "cpu", "--k", 2, "--max_tokens", 8]
    done = script(*command, "--max_tasks", 2, "--log_path", "out", cwd=place)
    assert done.returncode == 0, done.stderr
    assert "[1/2] Task 4: fast_1=" in done.stdout
    summary = json.loads((place / "out" / "best_of_n_summary.json").read_text())
    assert [entry["problem_id"] for entry in summary] == [4, 5]
    assert {"fast_1", "sample_fast_1", "selected_speedup", "selected_correct", "correct", "latency"} <= set(summary[0])
    compute = json.loads((place / "out" / "best_of_n_compute.json").read_text())
    assert compute["total_rollouts"] == 4
    assert compute["total_prompt_tokens"] > compute["total_completion_tokens"] > 0
