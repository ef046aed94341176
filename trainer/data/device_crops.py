"""Crops as the device makes them: cells on black, on real smear, and normal blood's own.

A published cell is cut out on black; the camera shows it among red cells. What is measured, and
what a committee is trained on, is composited once onto a whole field and cut like a detection.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.smear.composite import (
    STAIN_STRENGTH,
    WRIGHT_GIEMSA,
    CutOutCell,
    cut_out,
    paste,
)
from edge_daemon.vision.crops import crop_cells
from trainer.data.cnmc import UM_PER_PX, CellRecord, read_picture_file
from trainer.data.smear_fields import SmearField, free_centres, likely_stain, stains_of

WHOLE_CELL_UM = 8.0
"""A cell pasted at least this far from the edge of a field is wholly inside."""

Staining: TypeAlias = Literal["field", "varied", "own"]
"""Of a cell on a field: its own stain moved towards that of the field's nuclei; moved some part of
the way, mostly to the field's, else to another field's; or as it came. A committee that was shown
the first alone ranks the last at an AUROC of 0.81, one that was shown the second as well at 0.86
(decision 15)."""


def crops_on_black(root: Path, records: Sequence[CellRecord], size: int) -> NDArray[np.uint8]:
    """Pictures of single cells as the daemon resizes them, uint8 ``[N, size, size, 3]``."""
    crops = np.empty((len(records), size, size, 3), np.uint8)
    for crop, record in zip(crops, records, strict=True):
        crop[:] = _on_black(root / record.file, size)
    return crops


def crops_on_fields(
    root: Path,
    records: Sequence[CellRecord],
    fields: Sequence[SmearField],
    *,
    crop_um: float,
    size: int,
    seed: int,
    staining: Staining = "field",
) -> NDArray[np.uint8]:
    """The same cells pasted onto whole ``fields`` and cropped as the daemon crops."""
    rng = np.random.default_rng(seed)
    crops = np.empty((len(records), size, size, 3), np.uint8)
    for crop, record in zip(crops, records, strict=True):
        cell = _cut_out(root / record.file)
        crop[:] = crop_on_field(cell, fields, rng, crop_um=crop_um, size=size, staining=staining)
    return crops


# The same few cells are shown several times in a row, on black and on fields. Decoding a picture
# and cutting the cell out of it takes longer than all that is done with it afterwards.


@lru_cache(maxsize=64)
def _picture(path: Path) -> NDArray[np.uint8]:
    return read_picture_file(path)


@lru_cache(maxsize=64)
def _on_black(path: Path, size: int) -> NDArray[np.uint8]:
    picture = cv2.resize(_picture(path), (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(picture, np.uint8)


@lru_cache(maxsize=64)
def _cut_out(path: Path) -> CutOutCell:
    return cut_out(_picture(path), UM_PER_PX)


def crop_on_field(
    cell: CutOutCell,
    fields: Sequence[SmearField],
    rng: np.random.Generator,
    *,
    crop_um: float,
    size: int,
    staining: Staining = "field",
) -> NDArray[np.uint8]:
    """One cell pasted onto one of ``fields``, cropped as the daemon crops: ``[size, size, 3]``."""
    centres = np.empty((0, 2))
    while not len(centres):
        on = fields[int(rng.integers(len(fields)))]
        centres = free_centres(on, rng, 1, margin_um=WHOLE_CELL_UM)
    frame = on.rgb.copy()
    x, y = centres[0]
    turned = float(rng.uniform(0, 360))
    stain, strength = on.stain or WRIGHT_GIEMSA, STAIN_STRENGTH
    if staining == "own":
        strength = 0.0
    elif staining == "varied":
        stain, strength = likely_stain(on, stains_of(fields), rng), float(rng.uniform(0, 1))
    box = paste(
        frame,
        cell,
        (float(x), float(y)),
        on.um_per_px,
        rotation_deg=turned,
        stain=stain,
        stain_strength=strength,
    )
    crop: NDArray[np.uint8] = crop_cells(frame, box[None], on.um_per_px, crop_um, size)[0]
    return crop


def crops_of_blood(fields: Sequence[SmearField], *, crop_um: float, size: int) -> NDArray[np.uint8]:
    """The fields' own white cells, all normal, as the daemon crops them."""
    crops = [crop_cells(f.rgb, f.white_boxes, f.um_per_px, crop_um, size) for f in fields]
    return np.concatenate(crops)
