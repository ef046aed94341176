"""Arithmetic on boxes: x0, y0, x1, y1 in the last axis, any leading shape, ends open."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Boxes = npt.NDArray[Any]

Rectangle: TypeAlias = npt.NDArray[np.float64]
"""float64 ``[4]``: x0, y0, x1, y1, of a frame or a cell in pixels of its island."""


def area(boxes: Boxes) -> npt.NDArray[Any]:
    """Area of each box."""
    result: npt.NDArray[Any] = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    return result


def clip(boxes: Boxes, frames: Boxes) -> Boxes:
    """The part of each box inside its frame; of no area where there is none. Shapes broadcast."""
    low = np.maximum(boxes[..., :2], frames[..., :2])
    high = np.minimum(boxes[..., 2:], frames[..., 2:])
    return np.concatenate([low, np.maximum(low, high)], axis=-1)


def iou(a: Boxes, b: Boxes) -> npt.NDArray[Any]:
    """Intersection over union; 0 where both are empty. Shapes broadcast."""
    inter = np.clip(
        np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None
    ).prod(-1)
    result: npt.NDArray[Any] = inter / np.maximum(area(a) + area(b) - inter, 1e-9)
    return result
