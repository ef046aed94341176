"""Is a picture of one piece? Three marks of one that is not, each measured on real smears.

* **Left over**: a stripe equal to the byte to the same stripe of one of the last pictures, while
  the rest is new. The noise of a sensor makes no two stripes equal; a transfer that stopped half
  way leaves in the driver's buffer what lay there before, which is several pictures old.
* **Unfilled**: the rows at the bottom are of one value (the green of an empty YUV buffer, the grey
  of a JPEG that was cut short), while those above them are not.
* **Seam**: between two rows the picture changes far more than between the rows around. A lens
  spreads every edge over several rows, and JPEG's blocks are mild beside it; where two pictures
  meet, the step is one row sharp and as wide as the picture.

A border or an overlay that the camera draws looks like a seam, too. What stays at the same row in
``_PART_OF_THE_PICTURE`` pictures running belongs to the picture from then on.

Figures on real frames: ``python -m tests.edge_daemon.sources.torn_table``.
"""

from __future__ import annotations

import zlib
from collections import deque

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.sources.base import Pixels

_ROW_STEP = 4
"""Every fourth row is enough to tell pictures apart."""
_COLUMN_STEP = 4
_FLAT_STEP = 16
_REMEMBERED = 10
"""Pictures that a stripe may be left over from: V4L2 drivers have at most so many buffers."""
_LEFT_OVER_SHARE = 1 / 8
"""Of the height. JPEG at quality 40 made stripes of 1/9 equal on a still slide, noise 0.5."""
_UNFILLED_SHARE = 1 / 32
_NEARLY_BLACK, _NEARLY_WHITE = 8, 247
"""What is unfilled is neither: a dark rim and an overexposed field are, and are no fault."""
_SEAM_RATIO = 3.0
_SEAM_FLOOR = 0.5
"""Grey levels: below such steps there is nothing to see, and nothing to compare with."""
_PARTS, _PARTS_WITH_SEAM, _PART_RATIO = 8, 3, 1.5
"""Of the width: so many parts of eight must show the seam. Where glass meets glass, none does."""
_AROUND = (1, 2, 3, 8, 16)
"""Rows on both sides of a seam; 8 and 16 are where JPEG's blocks meet if they meet at the seam."""
_EDGE_ROWS = 4
_PART_OF_THE_PICTURE = 8

RowPrints = npt.NDArray[np.int64]
"""A checksum for every fourth row, ``[height / 4]``; -1 for a row of one value."""


def row_prints(picture: Pixels) -> RowPrints:
    """Tell the rows of a picture apart. A row of one value has no noise: it is evidence of nothing.

    Args:
        picture: RGB uint8 ``[height, width, 3]``.
    """
    rows = np.ascontiguousarray(picture[::_ROW_STEP])
    prints = np.array([zlib.crc32(row.data) for row in rows], np.int64)
    prints[_of_one_value(rows)] = -1
    return prints


class TornWatch:
    """Looks at the pictures of one camera in their order, and says what is torn about one."""

    def __init__(self) -> None:
        self._before: deque[RowPrints] = deque(maxlen=_REMEMBERED)
        self._seams: dict[int, int] = {}
        """Row -> in how many pictures running."""

    def look(self, picture: Pixels, prints: RowPrints, predicted: bool = False) -> str | None:
        """What is torn about the picture, or None.

        Args:
            picture: RGB uint8 ``[height, width, 3]``.
            prints: its :func:`row_prints`.
            predicted: it came as a change of those before it, so that its equal parts are no
                fault: an encoder sends nothing of what has not changed.
        """
        left_over = not predicted and self._left_over(prints)
        self._before.append(prints)
        seam = self._new_seam(picture)
        if left_over:
            return "a part is left over from a frame before (torn): check the USB cable"
        if _is_unfilled(picture):
            return "the lower part was not filled (torn): check the USB cable"
        if seam is not None:
            return f"parts of two frames meet at row {seam} (torn): check the USB cable"
        return None

    def _left_over(self, prints: RowPrints) -> bool:
        least = max(2, round(len(prints) * _LEFT_OVER_SHARE))
        for before in self._before:
            if len(before) != len(prints):
                continue
            equal = (before == prints) & (prints >= 0)
            # All equal is a frozen picture, which is for LivenessWatch to judge.
            if equal.any() and not equal.all() and _longest_run(equal) >= least:
                return bool((before != prints).any())
        return False

    def _new_seam(self, picture: Pixels) -> int | None:
        before = self._seams
        self._seams = {
            row: 1 + max(before.get(near, 0) for near in (row - 1, row, row + 1))
            for row in seam_rows(picture)
        }
        new = (row for row, times in self._seams.items() if times <= _PART_OF_THE_PICTURE)
        return next(new, None)


def seam_rows(picture: Pixels) -> list[int]:
    """The rows at which another picture seems to begin.

    Args:
        picture: RGB uint8 ``[height, width, 3]``.
    """
    green = np.ascontiguousarray(picture[:, ::_COLUMN_STEP, 1])
    if len(green) < 4 * _EDGE_ROWS:
        return []
    steps = np.asarray(cv2.absdiff(green[1:], green[:-1]), np.uint8)
    mean = np.asarray(cv2.reduce(steps, 1, cv2.REDUCE_AVG, dtype=cv2.CV_64F), np.float64)
    found = np.flatnonzero(_above_around(mean)[_EDGE_ROWS:-_EDGE_ROWS, 0] > _SEAM_RATIO)
    return [row + 1 for row in (found + _EDGE_ROWS).tolist() if _is_wide(steps, row)]


def _above_around(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Steps between rows against the largest of those around each, ``[rows, columns]``."""
    reach = min(_AROUND[-1], len(steps) - 1)
    padded = np.pad(steps, ((reach, reach), (0, 0)), mode="reflect")
    shifts = [sign * by for by in _AROUND if by <= reach for sign in (-1, 1)]
    around = np.max([padded[reach + by : reach + by + len(steps)] for by in shifts], axis=0)
    return np.asarray(steps / (around + _SEAM_FLOOR))


def _is_wide(steps: npt.NDArray[np.uint8], row: int) -> bool:
    """Not the sharp edge of one thing, such as dust on the sensor or a word that is drawn."""
    reach = 2 * _AROUND[-1]
    near = steps[max(0, row - reach) : row + reach + 1]
    parts = np.array_split(near, _PARTS, axis=1)
    means = np.stack([part.mean(axis=1) for part in parts if part.size], axis=1)
    ratios = _above_around(means)[min(row, reach)]
    return bool((ratios > _PART_RATIO).sum() >= _PARTS_WITH_SEAM)


def _is_unfilled(picture: Pixels) -> bool:
    rows = max(2, round(len(picture) * _UNFILLED_SHARE))
    bottom = picture[-rows:]
    value = bottom[-1, -1]
    if value.max() <= _NEARLY_BLACK or value.min() >= _NEARLY_WHITE:
        return False
    # Most pictures differ in the last row already: only then is the rest looked at.
    if not (bottom[-1] == value).all() or not (bottom == value).all():
        return False
    return not bool(_of_one_value(picture[: len(picture) // 4 : _ROW_STEP]).all())


def _of_one_value(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    sample = rows[:, ::_FLAT_STEP]
    return np.asarray((sample == sample[:, :1]).all(axis=(1, 2)))


def _longest_run(flags: npt.NDArray[np.bool_]) -> int:
    ends = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    return int((ends[1::2] - ends[::2]).max(initial=0))
