"""An oracle in the tests' own process, to look into."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from longodds.evaluator import EvaluatorSettings
from longodds.evaluator.forks import ForkServers, remove_tree
from longodds.evaluator.oracle import Oracle


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    threads = torch.get_num_threads()
    root = Path(tempfile.mkdtemp(prefix="longodds-"))
    root.chmod(0o711)
    settings = EvaluatorSettings()
    servers = ForkServers(settings, root)
    opened = Oracle(settings, servers)
    yield opened
    opened.close()
    left = list(root.glob("child-*"))
    remove_tree(root)
    torch.set_num_threads(threads)
    torch.set_grad_enabled(True)
    assert left == []
