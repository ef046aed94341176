"""Whether a probability means what it says, before and after temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES
from trainer.statistics.arrays import Bools, Floats

BLAST = CLASSES.index("blast")

BINS = 15


def p_blast_of(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """``softmax(logits / temperature)[blast]`` of float ``[N, 2]``, as the daemon computes it."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(weights[:, BLAST] / weights.sum(axis=1))


def expected_calibration_error(
    is_blast: Bools, p_blast: Floats, bins: int = BINS, weights: Floats | None = None
) -> float:
    """ECE over equal-width bins of the predicted class's confidence (Guo et al. 2017).

    ``weights`` ``[N]`` says how often each cell counts.
    """
    called = p_blast >= 0.5
    confidence = np.where(called, p_blast, 1 - p_blast)
    gap = (called == is_blast) - confidence
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    counted = np.ones(len(gap)) if weights is None else weights
    return float(np.abs(np.bincount(index, gap * counted)).sum() / counted.sum())


def fit_temperature(logits: NDArray[np.floating], is_blast: Bools) -> float:
    """Temperature with the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        p = np.clip(p_blast_of(logits, float(np.exp(log_temperature))), 1e-9, 1 - 1e-9)
        return float(-np.where(is_blast, np.log(p), np.log(1 - p)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Probabilities that no cell's own fold helped to calibrate."""

    p_blast: Floats
    temperatures: dict[int, float]
    """Fold -> the temperature that its cells were scaled with."""


def calibrate_out_of_fold(
    logits: NDArray[np.floating], is_blast: Bools, fold: NDArray[np.intp]
) -> OutOfFold:
    """Scale each fold with the temperature that fits the out-of-fold logits of all other folds.

    Fitted on the cells that it is measured on, temperature scaling would flatter itself.
    """
    p_blast = np.empty(len(logits))
    temperatures = {}
    for one in np.unique(fold).tolist():
        held_out = fold == one
        temperatures[one] = fit_temperature(logits[~held_out], is_blast[~held_out])
        p_blast[held_out] = p_blast_of(logits[held_out], temperatures[one])
    return OutOfFold(p_blast, temperatures)
