"""What a split by image would have claimed: the same fit, with each patient on both sides.

Many published figures hold out pictures, not patients. A network then recognises the stain and the
patient it has learnt from, and the figure says nothing about the next patient. Fitting one model
both ways shows how much of a claim that is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from trainer.predictions import Predictions
from trainer.statistics.arrays import Bools

Fitter = Callable[[NDArray[np.intp], NDArray[np.intp]], Mapping[str, NDArray[np.float32]]]
"""``fit(learn_from, judge)``, both indices of cells -> logits ``[len(judge), 2]`` under every
condition of the honest predictions."""


def image_folds(is_blast: Bools, folds: int, seed: int = 0) -> NDArray[np.intp]:
    """A fold for each cell, whoever its patient is: as many of each class in every fold."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(is_blast), np.intp)
    for label in (True, False):
        cells = rng.permutation(np.flatnonzero(is_blast == label))
        fold[cells] = np.arange(len(cells)) % folds
    return fold


def split_by_image(honest: Predictions, fit: Fitter, *, seed: int = 0) -> Predictions:
    """Fit again on as many folds as ``honest`` has, drawn by image; marked ``split='images'``."""
    fold = image_folds(honest.is_blast, len(np.unique(honest.fold)), seed)
    logits = {name: np.empty_like(values) for name, values in honest.logits.items()}
    for one in np.unique(fold):
        judged = np.flatnonzero(fold == one)
        found = fit(np.flatnonzero(fold != one), judged)
        for condition, values in logits.items():
            values[judged] = found[condition]
    return replace(honest, fold=fold, logits=logits, split="images")
