"""A picture of a cell for a person to look at, with what lies around it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

MARGIN = 0.35
"""What is shown around a cell, in widths of its box: its neighbours give the scale."""


def picture_of(
    box: tuple[float, float, float, float], pixels: npt.NDArray[np.uint8], most_bytes: int
) -> bytes:
    """JPEG of a cell and its surroundings, at the camera's resolution where there is room for it.

    Args:
        box: x, y, width and height in pixels of the frame.
        pixels: the frame, RGB uint8 ``[h, w, 3]``.
        most_bytes: the picture is compressed, then made smaller, until it has no more.
    """
    height, width = pixels.shape[:2]
    x0, y0, x1, y1 = shown_around(box, width, height)
    picture: npt.NDArray[Any] = cv2.cvtColor(pixels[y0:y1, x0:x1], cv2.COLOR_RGB2BGR)
    for quality in (90, 75, 60):
        jpeg = _jpeg(picture, quality)
        if len(jpeg) <= most_bytes:
            return jpeg
    scale = (0.7 * most_bytes / len(jpeg)) ** 0.5
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return _jpeg(small, 60)


def shown_around(
    box: tuple[float, float, float, float], width: int, height: int
) -> tuple[int, int, int, int]:
    """What of a frame of that size the picture of a cell shows: x0, y0, x1, y1, ends open."""
    x, y, w, h = box
    margin = MARGIN * max(w, h)
    x0, y0 = max(0, int(x - margin)), max(0, int(y - margin))
    return x0, y0, min(width, int(x + w + margin) + 1), min(height, int(y + h + margin) + 1)


def _jpeg(picture: npt.NDArray[Any], quality: int) -> bytes:
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
