"""The page as text: self-contained, hostile text inert, measurements named, small and quick."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from allowed_time import allowed_seconds
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from synthetic_samples import make_task, sample, study

from longodds.analysis import select_runs
from longodds.analysis.arms import ArmData
from longodds.analysis.compare import compare_arms
from longodds.analysis.table import tabulate
from longodds.errors import InfraError, UserError
from longodds.report import Documents, render_table, render_tasks, write_report
from longodds.report.browser import line_difference
from longodds.report.page import json_for_script
from longodds.report.text import percent, percent_interval, points, times, times_interval, visible
from longodds.types import Status


@pytest.fixture(scope="module")
def html(page):
    return page.read_text(encoding="utf-8")


def test_the_verdict_is_on_top_in_plain_words(html):
    body = html[html.index("<body>") :]
    assert body.index('id="sentence"') < body.index("<table")
    assert re.search(r'id="answer">(Better|Worse|No difference|Cannot tell)<', body)
    assert "cells (task x seed)" in body


def test_nothing_is_loaded_and_only_our_script_may_run(html):
    csp = re.search(r'Content-Security-Policy" content="([^"]+)"', html)
    assert csp
    policy = csp.group(1).replace("&#39;", "'")
    assert "default-src 'none'" in policy
    scripts = re.findall(r"<script>(.*?)</script>", html, flags=re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy.replace("&#43;", "+")
    assert not re.search(r"<(img|link|iframe|object|embed|audio|video|base|form)\b", html)
    assert not re.search(r"<[a-z][^>]*\son[a-z]+\s*=", html)
    urls = set(re.findall(r'(?:src|href)="([^"#][^"]*)"', html))
    assert not urls, urls
    assert set(re.findall(r"https?://[^\"' <)]+", html)) <= {"http://www.w3.org/1999/xlink"}


def test_hostile_text_is_text(html):
    assert "<script>window" not in html
    assert "<img" not in html
    assert "<b>bold" not in html
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", html)
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, flags=re.S)
    assert data
    shown = json.loads(data.group(1))
    text = json.dumps(shown, ensure_ascii=False)
    assert "</script><img src=x onerror=" in text  # as JSON it is there in full, as the text that it is
    assert "\\\\x1b[31mred" in text
    assert "\\\\u202eevil" in text


def test_inline_drawings_do_not_share_ids(html):
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    assert html.count("<svg") >= 5
    for target in re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', html):
        assert target in ids
    assert "<style" not in html[html.index("<body>") :]


def test_timings_come_with_device_reference_settings_and_isolation(html):
    facts = html[html.index('id="measured"') :]
    for word in ("device</dt><dd>cpu", "reference</dt><dd>eager", "dev0 (", "seccomp: on", "landlock: not available"):
        assert word in facts, word
    assert "&lt;i&gt;label" in facts


def arm_rows(k, intervals=True):
    return study("informative", tasks=12, k=k, rng=k, noise_sd=0.08, intervals=intervals)


def compared(*, intervals=True):
    """Two runs whose any_of_k and any_of_k_sig differ at their ends, compared."""
    arms = [
        ArmData(name, "best_of_n", tabulate(arm_rows(k, intervals)), 1000) for name, k in (("few", 4), ("many", 16))
    ]
    return compare_arms(arms)


def cells_of(html, table, row) -> list[str]:
    found = re.search(rf'id="{table}".*?<tr>(<td[^>]*>{row}<.*?)</tr>', html, flags=re.S)
    assert found
    return re.findall(r"<td[^>]*>([^<]*)</td>", found.group(1))


@pytest.mark.parametrize("intervals", [True, False])
def test_the_equivalent_k_stands_beside_the_metric_that_it_is_of(tmp_path, intervals):
    comparison = compared(intervals=intervals)
    metric = "any_of_k_sig" if intervals else "any_of_k"
    assert comparison["metric"] == metric
    end = comparison["arms"][0]["curve"][-1]
    assert not intervals or percent(end["any_of_k"]) != percent(end["any_of_k_sig"])
    html = write_report(
        tmp_path / "r.html",
        samples={"few": arm_rows(4), "many": arm_rows(16)},
        tasks={},
        config={},
        manifest={},
        documents=Documents(comparison=comparison),
    ).read_text()
    cells = cells_of(html, "arms-table", "few")
    assert cells[3:5] == [percent(end[metric]), percent_interval(end["any_of_k_sig_ci" if intervals else "ci"])]
    assert ("any-of-K verified at the end" in html) == intervals
    arm, k = comparison["arms"][0], comparison["equivalent_k"]["few"]
    assert cells[5:9] == [
        times(end["expected_best_speedup"]),
        times_interval(end["expected_best_speedup_ci"]),
        percent(arm["per_sample"]),
        percent_interval(arm["per_sample_ci"]),
    ]
    assert cells[9].startswith(f"{k[metric]:.3g} (") if isinstance(k[metric], float) else k[metric] in cells[9]
    assert " to " in cells[9]


def test_figures_are_written_as_svg_and_pdf(page):
    names = sorted(p.name for p in (page.parent.parent / "figures").iterdir())
    assert "scaling.svg" in names
    assert "scaling.pdf" in names
    assert len([n for n in names if n.endswith(".pdf")]) == len(names) / 2 >= 6
    svg = (page.parent.parent / "figures" / "scaling.svg").read_text()
    assert svg.startswith("<?xml")
    assert "var(--" not in svg


def test_the_same_run_gives_the_same_page(tmp_path):
    rows, tasks = study("informative", tasks=3, k=6), [make_task(i) for i in range(3)]
    pages = [
        write_report(tmp_path / f"{i}.html", samples=rows, tasks=tasks, config={}, manifest={}).read_text()
        for i in range(2)
    ]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    "rows",
    [
        [sample("a", 0, 0, mean_nll=1.0, n_tokens=3, status=Status.INCORRECT)],
        [sample("a", 0, 0, mean_nll=1.0, n_tokens=3, speedup=2.0)],
        [sample("a", 0, i, mean_nll=1.0, n_tokens=3) for i in range(3)],
        study("uninformative", tasks=2, k=4, intervals=False),
        {"one": study("uninformative", tasks=1, k=4), "two": study("uninformative", tasks=2, k=4)},
    ],
    ids=["nothing correct", "one sample", "untimed", "no intervals", "two runs"],
)
def test_thin_runs_have_a_report_too(tmp_path, rows):
    page = write_report(tmp_path / "r.html", samples=rows, tasks={}, config={}, manifest={}).read_text()
    assert "Cannot tell" in page
    body = page[page.index("<body>") : page.rindex("<script>")]
    assert not re.search(r"\b(NaN|nan|None|inf)\b", body)


def test_what_cannot_be_written_or_reported_is_the_callers_mistake(tmp_path):
    rows = study("uninformative", tasks=1, k=2)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file"):
        write_report(tmp_path / "file" / "r.html", samples=rows, tasks={}, config={}, manifest={})
    with pytest.raises(UserError, match="no judged samples"):
        write_report(tmp_path / "r.html", samples=[], tasks={}, config={}, manifest={})


def test_a_full_disk_leaves_the_page_that_was_there(tmp_path, monkeypatch):
    rows, path = study("uninformative", tasks=1, k=2), tmp_path / "r.html"
    write_report(path, samples=rows, tasks={}, config={}, manifest={})
    whole, write = path.read_text(), Path.write_text

    def half(self, text, **more):
        write(self, text[: len(text) // 2], **more)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", half)
    with pytest.raises(InfraError, match=r"r\.html: the report can't be written: No space left"):
        write_report(path, samples=rows, tasks={}, config={}, manifest={})
    assert path.read_text() == whole
    assert list(tmp_path.iterdir()) == [path]


def test_a_large_run_stays_small_and_quick(tmp_path):
    rows, tasks = study("informative", tasks=100, k=128), [make_task(i) for i in range(100)]
    with allowed_seconds(10):
        path = write_report(tmp_path / "r.html", samples=rows, tasks=tasks, config={}, manifest={})
    assert path.stat().st_size < 5_000_000


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abcd"), max_size=9))
def test_a_difference_rebuilds_the_program(reference, program):
    rebuilt, at = [], 0
    for first, last, *added in line_difference(reference, program):
        rebuilt += reference[at:first] + added
        at = last
    assert rebuilt + reference[at:] == program


@given(st.text())
def test_visible_text_has_no_control_characters_and_is_stable(text):
    shown = visible(text)
    assert visible(shown) == shown
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    shown.encode("utf-8")


@given(st.recursive(st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x), max_leaves=6))
def test_json_in_a_script_element_cannot_leave_it(value):
    text = json_for_script(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&")


def test_numbers_read_as_people_write_them():
    assert [times(x) for x in (None, 1.234, 12.34, 139.4)] == ["–", "1.23x", "12.3x", "139x"]
    assert (percent(0.714), percent(None), percent_interval([0.2, 0.456])) == ("71 %", "–", "20 to 46 %")
    assert (points(0.231), points(-0.001), points(None)) == ("+23", "0", "–")


def test_terminal_tables_show_names_as_text():
    rows = [sample("[red]x[/red]\x1b[2J", 0, i, mean_nll=1 + i, n_tokens=3, speedup=1.5) for i in range(4)]
    result = select_runs(rows)
    console = Console(width=120, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as capture:
        console.print(render_table(result))
        console.print(render_table(result, all_strategies=True))
        console.print(render_tasks(result))
    text = capture.get()
    assert "surprisal-top3" in text
    assert "sum-surprisal" in text
    assert "[red]x[/red]\\x1b[2J" in text
    assert "\x1b[2J" not in text


def test_importing_the_room_draws_nothing():
    code = "import sys, longodds.report; print([m for m in ('matplotlib', 'torch', 'jinja2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
