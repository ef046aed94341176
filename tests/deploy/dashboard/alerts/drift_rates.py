"""How often the test of drift is right, on simulated devices: run me as a module.

Shares of slides are drawn from a beta distribution (0.6, 2.5), most low and some high, of 200 cells
each. A shift of 0.2 turns a fifth of the cells that were cleared into cells that were not.
"""

from __future__ import annotations

import itertools

import numpy as np

from deploy.dashboard.alerts.drift import drifted
from deploy.dashboard.alerts.words import DEFAULT

WINDOW = DEFAULT.recent_slides + DEFAULT.past_slides


def slides(rng: np.random.Generator, count: int, shift: float = 0.0) -> np.ndarray:
    """Shares of so many slides, oldest first."""
    share = rng.beta(0.6, 2.5, size=count)
    return rng.binomial(200, share + shift * (1 - share)) / 200


def is_told(shares: np.ndarray, end: int) -> bool:
    """Whether an alert is open after so many slides."""
    newest_first = shares[max(0, end - WINDOW) : end][::-1].tolist()
    return drifted(newest_first, DEFAULT.scores_by, DEFAULT) is not None


def false_alarms(devices: int = 60, count: int = 1000) -> float:
    """Alerts raised by a device that stays as it is, in 1,000 slides."""
    rng, raised = np.random.default_rng(1), 0
    for _ in range(devices):
        shares = slides(rng, count)
        told = [is_told(shares, end) for end in range(WINDOW // 4, count + 1)]
        raised += sum(now and not before for before, now in itertools.pairwise(told))
    return raised / devices


def noticed(shift: float, devices: int = 200, within: int = 60) -> tuple[float, float]:
    """Share of devices whose shift is told within so many slides, and the median slide."""
    rng, found = np.random.default_rng(2), []
    for _ in range(devices):
        shares = np.concatenate([slides(rng, 140), slides(rng, within, shift)])
        ends = (end for end in range(141, 141 + within) if is_told(shares, end))
        found.append(next(ends, None))
    those = [end - 140 for end in found if end is not None]
    return len(those) / devices, float(np.median(those))


if __name__ == "__main__":
    print(f"false alarms in 1,000 slides: {false_alarms():.2f}")
    for by in (0.1, 0.2, 0.3, 0.5):
        share, median = noticed(by)
        print(f"shift {by}: {share:.0%} within 60 slides, the median after {median:.0f}")
