"""Crops of cells: the one way in which a cell is cut out of a frame for the classifier.

Training, verification and the daemon all call :func:`crop_cells`, so they see a cell at the same
size in micrometres: cell size tells a blast from a small lymphocyte and must survive the crop.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def crop_cells(
    frame: NDArray[np.uint8],
    boxes: NDArray[np.floating],
    um_per_px: float,
    crop_um: float,
    size: int,
) -> NDArray[np.uint8]:
    """Squares of ``crop_um`` around the centres of ``boxes``, resized to ``size`` pixels.

    ``frame``: uint8 ``[H, W, 3]``, RGB, at ``um_per_px``; ``boxes``: float ``[N, 4]``, x0, y0, x1,
    y1 in its pixels. Returns uint8 ``[N, size, size, 3]``; where a square leaves the frame the
    frame's edge is repeated. Shrinks by area, enlarges bilinearly. Raises ``ValueError`` for a
    frame, scale or size that is not one.
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.size == 0 or frame.dtype != np.uint8:
        raise ValueError(f"frame must be uint8 [H, W, 3], not {frame.dtype} {frame.shape}")
    if not (um_per_px > 0 and crop_um > 0 and size > 0):
        raise ValueError("um_per_px, crop_um and size must be positive")
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    crops = np.empty((len(boxes), size, size, 3), np.uint8)
    for crop, box in zip(crops, boxes, strict=True):
        left, top, side_px = square_around(box, um_per_px, crop_um)
        crop[:] = _resized(_square(frame, left, top, side_px), size)
    return crops


def square_around(
    box: NDArray[np.floating], um_per_px: float, crop_um: float
) -> tuple[int, int, int]:
    """Left, top and side, in pixels of the frame, of the square that a crop shows.

    ``box``: float ``[4]``, x0, y0, x1, y1. The square may leave the frame.
    """
    x0, y0, x1, y1 = (float(edge) for edge in box)
    side_px = max(1, round(crop_um / um_per_px))
    return round((x0 + x1 - side_px) / 2), round((y0 + y1 - side_px) / 2), side_px


def _square(frame: NDArray[np.uint8], left: int, top: int, side_px: int) -> NDArray[np.uint8]:
    height, width = frame.shape[:2]
    if left >= 0 and top >= 0 and left + side_px <= width and top + side_px <= height:
        return frame[top : top + side_px, left : left + side_px]
    # Of a box that lies outside the frame, the edge next to it is repeated all over.
    top, left = (
        min(max(first, 1 - side_px), length - 1) for first, length in ((top, height), (left, width))
    )
    inside = frame[max(top, 0) : top + side_px, max(left, 0) : left + side_px]
    above, before = max(-top, 0), max(-left, 0)
    below, behind = (side_px - above - inside.shape[0], side_px - before - inside.shape[1])
    square = cv2.copyMakeBorder(inside, above, below, before, behind, cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8)


def _resized(square: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    interpolation = cv2.INTER_AREA if square.shape[0] > size else cv2.INTER_LINEAR
    resized = cv2.resize(square, (size, size), interpolation=interpolation)
    return np.asarray(resized, np.uint8)
