"""How much of a frame is cells, and whether they lie side by side: is this the monolayer?

Foreground is what is darker than the glass around it; the glass is a morphological closing of
the frame, so that a vignette or a lamp off the axis is not taken for cells.

Red cells that lie on each other are told by their boxes, not by their density: twice the stain of
one red cell is no more than the nucleus or the rim of another in the next stain.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Judgement

_GLASS_SIDE_PX = 60
_GLASS_WITHIN_PX = 25
"""A window so large (0.4 of the frame, more than a white cell) always holds some glass."""
_DARKER_THAN_GLASS = 0.08
_OVERLAP_IOU = 0.10
"""Boxes of round cells that only touch, aslant, share 0.05 of their union."""
_CELLS_ASKED = 128
"""So many of a crowd say as much as all of it, in a millisecond."""
_ENOUGH_RED_CELLS = 8
"""Fewer say nothing about how the film lies."""


def foreground_mask(green: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where cells are, bool; its longer side is 60 pixels. ``green``: uint8, of any size."""
    scale = _GLASS_SIDE_PX / max(green.shape)
    small = cv2.resize(green, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (_GLASS_WITHIN_PX, _GLASS_WITHIN_PX))
    # Without room around it, the darkest corner of a vignette would be held against its inside.
    room = _GLASS_WITHIN_PX // 2
    roomy = cv2.copyMakeBorder(small, room, room, room, room, cv2.BORDER_REPLICATE)
    glass = cv2.morphologyEx(roomy, cv2.MORPH_CLOSE, window)[room:-room, room:-room]
    return np.asarray(small < glass * (1.0 - _DARKER_THAN_GLASS), dtype=np.bool_)


def judge_cover(foreground: float, needs: QualityThresholds) -> Judgement:
    """Whether there is anything to see, and whether there is glass between it."""
    if foreground < needs.min_foreground_fraction:
        return Judgement(
            "cover",
            "reject",
            f"empty field: cells cover {foreground:.1%}, needs "
            f"{needs.min_foreground_fraction:.1%}: move to where the smear is",
        )
    if foreground < needs.thin_foreground_fraction:
        return Judgement(
            "cover",
            "hint",
            f"too thin for counting: cells cover {foreground:.1%}, better "
            f"{needs.thin_foreground_fraction:.1%} or more: move towards the body of the smear",
        )
    if foreground > needs.thick_foreground_fraction:
        return Judgement(
            "cover",
            "hint",
            f"too dense for counting: cells cover {foreground:.1%}, better "
            f"{needs.thick_foreground_fraction:.1%} or less: move to where red cells lie side by "
            "side",
        )
    return Judgement("cover", "pass")


def overlap_fraction(red_cell_boxes: npt.NDArray[np.floating]) -> float | None:
    """Share of red cells that lie on another one, 0 to 1; None for too few to say.

    ``red_cell_boxes``: float ``[N, 4]``, x0, y0, x1, y1.
    """
    count = len(red_cell_boxes)
    if count < _ENOUGH_RED_CELLS:
        return None
    x0, y0, x1, y1 = np.asarray(red_cell_boxes, dtype=np.float32).T
    area = (x1 - x0) * (y1 - y0)
    asked = np.arange(0, count, -(-count // _CELLS_ASKED))
    mine = asked[:, None]
    wide = np.minimum(x1[mine], x1) - np.maximum(x0[mine], x0)
    high = np.minimum(y1[mine], y1) - np.maximum(y0[mine], y0)
    shared = np.maximum(wide, 0.0) * np.maximum(high, 0.0)
    # Not divided by the union: shared / (sum - shared) > t is shared > t * (sum - shared).
    on_another = shared > _OVERLAP_IOU * (area[mine] + area - shared)
    on_another[np.arange(len(asked)), asked] = False
    return float(np.mean(on_another.any(axis=1)))


def judge_overlap(overlap: float | None, needs: QualityThresholds) -> Judgement:
    """Whether red cells lie side by side, as they must where cells are counted."""
    if overlap is None:
        return Judgement("overlap", "unjudged", "too few red cells to tell how the film lies")
    if overlap > needs.max_overlap_fraction:
        return Judgement(
            "overlap",
            "hint",
            f"red cells lie on each other: {overlap:.0%} of them, better "
            f"{needs.max_overlap_fraction:.0%} or less: move to where they lie side by side",
        )
    return Judgement("overlap", "pass")
