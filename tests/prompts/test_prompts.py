"""Prompts say what the model needs, programs compute by themselves, digests ignore what doesn't matter."""

from __future__ import annotations

import ast
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longodds.errors import UserError
from longodds.prompts import build_prompt, extract_program, program_digest
from longodds.types import Task, digest_text

REFERENCE = '''"""A gated row scale."""
import torch
import torch.nn as nn
import torch.nn.functional as F  # the usual

SCALE = 2
ROWS = 16 * SCALE
COLS = 8
UNUSED = 3


def squash(t: torch.Tensor) -> torch.Tensor:
    """Into (0, 1)."""
    return torch.sigmoid(t)


class Model(nn.Module):
    """Docstring of the class."""

    def __init__(self, cols: int, gain: float = 2.0):
        super(Model, self).__init__()
        self.gate = nn.Parameter(torch.ones(cols))
        self.gain: float = gain

    def doubled(self, x):
        return x * 2  # helper method

    def forward(self, x: torch.Tensor, bias: torch.Tensor = None) -> torch.Tensor:
        """Docstring of forward."""
        # a comment
        y = squash(self.doubled(x) * self.gate) * self.gain
        return torch.nn.functional.relu(y)


def get_inputs():
    return [torch.rand(ROWS, COLS)]


def get_init_inputs():
    return [COLS]


if __name__ == "__main__":
    print(Model(COLS)(*get_inputs()))
'''
TASK = Task(id="test/gated", suite="test", reference=REFERENCE, digest=digest_text(REFERENCE))
BODY = "y = squash(x * self.gate * 2)\n        return y.mul_(self.gain).clamp_(min=0)"


def run(program: str):
    """The output of a program's ModelNew on fixed inputs."""
    torch = pytest.importorskip("torch")
    space: dict = {}
    exec(compile(program, "<program>", "exec"), space)
    torch.manual_seed(0)
    with torch.no_grad():
        return space["ModelNew"](8)(torch.rand(4, 8, dtype=torch.float64))


def expected():
    torch = pytest.importorskip("torch")
    space: dict = {"__name__": "reference"}
    exec(REFERENCE, space)
    torch.manual_seed(0)
    with torch.no_grad():
        return space["Model"](8)(torch.rand(4, 8, dtype=torch.float64))


def test_completion_prompt_shows_the_reference_compactly():
    prompt = build_prompt(TASK)
    assert prompt.text is not None
    assert prompt.text.endswith("def forward(self, x, bias=None):\n       ")
    assert not prompt.text.endswith("        ")
    for kept in ("ROWS = 32", "COLS = 8", "def squash(t):", "self.gain = gain", "F.relu(y)", "torch.rand(ROWS, COLS)"):
        assert kept in prompt.text
    for dropped in ("Docstring", "comment", "UNUSED", "SCALE", "__main__", "Tensor", "get_init_inputs", "super(Model"):
        assert dropped not in prompt.text
    assert prompt.style == "forward-body"
    reference = prompt.text.split("# Same result")[0]
    ast.parse(reference)


def test_stop_regex_ends_the_body_and_nothing_earlier():
    stop = build_prompt(TASK).stop_regex
    assert stop is not None
    text = " if x.dim() == 2:\n            y = x\n\n        return y\n    def other(self):\n        pass"
    found = re.search(stop, text)
    assert found is not None
    assert text[: found.start()].endswith("return y")


def test_long_inputs_are_left_out():
    filler = "\n".join(f"    extra_{i} = torch.rand(ROWS, {i})" for i in range(60))
    source = REFERENCE.replace("def get_inputs():\n", f"def get_inputs():\n{filler}\n")
    prompt = build_prompt(Task("test/long", "test", source, "d"))
    assert prompt.text is not None
    assert "extra_3" not in prompt.text
    assert "def get_inputs" not in prompt.text


