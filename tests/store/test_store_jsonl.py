"""JSON lines: nothing whole is lost and nothing torn is kept, wherever a write was cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from longodds.errors import InfraError, UserError
from longodds.store.jsonl import JsonlWriter, encode, read_records

if TYPE_CHECKING:
    from pathlib import Path

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(max_size=6), VALUES, max_size=4), max_size=6)


def write(path: Path, records: list[dict]) -> None:
    writer = JsonlWriter(path)
    writer.append(records)
    writer.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(records=RECORDS, cut=st.integers(0, 4000), later=RECORDS)
def test_cut_anywhere_keeps_every_whole_record_and_appends_go_on(tmp_path, records, cut, later):
    path = tmp_path / "x.jsonl"
    path.unlink(missing_ok=True)
    write(path, records)
    data = path.read_bytes()
    cut = min(cut, len(data))
    path.write_bytes(data[:cut])
    whole, size = 0, 0
    for r in records:
        size += len(encode(r))
        whole += size <= cut
    assert list(read_records(path)) == records[:whole]
    assert path.read_bytes() == data[:cut], "reading changes nothing"
    write(path, later)
    assert list(read_records(path)) == records[:whole] + later


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(records=RECORDS, tail=st.binary(max_size=300).filter(lambda b: b"{" not in b), later=RECORDS)
def test_a_tail_of_rubbish_is_dropped(tmp_path, records, tail, later):
    path = tmp_path / "x.jsonl"
    path.unlink(missing_ok=True)
    write(path, records)
    with path.open("ab") as f:
        f.write(tail)
    write(path, later)
    assert list(read_records(path)) == records + later


def test_a_bad_line_in_the_middle_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a":1}\n{"a":\n{"a":3}\n')
    with pytest.raises(UserError, match=r"x\.jsonl:2: not a whole JSON record"):
        list(read_records(path))


def test_nan_is_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "x.jsonl"
    writer = JsonlWriter(path)
    writer.append([{"a": 1}])
    with pytest.raises(ValueError, match="Out of range float"):
        writer.append([{"a": 2}, {"a": float("nan")}])
    writer.append([{"a": 3}])
    assert [r["a"] for r in read_records(path)] == [1, 3]


def test_short_writes_are_continued_and_a_full_disk_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "x.jsonl"
    writer = JsonlWriter(path)
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:3]))
    writer.append([{"a": "long enough"}])
    calls = 0

    def filling(fd, data):
        nonlocal calls
        calls += 1
        if calls > 2:
            raise OSError(28, "No space left on device")
        return real(fd, data[:3])

    monkeypatch.setattr(os, "write", filling)
    with pytest.raises(InfraError, match="No space left"):
        writer.append([{"a": "is lost"}])
    monkeypatch.setattr(os, "write", real)
    writer.append([{"a": "next"}])
    assert [r["a"] for r in read_records(path)] == ["long enough", "next"]


WRITER = """
import sys
from longodds.store.jsonl import JsonlWriter
w = JsonlWriter(__import__("pathlib").Path(sys.argv[1]))
n = int(sys.argv[2])
while True:
    w.append([{"n": n, "pad": "x" * (n % 5000)}, {"n": n + 1}])
    n += 2
    print(n, flush=True)
"""


def test_kill_9_while_writing(tmp_path):
    path = tmp_path / "x.jsonl"
    start = 0
    for _ in range(3):
        p = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(start)], stdout=subprocess.PIPE, text=True)
        assert p.stdout is not None
        for _ in range(20):
            acknowledged = int(p.stdout.readline())
        time.sleep(0.02)
        p.send_signal(signal.SIGKILL)
        for line in p.stdout:
            acknowledged = int(line) if line.endswith("\n") else acknowledged
        p.wait()
        p.stdout.close()
        JsonlWriter(path).close()  # repairs
        got = [r["n"] for r in read_records(path)]
        assert got == list(range(len(got)))
        assert len(got) >= acknowledged, "what was acknowledged is there"
        start = len(got)


def test_every_line_is_ascii_json(tmp_path):
    path = tmp_path / "x.jsonl"
    record = {"program": "\ud800 \u2028 \x1b[31m é 🙂"}
    write(path, [record])
    assert path.read_bytes().isascii()
    assert json.loads(path.read_text()) == record
    assert list(read_records(path)) == [record]
