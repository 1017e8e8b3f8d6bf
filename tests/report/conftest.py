"""Lets these tests use the synthetic samples beside the tests of `analysis`, and makes one hostile report for all."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "analysis"))

from synthetic_samples import make_task, sample, study

from longodds.report import write_report
from longodds.types import Status

HOSTILE = (
    "class ModelNew(Model):\n"
    "    x = '</script><img src=x onerror=\"window.pwned=1\"><svg onload=window.pwned=2>'\n"
    "    y = '<!-- <script>window.pwned=3</script> ]]> {{ 7 * 7 }} & &lt;'\n"
    "    z = '\x1b[31mred\x1b]0;title\x07 \u202eevil\u202c \x00 \ud800'\n"
)
HOSTILE_ID = "syn/<b>bold</b>\"'`"


def hostile_samples():
    rows = study("informative", tasks=12, k=12, seeds=2)
    rows += [
        sample(HOSTILE_ID, 0, 0, mean_nll=9.0, n_tokens=8, speedup=1.5, program=HOSTILE),
        sample(HOSTILE_ID, 0, 1, mean_nll=1.0, n_tokens=8, speedup=0.9, program="pass\n"),
        sample(HOSTILE_ID, 0, 2, mean_nll=1.0, n_tokens=8, status=Status.RUNTIME_ERROR, program="raise\n"),
    ]
    bad = rows[-1]
    assert bad.verdict is not None
    message = "<img src=x onerror=window.pwned=4>\x1b[2J boom"
    rows[-1] = dataclasses.replace(bad, verdict=dataclasses.replace(bad.verdict, message=message, labels=("<i>label",)))
    return rows


@pytest.fixture(scope="session")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    tasks = [make_task(i) for i in range(12)]
    tasks.append(
        dataclasses.replace(make_task(0), id=HOSTILE_ID, metadata={"family": "<script>window.pwned=5</script>"})
    )
    return write_report(
        folder / "deep" / "report.html",
        samples=hostile_samples(),
        tasks=tasks,
        config={
            "suite": "syn",
            "policy": "</script><script>window.pwned=6</script>",
            "device": "cpu",
            "reference": "eager",
        },
        manifest={"device": "cpu", "versions": {"torch": "2.13"}, "note": "<script>window.pwned=7</script>"},
        title="</title><script>window.pwned=8</script>",
        figures_dir=folder / "figures",
    )
