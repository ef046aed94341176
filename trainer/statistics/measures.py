"""Every figure of one model under one condition, each with its interval over patient groups.

Twice: of the cells, and of the patient groups by their mean p(blast). Cells are ranked by the
network's own logits; probabilities are those that no cell's own fold helped to calibrate. The
temperature is fitted once and held in every round of the bootstrap.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trainer.predictions import Predictions
from trainer.statistics.arrays import Bools, Floats
from trainer.statistics.calibration import (
    calibrate_out_of_fold,
    expected_calibration_error,
    p_blast_of,
)
from trainer.statistics.operating import Confusion, confusion
from trainer.statistics.ranking import Ranking
from trainer.statistics.resampling import Resampling, percentile_interval

THRESHOLD = 0.5
"""Of the calibrated probability: at or above it a cell is called a blast."""
FIXED_RATE = 0.90
"""The specificity at which sensitivity is read, and the reverse."""


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval of its bootstrap."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Scored:
    """What was said of N cells, or of N patient groups."""

    is_blast: Bools
    score: Floats
    """What they are ranked by."""
    p_before: Floats
    """Probability of blast as the network gives it."""
    p_after: Floats
    """The same, calibrated out of fold."""
    fold: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Measured:
    """The figures of one model under one condition."""

    cells: dict[str, Estimate]
    groups: dict[str, Estimate]
    confusion: Confusion
    """Of the cells."""
    temperatures: dict[int, float]
    scored: Scored
    """The cells, in the order of the predictions."""
    rounds: dict[str, Floats]
    """Each figure of the cells in every round: what paired comparisons subtract."""


def measure(predictions: Predictions, condition: str, resampling: Resampling) -> Measured:
    """Measure one model under ``condition`` over the patients that ``resampling`` draws."""
    scored, temperatures = score_cells(predictions, condition)
    cells = _Measure(scored)
    rounds = _rounds(cells, resampling.weights())
    groups = _Measure(score_groups(scored, resampling))
    return Measured(
        cells=_estimates(cells(), rounds),
        groups=_estimates(groups(), _rounds(groups, resampling.draws.astype(np.float64))),
        confusion=confusion(scored.is_blast, scored.p_after >= THRESHOLD),
        temperatures=temperatures,
        scored=scored,
        rounds=rounds,
    )


def score_cells(predictions: Predictions, condition: str) -> tuple[Scored, dict[int, float]]:
    """The cells with their probabilities, and the temperature of each fold."""
    logits, is_blast = predictions.logits[condition], predictions.is_blast
    calibrated = calibrate_out_of_fold(logits, is_blast, predictions.fold)
    scored = Scored(
        is_blast=is_blast,
        score=predictions.margin(condition),
        p_before=p_blast_of(logits),
        p_after=calibrated.p_blast,
        fold=predictions.fold,
    )
    return scored, calibrated.temperatures


def score_groups(cells: Scored, resampling: Resampling) -> Scored:
    """Each patient group by the mean of its cells."""
    mean = resampling.mean_by_unit
    p_after = mean(cells.p_after)
    return Scored(
        is_blast=mean(cells.is_blast) > 0.5,
        score=p_after,
        p_before=mean(cells.p_before),
        p_after=p_after,
        fold=mean(cells.fold).astype(np.intp),
    )


class _Measure:
    """All figures of one :class:`Scored`, for any weights: what does not change is done once."""

    def __init__(self, scored: Scored) -> None:
        self._scored = scored
        self._ranking = Ranking.of(scored.is_blast, scored.score)
        self._called = scored.p_after >= THRESHOLD
        self._folds = []
        for one in np.unique(scored.fold):
            index = np.flatnonzero(scored.fold == one)
            if len(np.unique(scored.is_blast[index])) == 2:
                ranking = Ranking.of(scored.is_blast[index], scored.score[index])
                self._folds.append((index, ranking))

    def __call__(self, weights: Floats | None = None) -> dict[str, float]:
        scored = self._scored
        counts = self._ranking.counts(weights)
        table = confusion(scored.is_blast, self._called, weights)
        before, after = (
            expected_calibration_error(scored.is_blast, p, weights=weights)
            for p in (scored.p_before, scored.p_after)
        )
        return {
            "auroc": counts.auroc(),
            "auroc_within_folds": self._auroc_within_folds(weights),
            "average_precision": counts.average_precision(),
            "balanced_accuracy": table.balanced_accuracy,
            "weighted_f1": table.weighted_f1,
            "sensitivity": table.sensitivity,
            "specificity": table.specificity,
            "sensitivity_at_90_specificity": counts.sensitivity_at(FIXED_RATE),
            "specificity_at_90_sensitivity": counts.specificity_at(FIXED_RATE),
            "ece_before": before,
            "ece_after": after,
        }

    def _auroc_within_folds(self, weights: Floats | None) -> float:
        """Mean over the folds: each ranks by one network, where the pooled cells mix several.

        ``nan`` where no fold holds both classes.
        """
        areas = []
        for index, ranking in self._folds:
            counts = ranking.counts(None if weights is None else weights[index])
            if counts.blasts[-1] and counts.normals[-1]:
                areas.append(counts.auroc())
        return float(np.mean(areas)) if areas else float("nan")


def _rounds(measured: _Measure, weights: Iterable[Floats]) -> dict[str, Floats]:
    drawn = [measured(one) for one in weights]
    return {name: np.array([one[name] for one in drawn]) for name in drawn[0]}


def _estimates(values: dict[str, float], rounds: dict[str, Floats]) -> dict[str, Estimate]:
    return {
        name: Estimate(value, *percentile_interval(rounds[name])) for name, value in values.items()
    }
