"""What the size of a cell alone would have said: the figure that a network has to beat.

In C-NMC blasts are larger than normal precursors, so a ruler ranks them well. It stands in the
same table as the networks, under the same protocol: a logistic curve over the area, fitted to all
folds but the one that it judges.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edge_daemon.contract.terms import CLASSES
from trainer.predictions import Predictions
from trainer.statistics.arrays import Bools, Floats

NAME = "cell area alone"

_STEPS = 30
_RIDGE = 1e-6
"""Keeps the slope finite where area separates the classes completely."""


def area_baseline(like: Predictions, conditions: Iterable[str] | None = None) -> Predictions:
    """Out-of-fold predictions from ``like.area_um2``, alike under every one of ``conditions``.

    Without ``conditions``, under those of ``like``.
    """
    margin = np.empty(len(like))
    for one in np.unique(like.fold):
        held_out = like.fold == one
        offset, slope = fit_logistic(like.area_um2[~held_out], like.is_blast[~held_out])
        margin[held_out] = offset + slope * like.area_um2[held_out]
    logits = np.zeros((len(like), len(CLASSES)), np.float32)
    logits[:, CLASSES.index("blast")] = margin
    return Predictions(
        model=NAME,
        description={"parameters": 2.0, "note": "logistic curve over the area of the cell"},
        file=like.file,
        subject=like.subject,
        group=like.group,
        fold=like.fold,
        is_blast=like.is_blast,
        area_um2=like.area_um2,
        logits=dict.fromkeys(conditions or like.conditions, logits),
        split=like.split,
    )


def fit_logistic(x: Floats, is_blast: Bools) -> tuple[float, float]:
    """``(offset, slope)`` of the likeliest ``p_blast = 1 / (1 + exp(-(offset + slope x)))``.

    By Newton's method on standardised ``x``.
    """
    mean, spread = float(x.mean()), float(x.std()) or 1.0
    columns = np.stack([np.ones(len(x)), (x - mean) / spread], axis=1)
    weights = np.zeros(2)
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(columns @ weights, -30, 30)))
        slope_of_loss = columns.T @ (p - is_blast) / len(x) + _RIDGE * weights
        curvature = (columns.T * (p * (1 - p))) @ columns / len(x) + _RIDGE * np.eye(2)
        weights -= np.linalg.solve(curvature, slope_of_loss)
    return float(weights[0] - weights[1] * mean / spread), float(weights[1] / spread)
