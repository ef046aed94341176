"""A published picture of a cell, and the classifier's own crop cut out of it once more.

The device cuts the classifier's crop and the picture that it publishes out of the same frame, the
one by the scale, the other by the box. Where the frame's result is here it says where the picture
lay, so the crop is cut at the same place, by the same code. What is lost is what JPEG takes, and
what of the crop lies beyond the picture: there its edge is repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploy.dashboard.attribution.errors import AttributionError
from deploy.dashboard.attribution.occlusion import Rectangle
from deploy.dashboard.queries.pictured import Box, Pictured
from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.errors import FrameReadError
from edge_daemon.look import NUCLEATED_CELL_UM
from edge_daemon.sources.reading import ReadingRules, decode_picture
from edge_daemon.vision.crops import crop_cells, square_around
from edge_daemon.vision.pictures import MARGIN, shown_around

_RULES = ReadingRules(max_pixels=4_000_000)
"""A device sends 64 kB at most: no cell has more pixels."""
_OFF_PX = 2.0
"""By how many pixels the sides of a picture may differ from what the box asks for."""


@dataclass(frozen=True, eq=False)
class Seen:
    """What the classifier saw, as far as the picture shows it."""

    picture: npt.NDArray[np.uint8]
    """RGB ``[h, w, 3]``."""
    crop: npt.NDArray[np.uint8]
    """RGB ``[size, size, 3]``: what the classifier is given."""
    left: int
    """Where the crop's square lies in the picture, in its pixels; it may leave it."""
    top: int
    side: int
    placed: bool
    """False: the frame is not here, and the cell is taken to lie in the middle."""

    @property
    def shown(self) -> Rectangle:
        """The part of the crop that the picture shows, in pixels of the crop."""
        height, width = (int(side) for side in self.picture.shape[:2])
        size = int(self.crop.shape[0])

        def on_crop(px: int, first: int) -> float:
            return min(max((px - first) / self.side, 0.0), 1.0) * size

        return (
            math.floor(on_crop(0, self.left)),
            math.floor(on_crop(0, self.top)),
            math.ceil(on_crop(width, self.left)),
            math.ceil(on_crop(height, self.top)),
        )

    @property
    def share_shown(self) -> float:
        """The same as a share of the crop, 0 to 1."""
        x0, y0, x1, y1 = self.shown
        return max(0, x1 - x0) * max(0, y1 - y0) / int(self.crop.shape[0]) ** 2


def seen(told: Pictured, role: ClassifierRole) -> Seen:
    """Cut the crop of ``role`` out of a picture.

    Raises:
        AttributionError: it cannot be read, or is not what a device shows around that box.
    """
    try:
        picture = decode_picture(told.jpeg, "the picture of this cell", _RULES)
    except FrameReadError:
        raise AttributionError("the picture of this cell cannot be read: it came damaged") from None
    height, width = picture.shape[:2]
    box, shrunk = _box_in(told, width, height)
    um_per_px = _um_per_px(told, box, shrunk)
    x, y, w, h = box
    edges = np.array([x, y, x + w, y + h])
    left, top, side = square_around(edges, um_per_px, role.crop_um)
    if side > 8 * max(width, height) or side < 8:
        raise AttributionError(
            f"at {um_per_px:.3g} um per pixel the picture of this cell shows nothing that the "
            "classifier could look at: the scale that the device told is wrong"
        )
    crop = crop_cells(picture, edges[None], um_per_px, role.crop_um, role.size)[0]
    return Seen(picture, crop, left, top, side, placed=told.place is not None)


def _box_in(told: Pictured, width: int, height: int) -> tuple[Box, float]:
    """The cell's box in pixels of the picture, and how many of those a pixel of the frame has."""
    if told.place is None:
        w, h = width / (1 + 2 * MARGIN), height / (1 + 2 * MARGIN)
        return ((width - w) / 2, (height - h) / 2, w, h), 1.0
    x, y, w, h = told.place.box
    x0, y0, x1, y1 = shown_around(told.place.box, told.place.width, told.place.height)
    if x1 <= x0 or y1 <= y0:
        raise AttributionError("the box of this cell lies outside its frame: nothing is shown")
    shrunk = width / (x1 - x0)
    if abs(shrunk * (y1 - y0) - height) > _OFF_PX or shrunk > 1 + _OFF_PX / (x1 - x0):
        raise AttributionError(
            f"the picture of this cell has {width} x {height} pixels, its box in frame "
            f"{told.frame} asks for {x1 - x0} x {y1 - y0}: another program cut it"
        )
    return (shrunk * (x - x0), shrunk * (y - y0), shrunk * w, shrunk * h), shrunk


def _um_per_px(told: Pictured, box: Box, shrunk: float) -> float:
    """The picture's scale; where the device knew none, the one that it assumed."""
    if told.um_per_px is not None:
        return told.um_per_px / shrunk
    boxes = [box] if told.place is None else list(told.place.nucleated)
    across = float(np.median([math.sqrt(w * h) for _, _, w, h in boxes]))
    if told.place is not None:
        across *= shrunk
    return NUCLEATED_CELL_UM / max(across, 1.0)
