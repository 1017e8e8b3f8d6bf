"""The page in headless Chromium: no console errors, no network, hostile text inert, mouse and keyboard work."""

from __future__ import annotations

import pytest
from chromium import Page, find_chromium

pytestmark = [pytest.mark.browser, pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")]


@pytest.fixture(scope="module")
def tab(page):
    with Page(find_chromium() or "") as opened:
        opened.open(page)
        yield opened


def column(tab, table, i):
    """Sort values of the shown rows."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(r => !r.hidden).map(r => r.cells[{i}])"
    return tab.value(f"{rows}.map(c => c.dataset.v ?? c.textContent)")


def change(tab, selector, value, event="change"):
    """Set a control and tell the page."""
    tab.value(f"document.querySelector('{selector}').value = '{value}'")
    tab.value(f"document.querySelector('{selector}').dispatchEvent(new Event('{event}'))")


def test_no_console_errors_no_requests_and_hostile_text_is_inert(tab, page):
    assert tab.console == []
    assert set(tab.requests) == {page.resolve().as_uri()}
    assert tab.value("window.pwned === undefined")
    assert tab.value("document.querySelectorAll('img, iframe, object, link').length") == 0
    assert tab.value("document.scripts.length") == 2
    assert tab.value("document.querySelectorAll('section b, td b, dd b, dd i').length") == 0


def test_a_foreign_script_is_refused(tab):
    """The policy holds even if markup got in."""
    before = len(tab.console)
    tab.value("document.body.insertAdjacentHTML('beforeend', '<p id=evil onclick=\"window.pwned=9\">x</p>')")
    tab.value(
        "{const s = document.createElement('script'); s.textContent = 'window.pwned = 10'; document.body.append(s)}"
    )
    tab.value("document.getElementById('evil').click()")
    assert tab.value("window.pwned === undefined")
    tab.value("document.getElementById('evil').remove()")
    assert any("Content Security Policy" in line for line in tab.console[before:])
    del tab.console[before:]


def test_a_column_sorts_both_ways_and_unknown_values_stay_last(tab):
    heads = "document.querySelectorAll('#task-table thead th')"
    names = tab.value(f"[...{heads}].map(h => h.innerText.trim().split(/\\s+/)[0])")
    best = names.index("best")
    tab.value(f"{heads}[{best}].querySelector('button').click()")
    down = [float(v) for v in column(tab, "task-table", best) if v]
    assert down == sorted(down, reverse=True)
    assert tab.value(f"{heads}[{best}].getAttribute('aria-sort')") == "descending"
    tab.value(f"{heads}[{best}].querySelector('button').focus()")
    tab.press("Enter")
    up = column(tab, "task-table", best)
    known = [float(v) for v in up if v]
    assert known == sorted(known)
    assert up[: len(known)] == [v for v in up if v]
    tab.value(f"{heads}[0].querySelector('button').click()")
    assert column(tab, "task-table", 0) == sorted(column(tab, "task-table", 0), key=str.lower)


def test_tables_filter_as_one_types(tab):
    tab.value("document.querySelector('[data-filter=strategy-table]').focus()")
    tab.type("top3 sum")
    assert column(tab, "strategy-table", 0) == ["sum-surprisal-top3", "sum-confident-top3"]
    assert tab.value("document.getElementById('strategy-table-count').textContent") == "2 of 21"
    change(tab, "[data-filter=strategy-table]", "", "input")
    assert len(column(tab, "strategy-table", 0)) == 21


def test_programs_are_listed_by_surprisal_and_walked_by_keyboard(tab):
    change(tab, "#task", "1")
    nats = [float(v) for v in column(tab, "candidates", 0)]
    assert len(nats) > 4
    assert nats == sorted(nats, reverse=True)
    selected = "[...document.querySelectorAll('#candidates tbody tr')].findIndex(r => r.ariaSelected === 'true')"
    assert tab.value(selected) == 0
    tab.value("document.querySelector('#candidates tbody tr').focus()")
    for key, where in (
        ("ArrowDown", 1),
        ("j", 2),
        ("k", 1),
        ("End", len(nats) - 1),
        ("ArrowDown", len(nats) - 1),
        ("Home", 0),
    ):
        tab.press(key)
        assert tab.value(selected) == where, key
        assert tab.value("document.activeElement.getAttribute('aria-selected')") == "true"
    tab.press("]")
    assert tab.value("document.getElementById('task').value") == "2"
    tab.press("[")
    assert tab.value("document.getElementById('task').value") == "1"
    tab.press("/")
    assert tab.value("document.activeElement.id") == "search"
    tab.type("no such text anywhere")
    assert column(tab, "candidates", 0) == []
    assert "No program matches" in tab.value("document.getElementById('detail').textContent")
    tab.press("Escape")
    assert len(column(tab, "candidates", 0)) == len(nats)


def test_statuses_filter_programs(tab):
    change(tab, "#task", "1")
    change(tab, "#status", "correct")
    assert set(column(tab, "candidates", 1)) == {"correct"}
    change(tab, "#status", "")


def test_a_hostile_program_opens_as_text_with_its_difference(tab):
    tab.value("[...document.querySelectorAll('button.open')].find(b => b.textContent.includes('<b>bold')).click()")
    text = tab.value("document.getElementById('detail').innerText")
    assert "</script><img src=x onerror=" in text
    assert "\\x1b[31mred" in text
    assert "1.50x" in text
    assert "chosen by surprisal" in text
    assert tab.value("document.querySelectorAll('#detail .add').length") == 4
    assert tab.value("document.querySelectorAll('#detail .del').length") > 4
    tab.press("d")
    assert tab.value("document.querySelectorAll('#detail .add').length") == 0
    assert tab.value("document.querySelector('#detail pre').innerText").startswith("class ModelNew(Model):")
    tab.press("d")
    tab.value("document.querySelectorAll('#candidates tbody tr')[2].click()")
    assert tab.value("window.pwned === undefined")
    assert tab.console == []


def test_dark_mode_follows_the_system_and_the_button(page):
    with Page(find_chromium() or "", dark=True) as tab:
        tab.open(page)
        background = "getComputedStyle(document.body).backgroundColor"
        assert tab.value(background) == "rgb(20, 23, 27)"
        ink = "getComputedStyle(document.querySelector('svg.figure text')).fill"
        assert tab.value(ink) == "rgb(230, 232, 235)"
        tab.value("document.getElementById('theme').click()")
        assert tab.value(background) == "rgb(255, 255, 255)"


def test_a_phone_scrolls_down_and_never_sideways(page):
    with Page(find_chromium() or "", width=400, height=800) as tab:
        tab.open(page)
        assert tab.value("document.documentElement.scrollWidth") <= 400
        assert tab.value("document.getElementById('sentence').getBoundingClientRect().bottom") < 800


def test_print_shows_everything_in_ink_on_paper(page):
    with Page(find_chromium() or "", dark=True) as tab:
        tab.open(page)
        tab.call(
            "Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}]
        )
        assert tab.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert tab.value("getComputedStyle(document.querySelector('.tools')).display") == "none"
        assert tab.value("getComputedStyle(document.querySelector('td button.open')).display") != "none"
        assert len(tab.call("Page.printToPDF")["data"]) > 10_000
