"""A slide's background laid out of real frames: healed, brought to one scale and one stain.

A virtual slide is larger than any published frame, so frames lie side by side on a grid, each on
its neighbours' edges by a narrow blended seam. A window of the slide is put together from the tiles
under it, in fixed order: the same window always shows the same pixels. A limited number of frames
is prepared (some 40 MB) and laid in changing order and orientation.

No two places of a slide look alike, and registration goes by that. So every tile lies in each of
its orientations (four, or eight where tiles are square) before one lies again: the frames of a
published split are enough for a scan of 200 fields.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.errors import DataError
from edge_daemon.smear.annotated_frames import AnnotatedFrame, list_annotated, read_annotated
from edge_daemon.smear.composite import WRIGHT_GIEMSA, Stain, stain_of_nuclei
from edge_daemon.smear.healing import Light, healed, light_of, relit, shows_nucleus
from edge_daemon.smear.sprite import Picture
from edge_daemon.vision.scale import estimate_um_per_px

TILES = 80
"""Frames that are prepared for one slide, about 1 MB each: nearly all of a published split, so that
one odd frame does not show again and again."""
_SEAM_UM = 1.5
_NEARLY_SQUARE = 0.9
"""Tiles whose sides differ by less are cut square: they can then be laid in eight orientations."""
_COVER_PX = 8
_COVERED = 0.35
"""A pixel with more than this share of the red cells' green density is covered by a cell."""


@dataclass(frozen=True, eq=False)
class _Candidate:
    frame: AnnotatedFrame
    healed: Picture
    light: Light
    um_per_px: float


