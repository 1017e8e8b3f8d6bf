"""The figures about runs: from documents that the analysis makes, the same bytes each time, left out when empty."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re

import pytest
from rich.console import Console
from synthetic_samples import make_task, study

from longodds.analysis import select_runs
from longodds.report import Documents, write_report
from longodds.report.arms import _apart as apart
from longodds.report.arms import aa_control, adaptation, arm_figures, teaser, trajectories
from longodds.report.schematic import dual_loop
from longodds.report.style import to_svg
from longodds.report.view import RunView, program_document
from longodds.report.walker import DETAIL, PROGRAMS, TASKS, Walker

CONFIG = {"suite": "cpu", "policy": "embedded", "k": 16, "temperature": 0.8, "seeds": [0], "device": "cpu"}


@pytest.fixture(scope="module")
def result():
    return select_runs(study("informative", tasks=12, k=8))


def words(figure) -> str:
    return " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", to_svg(figure)))


def by_step(rows, step: int, lr: float, seed: int, held_out=None):
    """A metrics row as adaptation writes it: counts over the judged samples of a step."""
    verdicts = [s.verdict for s in rows]
    return {
        "strategy": "ttt",
        "step": step,
        "seed": seed,
        "lr": lr,
        "n": len(verdicts),
        "fast_1": sum(v.correct and v.speedup > 1 for v in verdicts if v.speedup is not None),
        "fast_1_sig": sum(v.correct and v.ci_low > 1 for v in verdicts if v.ci_low is not None),
        "kl": 0.01 * step,
        "held_out": held_out,
    }


@pytest.fixture(scope="module")
def metrics():
    runs = {}
    for run, (lr, seed) in {"a": (1e-5, 0), "b": (1e-5, 1), "c": (1e-6, 0)}.items():
        runs[run] = [by_step(study("uninformative", tasks=3, k=8, rng=(seed, t)), t, lr, seed) for t in range(4)]
    return runs


def test_the_teaser_says_what_each_choice_gets(result):
    text = words(teaser(result))
    shares = {s["name"]: s[result["verdict"]["metric"]] for s in result["strategies"]}
    for name in ("surprisal", "random", "most-confident", "surprisal-top3"):
        assert f"{name}  {100 * shares[name]:.0f} %" in text


def test_labels_keep_apart_and_stay_inside():
    placed = apart([0.99, 1.0, 0.98, 0.1, 0.11], 0.06)
    assert max(placed) <= 1.0
    assert all(b - a > 0.0599 for a, b in itertools.pairwise(sorted(placed)))
    assert placed[1] > placed[0] > placed[2]


def test_adaptation_stops_at_the_best_step_zero_included(metrics):
    found = trajectories(metrics)
    assert [t["lr"] for t in found] == [1e-5, 1e-5, 1e-6]
    for t in found:
        rows = {r["step"]: r for r in metrics[t["run"]]}
        share = [rows[i]["fast_1_sig"] / rows[i]["n"] for i in range(4)]
        assert t["share"] == share
        assert t["best"] == share.index(max(share))
    text = words(adaptation(found))
    assert "learning rate 1e-05" in text and "learning rate 1e-06" in text and "Best-of-Adaptation" in text
    best_first = [{**r, "fast_1_sig": 5 - r["step"]} for r in metrics["a"]]
    assert trajectories({"a": best_first})[0]["best"] == 0
    held = [{**r, "held_out": {"n": 10, "fast_1_sig": r["step"]}} for r in best_first]
    assert trajectories({"a": held})[0]["best"] == 3
    assert adaptation(trajectories({"bon": [{"step": 0, "fast_1": 3, "n": 8}]})) is None
    rejected = [{**r, "rejected": r["step"] == 3} for r in held]
    assert trajectories({"a": rejected})[0]["best"] == 2
    equal = [{**r, "fast_1_sig": 2, "mean_reward": [0.1, 0.3, 0.3, 0.2][r["step"]]} for r in metrics["a"]]
    assert trajectories({"a": equal})[0]["best"] == 1  # of equals the one with more reward, the earliest


def test_rlvr_shows_the_half_that_it_is_judged_on_and_no_star(metrics):
    looked = {"n": 8, "fast_1": 4, "fast_1_sig": 2}
    rows = [{**r, "strategy": "rlvr", "held_out": looked if r["step"] in (0, 3) else None} for r in metrics["a"]]
    found = trajectories({"a": rows})
    assert (found[0]["steps"], found[0]["share"], found[0]["best"]) == ([0, 3], [0.25, 0.25], None)
    text = words(adaptation(found))
    assert "Best-of-Adaptation" not in text and "held-out samples that are fast" in text


def test_the_teaser_ends_at_the_k_that_choices_are_made_among():
    several = select_runs(study("informative", tasks=12, k=6, seeds=3))
    at = next(r for r in several["scaling"] if r["k"] == several["k"] == 6)
    assert f"timing every one  {100 * at['any_of_k_sig']:.0f} %" in words(teaser(several))


def test_the_control_shows_counts_and_intervals():
    calibration = {
        "n": 200,
        "false_faster": 1,
        "false_faster_rate": 0.005,
        "ci": [0.0001, 0.027],
        "power": [{"slowdown": 0.05, "called_faster": 0.8, "n": 20}],
    }
    text = words(aa_control(calibration))
    assert "(1 of 200)" in text and "5 % slower" in text and "80 %" in text
    assert aa_control({**calibration, "n": 0}) is None


def test_the_loops_say_which_of_them_a_run_went_through():
    plain = words(dual_loop(CONFIG))
    assert plain.count("not in this run") == 2 and "K = 16 programs" in plain and "embedded" in plain
    adapted = words(dual_loop({**CONFIG, "lr": 1e-5, "steps": 5}, "ttt"))
    assert adapted.count("not in this run") == 1 and "lr 1e-05, 5 steps" in adapted
    assert "</text><script>" not in to_svg(dual_loop({**CONFIG, "policy": "</text><script>$x^{"}))


def test_drawings_are_the_same_bytes_each_time(result, metrics):
    first, second = ({n: to_svg(f) for n, f in arm_figures(result, metrics=metrics).items()} for _ in range(2))
    assert first == second
    assert set(first) == {"teaser", "adaptation"}


def test_a_report_shows_the_documents_that_it_is_given(tmp_path, result, metrics):
    samples = study("informative", tasks=12, k=8)
    calibration = {"n": 20, "false_faster": 0, "false_faster_rate": 0.0, "ci": [0.0, 0.17], "power": []}
    page = write_report(
        tmp_path / "r.html",
        samples=samples,
        tasks=[make_task(i) for i in range(12)],
        config=CONFIG,
        manifest={},
        result=result,
        figures_dir=tmp_path / "figures",
        documents=Documents(metrics=metrics, calibration=calibration),
    ).read_text()
    for section in ('id="adaptation"', "The A/A control", "What this run did"):
        assert section in page
    assert 'id="arms"' not in page and 'id="sharpening"' not in page
    names = {p.stem for p in (tmp_path / "figures").iterdir()}
    assert {"teaser", "adaptation", "control", "loop", "selection", "scaling", "profile"} <= names


# --- inspect -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def view():
    return RunView("runs/a", study("informative", tasks=3, k=8), {f"syn/task_{i:03d}": make_task(i) for i in range(3)})


def screen(walker, width=100, height=24) -> str:
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(walker.render(width, height))
    return capture.get()


def test_a_run_is_walked_by_keys(view):
    walker = Walker(view)
    assert "runs/a: 3 tasks" in screen(walker)
    for key in ("j", "enter"):
        assert walker.press(key)
    assert walker.level == PROGRAMS and walker.task_id == "syn/task_001"
    first = view.programs("syn/task_001")[0]
    assert first["d"] in screen(walker) and "chosen by" in screen(walker)
    narrow = screen(walker, 80)
    assert all(p["d"] in narrow for p in view.programs("syn/task_001")), "digests are whole"
    assert len(narrow.splitlines()) == len(screen(walker).splitlines())
    walker.press("enter")
    assert walker.level == DETAIL
    text = screen(walker)
    assert f"program {first['d']}" in text and "+ class ModelNew(Model):" in text.replace("(nn.Module)", "(Model)")
    walker.press("d")
    assert "- class Model" not in screen(walker)
    for key in ("G", "down", "pageup", "home"):
        walker.press(key)
    assert walker.at[DETAIL] == 0
    walker.press("escape")
    walker.press("escape")
    assert walker.level == TASKS
    for key in "/002":
        walker.press(key)
    assert "syn/task_002" in screen(walker) and "syn/task_000" not in screen(walker)
    for key in ("backspace", "x", "enter", "enter"):
        walker.press(key)
    assert walker.level == TASKS and "0 tasks" in screen(walker)
    walker.press("escape")
    assert "3 tasks" in screen(walker)
    assert not walker.press("q")
    assert all(len(line) <= 40 for line in screen(walker, 40, 10).splitlines())
    assert len(screen(walker, 40, 10).splitlines()) <= 10


def test_tasks_and_programs_are_found_by_a_part_of_their_name(view):
    assert view.find_task("task_001") == view.find_task("001") == "syn/task_001"
    with pytest.raises(Exception, match=r"task: 3 tasks of runs/a are called so"):
        view.find_task("task")
    with pytest.raises(Exception, match=r"nothing: no such task in runs/a"):
        view.find_task("nothing")
    rows = view.programs("syn/task_001")
    assert view.find_program("syn/task_001", "2") is rows[1]
    assert view.find_program("syn/task_001", rows[2]["d"]) is rows[2]
    with pytest.raises(Exception, match="no such program"):
        view.find_program("syn/task_001", "zz")
    json.dumps([program_document(r) for r in rows], allow_nan=False)
    task = next(t for t in view.tasks() if t["task_id"] == "syn/task_001")
    assert task["judged"] == 8 and task["programs"] == len(rows) and sum(task["statuses"].values()) == 8


def test_names_of_any_script_and_of_none_are_drawn_without_a_warning(tmp_path, recwarn):
    rows = [
        dataclasses.replace(r, task_id=f"syn/\u0939\u6f22\x1b[31m\n\ud800{r.task_id[-1]}")
        for r in study("informative", tasks=2, k=8)
    ]
    write_report(
        tmp_path / "r.html", samples=rows, tasks=[], config=CONFIG, manifest={}, figures_dir=tmp_path / "figures"
    )
    assert [str(w.message) for w in recwarn] == []
    drawn = (tmp_path / "figures" / "statuses.svg").read_text(encoding="utf-8")
    assert "\u0939\u6f22\\x1b[31m \\ud800" in drawn
    assert "\x1b" not in drawn
