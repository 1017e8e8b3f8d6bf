"""Commands as users and scripts meet them: quick help without torch, one JSON document, results that are right."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cli_runner import SRC, longodds, restore_interrupts

from longodds.cli.app import _COMMANDS, _GROUPS
from longodds.cli.console import clean, one_line
from longodds.environment import read_environment
from longodds.tasks import load_split, load_suite

COMMANDS = [*((name,) for name in _COMMANDS), *((g, name) for g, (_, subs) in _GROUPS.items() for name in subs)]
DOCS = Path(__file__).resolve().parents[2] / "docs"

IMPORTS = [sys.executable, "-c", "import cyclopts, pydantic, rich.console"]
IMPORTS_S = 0.2  # where help takes 0.7 s


def spent(action):
    """(what it returns, processor seconds of its child): what a machine with nothing else to do would take."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = action()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


@pytest.mark.parametrize("command", [(), *COMMANDS], ids=" ".join)
def test_help_is_quick_and_has_examples(tmp_path, command):
    taken = []
    for _ in range(3):  # the first one may compile modules, and a neighbour on the core's other thread halves its speed
        done, seconds = spent(lambda: longodds(*command, "--help", cwd=tmp_path))
        assert done.returncode == 0
        assert done.stderr == ""
        assert "Usage: longodds" in done.stdout
        if command:
            assert f"Examples:\n  longodds {' '.join(command)}" in done.stdout
        # A second, on a machine as quick as most: a slower one shows by what it takes to load our libraries.
        _, imports = spent(lambda: subprocess.run(IMPORTS, check=True))
        taken.append(seconds / max(1.0, imports / IMPORTS_S))
        if taken[-1] < 1.0:
            break
    assert min(taken) < 1.0


def test_nothing_light_imports_anything_heavy():
    code = """
import sys, importlib, contextlib, io
import longodds, longodds.cli
from longodds.cli.app import run
for argv in (["--help"], ["best-of-n", "--help"], ["tasks", "list", "cpu"], ["best-of-n", "x", "--suite", "nope"]):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run(argv)
heavy = {"torch", "transformers", "peft", "matplotlib", "scipy"} & set(sys.modules)
print(sorted(heavy))
"""
    env = {**os.environ, "PYTHONPATH": str(SRC)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True)
    assert done.stdout.strip() == "[]", done


def test_version_and_module_entry(tmp_path):
    import longodds as package

    assert longodds("--version", cwd=tmp_path).stdout.strip() == package.__version__


def test_tasks_list_and_show(tmp_path):
    document = json.loads(longodds("tasks", "list", "cpu", "--json", cwd=tmp_path).stdout)
    tasks = load_suite("cpu")
    assert document["n_tasks"] == len(tasks) == len(document["tasks"])
    assert {t["task_id"] for t in document["tasks"]} == {t.id for t in tasks}
    shown = json.loads(longodds("tasks", "show", tasks[0].id, "--json", cwd=tmp_path).stdout)
    assert (shown["reference"], shown["digest"]) == (tasks[0].reference, tasks[0].digest)
    plain = longodds("tasks", "show", tasks[0].id, cwd=tmp_path).stdout
    assert tasks[0].reference.strip().splitlines()[-1] in plain
    assert longodds("tasks", "list", "cpu", cwd=tmp_path).stdout.count("cpu/") == len(tasks)


def test_split_make(tmp_path):
    make = ["split", "make", "--suite", "kernelbench:1", "--seed", "42", "--out", "s.json"]
    done = longodds(*make, "--json", cwd=tmp_path)
    assert done.returncode == 0
    split = load_split(tmp_path / "s.json")
    assert json.loads(done.stdout) == split
    published = [4, 5, 12, 14, 15, 18, 28, 29, 30, 32, 36, 55, 65, 70, 76, 82, 87, 89, 95, 98]
    assert split["problem_ids"]["eval"] == published
    assert longodds(*make, cwd=tmp_path).returncode == 0, "the same file again is no conflict"


SLOPPY = """import torch
import torch.nn as nn


class Model(nn.Module):
    def forward(self, x):
        out = torch.zeros_like(x)
        for _ in range(20):
            out = out + x.sin() / 20
        return out


def get_inputs():
    return [torch.randn(200, 500)]


def get_init_inputs():
    return []
"""
PROGRAM = "import torch\nimport torch.nn as nn\n\nclass ModelNew(nn.Module):\n    def forward(self, x):\n        {}\n"


