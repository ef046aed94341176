"""Crops that show neither a blast nor a normal nucleated cell: what novelty is measured on.

A detector errs, and then the classifier is asked about a red cell, a clump of platelets, a smudge
or bare glass. All come from validation fields; none is used to set anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import KINDS
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.scale import estimate_um_per_px
from trainer.data.fields import FieldSet
from trainer.data.smear_fields import SmearField, free_centres
from trainer.models.classifier import ClassifierGeometry

Crops = NDArray[np.uint8]

PER_FRAME = 3
"""Red cells, platelets and empty places taken of each frame, at most."""
ALTERED = 400
"""Crops of cells that are blurred or smeared."""
FLAT = 100
_CLEAR_UM = 12.0
"""An empty place is so far from a white cell that none reaches into the crop's middle."""
_BLUR_PX = 6.0
_SMEAR_PX = (14.0, 3.0)


def crops_of_neither(
    sets: Iterable[FieldSet],
    fields: Iterable[SmearField],
    on_fields: Crops,
    geometry: ClassifierGeometry,
    seed: int = 0,
) -> dict[str, Crops]:
    """Crops uint8 ``[N, size, size, 3]`` by what they show.

    Args:
        sets: field sets with marked cells.
        fields: the same with their scale, see :func:`trainer.data.smear_fields.real_fields`.
        on_fields: crops of cells, uint8 ``[M, size, size, 3]``, to blur and smear.
        geometry: size of the crops.
        seed: of places and colours.
    """
    rng = np.random.default_rng(seed)
    crop_um, size = geometry.crop_um, geometry.size
    marked: dict[str, list[Crops]] = {"rbc": [], "platelet": []}
    for record in (record for one in sets for record in one.records):
        by_kind = {kind: record.boxes[record.kinds == KINDS.index(kind)] for kind in KINDS}
        um_per_px = estimate_um_per_px(by_kind["rbc"], (record.height, record.width))
        if um_per_px is None:
            continue
        frame = record.read()
        for kind, crops in marked.items():
            boxes = by_kind[kind][:PER_FRAME]  # type: ignore[index]
            crops.append(crop_cells(frame, boxes, um_per_px, crop_um, size))
    empty = []
    for field in fields:
        places = free_centres(field, rng, PER_FRAME, clearance_um=_CLEAR_UM)
        empty.append(
            crop_cells(field.rgb, np.hstack([places, places]), field.um_per_px, crop_um, size)
        )
    cells = on_fields[:ALTERED]
    flat = rng.integers(0, 256, (FLAT, 1, 1, 3)).astype(np.uint8)
    return {
        "red_cells": _joined(marked["rbc"], size),
        "platelets": _joined(marked["platelet"], size),
        "empty_places": _joined(empty, size),
        "out_of_focus": _each(cells, lambda crop: cv2.GaussianBlur(crop, (0, 0), _BLUR_PX)),
        "smudges": _each(cells, lambda crop: _smeared(crop, rng)),
        "flat": np.broadcast_to(flat, (FLAT, size, size, 3)).copy(),
    }


def _smeared(crop: Crops, rng: np.random.Generator) -> Crops:
    side = crop.shape[0]
    shift = rng.integers(-side // 4, side // 4, 2)
    moved = np.roll(crop, shift.tolist(), (0, 1))
    along, across = _SMEAR_PX
    return np.asarray(cv2.GaussianBlur(moved, (0, 0), sigmaX=along, sigmaY=across), np.uint8)


def _each(crops: Crops, change: Callable[[Crops], object]) -> Crops:
    if not len(crops):
        return crops
    return np.stack([np.asarray(change(crop), np.uint8) for crop in crops])


def _joined(parts: list[Crops], size: int) -> Crops:
    return np.concatenate([np.empty((0, size, size, 3), np.uint8), *parts])
