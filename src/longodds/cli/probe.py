"""`longodds probe RUN --adapted RUN2`: fixed samples under each checkpoint of an adapted run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from longodds.cli.console import bar, json_stdout, make_table, number, print_table, print_text, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping


def probe(
    run: Path,
    *,
    adapted: Path,
    null: list[Path] | None = None,
    dtype: Literal["bf16", "fp32"] | None = None,
    policy_device: str = "cpu",
    threads: int | None = None,
    json: bool = False,
) -> None:
    """Over-sharpening: the samples of a run scored again under each checkpoint of an adapted run.

    Parameters
    ----------
    run
        The run whose samples are fixed.
    adapted
        A run with checkpoints (ttt, sdpo, rlvr). The scores are kept in it, so a probe is resumable.
    null
        Runs like the adapted one on shuffled rewards: what training on noise does. May be repeated.
    dtype
        Of the model.
    policy_device
        cpu, cuda or cuda:N.
    threads
        CPU threads of the model.
    json
        One JSON document on stdout.
    """
    from longodds.strategies.probing import probe as compute

    with json_stdout(json) as out:
        with bar("scoring") as told:
            document: Mapping[str, Any] = compute(
                run, adapted=adapted, null=null or [], dtype=dtype, device=policy_device, threads=threads, told=told
            )
        if json:
            write_json(out, document)
        else:
            print_probe(document)


def print_probe(document: Mapping[str, Any]) -> None:
    """The sentence, then one line a checkpoint."""
    print_text(document["sentence"] + "\n")
    figures = ("rho", "rho_high_surprisal_quartile", "mean_nll", "entropy", "distinct", "mass_on_first_success")
    columns = ["step", "rho", "95 % interval", "rho, top quarter", "NLL", "entropy", "distinct", "first success"]
    rows: list[list[str]] = []
    for c in document["checkpoints"]:
        ci = c["rho_ci"]
        between = "-" if ci is None else f"{ci[0]:+.2f} to {ci[1]:+.2f}"
        values = [number(c[f]) for f in figures]
        rows.append([str(c["step"]), values[0], between, *values[1:]])
    title = f"{document['n_tasks']} tasks, {document['n_samples']} samples, {document['n_correct']} correct"
    print_table(make_table(title, columns, rows, right="r" * len(columns)))
    for warning in document["warnings"]:
        print_text(f"note: {warning}")
