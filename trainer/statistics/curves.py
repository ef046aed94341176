"""The curves behind the figures, each with the band that other patients would have drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trainer.statistics.arrays import Bools, Floats
from trainer.statistics.ranking import Counts, Ranking
from trainer.statistics.resampling import COVERAGE, Resampling

RELIABILITY_BINS = 10

_GRID = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class Curve:
    """A line through what was measured, and a band around it at its own places."""

    x: Floats
    y: Floats
    band_x: Floats
    low: Floats
    high: Floats


def roc_curve(is_blast: Bools, score: Floats, resampling: Resampling) -> Curve:
    """Sensitivity over false positive rate; the band is read off each round's curve at 101 rates.

    Between two thresholds the band runs straight, as the area under the curve takes it.
    """

    def read(counts: Counts) -> Floats:
        return np.asarray(np.interp(_GRID, counts.false_positive_rate, counts.sensitivity))

    return _curve(
        is_blast, score, resampling, read, lambda c: (c.false_positive_rate, c.sensitivity)
    )


def precision_recall_curve(is_blast: Bools, score: Floats, resampling: Resampling) -> Curve:
    """Precision over sensitivity; the band takes that of the first threshold that gets there.

    Nothing is interpolated: between two thresholds precision does not run straight (Davis &
    Goadrich 2006).
    """

    def read(counts: Counts) -> Floats:
        reached = np.searchsorted(counts.sensitivity, np.maximum(_GRID, 1e-9) - 1e-12)
        return counts.precision[np.minimum(reached, len(counts.precision) - 1)]

    return _curve(is_blast, score, resampling, read, lambda c: (c.sensitivity[1:], c.precision[1:]))


def reliability_curve(is_blast: Bools, p_blast: Floats, resampling: Resampling) -> Curve:
    """Share of blasts over mean p(blast), in ten equal bins of p(blast), the empty left out."""
    index = np.minimum((p_blast * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    cells = np.bincount(index, minlength=RELIABILITY_BINS)
    filled = cells > 0

    def share(weights: Floats) -> Floats:
        counted = np.bincount(index, weights, RELIABILITY_BINS)
        blasts = np.bincount(index, weights * is_blast, RELIABILITY_BINS)
        empty = np.full(RELIABILITY_BINS, np.nan)
        return np.divide(blasts, counted, out=empty, where=counted > 0)[filled]

    x = np.bincount(index, p_blast, RELIABILITY_BINS)[filled] / cells[filled]
    low, high = _band([share(weights) for weights in resampling.weights()])
    return Curve(x, share(np.ones(len(p_blast))), x, low, high)


def _curve(
    is_blast: Bools,
    score: Floats,
    resampling: Resampling,
    read: Callable[[Counts], Floats],
    line: Callable[[Counts], tuple[Floats, Floats]],
) -> Curve:
    ranking = Ranking.of(is_blast, score)
    low, high = _band([read(ranking.counts(weights)) for weights in resampling.weights()])
    x, y = line(ranking.counts())
    return Curve(x, y, _GRID, low, high)


def _band(rounds: list[Floats]) -> tuple[Floats, Floats]:
    tail = (1 - COVERAGE) / 2
    low, high = np.nanquantile(np.array(rounds), [tail, 1 - tail], axis=0)
    return low, high
