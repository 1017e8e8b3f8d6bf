"""`longodds calibrate`: the A/A control of this machine."""

from __future__ import annotations

from typing import Any

from longodds.cli.console import json_stdout, make_table, note_line, print_table, print_text, write_json


def calibrate(
    *,
    suite: str = "cpu",
    n: int = 200,
    device: str = "cpu",
    max_tasks: int | None = None,
    workers: int = 1,
    json: bool = False,
) -> None:
    """The A/A control of this machine: how often is an unchanged program called faster?

    Also measures the spread between processes, which later verdicts use, and how large a gain is seen. Resumable: the
    same command goes on where it was stopped.

    Parameters
    ----------
    suite
        The suite whose references are used.
    n
        Verdicts on unchanged programs; from 200 on, ten tasks get 32 programs each for the family-wise figure.
    device
        Where programs run: cpu or cuda.
    max_tasks
        At most so many tasks, the first ones.
    workers
        Evaluators side by side, a core each, where the cores are otherwise idle.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.calibrating import calibrate_machine

    last = [("", -1)]

    def tell(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if last[0] != (phase, tenth):
            last[0] = (phase, tenth)
            note_line(f"{phase}: {done} of {total}")

    with json_stdout(json) as out:
        document = calibrate_machine(
            suite, n=n, device=device, max_tasks=max_tasks, workers=workers, progress=tell, note=note_line
        )
        if json:
            write_json(out, document)
        else:
            _print(document)


def _print(d: dict[str, Any]) -> None:
    low, high = d["ci"]
    rows = [
        ("device", d["device"]),
        ("unchanged programs", str(d["n"])),
        ("called faster", f"{d['false_faster']} (95 % interval {100 * low:.2f} to {100 * high:.2f} %)"),
        (
            "error of the speedup",
            f"{100 * d['abs_error_p50']:.2f} % at the median, {100 * d['abs_error_p95']:.2f} % at p95",
        ),
        ("spread between processes", f"{100 * d['between_process_sd']:.2f} % (sd of log speedup)"),
    ]
    family = d["any_of_k"]
    rows.append((f"best of {family['k']} unchanged", f"faster on {family['false']} of {family['tasks']} tasks"))
    for p in d["power"]:
        rows.append((f"a gain of {100 * p['slowdown']:.0f} %", f"called faster in {100 * p['called_faster']:.0f} %"))
    for way, label in (("sequential", "means, one after the other"), ("together", "means, four at once")):
        naive = d["naive"][way]
        if naive["n"]:
            rows.append((label, _naively(naive)))
    if d["shared_core"]:
        rows.append(
            ("on a core of another evaluator's", f"{d['shared_core']} verdicts: calibrate again when it is gone")
        )
    rows.append(("kept in", d["file"]))
    print_table(make_table(None, ["", ""], rows))
    for line in d.get("not_correct", []):
        print_text(f"judged wrongly: {line}")


def _naively(d: dict[str, Any]) -> str:
    return (
        f"{d['false_faster']} of {d['n']} called faster, {d['false_faster_5']} by over 5 %; "
        f"error {100 * d['abs_error_p50']:.2f} % at the median, {100 * d['abs_error_p95']:.2f} % at p95"
    )