def test_fewshot_examples_are_right():
    """The examples shown to other models must be equal to their references, and parse as the format demands."""
    torch = pytest.importorskip("torch")
    from longodds.prompts.shots import BODIES

    for reference, signature, body in BODIES:
        space: dict = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
        exec(reference, space)
        task = Task("test/shot", "test", "import torch\nimport torch.nn as nn\n" + reference, "d")
        exec(extract_program(f" {body}", task), space)
        torch.manual_seed(1)
        sizes = [(5,), (4,)] if signature == "self, r, c" else [(5, 4)]
        inputs = [torch.randn(*size, dtype=torch.float64) for size in sizes]
        init = [1.5] if "gain" in reference else []
        copies = [t.clone() for t in inputs]
        torch.testing.assert_close(space["ModelNew"](*init)(*copies), space["Model"](*init)(*inputs))
        assert all(torch.equal(a, b) for a, b in zip(copies, inputs, strict=True))


def test_chat_has_messages_and_the_reference():
    prompt = build_prompt(TASK, form="chat")
    assert prompt.text is None
    assert prompt.messages is not None
    assert prompt.messages[0].role == "system"
    assert "squash" in prompt.messages[-1].content


def test_fewshot_style_only_adds_examples():
    plain, shots = build_prompt(TASK).text, build_prompt(TASK, style="forward-body-fewshot").text
    assert plain is not None
    assert shots is not None
    assert shots.endswith(plain.split("functional as F\n", 1)[1].lstrip("\n"))
    assert len(shots) > len(plain) + 400


@pytest.mark.parametrize(
    "text",
    [
        " " + BODY,  # as it continues the open indent
        BODY,  # the model forgot the eighth blank
        " " + BODY + "\n\n    def other(self):\n        return 1",
        " " + BODY + "\n\nprint('done')",
        BODY.replace("        ", ""),  # a body at column 0
        "    " + BODY.replace("        ", "    "),
        f"```python\n{BODY.replace('        ', '')}\n```",
        f"Here it is:\n```\n{BODY.replace('        ', '    ')}\n```\nIt is faster.",
        f"```python\n    def forward(self, x, bias=None):\n        {BODY}\n```",
        f"def forward(self, x, bias=None):\n    {BODY.replace('        ', '    ')}",
        f"class ModelNew(Model):\n    def forward(self, inp, bias=None):\n        {BODY.replace('(x', '(inp')}",
        "```python\nimport torch\nfrom torch import nn\n\nclass ModelNew(nn.Module):\n"
        f"    def forward(self, x, bias=None):\n        {BODY}\n```",
        f"{REFERENCE.split('class Model')[0]}class ModelNew(nn.Module):\n    def __init__(self, cols, gain=2.0):\n"
        f"        super().__init__()\n        self.gate = nn.Parameter(torch.ones(cols))\n        self.gain = gain\n"
        f"    def forward(self, x, bias=None):\n        {BODY}",
        f"```python\n    {BODY}",  # truncated: the fence never closes
    ],
)
def test_every_form_of_the_answer_becomes_the_same_program(text: str):
    torch = pytest.importorskip("torch")
    program = extract_program(text, TASK)
    assert "class ModelNew(nn.Module)" in program
    torch.testing.assert_close(run(program), expected())


def test_program_holds_no_live_reference():
    program = extract_program(" return x", TASK)
    tree = ast.parse(program)
    assert [n.name for n in tree.body if isinstance(n, ast.ClassDef)] == ["ModelNew"]
    assert not re.search(r"\bModel\b", program)
    assert "relu(y)" not in program
    assert "__main__" not in program
    assert "def doubled" in program
    assert "import math" in program  # promised to every body


def test_standard_imports_do_not_override_the_reference():
    source = "import torch\nfrom torch import nn\n\ndef F(t):\n    return t + 1\n\n\n"
    source += "class Model(nn.Module):\n    def forward(self, x):\n        return F(x)\n"
    program = extract_program(" return F(x)", Task("test/shadow", "test", source, "d"))
    assert "functional as F" not in program
    torch = pytest.importorskip("torch")
    space: dict = {}
    exec(program, space)
    assert torch.equal(space["ModelNew"]()(torch.zeros(3)), torch.ones(3))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        " return (x",
        " return x +",
        " x = '''",
        " # only a comment",
        "I can't do that.",
        "\x00",
        " return \ud800",
    ],
)
def test_garbage_does_not_compile_but_comes_back(text: str):
    program = extract_program(text, TASK)
    with pytest.raises((SyntaxError, ValueError)):
        compile(program, "<program>", "exec")


