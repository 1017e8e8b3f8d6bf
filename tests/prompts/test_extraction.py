"""Whatever a model wraps around its program, the program is found, and so is the place where it stands."""

from __future__ import annotations

import ast
import importlib.util
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from longodds.prompts import STYLES, build_prompt, extract, extract_program
from longodds.prompts.shots import MODULE_REFERENCE, MODULES
from longodds.types import Task, digest_text

REFERENCE = """import torch
import torch.nn as nn


class Model(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.lin = nn.Linear(size, size)

    def forward(self, x):
        return torch.relu(self.lin(x)) * 2


def get_inputs():
    return [torch.rand(4, 8)]


def get_init_inputs():
    return [8]
"""
TASK = Task("test/extraction", "test", REFERENCE, digest_text(REFERENCE))
BODY = "y = self.lin(x)\nreturn y.relu_().mul_(2)"
FORWARD = "def forward(self, x):\n    y = self.lin(x)\n    return y.relu_().mul_(2)"
CLASS = """import torch
import torch.nn as nn

class ModelNew(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.lin = nn.Linear(size, size)

    def forward(self, x):
        y = self.lin(x)
        return y.relu_().mul_(2)"""
ANSWERS = {"body": BODY, "forward": FORWARD, "class": CLASS}

REASONING = {
    "none": "",
    "harmony": "<|channel|>analysis<|message|>We could write ```python\nreturn x\n``` but no.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>",
    "harmony, constrained": "<|channel|>final <|constrain|>python<|message|>",
    "harmony, control tokens dropped": "analysisWe need speed. return x\nassistantfinal",
    "think": "<think>\nclass ModelNew: no.\n```python\nreturn x\n```\n</think>\n\n",
    "think, opened by the prompt": "Let me see. return x\n</think>\n",
}
WRAPPED = {
    "bare": "{}",
    "fence": "```python\n{}\n```",
    "fence of tildes": "~~~\n{}\n~~~",
    "fence between prose": "Here is the faster version:\n\n```python\n{}\n```\n\nIt fuses the two passes.",
    "fence never closed": "Sure!\n```py\n{}",
    "fence opened by the prompt": "{}\n```\nThis is it.",
    "second of two fences": "The original is\n```\nnothing\n```\nand the faster one\n```python\n{}\n```",
    "with a shell block after it": "```python\n{}\n```\nRun it with\n```bash\npip install torch\n```",
    "with a usage block after it": "```python\n{}\n```\nUsage:\n```python\nm = ModelNew(8)\nprint(m(x).shape)\n```",
    "with output after it": "```python\n{}\n```\nOutput:\n```\n1.0\n```\nor\n```text\nreturn\n```",
    "between prose": "Here is the faster version:\n\n{}\n\nIt fuses the two passes.",
    "answer tags": "I will use this.\n<answer>\n{}\n</answer>",
}


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("wrapper", WRAPPED)
@pytest.mark.parametrize("reasoning", REASONING)
def test_every_wrapping_gives_the_same_program(kind, wrapper, reasoning):
    code = ANSWERS[kind]
    text = REASONING[reasoning] + WRAPPED[wrapper].format(code)
    found = extract(text, TASK)
    assert found.program == extract_program(code, TASK)
    assert text[found.start : found.end].strip() == code
    compile(found.program, "<program>", "exec")


@pytest.mark.parametrize("style", STYLES)
def test_every_style_takes_every_form(style):
    for code in ANSWERS.values():
        assert extract_program(code, TASK, style) == extract_program(code, TASK)


def test_a_block_that_returns_goes_before_one_that_does_not():
    helper = "def check(m):\n    return m(x)\n\nprint(check(ModelNew(8)))"
    for text in (f"```\n{BODY}\n```\n```\n{helper}\n```", f"```\n{helper}\n```\n```\n{BODY}\n```"):
        assert extract_program(text, TASK) == extract_program(BODY, TASK)
    last = f"```\nreturn x\n```\nor, better\n```\n{BODY}\n```\n"
    assert extract_program(last, TASK) == extract_program(BODY, TASK)
    guarded = "if x.is_cuda:\n    return x\nelse:\n    return self.lin(x)"
    assert extract_program(f"```\n{guarded}\n```\n```\nx.shape\n```", TASK) == extract_program(guarded, TASK)


def test_a_block_of_another_language_is_no_program_beside_python():
    assert extract_program("```python\npass\n```\n```text\n1.0\n```", TASK) == extract_program("pass", TASK)
    assert extract_program(f"```text\n{BODY}\n```", TASK) == extract_program(BODY, TASK)  # nothing else is there
    both = f"```cpp\n{CLASS}\n```\n```python\nModelNew(8)(x)\n```"  # a module with kernels in C++
    assert extract_program(both, TASK) == extract_program(CLASS, TASK)


def test_reasoning_that_never_ends_has_no_program():
    for text in (
        "<|channel|>analysis<|message|>We could\n```python\nreturn x\n```",
        "<think>\n```python\nreturn self.lin(x)\n```\nor maybe",
        "analysisWe need to write return x",
    ):
        found = extract(text, TASK)
        assert (found.start, found.end) == (len(text), len(text))
        with pytest.raises(SyntaxError):
            compile(found.program, "<program>", "exec")


