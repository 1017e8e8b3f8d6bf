"""The documents of `select`, `probe` and `compare` as types: what the report, the terminal and other programs rely on.

Every figure is in the unit that its name or docs/cli.md gives; None where it can't be known. Shares are in [0, 1],
intervals are (low, high). The documents are JSON: tuples become lists. Keys are only ever added.
"""

from __future__ import annotations

from typing import Any, TypedDict

Interval = tuple[float, float] | None

# --- select ------------------------------------------------------------------------------------


class ProfileRow(TypedDict):
    """One within-task quantile of surprisal, lowest first. ci: 95 %, over tasks."""

    quantile: int
    tasks: int
    surprisal: float
    fast_1: float
    ci: Interval
    geomean_speedup: float
    geomean_speedup_ci: Interval


class Trend(TypedDict):
    """Is the profile a slope or a hill? linear: rise of the share of fast ones per quantile. hill: middle quantiles
    minus the outer ones. Both are means over tasks; p by flipping the signs of tasks, two-sided."""

    linear: float | None
    linear_ci: Interval
    linear_p: float | None
    hill: float | None
    hill_ci: Interval
    hill_p: float | None


class Likelihood(TypedDict):
    """Surprisal against speedup among the correct, timed programs, inside tasks and then combined over them.

    pooled_rho ignores tasks; pooled_standardised_rho standardises both inside each task first. warning: where pooling
    tells another story.
    """

    tasks: int
    candidates: int
    rho: float | None
    rho_ci: Interval
    p: float | None
    rho_given_length: float | None
    rho_given_length_ci: Interval
    p_given_length: float | None
    rho_length_speedup: float | None
    pooled_rho: float | None
    pooled_p: float | None
    pooled_standardised_rho: float | None
    warning: str | None
    profile: list[ProfileRow]
    monotone: bool | None
    trend: Trend


class RaceCost(TypedDict):
    """What a way of choosing spends and gets, means over cells. timed: candidates timed; pairs: timed pairs of
    reference and candidate; device_seconds: `pairs` at the price of a pair on this machine."""

    name: str
    timed: float
    pairs: float | None
    device_seconds: float | None
    fast: float | None
    geomean_speedup: float | None


class BreakEven(TypedDict):
    """At n samples, `strategy` is worth as much as timing (`oracle`) or racing (`race`) all correct ones of k_equal
    samples. price: of one timing, in units of the price of one sample, above which the strategy pays; device_seconds:
    the same in device seconds; measured: what a timing costs here; pays: whether it is above; None where it can't be
    told. reason: why there is no price."""

    strategy: str
    against: str
    k_equal: float | str | None
    price: float | None
    device_seconds: float | None
    measured: float | None
    pays: bool | None
    reason: str | None


class Price(TypedDict):
    """The price of a choice. source: of the race, `live` pairs, `model` (drawn from the stored median, interval and
    number of pairs of each verdict) or `none`. seconds_per_...: device seconds, medians of this run."""

    source: str
    races: int
    metric: str
    seconds_per_pair: float | None
    seconds_per_timing: float | None
    seconds_per_sample: float | None
    ways: list[RaceCost]
    break_even: list[BreakEven]
    note: str


# --- probe -------------------------------------------------------------------------------------


class ProbePoint(TypedDict):
    """The fixed samples under one checkpoint. rho: Spearman of NLL per token and speedup inside a task, combined
    over tasks; positive: improbable programs are faster. Intervals: 95 %, over tasks. `change`: since the first point.
    """

    step: int
    version: str
    rho: float | None
    rho_ci: Interval
    rho_change: float | None
    rho_change_ci: Interval
    rho_high_surprisal_quartile: float | None
    rho_high_surprisal_quartile_ci: Interval
    pooled_rho: float | None
    mean_nll: float | None
    mean_nll_ci: Interval
    entropy: float | None
    entropy_ci: Interval
    distinct: float | None
    distinct_ci: Interval
    mass_on_first_success: float | None
    mass_on_first_success_ci: Interval
    mass_on_best: float | None
    covered_mass: float | None


class ProbeNull(TypedDict):
    """What the trajectory would be without a signal. runs: shuffled-reward runs, their points averaged in
    `checkpoints`. excess: the adapted run's change of rho minus theirs at the last common step, paired over tasks;
    excess_ci: over tasks, for these runs alone. p: of the run as one more of them; None with fewer than two."""

    runs: list[str]
    checkpoints: list[dict[str, Any]]
    step: int | None
    excess: float | None
    excess_ci: Interval
    p: float | None


class ProbeDocument(TypedDict):
    """`probe --json`."""

    run: str
    adapted: str
    n_tasks: int
    n_samples: int
    n_correct: int
    checkpoints: list[ProbePoint]
    null: ProbeNull
    sentence: str
    warnings: list[str]


# --- compare -----------------------------------------------------------------------------------


class CurveRow(TypedDict):
    """K samples per task: `any_of_k` on point speedups, `_sig` on intervals; ci: 95 %, over tasks for exchangeable
    samples, over seeds for a sequence. cost: charged per task for K samples; cost_run: what the machine did."""

    k: int
    any_of_k: float | None
    ci: Interval
    any_of_k_sig: float | None
    any_of_k_sig_ci: Interval
    expected_best_speedup: float | None
    expected_best_speedup_ci: Interval
    cost: dict[str, float | None]
    cost_run: dict[str, float | None]


class Arm(TypedDict):
    """One run. exchangeable: whether any K of its samples could have been the K; otherwise the curve is over prefixes.
    cost: of the whole run. per_sample: share of samples that are fast_1; not comparable with any_of_k beyond K = 1."""

    run: str
    strategy: str
    exchangeable: bool
    n: int
    seeds: int
    cost: dict[str, dict[str, float | None]]
    curve: list[CurveRow]
    per_sample: float | None
    per_sample_ci: Interval
    per_sample_sig: float | None
    correct: float


class FrontierArm(TypedDict):
    """An arm at a budget: the most samples it affords. exhausted: it has no more samples to spend the rest on."""

    run: str
    k: float | None
    value: float | None
    ci: Interval
    expected_best_speedup: float | None
    exhausted: bool


class FrontierRow(TypedDict):
    """One budget, in units of the axis, per task. best: the arm that is better than every other one by a
    test adjusted for all pairs, or None; tied: those that the data can't tell from the leading one."""

    budget: float
    arms: list[FrontierArm]
    leading: str | None
    best: str | None
    tied: list[str]


class CompareDocument(TypedDict):
    """`compare --json`. frontier is on `axis`, charged; frontier_run the same by what the machine did."""

    runs: list[str]
    axis: str
    metric: str
    n_tasks: int
    tasks: list[str]
    arms: list[Arm]
    equivalent_k: dict[str, dict[str, float | str | None]]
    baseline: str | None
    frontier: list[FrontierRow]
    frontier_run: list[FrontierRow]
    tests: list[dict[str, Any]]
    sentence: str
    warnings: list[str]
