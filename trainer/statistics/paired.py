"""Whether one model is ahead of another on the same cells, or the difference is noise.

DeLong and McNemar take every cell for an independent witness. Cells of one patient are not, so
both are optimistic: their p-values are too small, the more so the fewer the patients. They are
reported because readers know them; what decides is the paired bootstrap over patient groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.statistics.arrays import Bools, Floats
from trainer.statistics.resampling import percentile_interval

EXACT_BELOW = 25
"""Discordant cells below which McNemar's test is the exact binomial one."""


@dataclass(frozen=True)
class Difference:
    """First minus second, with the interval and p-value of the rounds."""

    value: float
    low: float
    high: float
    p_value: float


def bootstrap_difference(
    observed: float, first: NDArray[np.floating], second: NDArray[np.floating]
) -> Difference:
    """Compare a figure of two models, ``[rounds]`` each, over the same draws of patient groups.

    The two-sided p-value is twice the share of rounds on the other side of zero, each side counted
    with one round more than seen: with R rounds none is below ``2 / (R + 1)`` (Davison & Hinkley
    1997, section 4.2).
    """
    rounds = (first - second)[np.isfinite(first) & np.isfinite(second)]
    low, high = percentile_interval(rounds)
    side = min(int((rounds <= 0).sum()), int((rounds >= 0).sum()))
    return Difference(observed, low, high, min(1.0, 2 * (side + 1) / (len(rounds) + 1)))


@dataclass(frozen=True)
class DeLong:
    """Difference of two correlated AUROCs, first minus second; cells taken as independent."""

    first: float
    second: float
    standard_error: float
    p_value: float


def delong(is_blast: Bools, first: NDArray[np.floating], second: NDArray[np.floating]) -> DeLong:
    """DeLong, DeLong & Clarke-Pearson (1988) on scores ``[N]`` of the same cells.

    By midranks, as Sun & Xu (2014, doi:10.1109/LSP.2014.2337313): O(N log N) for O(N^2).
    """
    from scipy.stats import norm, rankdata

    blasts, normals = int(is_blast.sum()), int((~is_blast).sum())
    areas, of_blasts, of_normals = [], [], []
    for score in (first, second):
        x, y = score[is_blast], score[~is_blast]
        joint = rankdata(np.concatenate([x, y]))
        of_blasts.append((joint[:blasts] - rankdata(x)) / normals)
        of_normals.append(1 - (joint[blasts:] - rankdata(y)) / blasts)
        areas.append(float(of_blasts[-1].mean()))
    covariance = np.cov(of_blasts) / blasts + np.cov(of_normals) / normals
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    error = float(np.sqrt(max(variance, 0.0)))
    difference = areas[0] - areas[1]
    if error < 1e-12:
        p_value = 1.0 if abs(difference) < 1e-12 else 0.0
    else:
        p_value = float(2 * norm.sf(abs(difference) / error))
    return DeLong(areas[0], areas[1], error, p_value)


@dataclass(frozen=True)
class McNemar:
    """Cells that only one of two models judged right; cells taken as independent."""

    only_first_right: int
    only_second_right: int
    exact: bool
    p_value: float


def mcnemar(first_right: Bools, second_right: Bools) -> McNemar:
    """McNemar's test (1947).

    The exact binomial one for few discordant cells, else chi-square with Edwards' correction.
    """
    from scipy.stats import binom, chi2

    first_only = int((first_right & ~second_right).sum())
    second_only = int((second_right & ~first_right).sum())
    discordant = first_only + second_only
    exact = discordant < EXACT_BELOW
    if exact:
        p_value = min(1.0, float(2 * binom.cdf(min(first_only, second_only), discordant, 0.5)))
    else:
        gap = max(abs(first_only - second_only) - 1, 0)
        p_value = float(chi2.sf(gap**2 / discordant, 1))
    return McNemar(first_only, second_only, exact, p_value)


def holm(p_values: Sequence[float] | Floats) -> list[float]:
    """P-values for asking all these questions at once (Holm 1979), in the order given."""
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1.0)
    return [float(one) for one in adjusted]
