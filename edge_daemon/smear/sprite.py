"""A cell as light sees it: what its pixels let through and what they add.

One formula paints drawn cells and cut-out photographs alike:

    canvas = canvas * gain / 255 + body

A drawn cell absorbs (``gain`` is its transmittance, ``body`` almost nothing), so overlapping red
cells darken as they do under the microscope (Beer-Lambert). A photographed cell covers (``gain``
is one minus its alpha, ``body`` its colour times alpha). Both are uint8, because a field paints
some thirty of them and has a few milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Picture: TypeAlias = npt.NDArray[np.uint8]
"""RGB picture, uint8 ``[height, width, 3]``."""


@dataclass(frozen=True, eq=False)
class Sprite:
    """One cell, ready to be painted; its anchor is the middle of the picture.

    Attributes:
        gain: uint8 ``[h, w, 3]``, 255 lets everything through.
        body: uint8 ``[h, w, 3]``, light added.
        mask: bool ``[h, w]``, the pixels that belong to the cell: its truth.
    """

    gain: Picture
    body: Picture
    mask: npt.NDArray[np.bool_]

    @cached_property
    def extent(self) -> tuple[int, int, int, int]:
        """Tight box ``x0, y0, x1, y1`` of the mask, in px from the sprite's corner, ends open."""
        return mask_extent(self.mask)

    @cached_property
    def area_px(self) -> int:
        """Pixels that belong to the cell."""
        return int(np.count_nonzero(self.mask))

    def oriented(self, orientation: int) -> Sprite:
        """The sprite turned by quarter turns and mirrored: ``orientation`` is 0..7.

        Transmitted light has no direction, so all eight look equally real.
        """
        turns, mirror = orientation % 4, orientation // 4 % 2

        def turn(pixels: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
            turned = np.rot90(pixels, turns)
            return np.ascontiguousarray(turned[:, ::-1] if mirror else turned)

        return Sprite(
            np.asarray(turn(self.gain), np.uint8),
            np.asarray(turn(self.body), np.uint8),
            np.asarray(turn(self.mask), np.bool_),
        )

    def trimmed(self) -> Sprite:
        """The sprite without its empty margin, the anchor staying where it is on the cell."""
        acts = (self.gain < 255).any(axis=2) | self.body.any(axis=2) | self.mask
        x0, y0, x1, y1 = mask_extent(acts)
        height, width = self.mask.shape
        dx, dy = min(x0, width - x1), min(y0, height - y1)
        window = np.s_[dy : height - dy, dx : width - dx]
        return Sprite(self.gain[window].copy(), self.body[window].copy(), self.mask[window].copy())

    def corner_px(self, x_px: int, y_px: int) -> tuple[int, int]:
        """Top left corner of the sprite when its anchor stands at ``x_px, y_px``."""
        height, width = self.mask.shape
        return x_px - width // 2, y_px - height // 2

    def seen_in(
        self, x_px: int, y_px: int, width_px: int, height_px: int
    ) -> tuple[tuple[int, int, int, int], float] | None:
        """What a picture of ``width_px`` by ``height_px`` shows of a cell anchored at a pixel.

        Returns the tight box of the visible part, in px of the picture, and the visible share
        (0..1] of the cell's area; None when nothing of it is inside.
        """
        left, top = self.corner_px(x_px, y_px)
        x0, y0, x1, y1 = self.extent
        if left + x0 >= 0 and top + y0 >= 0 and left + x1 <= width_px and top + y1 <= height_px:
            return (left + x0, top + y0, left + x1, top + y1), 1.0
        rows = slice(max(0, -top), max(0, height_px - top))
        columns = slice(max(0, -left), max(0, width_px - left))
        inside = self.mask[rows, columns]
        area = int(np.count_nonzero(inside))
        if not area:
            return None
        x0, y0, x1, y1 = mask_extent(inside)
        dx, dy = left + columns.start, top + rows.start
        return (x0 + dx, y0 + dy, x1 + dx, y1 + dy), area / self.area_px

    def paint(self, canvas: Picture, x_px: int, y_px: int) -> None:
        """Paint onto ``canvas`` in place, anchor at ``x_px, y_px``; what lies outside is cut."""
        left, top = self.corner_px(x_px, y_px)
        height, width = self.mask.shape
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + width, canvas.shape[1]), min(top + height, canvas.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        there = (slice(y0, y1), slice(x0, x1))
        here = (slice(y0 - top, y1 - top), slice(x0 - left, x1 - left))
        lit = cv2.multiply(canvas[there], self.gain[here], scale=1 / 255)
        canvas[there] = cv2.add(lit, self.body[here])


def mask_extent(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Tight box ``x0, y0, x1, y1`` (ends open) of the true pixels; zeros for an empty mask."""
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(columns):
        return 0, 0, 0, 0
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