class Mosaic:
    """Endless background from the annotated frames of one folder, at ``um_per_px``.

    Attributes:
        stain: colour of the white cells' nuclei in the reference frame, for cells put on top.
    """

    def __init__(self, folder: Path, seed: int, um_per_px: float, width_um: float) -> None:
        """Read and prepare the frames for a slide ``width_um`` wide.

        Raises:
            DataError: no usable frame in ``folder``.
        """
        self._um_per_px = um_per_px
        rng = np.random.default_rng([seed, 20])
        candidates = _candidates(folder, rng)
        reference = candidates[0]
        self.stain: Stain = (
            stain_of_nuclei(reference.frame.pixels, reference.frame.boxes["wbc"]) or WRIGHT_GIEMSA
        )
        self._seam_px = max(2, round(_SEAM_UM / um_per_px))
        extents = np.array(
            [np.array(c.frame.pixels.shape[:2]) * c.um_per_px / um_per_px for c in candidates]
        )
        # most frames must be large enough; those that are not are left out
        self._tile_h, self._tile_w = (int(v) for v in np.quantile(extents, 0.15, axis=0) - 1)
        if min(self._tile_h, self._tile_w) > _NEARLY_SQUARE * max(self._tile_h, self._tile_w):
            self._tile_h = self._tile_w = min(self._tile_h, self._tile_w)
        fitting = [
            candidate
            for candidate, (height, width) in zip(candidates, extents, strict=True)
            if height >= self._tile_h and width >= self._tile_w
        ]
        self._tiles = [self._tile(rng, candidate, reference.light) for candidate in fitting]
        self._columns = ceil(width_um / um_per_px / (self._tile_w - self._seam_px)) + 2
        self._turns = 8 if self._tile_w == self._tile_h else 4
        order = np.random.default_rng([seed, 21])
        self._order = order.permutation(self._turns * len(self._tiles))
        self._covers = [_cover(tile, reference.light) for tile in self._tiles]

    def window(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Picture:
        """The background of a window of the slide, uint8 RGB, a fresh picture."""
        canvas = np.empty((height_px, width_px, 3), np.uint8)
        step_x, step_y = self._tile_w - self._seam_px, self._tile_h - self._seam_px
        # one tile more to the left and above: its edge reaches under the first ones
        for row in range(y_px // step_y - 1, (y_px + height_px - 1) // step_y + 1):
            for column in range(x_px // step_x - 1, (x_px + width_px - 1) // step_x + 1):
                left, top = column * step_x - x_px, row * step_y - y_px
                self._lay(canvas, self._placed(row, column), left, top)
        return canvas

    def crowding(self, x_px: int, y_px: int, radius_px: int) -> float:
        """Share 0..1 of the box around a place that cells of the background cover."""
        step_x, step_y = self._tile_w - self._seam_px, self._tile_h - self._seam_px
        column, row = x_px // step_x, y_px // step_y
        cover = self._placed(row, column, covers=True)
        left, top = (x_px - column * step_x) // _COVER_PX, (y_px - row * step_y) // _COVER_PX
        reach = max(1, radius_px // _COVER_PX)
        inside = cover[
            max(0, top - reach) : top + reach + 1, max(0, left - reach) : left + reach + 1
        ]
        return float(inside.mean()) if inside.size else 1.0

    def _tile(self, rng: np.random.Generator, candidate: _Candidate, wanted: Light) -> Picture:
        """One frame healed, restained, scaled, and cut to the common size at a random place."""
        pixels = relit(candidate.healed, candidate.light, wanted)
        scale = candidate.um_per_px / self._um_per_px
        size = (
            max(self._tile_w, round(pixels.shape[1] * scale)),
            max(self._tile_h, round(pixels.shape[0] * scale)),
        )
        way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=way), np.uint8)
        left = int(rng.integers(size[0] - self._tile_w + 1))
        top = int(rng.integers(size[1] - self._tile_h + 1))
        return np.array(pixels[top : top + self._tile_h, left : left + self._tile_w], np.uint8)

    def _placed(self, row: int, column: int, *, covers: bool = False) -> npt.NDArray[np.uint8]:
        """The tile at a place of the grid, as it is turned there; or the map of its cells."""
        # one more than the slide has on either side: a window may begin left of it
        place = (row + 1) * self._columns + column + 1
        which, turn = divmod(int(self._order[place % len(self._order)]), self._turns)
        tile = self._covers[which] if covers else self._tiles[which]
        if turn & 4:
            tile = tile.swapaxes(0, 1)
        return tile[:: -1 if turn & 1 else 1, :: -1 if turn & 2 else 1]

    def _lay(self, canvas: Picture, tile: Picture, left: int, top: int) -> None:
        """Put a tile on the canvas; its left and upper edges fade in over what lies there."""
        height, width = canvas.shape[:2]
        x0, y0 = max(left, 0), max(top, 0)
        x1, y1 = min(left + self._tile_w, width), min(top + self._tile_h, height)
        if x0 >= x1 or y0 >= y1:
            return
        rows = np.clip((np.arange(y0, y1) - top + 0.5) / self._seam_px, 0, 1)
        columns = np.clip((np.arange(x0, x1) - left + 0.5) / self._seam_px, 0, 1)
        part = tile[y0 - top : y1 - top, x0 - left : x1 - left]
        place = canvas[y0:y1, x0:x1]
        fading_rows = int(np.count_nonzero(rows < 1))
        fading_columns = int(np.count_nonzero(columns < 1))
        place[fading_rows:, fading_columns:] = part[fading_rows:, fading_columns:]
        for band in (np.s_[:fading_rows, :], np.s_[fading_rows:, :fading_columns]):
            if place[band].size:
                weight = (rows[band[0], None] * columns[None, band[1]])[..., None]
                under = place[band].astype(np.float32)
                place[band] = (under + weight * (part[band] - under) + 0.5).astype(np.uint8)


def _candidates(folder: Path, rng: np.random.Generator) -> list[_Candidate]:
    """Up to ``TILES`` frames with a ruler, measurable light, and no white cell left over."""
    pairs = list_annotated(folder)
    found: list[_Candidate] = []
    for index in rng.permutation(len(pairs)):
        frame = read_annotated(*pairs[int(index)])
        light = light_of(frame)
        um_per_px = estimate_um_per_px(frame.boxes["rbc"], frame.pixels.shape[:2])
        if light is None or um_per_px is None:
            continue
        clean = healed(frame, light)
        if not shows_nucleus(clean, um_per_px, light):
            found.append(_Candidate(frame, clean, light, um_per_px))
        if len(found) == TILES:
            break
    if not found:
        raise DataError(
            f"{folder}: none of its {len(pairs)} frames can be background: each needs three whole "
            "red cells annotated, some plasma, and annotations of all its white cells"
        )
    return found


def _cover(tile: Picture, light: Light) -> npt.NDArray[np.uint8]:
    """Coarse map, one value for ``_COVER_PX`` squared pixels: 1 where a cell lies."""
    size = (-(-tile.shape[1] // _COVER_PX), -(-tile.shape[0] // _COVER_PX))
    green = cv2.resize(tile[..., 1], size, interpolation=cv2.INTER_AREA).astype(np.float32)
    density = np.log(light.plasma[1] / np.maximum(green, 1))
    return np.asarray(density > _COVERED * light.red_cell[1], np.uint8)
