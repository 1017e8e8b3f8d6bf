"""`longodds evaluate TASK PROGRAM.py`: one program against one task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from longodds.cli.console import json_stdout, make_table, number, one_line, print_table, write_json
from longodds.errors import InfraError
from longodds.types import Reference, Status

if TYPE_CHECKING:
    from longodds.types import Verdict


def evaluate(
    task: str,
    program: Path,
    /,
    *,
    device: str = "cpu",
    reference: Reference = "eager",
    scale: int = 1,
    kernelbench_root: str | None = None,
    timed: Annotated[bool, Parameter(name="--time", negative="--no-time")] = True,
    timeout: float = 30.0,
    memory: int | None = None,
    evaluator: Literal["sound", "seed"] = "sound",
    cache: Annotated[bool, Parameter(negative="--no-cache")] = True,
    json: bool = False,
) -> None:
    """Judge one program against one task: correct or not, how much faster, how sure.

    Exits 3 where the infrastructure failed, so that there is no verdict on the program.

    Parameters
    ----------
    task
        A task id (`cpu/row_softmax_by_hand`, `kernelbench:1/4`, `file:PATH.py`).
    program
        A Python module with a class ModelNew.
    device
        Where the program runs: cpu or cuda.
    reference
        What a speedup is measured against.
    scale
        Multiplies the sizes of a bundled problem.
    kernelbench_root
        A checkout of KernelBench, a Parquet or JSONL file of its dataset, hub or hub@REVISION.
    timed
        Whether a correct program is timed.
    timeout
        Seconds for importing the program, and again for running it.
    memory
        Bytes that the program may use; half of the machine's if not given.
    evaluator
        sound: verdicts that cannot be forged, with intervals; seed: KernelBench's way, for comparison only.
    cache
        Whether a verdict of the same program under the same conditions may be taken from the cache on disk.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.evaluate import evaluate_program

    with json_stdout(json) as out:
        verdict = evaluate_program(
            task,
            program,
            device=device,
            reference=reference,
            scale=scale,
            timed=timed,
            timeout=timeout,
            memory=memory,
            kernelbench_root=kernelbench_root,
            way=evaluator,
            cache=cache,
        )
        if json:
            write_json(out, verdict.to_json())
        else:
            print_table(verdict_table(verdict))
    if verdict.status is Status.INFRA_ERROR:
        raise InfraError(f"{verdict.task_id}: no verdict on the program: {verdict.message or 'the evaluator failed'}")


def verdict_table(v: Verdict) -> Any:
    """A verdict for people."""
    rows = [("task", v.task_id), ("verdict", v.status.value.upper())]
    if v.speedup is not None:
        interval = f"  (99 % interval {number(v.ci_low)} to {number(v.ci_high)}, {v.pairs} pairs)"
        interval = "  (no interval)" if v.ci_low is None and v.ci_high is None else interval
        rows.append(("speedup", f"{v.speedup:.3f}x{interval}"))
        rows.append(("faster", _faster(v)))
    if v.reference_us is not None and v.runtime_us is not None:
        rows.append(("time", f"{v.runtime_us:.1f} us a call; reference {v.reference_us:.1f} us"))
    if v.reference_end_to_end_us is not None and v.runtime_end_to_end_us is not None:
        whole = f"{v.runtime_end_to_end_us:.1f} us a call; reference {v.reference_end_to_end_us:.1f} us"
        rows.append(("with launching", whole))
    if v.labels:
        rows.append(("labels", ", ".join(v.labels)))
    if v.message:
        rows.append(("message", one_line(v.message)))
    off = [name for name, state in v.isolation.items() if state != "on"]
    if off:
        rows.append(("isolation off", ", ".join(off)))
    return make_table(None, ["", ""], rows)


def _faster(v: Verdict) -> str:
    if v.ci_low is None or v.ci_high is None:
        return "cannot tell (no interval)"
    if v.ci_low > 1:
        return "yes"
    return "no, slower" if v.ci_high < 1 else "cannot tell: the interval holds 1"
