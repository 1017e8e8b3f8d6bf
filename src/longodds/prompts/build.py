"""Task -> prompt: what a policy reads before it writes the body of `ModelNew.forward`."""

from __future__ import annotations

import ast
import copy

from longodds.errors import UserError
from longodds.prompts.source import STANDARD_IMPORTS, compact_reference, split_reference
from longodds.types import Message, Prompt, Task

STYLES = ("forward-body", "forward-body-fewshot")
FORMS = ("completion", "chat")

# A completion leaves the body at the first line indented by fewer than eight blanks.
BODY_STOP = r"\n {0,7}\S"
# The last blank of the indent belongs to the first word in GPT-2-like vocabularies (" return" is one token).
_OPEN_INDENT = " " * 7

_SYSTEM = (
    "You rewrite PyTorch modules so that they run faster and return the same result. "
    "You are given a module `Model`. Answer with the body of `ModelNew.forward` only: no class, no imports, no "
    "explanation. `ModelNew` has the same `__init__`, parameters and arguments; torch, nn, F and math are imported. "
    "Do not modify the inputs in place."
)

# Examples of our own for models that were not trained on this format: (reference, faster body).
_SHOTS: tuple[tuple[str, str, str], ...] = (
    (
        """class Model(nn.Module):
    def __init__(self, gain):
        super().__init__()
        self.gain = gain
    def forward(self, u):
        z = u * self.gain
        s = 1 / (1 + torch.exp(-z))
        return z * s""",
        "self, u",
        "return F.silu(u * self.gain, inplace=True)",
    ),
    (
        """class Model(nn.Module):
    def forward(self, d, m):
        return torch.diag(d) @ m + m""",
        "self, d, m",
        "return m * (d + 1).unsqueeze(1)",
    ),
    (
        """class Model(nn.Module):
    def forward(self, p):
        e = torch.exp(p)
        total = e.sum(dim=1, keepdim=True)
        w = e / total
        return torch.log(w)""",
        "self, p",
        "return F.log_softmax(p, dim=1)",
    ),
)


def build_prompt(task: Task, style: str = "forward-body", form: str = "completion") -> Prompt:
    """What to ask a policy for a task.

    style: `forward-body` shows the compact reference alone (the format that the embedded adapter was trained on);
    `forward-body-fewshot` puts three solved examples before it, for models that weren't.
    form: `completion` is text to continue, ending inside `ModelNew.forward` on seven blanks, with a dedent as stop;
    `chat` is messages for an instruct model (always with the examples).
    Raises UserError for an unknown style or form and for a reference that can't be read.
    """
    if style not in STYLES:
        raise UserError(f"prompt style '{style}' is unknown; use one of: {', '.join(STYLES)}")
    if form not in FORMS:
        raise UserError(f"prompt form '{form}' is unknown; use one of: {', '.join(FORMS)}")
    reference = compact_reference(task.reference, task.id)
    if form == "chat":
        messages = [Message("system", _SYSTEM)]
        for shot, _, body in _SHOTS:
            messages += [Message("user", _fence(shot)), Message("assistant", _fence(body))]
        messages.append(Message("user", _fence(reference)))
        return Prompt(messages=tuple(messages), style=style)
    signature = forward_signature(task)
    sections = ["\n".join(STANDARD_IMPORTS.values())]
    if style == "forward-body-fewshot":
        sections += [f"{shot}\n\n{_open(args)}{body}" for shot, args, body in _SHOTS]
    sections.append(f"{reference}\n\n{_open(signature, _OPEN_INDENT)}")
    return Prompt(text="\n\n".join(sections), stop_regex=BODY_STOP, style=style)


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