@pytest.mark.parametrize("code", [BODY, FORWARD, CLASS])
def test_an_answer_cut_short_is_not_made_whole(code):
    """Cut inside its last line the program must fail to compile, in a fence, bare, or after prose."""
    for text in (code[:-2], f"```python\n{code[:-2]}", f"Here it is:\n{code[:-2]}", f"Here it is:\n\n```\n{code[:-2]}"):
        with pytest.raises(SyntaxError):
            compile(extract_program(text, TASK), "<program>", "exec")


def test_the_class_that_answers():
    renamed = CLASS.replace("ModelNew", "Model")
    assert extract_program(renamed, TASK) == extract_program(CLASS, TASK)
    other = CLASS.replace("ModelNew", "FastModel")
    assert extract_program(other, TASK) == extract_program(CLASS, TASK)
    both = f"```python\n{REFERENCE}\n```\nbecomes\n```python\n{CLASS}\n```"
    assert extract_program(both, TASK) == extract_program(CLASS, TASK)
    old_super = renamed.replace("super().__init__()", "super(Model, self).__init__()")
    assert "super(ModelNew, self)" in extract_program(old_super, TASK)


def test_a_class_keeps_its_own_init_and_a_body_gets_the_references():
    own = CLASS.replace("self.lin = nn.Linear(size, size)", "self.lin = nn.Linear(size, size, bias=True)")
    assert "bias=True" in extract_program(own, TASK)
    program = extract_program(BODY, TASK)
    tree = ast.parse(program)
    (new,) = [n for n in tree.body if isinstance(n, ast.ClassDef)]
    assert [ast.unparse(b) for b in new.bases] == ["nn.Module"]
    assert "self.lin = nn.Linear(size, size)" in program
    assert "torch.relu" not in program


def test_typographic_quotes_are_read_as_quotes():
    code = "name = \u201crelu\u201d\nreturn getattr(torch, name)(self.lin(x))"
    assert 'name = "relu"' in extract_program(code, TASK)
    kept = "name = '\u201c'\nreturn self.lin(x)"
    assert "\u201c" in extract_program(kept, TASK)


def test_helpers_of_a_forward_are_kept():
    text = f"import math\n\ndef half(t):\n    return t / 2\n\n{FORWARD.replace('mul_(2)', 'mul_(half(4))')}"
    program = extract_program(text, TASK)
    assert "def half(t)" in program
    assert "mul_(half(4))" in program


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(sorted(ANSWERS)),
    st.sampled_from(sorted(WRAPPED)),
    st.sampled_from(sorted(REASONING)),
    st.integers(0, 600),
    st.text(max_size=3),
)
def test_any_cut_and_any_dirt_gives_a_place_inside_the_text(kind, wrapper, reasoning, at, dirt):
    whole = REASONING[reasoning] + WRAPPED[wrapper].format(ANSWERS[kind])
    for text in (whole[:at], whole[:at] + dirt + whole[at:]):
        found = extract(text, TASK)
        assert 0 <= found.start <= found.end <= len(text)
        assert isinstance(found.program, str)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="`~\n <>|/abcdefinalmsgthk=()", max_size=120))
def test_markup_soup_never_raises(text):
    found = extract(text, TASK)
    assert 0 <= found.start <= found.end <= len(text)


@pytest.mark.parametrize("style", MODULES)
def test_module_prompts_hold_what_is_asked_for(style):
    chat = build_prompt(TASK, style, "chat", device_facts="a very fast device").messages
    assert chat is not None
    assert [m.role for m in chat] == ["system", "user", "assistant", "user"]
    assert REFERENCE.strip() in chat[-1].content
    assert "a very fast device" in chat[-1].content
    task = Task("test/shot", "test", MODULE_REFERENCE, "d")
    assert "class ModelNew(nn.Module)" in extract_program(chat[2].content, task, style)
    completion = build_prompt(TASK, style, device_facts="a very fast device")
    assert completion.text is not None
    assert completion.text.startswith("# Runs on: a very fast device\n")
    assert REFERENCE.strip() in completion.text
    assert completion.stop_regex is not None


def test_body_prompts_state_the_contract():
    chat = build_prompt(TASK, "forward-body", "chat").messages
    assert chat is not None
    for words in ("body of `ModelNew.forward` only", "no class", "no imports", "answer `pass`"):
        assert words in chat[0].content
    assert sum(m.role == "assistant" for m in chat) == 3
    assert "device" not in chat[-1].content
    plain = build_prompt(TASK).text
    assert plain is not None
    assert build_prompt(TASK, device_facts="here").text == "# Runs on: here\n\n" + plain


@pytest.mark.parametrize(
    "style",
    [
        "module",
        pytest.param("cpp", marks=pytest.mark.slow),
        pytest.param("triton", marks=pytest.mark.gpu),
        pytest.param("cuda", marks=pytest.mark.gpu),
    ],
)
def test_the_examples_are_right(style, tmp_path, monkeypatch):
    if style in ("cpp", "cuda") and not (shutil.which("c++") and shutil.which("ninja")):
        pytest.skip("no C++ compiler, or no ninja")
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path))
    reference: dict = {}
    exec(MODULE_REFERENCE, reference)
    program = tmp_path / "answer.py"  # a file: Triton reads the source of its kernels
    program.write_text(MODULES[style])
    spec = importlib.util.spec_from_file_location("answer", program)
    assert spec is not None
    assert spec.loader is not None
    answer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(answer)
    x = torch.randn(37, 5, device="cuda" if style in ("triton", "cuda") else "cpu")
    torch.testing.assert_close(answer.ModelNew(1.5)(x.clone()), reference["Model"](1.5)(x.clone()))
