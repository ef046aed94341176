"""What a split by image would have claimed: the same fit, with each patient on both sides.

Many published figures hold out pictures, not patients. A network then recognises the stain and the
patient it has learnt from, and the figure says nothing about the next patient. Training one model
both ways (``leuko-train cross-validate --by-image``) shows how much of a claim that is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from trainer.statistics.arrays import Bools


def image_folds(is_blast: Bools, folds: int, seed: int = 0) -> NDArray[np.intp]:
    """A fold for each cell, whoever its patient is: as many of each class in every fold."""
    rng = np.random.default_rng(seed)
    fold = np.empty(len(is_blast), np.intp)
    for label in (True, False):
        cells = rng.permutation(np.flatnonzero(is_blast == label))
        fold[cells] = np.arange(len(cells)) % folds
    return fold
