"""Honest figures for the classifier: what it ranks, how sure it may be, and by patient group.

Cells of one patient are not independent, so every interval comes from a bootstrap over **groups**,
not over cells; the area of the cell alone is reported beside the network, because in C-NMC size
alone ranks blasts well. No patient-level claim follows from cell-level figures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import CLASSES

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BLAST = CLASSES.index("blast")


def p_blast_of(logits: NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """``softmax(logits / temperature)[blast]`` of float ``[N, 2]``, as the daemon computes it."""
    scaled = logits.astype(np.float64) / temperature
    weights = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(weights[:, BLAST] / weights.sum(axis=1))


def auroc(is_blast: Bools, score: NDArray[np.floating]) -> float:
    """Area under the ROC curve: the chance that a blast scores above a normal cell.

    Ties count half (Mann-Whitney U). ``nan`` when one class is absent.
    """
    blasts, normals = score[is_blast], np.sort(score[~is_blast])
    if not blasts.size or not normals.size:
        return float("nan")
    below = np.searchsorted(normals, blasts, side="left")
    not_above = np.searchsorted(normals, blasts, side="right")
    return float((below + not_above).mean() / 2 / normals.size)


@dataclass(frozen=True)
class Operating:
    """Rates at one threshold."""

    threshold: float
    sensitivity: float
    specificity: float

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


def operating_at(is_blast: Bools, p_blast: Floats, threshold: float) -> Operating:
    """Sensitivity and specificity when ``p_blast >= threshold`` is called a blast."""
    called = p_blast >= threshold
    return Operating(threshold, float(called[is_blast].mean()), float((~called)[~is_blast].mean()))


def expected_calibration_error(is_blast: Bools, p_blast: Floats, bins: int = 15) -> float:
    """ECE over equal-width bins of the predicted class's confidence (Guo et al. 2017)."""
    called = p_blast >= 0.5
    confidence = np.where(called, p_blast, 1 - p_blast)
    correct = called == is_blast
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(correct[index == one].mean() - confidence[index == one].mean()) * (index == one).mean()
        for one in np.unique(index)
    ]
    return float(sum(gaps))


def fit_temperature(logits: NDArray[np.floating], is_blast: Bools) -> float:
    """Temperature with the lowest negative log-likelihood (Guo et al. 2017, arXiv:1706.04599)."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        p = np.clip(p_blast_of(logits, float(np.exp(log_temperature))), 1e-9, 1 - 1e-9)
        return float(-np.where(is_blast, np.log(p), np.log(1 - p)).mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20)), method="bounded")
    return float(np.exp(found.x))


def abstain_band(
    is_blast: Bools, p_blast: Floats, *, sensitivity: float, specificity: float
) -> tuple[float, float]:
    """``(low, high)`` between which the classifier says ``uncertain``.

    ``low``: the largest threshold that still lets ``sensitivity`` of the blasts through, so few
    blasts are called normal; ``high``: the smallest threshold that keeps ``specificity`` of the
    normal cells out, so few normal cells are called blasts. A classifier so good that the two
    cross gets a band without width between them.
    """
    low = float(np.quantile(p_blast[is_blast], 1 - sensitivity, method="lower"))
    high = float(np.quantile(p_blast[~is_blast], specificity, method="higher"))
    high = float(np.nextafter(high, 1.0))
    if low > high:
        low = high = (low + high) / 2
    return low, high


def group_bootstrap(
    groups: Sequence[str],
    is_blast: Bools,
    statistic: Callable[[NDArray[np.intp]], float],
    *,
    rounds: int = 1000,
    seed: int = 0,
    coverage: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of ``statistic(indices)`` over resampled patient groups.

    Groups are drawn with replacement, blast groups and normal groups apart, so that every round
    holds both classes. With few groups the interval is wide, and should be.
    """
    rng = np.random.default_rng(seed)
    names = np.array(groups)
    strata = [
        [np.flatnonzero((names == name) & (is_blast == label)) for name in np.unique(names[chosen])]
        for label, chosen in ((True, is_blast), (False, ~is_blast))
        if chosen.any()
    ]
    values = []
    for _ in range(rounds):
        drawn = [s[i] for s in strata for i in rng.integers(len(s), size=len(s))]
        values.append(statistic(np.concatenate(drawn)))
    tail = (1 - coverage) / 2
    low, high = np.nanquantile(values, [tail, 1 - tail])
    return float(low), float(high)


def auroc_by_group(
    groups: Sequence[str], is_blast: Bools, score: NDArray[np.floating]
) -> dict[str, dict[str, float]]:
    """For each group its AUROC against all cells of the other class, and its mean score.

    A patient of C-NMC has cells of one class only, so a group's own AUROC does not exist; against
    the other class it says which patients the network fails on.
    """
    names = np.array(groups)
    result = {}
    for name in sorted(set(groups)):
        own = names == name
        label = bool(is_blast[own][0])
        chosen = (own & (is_blast == label)) | (is_blast != label)
        result[name] = {
            "blast": float(label),
            "cells": float(own.sum()),
            "auroc": auroc(is_blast[chosen], score[chosen]),
            "mean_score": float(np.mean(score[own])),
        }
    return result


def auroc_of_groups(groups: Sequence[str], is_blast: Bools, score: NDArray[np.floating]) -> float:
    """AUROC of the groups' mean scores: are whole patients ranked right?"""
    names = np.array(groups)
    pairs = [
        (bool(is_blast[names == name][0]), float(np.mean(score[names == name])))
        for name in sorted(set(groups))
    ]
    return auroc(np.array([label for label, _ in pairs]), np.array([mean for _, mean in pairs]))
