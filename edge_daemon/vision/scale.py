"""The scale of a frame, read from the red cells in it.

A camera that was never calibrated still carries a ruler: normal red cells on a dried film are
7.5 um wide, with little spread. The median over a field ignores clumps and fragments. It is an
estimate (a patient with microcytosis shifts it by 10-15 %), so a configured scale always wins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import RED_CELL_DIAMETER_UM

MIN_RED_CELLS = 3
"""Fewer whole red cells than this say too little about a frame's scale."""


def estimate_um_per_px(
    red_cell_boxes: NDArray[np.floating],
    frame_size: tuple[int, int] | None = None,
    *,
    min_cells: int = MIN_RED_CELLS,
    edge_px: float = 2.0,
) -> float | None:
    """Micrometres per pixel such that the median red cell measures ``RED_CELL_DIAMETER_UM``.

    ``red_cell_boxes``: float ``[N, 4]``, x0, y0, x1, y1 in pixels; empty boxes are ignored.
    ``frame_size``: ``(height, width)`` in pixels; when given, boxes within ``edge_px`` of the
    border are left out, because a cut cell looks smaller than it is. Returns ``None`` when fewer
    than ``min_cells`` whole cells remain.
    """
    boxes = np.asarray(red_cell_boxes, dtype=np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    keep = (sides > 0).all(axis=1)
    if frame_size is not None:
        height, width = frame_size
        keep &= (boxes[:, :2] > edge_px).all(axis=1)
        keep &= (boxes[:, 2] < width - edge_px) & (boxes[:, 3] < height - edge_px)
    if int(keep.sum()) < max(1, min_cells):
        return None
    median_px = float(np.median(np.sqrt(sides[keep].prod(axis=1))))
    return RED_CELL_DIAMETER_UM / median_px