@pytest.fixture
def problem(tmp_path: Path) -> Path:
    (tmp_path / "problem.py").write_text(SLOPPY)
    (tmp_path / "bad.py").write_text(PROGRAM.format("return x.cos()"))
    (tmp_path / "loud.py").write_text("print('noise on stdout', flush=True)\n" + PROGRAM.format("return x.sin()"))
    return tmp_path


def test_evaluate_json_is_one_document_whatever_the_program_prints(problem):
    done = longodds("evaluate", "file:problem.py", "loud.py", "--no-time", "--json", cwd=problem)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    verdict = json.loads(done.stdout)
    assert (verdict["task_id"], verdict["status"], verdict["correct"]) == ("file:problem.py", "correct", True)
    assert verdict["speedup"] is None
    assert verdict["isolation"]
    keys = "speedup ci_high clock_bound pairs reference_us runtime_us gbps tflops of_ceiling labels evaluator message"
    assert set(keys.split()) <= verdict.keys()


def test_evaluate_a_wrong_program_is_a_result_and_not_an_error(problem):
    done = longodds("evaluate", "file:problem.py", "bad.py", cwd=problem)
    assert done.returncode == 0
    assert "INCORRECT" in done.stdout


def test_evaluate_exits_3_where_the_infrastructure_failed(problem):
    tight = ["--memory", "1", "--no-time", "--no-cache", "--json"]  # too little for the reference itself
    done = longodds("evaluate", "file:problem.py", "bad.py", *tight, cwd=problem)
    assert done.returncode == 3
    assert json.loads(done.stdout)["status"] == "infra_error"
    assert done.stderr.startswith("longodds: error: file:problem.py: no verdict on the program: ")


def test_doctor_json(tmp_path):
    secret = "tml-never-shown"
    done = longodds("doctor", "--json", cwd=tmp_path, TINKER_API_KEY=secret)
    document = json.loads(done.stdout)
    assert done.returncode == 0, done
    assert secret not in done.stdout + done.stderr
    assert document["keys"]["TINKER_API_KEY"] is True
    assert document["ready"] == {"evaluate": True, "sample": False}
    assert document["isolation"]["rlimits"] == "on"
    assert document["python"]["version"].startswith("3.")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_flag_is_on_a_page_of_the_docs(command, capsys):
    from longodds.cli.app import run

    run([*command, "--help"])
    named = set(re.findall(r"(?<![\w-])--(?:no-)?([a-z][a-z-]*)", capsys.readouterr().out)) - {"help"}
    pages = "".join(p.read_text() for p in DOCS.glob("*.md") if p.name != "LOG.md")
    assert named
    arguments = {name for name in named if re.search(rf"\b{name.upper()}\b", pages)}  # may be given by name as well
    assert not {name for name in named - arguments if not re.search(rf"--(no-)?{name}(?![\w-])", pages)}


@pytest.mark.parametrize(("command", "k"), [("best-of-n", 16), ("refine", 16), ("ttt", 16), ("sdpo", 16), ("rlvr", 8)])
def test_help_gives_the_defaults_of_the_command_and_no_flag_that_it_refuses(command, k, tmp_path):
    text = longodds(command, "--help", cwd=tmp_path, COLUMNS="200").stdout
    help_of = {name: line for name, line in re.findall(r"(--[\w-]+) (.*)", text)}
    assert f"(default {k})" in help_of["--k"]
    assert ("--stop-gain" in help_of) == (command == "best-of-n")
    assert ("(default train)" in help_of["--subset"]) == (command == "rlvr")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the small policy and evaluator of the strategies' tests: two tasks, two seeds, twelve samples each."""
    return finish(tmp_path_factory.mktemp("finished") / "run")


def finish(path: Path, **flags: float) -> Path:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "strategies"))
    from run_fakes import FakeEvaluator, FakePolicy, make_tasks

    from longodds.config import BestOfNSettings
    from longodds.strategies.best_of_n import best_of_n

    settings = BestOfNSettings.model_validate({"suite": "fake", "k": 12, "seeds": (0, 1), **flags})
    best_of_n(path, settings, policy=FakePolicy(), evaluator=FakeEvaluator(), tasks=make_tasks(2))
    return path


