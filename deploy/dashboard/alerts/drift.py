"""Is a device as it used to be? Its newest slides against its own slides before them.

A slide is one draw, however many cells it has: cells of a slide are alike, so a test over cells
would call every unusual patient a drift (decision 8 says the same of figures). The test is the
rank-sum test of Mann and Whitney (1947, Ann. Math. Statist. 18:50), two-sided, by its normal
approximation with correction for ties and continuity (Lehmann 1975, Nonparametrics, section 1.4):
it asks nothing of the shares' distribution, which is neither normal nor stable between clinics. A
test that is asked after every slide is bound to say yes some day, so the medians have to differ by
something that matters as well.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from deploy.dashboard.alerts.words import Limits


@dataclass(frozen=True)
class Drifted:
    """The newest slides are not as those before them."""

    recent: float
    """Their median."""
    past: float
    p: float
    slides: tuple[int, int]
    """How many, recent and past."""


def drifted(values: Sequence[float], by: float, limits: Limits) -> Drifted | None:
    """Whether it moved; ``values``: one a slide, the newest first."""
    recent = values[: limits.recent_slides]
    past = values[limits.recent_slides : limits.recent_slides + limits.past_slides]
    if len(recent) < limits.recent_slides or len(past) < limits.least_past:
        return None
    now, before = median(recent), median(past)
    if abs(now - before) < by:
        return None
    p = rank_sum(recent, past)
    return Drifted(now, before, p, (len(recent), len(past))) if p < limits.drift_p else None


def rank_sum(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of Mann and Whitney's test; 1 where all values are the same.

    Raises:
        ValueError: one of them is empty.
    """
    if not one or not other:
        raise ValueError("both samples need values")
    every = sorted([*one, *other])
    ranks: dict[float, float] = {}
    ties = Counter(every)
    below = 0
    for value in sorted(ties):
        ranks[value] = below + (ties[value] + 1) / 2
        below += ties[value]
    n, m = len(one), len(other)
    u = sum(ranks[value] for value in one) - n * (n + 1) / 2
    total = n + m
    tied = sum(count**3 - count for count in ties.values()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    if variance <= 0:
        return 1.0
    z = max(0.0, abs(u - n * m / 2) - 0.5) / math.sqrt(variance)
    return math.erfc(z / math.sqrt(2))
