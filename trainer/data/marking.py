"""How completely a frame is marked: cells that nobody marked are not background.

BCCD marks a part of its red cells only. Measured on its training split: the median frame leaves
34 % of its stained area outside of every box, 24 of 205 frames more than half, eight frames mark no
red cell at all; in TXL-PBC it is 0.4 %. Where single cells are left out, which ones follows a habit
(pale, cut by the edge, overlapped) that can be learnt and that the validation frames share. Where
most are left out, marked and unmarked cells look the same, and training would punish what is right:
in such frames the absence of a mark says nothing about red cells.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

NO_CELL = -1
"""Kind of the rows that fill up the truths of a frame to those of the fullest of its batch."""

UNMARKED = -2
"""Kind of a region, given as a box among the truths of a frame, in which a red cell without a mark
may still be one. It takes part in whatever is done to boxes, and no place answers for it."""

MOSTLY_UNMARKED = 0.5
"""Share of the stained area outside of all boxes from which a frame's red cells are taken to be
marked by chance."""

_SMOOTHING_PX = 2.0


def unmarked_share(pixels: NDArray[np.uint8], boxes: NDArray[np.floating]) -> float:
    """Share of the stained area of a frame that lies in no box, 0..1; 0 for an empty frame.

    Stained is what is darker in green than Otsu's threshold (Otsu 1979): haemoglobin and nuclei
    absorb green, plasma does not. ``pixels`` uint8 ``[H, W, 3]`` RGB; ``boxes`` ``[N, 4]`` x0, y0,
    x1, y1 in pixels.
    """
    green = cv2.GaussianBlur(np.ascontiguousarray(pixels[..., 1]), (0, 0), _SMOOTHING_PX)
    threshold, _ = cv2.threshold(green, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    stained = green <= threshold
    if stained.all() or not stained.any():
        return 0.0
    outside = stained.copy()
    for x0, y0, x1, y1 in np.clip(boxes, 0, None).astype(int):
        outside[y0 : y1 + 1, x0 : x1 + 1] = False
    return float(outside.sum() / stained.sum())


def with_unmarked_region(
    pixels: NDArray[np.uint8], boxes: NDArray[np.float32], kinds: NDArray[np.int8]
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """The truths of a frame; with one region :data:`UNMARKED` over all of it, if it needs one."""
    if unmarked_share(pixels, boxes) <= MOSTLY_UNMARKED:
        return boxes, kinds
    height, width = pixels.shape[:2]
    whole = np.array([[0, 0, width, height]], dtype=np.float32)
    return np.concatenate([boxes, whole]), np.append(kinds, np.int8(UNMARKED))
