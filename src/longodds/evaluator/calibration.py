"""What `longodds calibrate` measured on this device and later verdicts use: the spread between processes."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from longodds.errors import UserError
from longodds.evaluator.stats import CROWD, DEFAULT_SPREAD, NOISY, launch_spread

_LEAST_SPREAD = 0.001  # an estimate of zero is luck: some spread between processes is always there


@dataclass(frozen=True, slots=True)
class Calibration:
    """spread: sd, between process pairs of one unchanged program, of the log speedup. labels: for verdicts under it."""

    spread: float
    labels: tuple[str, ...] = ()

    def process_pairs(self, usual: int) -> int:
        """How many to time a program in: more than usual where they were seen to differ by much."""
        return CROWD * usual if self.spread > NOISY and not self.labels else usual

    def between(self, launches: int, reference_us: float) -> float:
        """The spread for a reference of so many `Demands.launches` in a call of so many microseconds."""
        return max(self.spread, launch_spread(launches, reference_us))

    @staticmethod
    def load(path: Path | None, device: str) -> Calibration:
        """From a calibration file, or the conservative default of the device class, labelled `uncalibrated`."""
        if path is None:
            return Calibration(DEFAULT_SPREAD[device.split(":")[0]], ("uncalibrated",))
        try:
            document = json.loads(path.read_text())
            spread = float(document["between_process_sd"])
            if not (math.isfinite(spread) and spread >= 0):
                raise ValueError(f"field 'between_process_sd' is no finite number from 0: {spread}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: not a calibration file ({error}); make one with `longodds calibrate`") from None
        return Calibration(max(spread, _LEAST_SPREAD))