def test_body_cannot_smuggle_in_another_class():
    program = extract_program(" return x\n\nclass ModelNew(nn.Module):\n    pass\n", TASK)
    assert len(re.findall("class ModelNew", program)) == 1


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="\n\t :=()[]'\"#`xyreturndf ", max_size=80),
        st.just(BODY).flatmap(
            lambda b: st.builds(lambda i, c: b[:i] + c + b[i:], st.integers(0, len(b)), st.text(max_size=3))
        ),
    )
)
def test_extraction_and_digest_never_raise(text: str):
    for style in ("forward-body", "module"):
        program = extract_program(text, TASK, style)
        assert isinstance(program, str)
        assert re.fullmatch("[0-9a-f]{16}", program_digest(program))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(ast.unparse(ast.parse(REFERENCE)).splitlines()), st.integers(0, 200))
def test_extraction_survives_cut_modules(line: str, cut: int):
    program = extract_program(f"class ModelNew(nn.Module):\n{line}\n"[:cut], TASK)
    assert isinstance(program, str)


def digest_of_body(body: str) -> str:
    return program_digest(extract_program(body, TASK))


@pytest.mark.parametrize(
    "same",
    [
        " out = squash(x)\n        return out * 2",
        " out = squash( x )   # faster\n        return (out * 2)",
        " result = squash(x)\n        return result*2",
        ' """Fast."""\n        out = squash(x)\n\n        return out * 2',
    ],
)
def test_digest_ignores_what_does_not_matter(same: str):
    assert digest_of_body(same) == digest_of_body(" y = squash(x)\n        return y * 2")


@pytest.mark.parametrize(
    "other",
    [
        " y = squash(x)\n        return y * 3",
        " y = squash(x)\n        return x * 2",
        " y = squash(y)\n        return y * 2",
        " return squash(x) * 2",
        " y = squash(x)\n        return 2 * y",
    ],
)
def test_digest_keeps_what_does(other: str):
    assert digest_of_body(other) != digest_of_body(" y = squash(x)\n        return y * 2")


def test_digest_scopes():
    """A comprehension's variable is its own; globals and attributes keep their names."""
    a = "def f(x):\n    return sum([x for x in x]) + g\n"
    b = "def f(x):\n    return sum([t for t in x]) + g\n"
    c = "def f(x):\n    return sum([t for t in x]) + h\n"
    d = "def f(x):\n    t = g\n    return sum([x for t in x]) + t\n"
    e = "def f(x):\n    t = g\n    return sum([t for t in x]) + t\n"
    assert program_digest(a) == program_digest(b)
    assert len({program_digest(s) for s in (b, c, d, e)}) == 4
    swap = "def f(x):\n    a = x + 1\n    b = x + 2\n    return a - b\n"
    swapped = "def f(x):\n    b = x + 1\n    a = x + 2\n    return b - a\n"
    crossed = "def f(x):\n    b = x + 1\n    a = x + 2\n    return a - b\n"
    assert program_digest(swap) == program_digest(swapped) != program_digest(crossed)


def test_digest_with_reflection_keeps_names():
    a = "def f(x):\n    a = x\n    return locals()['a']\n"
    assert program_digest(a) != program_digest(a.replace("a = x", "b = x"))


@pytest.mark.parametrize(
    ("source", "word"),
    [("def f(:", "not valid Python"), ("import torch\n", "no class Model"), ("class Model:\n    pass\n", "no forward")],
)
def test_unusable_reference_is_the_users_mistake(source: str, word: str):
    with pytest.raises(UserError, match=word):
        build_prompt(Task("test/bad", "test", source, "d"))


def test_unknown_style_and_form():
    with pytest.raises(UserError, match="forward-body"):
        build_prompt(TASK, style="haiku")
    with pytest.raises(UserError, match="completion"):
        build_prompt(TASK, form="song")
    with pytest.raises(UserError, match="haiku"):
        extract_program("return x", TASK, "haiku")
