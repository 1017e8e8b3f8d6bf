"""How often is an unchanged program called faster? The table of docs/statistics.md, by simulation.

    python -m scripts.simulate_timing [--studies 2000] [--seed 0] [--device cpu|cuda]

A pair's log ratio is process + noise, both normal: what a process pair fixed (new for each process pair), and what
changes from pair to pair. *Peeking*: after 8, 16, 32 and 64 pairs of one process pair, faster as soon as a 95 %
bootstrap interval of the median excludes 1. *Ours*: `longodds.evaluator.stats`, told the true spread. The outer clocks,
which can only refuse, are left out. On a GPU also with a single fresh process pair, as for a task that fills memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys

import numpy as np

from longodds.evaluator import stats
from longodds.evaluator.calibration import Calibration

# (noise of a pair, spread of processes): a quiet machine, one in use, one whose host is crowded
SETTINGS = {
    "cpu": (*itertools.product((0.005, 0.03), (0.0, 0.001, 0.002, 0.005)), (0.08, 0.026), (0.08, 0.035)),
    "cuda": tuple(itertools.product((0.0005, 0.003, 0.01), (0.0005, 0.001, 0.003))),
}
GAINS = {"cpu": (0.0, 0.03, 0.05, 0.10), "cuda": (0.0, 0.01, 0.03)}
FRESH = {"cpu": (None,), "cuda": (None, 1)}  # fresh process pairs, None: as many as usual
_RESAMPLES = 400


def peeking(d: np.ndarray, rng: np.random.Generator) -> bool:
    """d: (64,) log ratios of one process pair."""
    for look in stats.LOOKS:
        medians = np.median(rng.choice(d[:look], (_RESAMPLES, look)), axis=1)
        if np.quantile(medians, 0.025) > 0:
            return True
    return False


def processes(spread: float, device: str = "cpu", fresh: int | None = None) -> tuple[int, int]:
    """Process pairs that a program is screened in, and fresh ones that confirm it, on a device of this spread."""
    calibration = Calibration(spread)
    usual = calibration.process_pairs(stats.PROCESS_PAIRS)
    return calibration.process_pairs(stats.SCREENING_PAIRS[device]), fresh or usual


def ours(
    parts: np.ndarray, spread: float, device: str = "cpu", fresh_pairs: int | None = None
) -> tuple[bool, int, float]:
    """parts: (sum of `processes`, 64) log ratios, the screening's first; (called faster, pairs timed, log speedup)."""
    most, count, resolution = stats.LOOKS[-1], processes(spread, device, fresh_pairs), stats.RESOLUTION[device]
    screen, fresh = parts[: count[0]], parts[count[0] :]
    seen: list[float] = []
    for pairs in range(stats.STEP, most + 1, stats.STEP):
        seen = screen[:, : pairs // len(screen)].ravel().tolist()
        looks = stats.screened(seen, most, spread, resolution, count[0], processes(spread)[1])
        if looks is not None:
            break
    screened = len(seen)
    if looks is not True:
        return False, screened, float(np.median(seen))
    for look in stats.LOOKS[1:]:
        now = fresh[:, : look // len(fresh)].tolist()
        seen = np.concatenate(now).tolist()
        if stats.confirmed(now, most, spread):
            return True, screened + look, float(np.median(seen))
        if stats.claim(now, most, spread).high < 0 or stats.futile(seen, most, spread, resolution, count[1]):
            break
    return False, screened + look, float(np.median(seen))


def simulate(studies: int, seed: int, device: str = "cpu") -> list[dict[str, float | None]]:
    """A row for each process spread and true gain: shares of studies in which each way calls the program faster."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, float | None]] = []
    for (noise, process), fresh, gain in itertools.product(SETTINGS[device], FRESH[device], GAINS[device]):
        spread = max(process, 0.001)
        shape = (studies, sum(processes(spread, device, fresh)), stats.LOOKS[-1])
        d = np.log1p(gain) + process * rng.standard_normal((*shape[:2], 1)) + noise * rng.standard_normal(shape)
        found = [ours(parts, spread, device, fresh) for parts in d]
        rows.append(
            {
                "noise_sd": noise,
                "process_sd": process,
                "fresh": processes(spread, device, fresh)[1],
                "gain": gain,
                "peeking": float(np.mean([peeking(parts[0], rng) for parts in d])) if gain == 0 else None,
                "ours": float(np.mean([faster for faster, _, _ in found])),
                "pairs": float(np.mean([pairs for _, pairs, _ in found])),
                "error_p95": float(np.quantile([abs(point - np.log1p(gain)) for _, _, point in found], 0.95)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", choices=tuple(SETTINGS), default="cpu")
    options = parser.parse_args()
    for row in simulate(options.studies, options.seed, options.device):
        sys.stdout.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
