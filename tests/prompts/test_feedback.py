"""What a model is told of an attempt: enough to revise it, nothing that the evaluator must keep to itself."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longodds.prompts import Attempt, build_prompt, extract, feedback, revision_prompt, teacher_prompt, written_code
from longodds.prompts.feedback import MAX_MESSAGE
from longodds.prompts.revise import AGAIN, MAX_CODE
from longodds.tasks import load_suite
from longodds.types import Message, Status, Verdict

TASK = next(t for t in load_suite("cpu") if t.id == "cpu/row_softmax_by_hand")


def told(status, message="", **more):
    return feedback(Verdict("cpu/t", status, message=message, **more))


def test_a_speedup_comes_with_its_interval():
    assert told(Status.CORRECT, speedup=1.5, ci_low=1.42, ci_high=1.61) == (
        "Correct. Speed relative to the original: 1.50x (99 % interval 1.42 to 1.61): faster."
    )
    assert "no difference that could be told" in told(Status.CORRECT, speedup=1.02, ci_low=0.99, ci_high=1.05)
    assert told(Status.CORRECT, speedup=0.5, ci_low=0.4, ci_high=0.6).endswith(": slower.")
    assert told(Status.CORRECT) == "Correct. Its speed was not measured."
    assert told(Status.CORRECT, speedup=1.5) == "Correct. Speed relative to the original: 1.50x."


# As the oracle writes them: values of its inputs' answers, tolerances, the law, the moment.
ORACLE = [
    (
        "output[3, 5]: got 1.2, expected 3.5 (off by 2.3, allowed 1e-5); 4000 of 4096 elements beyond (inputs: shift)",
        "most of its values",
    ),
    ("in a timed call: output[7]: got 3, expected 8; 1 of 4096 elements differ (inputs: rare)", "few of its values"),
    ("output: root-mean-square error 0.0123, allowed 1e-06 (inputs: base)", "its values are not"),
    ("in a later call: output: a small row is off by 0.5 of its own size, allowed 1e-6 (inputs: ties)", "its values"),
    ("in a timed call: output is wrong at a place looked at (inputs: signs)", "its values are not"),
    ("in a timed call: the program changes its input in place and the reference does not", "changes its input"),
    ("the output shares memory with an input and the reference's does not", "shares memory"),
    (
        "in a timed call: input 0, which the reference changes in place[4]: got 2, expected 3; 9 of 9 elements differ",
        "does not leave an input",
    ),
    ("Output mismatch: max difference 0.123457", "its values are not"),
]


@pytest.mark.parametrize(("message", "says"), ORACLE)
def test_what_the_oracle_knows_stays_with_it(message, says):
    text = told(Status.INCORRECT, message)
    assert says in text
    assert not re.search(r"\d|got|allowed|inputs:|timed|later|looked", text)


def test_structure_is_told_in_full():
    assert told(Status.INCORRECT, "output: shape (64, 100), expected (64, 1)") == (
        "Wrong result: output: shape (64, 100), expected (64, 1)."
    )


def test_a_rejected_program_is_not_told_what_gave_it_away():
    text = told(Status.REJECTED, "timer: the process used 812 us of CPU per call outside the timed interval of 12 us")
    assert text.startswith("Rejected") and not re.search(r"\d|timer|CPU", text)
    assert "30" not in told(Status.TIMEOUT, "no answer within 30 s")


def test_a_failure_is_told_in_the_programs_own_words():
    text = told(
        Status.RUNTIME_ERROR,
        "RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 16x4) (line 12 in forward, line 3 in f)",
    )
    assert text == "Fails when it runs: RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 16x4)."
    text = told(Status.COMPILE_ERROR, "SyntaxError: invalid syntax (program.py, line 7) (line 7)")
    assert text == "Does not compile: SyntaxError: invalid syntax."
    assert told(Status.RUNTIME_ERROR) == "Fails when it runs: it says no more."


@pytest.mark.parametrize(
    "message",
    [
        "ValueError: tensor([[0.1371, -2.5e-05, 1.], [12345678, 3., .5]])",
        "KeyError: '0.8437 1.9921 -0.3312'",
        "OSError: [Errno 2] No such file or directory: '/tmp/longodds-ab12/secret_name/0.51234'",
        "RuntimeError: at 0x7f3a9c00beef",
    ],
)
def test_a_message_carries_no_values_out(message):
    text = told(Status.RUNTIME_ERROR, message)
    assert not re.search(r"\d\.\d|\.\d|\d{7}|0x|/tmp|ab12", text), text


@given(st.text(max_size=3000), st.sampled_from([s for s in Status if s is not Status.INFRA_ERROR]))
def test_any_message_becomes_one_bounded_line(message, status):
    text = told(status, message)
    assert text.isprintable() and "`" not in text
    assert len(text) <= MAX_MESSAGE + 60
    assert not re.search(r"\d\.\d", text)


def test_no_feedback_on_a_failure_of_ours():
    with pytest.raises(ValueError, match="infra_error"):
        told(Status.INFRA_ERROR, "the machine said no")


# --- prompts with attempts in them ---------------------------------------------------------------

ANSWERS = [" return torch.softmax(x, dim=1)\n", " y = x.exp()\n        return y / y.sum(1, keepdim=True)\n"]


@pytest.mark.parametrize("style", ["forward-body", "forward-body-fewshot", "module", "cpp"])
def test_attempts_stand_where_answers_stand(style):
    base = build_prompt(TASK, style)
    assert revision_prompt(TASK, base, []) == base
    attempts = [Attempt(written_code(a, TASK, style), f"Wrong {i}.") for i, a in enumerate(ANSWERS)]
    prompt = revision_prompt(TASK, base, attempts)
    assert prompt.stop_regex == base.stop_regex and prompt.style == style
    text = prompt.text
    start = base.text[-40:]
    assert text.endswith(start) and text.count(start) == base.text.count(start) + 2
    assert text.index("softmax(x, dim=1)") < text.index("# Wrong 0.") < text.index("keepdim=True)\n# Wrong 1.")
    # A body is shown with the indent that it was written at, so that the prompt is a program to read.
    if style == "forward-body":
        shown = text[text.index("class Model(nn.Module)") :].rstrip() + " pass"
        compile(shown, "prompt", "exec")


def test_other_answers_are_shown_in_place():
    base = build_prompt(TASK)
    for answer in ("```python\nreturn torch.softmax(x, 1)\n```", "return torch.softmax(x, 1)", ""):
        prompt = revision_prompt(TASK, base, [Attempt(written_code(answer, TASK, "forward-body"), "Wrong.")])
        compile(prompt.text.rstrip() + " pass", "prompt", "exec")
    whole = "```python\nclass ModelNew(nn.Module):\n    def forward(self, x):\n        return x\n```"
    prompt = revision_prompt(TASK, base, [Attempt(written_code(whole, TASK, "forward-body"), "Wrong.")])
    compile(prompt.text.rstrip() + " pass", "prompt", "exec")
    assert "class ModelNew(nn.Module)" in prompt.text


def test_chat_attempts_are_turns():
    base = build_prompt(TASK, "forward-body", "chat")
    reasoned = "<think>return x, no</think>\n```python\nreturn torch.softmax(x, 1)\n```"
    code = written_code(reasoned, TASK, "forward-body")
    prompt = revision_prompt(TASK, base, [Attempt(code, "Wrong."), Attempt("return x", "Fails.")])
    assert prompt.messages[: len(base.messages)] == base.messages
    turns = prompt.messages[len(base.messages) :]
    assert [m.role for m in turns] == ["assistant", "user"] * 2
    assert turns[0] == Message("assistant", "```python\nreturn torch.softmax(x, 1)\n```")
    assert (turns[1].content, turns[3].content.split()[0]) == ("Wrong.", "Fails.")


def test_long_code_is_cut():
    answer = "\n".join(f"        y{i} = x + {i}" for i in range(1000)).lstrip()
    code = written_code(" " + answer, TASK, "forward-body")
    assert len(code) < MAX_CODE + 60 and code.endswith("not shown)")


@pytest.mark.parametrize("form", ["completion", "chat"])
def test_the_teacher_is_told_more_but_not_the_attempt(form):
    base = build_prompt(TASK, "forward-body", form)

    def whole(p):
        return p.text or "\n".join(m.content for m in p.messages)

    plain = whole(teacher_prompt(TASK, base))
    assert AGAIN in plain and len(plain) < len(whole(base)) + len(AGAIN) + 10
    full = whole(teacher_prompt(TASK, base, feedback="Wrong result: x.", solution="return torch.softmax(x, 1)"))
    assert full.index("return torch.softmax(x, 1)") < full.index("Wrong result: x.") < full.rindex(AGAIN)
    if form == "completion":
        assert full.endswith(base.text[-40:])
    assert extract(" return x", TASK, "forward-body").program
