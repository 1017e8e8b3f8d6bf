"""The seed release's two commands that learn: flags, mistakes in one line, summary files of real runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import files
from test_cli_run_real import PROBLEM, save_tiny_model

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests" / "policy"))  # the loopback services are the policy tests' own
SECRET = "tml-secret-of-the-test"


def script(name: str, *arguments: object, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("TINKER_API_KEY", "LONGODDS_KERNELBENCH")}
    environment |= {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "LONGODDS_CACHE": str(cwd / "no-cache"),
        "OMP_NUM_THREADS": "1",
        **env,
    }
    command = [sys.executable, "-m", f"scripts.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=280, check=False)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scripts")
    (root / "splits").symlink_to(ROOT / "splits")
    (root / "sampler.jsonl").write_text('{"sampler_path": "tinker://a/sampler_weights/b"}\n')
    level = root / "kb" / "KernelBench" / "level1"
    level.mkdir(parents=True)
    for i in (4, 5):
        (level / f"{i}_Sines_.py").write_text(PROBLEM.format(n=i))
    return root


@pytest.mark.parametrize("name", ["batch_ttt", "sdpo_train"])
@pytest.mark.parametrize(
    ("arguments", "env", "words"),
    [
        ([], {}, ["TINKER_API_KEY is not set", "--policy"]),
        (["--checkpoint_jsonl", "none.jsonl"], {"TINKER_API_KEY": "x"}, ["none.jsonl: no such file"]),
        (["--checkpoint_jsonl", "sampler.jsonl"], {"TINKER_API_KEY": "x"}, ["no row names a state_path"]),
        (["--policy", "embedded", "--baseline_window", "8"], {}, ["--baseline_window 8"]),
        (["--policy", "embedded", "--batch_size", "0"], {}, ["--batch_size 0"]),
        (["--policy", "embedded", "--task_offset", "20"], {}, ["no problem is left"]),
        (["--policy", "embedded", "--k", "0", "--device", "cpu"], {}, ["--k"]),
    ],
)
def test_mistakes_are_one_line(place, name, arguments, env, words):
    before = files(place)
    done = script(name, *arguments, cwd=place, **env)
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
        from scripts import batch_ttt, sdpo_train
    finally:
        sys.path.remove(str(ROOT))
    common = {
        "split": "splits/l1_seed42.json",
        "model": "openai/gpt-oss-120b",
        "renderer_name": "gpt_oss_no_sysprompt",
        "batch_size": 5,
        "k": 32,
        "temperature": 0.25,
        "max_tokens": 1024,
        "lora_rank": 16,
        "learning_rate": 1e-5,
        "max_tasks": 5,
        "task_offset": 0,
        "problem_ids": "",
        "eval_mode": "fast",
        "num_correct_trials": 1,
        "num_perf_trials": 5,
        "baseline_window": 32,
        "correct_bonus": 0.0,
    }
    own = {"no_feedback": False, "include_success_solution": False, "sdpo_coef": 1.0, "teacher_mode": "student"}
    for parse, expected in (
        (batch_ttt.parse, common | {"steps": 8, "log_path": "runs/batch_ttt"}),
        (sdpo_train.parse, common | own | {"steps": 1, "log_path": "runs/sdpo_batch_ttt"}),
    ):
        args = vars(parse([]))
        assert {name: args[name] for name in expected} == expected
    assert batch_ttt.parse(["--subset", "eval", "--k", "32", "--steps", "5"]).steps == 5
    assert sdpo_train.parse(["--k", "32", "--steps", "1", "--prompt_only"]).no_feedback


def with_template(model: Path) -> Path:
    config = json.loads((model / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    (model / "tokenizer_config.json").write_text(json.dumps(config))
    return model


SMALL = ["--kernelbench_root", "kb", "--device", "cpu", "--k", 4, "--max_tokens", 8, "--max_tasks", 2]
SUMMARY = {"batch_ttt": "batch_ttt_summary.json", "sdpo_train": "sdpo_batch_ttt_summary.json"}


def check_summary(path: Path, name: str, *, steps: int) -> dict:
    summary = json.loads((path / SUMMARY[name]).read_text())
    rows = summary["step_summaries"]
    assert [row["step_idx"] for row in rows] == list(range(steps + 1))
    assert all(row["n_samples"] == 8 and set(row["per_task_fast_1"]) == {"4", "5"} for row in rows)
    assert summary["problem_ids"] == ["4", "5"]
    assert set(summary["checkpoint_paths"]) == {str(i) for i in range(steps + 1)}
    assert summary["final_checkpoint"] == rows[-1]["checkpoint_path"] == summary["checkpoint_paths"][str(steps)]
    compute = json.loads((path / SUMMARY[name].replace("summary", "compute")).read_text())
    assert compute["total_rollouts"] == 8 * (steps + 1)
    return summary


@pytest.mark.slow
@pytest.mark.parametrize("name", ["batch_ttt", "sdpo_train"])
def test_a_local_run_to_its_summary_files(place, name):
    model = with_template(save_tiny_model(place / f"model-{name}"))
    more = ["--prompt_only"] if name == "sdpo_train" else []
    command = ["--policy", f"hf:{model}", *SMALL, "--steps", 1, "--log_path", f"local-{name}", *more]
    done = script(name, *command, cwd=place)
    assert done.returncode == 0, done.stderr
    assert "Step 1: agg_fast_1=" in done.stdout
    summary = check_summary(place / f"local-{name}", name, steps=1)
    assert summary["final_checkpoint"] == f"run:local-{name}@1"
    if name == "batch_ttt":
        boa = json.loads((place / f"local-{name}" / "boa_selected.json").read_text())
        assert boa["selected_step"] == summary["boa_selected"]["step"] in (0, 1)
        assert boa["config"]["tasks"] == ["4", "5"]
    else:
        assert summary["config"]["include_feedback"] is False
        assert json.loads((place / f"local-{name}" / "sdpo_batch_ttt_compute.json").read_text())["scored_tokens"] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("name", ["batch_ttt", "sdpo_train"])
def test_a_run_on_a_tinker_service(place, name):
    pytest.importorskip("tinker")
    from loopback_tinker import LoopbackTinker
    from reference_model import ReferenceModel
    from tiny_models import save_llama

    save_llama(place / f"tiny-{name}")
    config = place / f"tiny-{name}" / "config.json"  # a prompt is some 1,350 of its tokens; positions are rotary
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 4096}))
    model = ReferenceModel(place / f"tiny-{name}")
    with_template(place / f"tiny-{name}")
    with LoopbackTinker(model, accept=SECRET) as service:
        done = script(
            name,
            *("--model", "tiny/llama-1m", "--tokenizer", f"tiny-{name}", *SMALL),
            *("--steps", 1, "--log_path", f"remote-{name}"),
            cwd=place,
            TINKER_API_KEY=SECRET,
            TINKER_BASE_URL=service.url,
        )
    assert done.returncode == 0, done.stderr
    summary = check_summary(place / f"remote-{name}", name, steps=1)
    assert summary["final_checkpoint"].startswith("tinker://")
    assert SECRET.encode() not in b"".join(files(place / f"remote-{name}").values())
