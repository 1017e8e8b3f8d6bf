"""Programs that may share a verdict, and programs that must not because they can see what the hash leaves out."""

from __future__ import annotations

import pytest

from longodds.programs import program_digest

HEAD = "import math\nimport torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"
PROGRAM = HEAD + (
    "class ModelNew(nn.Module):\n"
    '    """Quick."""\n'
    "    def __init__(self, n):\n"
    "        super().__init__()\n"
    "        self.lin = nn.Linear(n, n)\n"
    "    def forward(self, x):\n"
    "        y = self.lin(x)  # a comment\n"
    "        return F.relu(y)\n"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""Quick."""', '"""Slow."""'),
        ("# a comment", "# another"),
        ("y = self.lin(x)", "out = self.lin( x )"),
        ("def forward(self, x)", "def forward( self, x )"),
    ],
)
def test_other_words_for_the_same(old: str, new: str) -> None:
    same = PROGRAM.replace(old, new)
    same = same.replace("F.relu(y)", "F.relu(out)") if "out" in new else same
    assert same != PROGRAM
    assert program_digest(same) == program_digest(PROGRAM)


@pytest.mark.parametrize(
    "look",
    [
        "self.__doc__",
        "type(self).__module__",
        "open('program.py').read()",
        "getattr(self, '__do' + 'c__')",
        "torch.sys.modules",
        "torch.inspect.getsource(type(self))",
        "nn.modules.module.warnings",
        "vars(self)",
        "eval('1')",
        "__file__",
        "torch.jit.script(self)",
    ],
)
def test_a_program_that_can_see_its_own_text_is_hashed_to_the_letter(look: str) -> None:
    looking = PROGRAM.replace("F.relu(y)", f"F.relu(y) if {look} else y")
    assert program_digest(looking) == program_digest(looking)
    for old, new in (("# a comment", "# another"), ("Quick", "Slow"), ("y = self.lin(x)", "y = self.lin(x) ")):
        assert program_digest(looking.replace(old, new)) != program_digest(looking)


@pytest.mark.parametrize("line", ["import inspect", "import sys as s", "from os import path", "import linecache, math"])
def test_so_is_one_that_imports_a_way_to(line: str) -> None:
    program = f"{line}\n{PROGRAM}"
    assert program_digest(program) != program_digest(program.replace("# a comment", "# another"))
