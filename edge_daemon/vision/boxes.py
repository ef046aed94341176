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


def one_to_one(overlap: Boxes, above: float) -> dict[int, int]:
    """Pairs of rows and columns of ``[N, M]`` that overlap more than ``above``, best first."""
    rows, columns = np.nonzero(overlap > above)
    return best_first(rows, columns, overlap[rows, columns])


def best_first(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], overlap: npt.NDArray[np.floating]
) -> dict[int, int]:
    """Of pairs that overlap, ``[P]`` each: which row is which column, each in one pair at most."""
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for at in np.argsort(-overlap, kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return matched


_MOST_SQUARES = 256
"""Of the grid in a row, at most."""


def touching(a: Boxes, b: Boxes) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Every pair of boxes, of ``a`` ``[N, 4]`` and ``b`` ``[M, 4]``, that share some area.

    Sorted by the number in ``a``, then by that in ``b``. Cells of a frame lie beside each other, so
    only those in neighbouring squares of a grid are compared: 1,000 boxes with 1,000 take a
    millisecond or two, where all pairs would take a hundred.
    """
    if not len(a) or not len(b):
        return np.empty(0, np.intp), np.empty(0, np.intp)
    low, high = np.minimum(a.min(0), b.min(0))[:2], np.maximum(a.max(0), b.max(0))[2:]
    # As large as the largest box: what touches it has its corner in the same square, or beside.
    square = max(float((boxes[:, 2:] - boxes[:, :2]).max()) for boxes in (a, b))
    square = max(square, float((high - low).max()) / _MOST_SQUARES) or 1.0
    at_a, at_b = (((boxes[:, :2] - low) // square).astype(np.int64) + 1 for boxes in (a, b))
    across, down = np.maximum(at_a.max(0), at_b.max(0)) + 2
    key_a, key_b = (at[:, 1] * across + at[:, 0] for at in (at_a, at_b))
    order = np.argsort(key_b, kind="stable")
    start = np.zeros(across * down + 1, np.intp)
    np.cumsum(np.bincount(key_b, minlength=across * down), out=start[1:])
    keys = np.concatenate([key_a + step * across for step in (-1, 0, 1)])
    first = start[keys - 1]
    number = start[keys + 2] - first
    rows = np.repeat(np.tile(np.arange(len(a)), 3), number)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(number) - number, number)
    columns = order[np.repeat(first, number) + within]
    least = np.maximum(a[rows, :2], b[columns, :2])
    most = np.minimum(a[rows, 2:], b[columns, 2:])
    shared = (least[:, 0] < most[:, 0]) & (least[:, 1] < most[:, 1])
    rows, columns = rows[shared], columns[shared]
    by_number = np.argsort(rows * len(b) + columns)
    return rows[by_number], columns[by_number]