def is_measured_somewhere(text: str) -> None:
    """Device, reference and labels are named: no speedup means anything without them."""
    facts = text[text.index("how it was measured") :]
    for fact in (r"device +cpu", r"reference +eager", r"timed +\d+ samples, \d+ pairs", r"labels +\w+"):
        assert re.search(fact, facts), (fact, facts)


def test_select_and_the_same_from_python(finished_run):
    import longodds as lo

    done = longodds("select", "run", "--json", cwd=finished_run.parent)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert (document["n_tasks"], document["n_cells"], document["n_samples"], document["k"]) == (2, 4, 48, 12)
    assert document["runs"] == ["run"]
    names = {row["name"] for row in document["strategies"]}
    assert {"oracle", "random", "surprisal", "surprisal-top3", "sum-surprisal", "median-surprisal"} <= names
    assert lo.select(finished_run)["strategies"] == document["strategies"]
    plain = longodds("select", "run", cwd=finished_run.parent)
    assert document["verdict"]["sentence"][:40] in plain.stdout
    assert "geomean speedup" in plain.stdout
    is_measured_somewhere(plain.stdout)
    twice = longodds("select", "run", "./run", cwd=finished_run.parent)
    assert (twice.returncode, twice.stdout) == (2, "")
    assert "named twice" in twice.stderr


def test_compare_prints_every_figure_with_its_interval(finished_run):
    document = json.loads(longodds("compare", "run", "--json", cwd=finished_run.parent).stdout)
    plain = longodds("compare", "run", cwd=finished_run.parent)
    arm, metric = document["arms"][0], document["metric"]
    last = arm["curve"][-1]
    low, high = last["ci" if metric == "any_of_k" else f"{metric}_ci"]
    of_arm, of_budget = (next(x for x in plain.stdout.splitlines() if x.startswith(s)) for s in ("run ", "    24 "))
    share = f"{100 * last[metric]:.0f} % ({100 * low:.0f} % to {100 * high:.0f} %)"
    assert share in of_arm
    assert share in of_budget
    for figure, unit in (("per_sample", "%"), ("expected_best_speedup", "x")):
        assert {**arm, **last}[f"{figure}_ci"], figure
        assert re.search(rf"{unit} \([\d.]+ ?{unit} to [\d.]+ ?{unit}\)", of_arm), figure
    assert re.search(r" \(\S+ to \S+\) *$", of_arm)  # the equivalent K
    is_measured_somewhere(plain.stdout)


