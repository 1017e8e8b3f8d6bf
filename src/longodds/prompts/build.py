"""Task -> prompt: what a policy reads before it writes a program, in one of several styles."""

from __future__ import annotations

import ast
import copy

from longodds.errors import UserError
from longodds.prompts.shots import BODIES, MODULE_REFERENCE, MODULES
from longodds.prompts.source import STANDARD_IMPORTS, compact_reference, split_reference
from longodds.types import Message, Prompt, Task

STYLES = ("forward-body", "forward-body-fewshot", *MODULES)
FORMS = ("completion", "chat")

# A completion leaves the body at the first line indented by fewer than eight blanks.
BODY_STOP = r"\n {0,7}\S"
# A completion of a whole module ends where it would go on with a test, another answer, or the next fence.
MODULE_STOP = r"\n(?:def get_inputs|def get_init_inputs|if __name__|class Model\b|# Same result|```)"
# The last blank of the indent belongs to the first word in GPT-2-like vocabularies (" return" is one token).
_OPEN_INDENT = " " * 7

_TASK = (
    "You rewrite PyTorch modules so that they run faster and return the same result. You are given a module `Model`. "
)
_BODY_CONTRACT = (
    "Answer with the body of `ModelNew.forward` only: no class, no imports, no explanation. `ModelNew` has the same "
    "`__init__`, parameters and arguments; torch, nn, F and math are imported. Do not modify the inputs in place. If "
    "you see no way to make it faster, answer `pass`."
)
_MODULE_CONTRACT = (
    "Answer with one Python module in a single fenced block that defines `class ModelNew(nn.Module)` with the "
    "arguments of `Model` for `__init__` and `forward`, and nothing else: no explanation, no tests. Parameters and "
    "buffers keep their names and shapes, because the values of `Model`'s are copied into them; where you need another "
    "layout, define `load_reference(self, tensors)`, which is given them by name. The result must have the same shape, "
    "dtype and precision. Do not modify the inputs in place."
)
_HOW = {
    "module": "Use PyTorch operations.",
    "triton": "Do the main computation in kernels of your own, written in Triton.",
    "cuda": "Do the main computation in CUDA kernels of your own, compiled with torch.utils.cpp_extension.load_inline.",
    "cpp": "Do the main computation in C++ of your own, compiled with torch.utils.cpp_extension.load_inline.",
}


def build_prompt(
    task: Task, style: str = "forward-body", form: str = "completion", *, device_facts: str | None = None
) -> Prompt:
    """What to ask a policy for a task.

    style: `forward-body` asks for the body of `ModelNew.forward`; `forward-body-fewshot` puts three solved examples
    before it in the form `completion` too. `module`, `triton`, `cuda` and `cpp` ask for a whole module, with one solved
    example. form: `completion` is text to continue, with a pattern at which it stops; `forward-body` shows the compact
    reference and ends inside `ModelNew.forward` on seven blanks, the format that the embedded adapter was trained on.
    `chat` is messages for an instruct model: the reference as it is, always with the examples. device_facts: one
    line on the device that the program will run on.
    Raises UserError for an unknown style or form and for a reference that can't be read.
    """
    if style not in STYLES:
        raise UserError(f"prompt style '{style}' is unknown; use one of: {', '.join(STYLES)}")
    if form not in FORMS:
        raise UserError(f"prompt form '{form}' is unknown; use one of: {', '.join(FORMS)}")
    split_reference(task.reference, task.id)
    if form == "chat":
        return Prompt(messages=tuple(_messages(task, style, device_facts)), style=style)
    if style in MODULES:
        return Prompt(text=_module_text(task, style, device_facts), stop_regex=MODULE_STOP, style=style)
    return Prompt(text=_body_text(task, style, device_facts), stop_regex=BODY_STOP, style=style)


def _messages(task: Task, style: str, device_facts: str | None) -> list[Message]:
    contract = f"{_MODULE_CONTRACT} {_HOW[style]}" if style in MODULES else _BODY_CONTRACT
    shots = [(MODULE_REFERENCE, MODULES[style])] if style in MODULES else [(r, body) for r, _, body in BODIES]
    messages = [Message("system", _TASK + contract)]
    for reference, answer in shots:
        messages += [Message("user", _fence(reference)), Message("assistant", _fence(answer))]
    facts = f"\n\nIt will run on: {device_facts}" if device_facts else ""
    return [*messages, Message("user", _fence(task.reference.strip()) + facts)]


def opening(task: Task, style: str) -> str:
    """The lines that open an answer in a text to continue, with which such a prompt ends."""
    if style in MODULES:
        return f"# Same result, faster. {_HOW[style]}\n"
    return _open(forward_signature(task), _OPEN_INDENT)


def _body_text(task: Task, style: str, device_facts: str | None) -> str:
    sections = [*_facts_line(device_facts), "\n".join(STANDARD_IMPORTS.values())]
    if style == "forward-body-fewshot":
        sections += [f"{shot}\n\n{_open(args)}{body}" for shot, args, body in BODIES]
    sections.append(f"{compact_reference(task.reference, task.id)}\n\n{opening(task, style)}")
    return "\n\n".join(sections)


def _module_text(task: Task, style: str, device_facts: str | None) -> str:
    head = opening(task, style)
    shot = f"{MODULE_REFERENCE}\n\n\n{head}{MODULES[style]}"
    return "\n\n\n".join([*_facts_line(device_facts), shot, f"{task.reference.strip()}\n\n\n{head}"])


def _facts_line(device_facts: str | None) -> list[str]:
    return [f"# Runs on: {device_facts}"] if device_facts else []


def forward_signature(task: Task) -> str:
    """The reference's `forward` arguments, without annotations, as source text: `self, x, mask=None`."""
    args = copy.deepcopy(split_reference(task.reference, task.id).forward.args)
    for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
        if arg is not None:
            arg.annotation = None
    return ast.unparse(args)


def _open(signature: str, indent: str = " " * 8) -> str:
    return f"# Same result, faster.\nclass ModelNew(Model):\n    def forward({signature}):\n{indent}"


def _fence(code: str) -> str:
    return f"```python\n{code}\n```"
