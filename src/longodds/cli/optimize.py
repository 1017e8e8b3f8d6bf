"""`longodds optimize MODULE.py`: make my own module faster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from longodds.cli.console import json_stdout, note_line, print_text, write_json
from longodds.cli.flags import PolicyFlags, SamplingFlags, StoppingBudgetFlags, given, helped
from longodds.errors import InfraError
from longodds.types import Reference

if TYPE_CHECKING:
    from longodds.strategies.optimize import Optimized

_POLICY, _SAMPLING, _EVALUATION, _BUDGET = (
    Group.create_ordered(name) for name in ("Policy", "Sampling", "Evaluation", "Budget")
)
_K = 32


@dataclass(frozen=True, kw_only=True)
class _EvaluationFlags:
    device: Annotated[str | None, helped("device")] = None
    reference: Annotated[Reference | None, helped("reference")] = None
    timeout: Annotated[float | None, helped("timeout")] = None
    memory: Annotated[int | None, helped("memory")] = None
    max_pairs: Annotated[int | None, helped("max_pairs")] = None
    cache: Annotated[bool | None, helped("cache"), Parameter(negative="--no-cache")] = None


@dataclass(frozen=True, kw_only=True)
class _SamplingFlags(SamplingFlags):
    k: Annotated[int | None, Parameter(help=f"Samples per seed (default {_K}).")] = None


def optimize(
    module: Path,
    /,
    *,
    class_: Annotated[str | None, Parameter(name="--class")] = None,
    inputs: str | None = None,
    init_inputs: str | None = None,
    run: Path | None = None,
    out: Path | None = None,
    policy: Annotated[PolicyFlags | None, Parameter(name="*", group=_POLICY)] = None,
    sampling: Annotated[_SamplingFlags | None, Parameter(name="*", group=_SAMPLING)] = None,
    evaluation: Annotated[_EvaluationFlags | None, Parameter(name="*", group=_EVALUATION)] = None,
    budget: Annotated[StoppingBudgetFlags | None, Parameter(name="*", group=_BUDGET)] = None,
    json: bool = False,
) -> None:
    """Make a module of your own faster: the best program that is verified to be, or `nothing faster was found`.

    Resumes a run that is there. The winner is measured again in fresh processes, and written with a check that anyone
    can run with torch alone.

    Parameters
    ----------
    module
        A Python file with an nn.Module; in KernelBench's format (Model, get_inputs, get_init_inputs) as it is.
    class_
        The class to make faster; without it Model, else the file's only nn.Module.
    inputs
        Example inputs, where the file has no get_inputs: a .py file that defines get_inputs, a .pt or .safetensors
        file of tensors to draw others like, or an expression such as "torch.randn(16, 256)".
    init_inputs
        Arguments of the constructor, an expression such as "[256, 4]".
    run
        Run directory (default runs/optimize-NAME).
    out
        Where the winner is written (default best.py in the run directory). A file of yours is not overwritten.
    json
        One JSON document on stdout.
    """
    from longodds.cli.live import LiveProgress
    from longodds.config import BestOfNSettings, resolve
    from longodds.environment import read_environment
    from longodds.strategies.optimize import optimize as go

    settings = resolve(
        BestOfNSettings,
        flags=given([policy, sampling, evaluation, budget]),
        defaults={"k": _K, "max_pairs": read_environment().max_pairs},
    )
    with json_stdout(json) as stdout:
        with LiveProgress() as progress:
            done = go(
                module,
                class_name=class_,
                inputs=inputs,
                init_inputs=init_inputs,
                run=run,
                out=out,
                settings=settings,
                progress=progress,
            )
        if json:
            write_json(stdout, done.to_json())
        else:
            print_text(describe(done))
    if done.out is None and out is not None and out.exists():
        note_line(f"{out} is left as it was: it is of an earlier run")
    if done.outcome.unjudged:
        raise InfraError(
            f"{done.outcome.unjudged} of {done.outcome.samples} samples got no verdict; what was done is kept, and the "
            "same command tries them again"
        )


def describe(done: Optimized) -> str:
    """What was found, for people."""
    o, s, v = done.outcome, done.settings, done.verdict
    counts = ", ".join(f"{n} {name}" for name, n in sorted(done.statuses.items(), key=lambda x: -x[1])) or "none"
    seen = f"{o.samples} of {o.expected} samples, {done.distinct} distinct programs; verdicts: {counts}"
    how = f"{s.policy}, temperature {s.temperature:g}, {s.style}; against {s.reference} on {s.device}"
    for name, message in done.reasons.items():
        seen += f"\n{name}, for example: {message[:300]}"
    if o.stopped is not None:
        seen += f"\nstopped by {o.stopped}"
    if v is None or done.program is None:
        correct = done.statuses.get("correct", 0)
        return (
            f"nothing faster was found: {correct} of {o.samples} samples were correct, none verified faster\n"
            f"{done.headroom.sentence()}\n{seen}\n{how}\nrun: {done.run}"
        )
    return (
        f"{done.program.strip()}\n\n"
        f"verified faster: {v.speedup:.3f}x, at least {v.ci_low:.3f}x (interval to {v.ci_high:.3f}x, at 99 % for the "
        f"best of {max(v.remeasured_among, 1)} programs, measured again in fresh processes)\n"
        f"{v.runtime_us:.1f} us a call; the module takes {v.reference_us:.1f} us\n"
        f"{'labels: ' + ', '.join(v.labels) + chr(10) if v.labels else ''}"
        f"{seen}\n{how}\nrun: {done.run}\nwritten to {done.out}; check it: python {done.out}"
    )
