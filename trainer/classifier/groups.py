"""Which cells a training may see, and which are held out: whole patient groups.

But for a fold that is told to be drawn by image, to show what that would have claimed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainer.classifier.config import ClassifierConfig
from trainer.data.cnmc import CellRecord, digest_of, of_split, read_manifest
from trainer.data.splits import make_folds
from trainer.image_split import image_folds


def trained_on(config: ClassifierConfig) -> tuple[CellRecord, ...]:
    """The cells that ``config`` trains on, in the order of the manifest."""
    return _parts(config)[0]


def held_out(config: ClassifierConfig) -> tuple[CellRecord, ...]:
    """The cells that ``config`` never sees."""
    return _parts(config)[1]


def digest_of_cells(data: Path) -> str:
    """Names the cells that were there, whatever part of them a training saw."""
    return digest_of(read_manifest(data / "cnmc2019"))


def _parts(config: ClassifierConfig) -> tuple[tuple[CellRecord, ...], tuple[CellRecord, ...]]:
    records = read_manifest(config.data / "cnmc2019")
    if config.fold is None:
        return of_split(records, "train"), of_split(records, "val")
    if config.split == "images":
        folds = image_folds(np.array([one.label == "blast" for one in records]), config.folds)
        judged = folds == config.fold
        return (
            tuple(one for one, out in zip(records, judged, strict=True) if not out),
            tuple(one for one, out in zip(records, judged, strict=True) if out),
        )
    split = make_folds(records, config.folds, seed=0).split(config.fold)
    return split.train, split.val
