"""Directories that are written at once and whole."""

from __future__ import annotations

import pytest
from safetensors import SafetensorError

from longodds.errors import InfraError
from longodds.policy.lora import whole_directory


def fill(target):
    with whole_directory(target) as ready:
        (ready / "a").write_text("2")
        raise SafetensorError("I/O error: No space left on device (os error 28)")


def test_a_directory_is_whole_or_as_it_was(tmp_path):
    target, left = tmp_path / "step_0001", tmp_path / ".step_0001.abcd"
    (left / "ready").mkdir(parents=True)  # of a process that was killed
    other = tmp_path / ".step_0002.abcd"
    other.mkdir()
    with whole_directory(target) as ready:
        (ready / "a").write_text("1")
    assert (target / "a").read_text() == "1"
    assert not left.exists()
    assert other.exists()
    with pytest.raises(InfraError, match=r"step_0001: cannot be written: .*No space"):
        fill(target)
    assert (target / "a").read_text() == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == [".step_0002.abcd", "step_0001"]