def test_report_is_one_page(finished_run):
    done = longodds("report", "run", "--out", "r.html", "--figures", "figures", "--json", cwd=finished_run.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"report": "r.html", "figures": "figures"}
    page = (finished_run.parent / "r.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    assert "fake/t0" in page
    assert list((finished_run.parent / "figures").glob("*.svg"))


def test_a_comparison_of_the_run_is_shown_wherever_it_was_made(finished_run):
    folder = finished_run.parent
    (folder / "c.json").write_text(longodds("compare", "run", "--json", cwd=folder).stdout)
    for run, where in (("./run", folder), (folder / "run", folder.parent)):
        done = longodds("report", run, "--out", folder / "c.html", "--with", folder / "c.json", cwd=where)
        assert (done.returncode, done.stderr) == (0, "")


def test_runs_are_compared_at_equal_money_by_the_prices_that_they_were_given(tmp_path):
    finish(tmp_path / "dear", price_sampled=2e6)
    finish(tmp_path / "unpriced")
    done = longodds("compare", "dear", "--axis", "cost", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    arm = json.loads(done.stdout)["arms"][0]
    cost = json.loads((tmp_path / "dear" / "cost.json").read_text())
    assert cost["prices"] == {"price_prompt": 0.0, "price_sampled": 2e6, "price_device": 0.0}
    assert arm["cost"]["charged"]["money"] == cost["charged"]["money"] > 0
    assert all(row["cost"]["cost"] > 0 for row in arm["curve"])
    done = longodds("compare", "dear", "unpriced", "--axis", "cost", cwd=tmp_path)
    assert (done.returncode, "unpriced: its cost in cost is not known: it was run without prices" in done.stderr) == (
        2,
        True,
    )
    # Prices may change, so the same command with them gives them to a run that is done.
    finish(tmp_path / "unpriced", price_sampled=1e6)
    assert longodds("compare", "dear", "unpriced", "--axis", "cost", cwd=tmp_path).returncode == 0


def test_what_several_runs_have_in_common():
    from longodds.cli.report import in_common

    assert in_common([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}]) == {"a": 1, "b": [2, 3], "c": [None, 4]}


def has_child(pid: int) -> bool:
    """Whether the command has started its evaluator."""
    return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().strip())


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks for child processes in /proc")
def test_ctrl_c_exits_130_and_terminate_143(problem):
    (problem / "endless.py").write_text(PROGRAM.format("while True: pass"))
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        env = {**os.environ, "PYTHONPATH": str(SRC), "OMP_NUM_THREADS": "1"}
        p = subprocess.Popen(
            [sys.executable, "-m", "longodds", "evaluate", "file:problem.py", "endless.py"],
            cwd=problem,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=restore_interrupts,
        )
        deadline = time.monotonic() + 60
        while not has_child(p.pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        p.send_signal(number)
        _, err = p.communicate(timeout=60)
        assert p.returncode == code
        assert "Traceback" not in err
        if number == signal.SIGINT:
            assert err.endswith("longodds: interrupted; a run directory is resumed by the same command\n")


def in_shell(text: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which `longodds` is ours."""
    ours = f'longodds() {{ "{sys.executable}" -m longodds "$@"; }}\n'
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", ours + text],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SRC), **env},
        check=False,
    )


PRINTING = [
    "tasks list cpu",
    "select run",
    "select run --json",
    "inspect run",
    "compare run",
    "--help",
    "select --help",
]


@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_reader_that_leaves_is_no_error(finished_run, command, unbuffered):
    done = in_shell(f"longodds {command} | true", finished_run.parent, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (0, "")
    done = in_shell(f"longodds {command} | head -1", finished_run.parent, PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", PRINTING)
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_full_disk_under_stdout_is_one_line_and_exit_3(finished_run, command, unbuffered):
    done = in_shell(f"longodds {command} > /dev/full", finished_run.parent, PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 3
    assert done.stderr.startswith("longodds: error: stdout cannot be written: No space left on device")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", PRINTING)
def test_a_closed_stdout_is_as_none(finished_run, command):
    done = in_shell(f"longodds {command} >&-", finished_run.parent)
    assert (done.returncode, done.stderr) == (0, "")


def test_closed_stdout_and_stderr_leave_the_exit_code(finished_run):
    assert in_shell("longodds select nowhere >&- 2>&-", finished_run.parent).returncode == 2


def test_a_terminal_without_a_character_gets_another(finished_run):
    (finished_run.parent / "é").symlink_to("run")
    done = in_shell("longodds inspect é --plain", finished_run.parent, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("?: 2 tasks")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (
            OSError(28, "No space left on device", "runs/a/stages.json"),
            3,
            "runs/a/stages.json: No space left on device",
        ),
        (OSError(36, "File name too long", "x"), 2, "x: File name too long"),
        (RecursionError("maximum"), 2, "nested too deeply"),
    ],
)
def test_what_no_command_expected_of_a_file_is_one_line(monkeypatch, capsys, error, code, said):
    from longodds.cli import app

    def failing():
        def command(*_, **__):
            raise error

        return command

    monkeypatch.setattr(app, "build_app", failing)
    assert app.run([]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("longodds: error: ") and said in captured.err
    assert captured.err.count("\n") == 1


def test_clean_escapes_what_terminals_obey():
    assert clean("a\x1b[31m\x9b1m\u202eb\ud800\u2028\x00é🙂") == r"a\x1b[31m\x9b1m\u202eb\ud800\u2028\x00é🙂"
    assert clean("a\n\tb") == "a  b"
    assert clean("a\n\tb", lines=True) == "a\n\tb"
    assert one_line("  a\n\n b ") == "a b"


def test_python_names_are_the_commands():
    import longodds as lo
    from longodds.types import Verdict

    assert lo.Verdict is Verdict
    assert {"evaluate", "best_of_n", "Verdict"} <= set(dir(lo))
    with pytest.raises(AttributeError):
        _ = lo.nonsense
    assert read_environment({}, None).max_pairs == 64
