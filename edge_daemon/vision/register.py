"""Where two frames show the same place: the shift between them, found in the pictures.

Red cells all look alike, so two tests must agree before a shift is believed:

* the *pictures* correlate in the overlap. A small overlap correlates well by chance (0.85 with 8 %
  of the frame in common, the best of a thousand pairs of different fields), so correlation and
  overlap are judged together: Fisher's z of the correlation times the root of the overlap, as the
  significance of a correlation grows with its samples. Different fields stayed below 0.56;
* the *cells* in the overlap are the same cells: a single red cell laid over another correlates
  too, but three cells and more are not arranged alike in two places.

A shift nobody can prove is not reported: the caller then knows that the position is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.vision.boxes import area, clip, iou, touching
from edge_daemon.vision.sketch import Sketch, correlation, shifts_of

Shift: TypeAlias = tuple[float, float]
"""``(dx, dy)`` in pixels of the frame: where the second frame's corner lies in the first."""

THUMB_SIDE_PX = 192
"""Longer side of the pictures that are correlated: a red cell stays some 25 px wide."""
MIN_OVERLAP = 0.08
"""Share of the frame that must be common to two frames before a shift can be proven."""
SAME_CELLS = 3
"""Fewest cells that both frames must show alike in the overlap; two do if there are no others."""
SAME_CELL_SHARE = 0.6
"""Share of the cells in the overlap that both frames must show alike."""
SIGNIFICANCE = 0.6
"""Fisher's z times the root of the overlap that proves a shift among all possible shifts."""
EXPECTED_SIGNIFICANCE = 0.35
"""The same for a shift close to where it was expected: few alternatives, little chance."""
_PROPOSALS = 4
_SAME_BOX_IOU = 0.5
_LEAST_STRUCTURE = 1.0  # grey levels; empty glass with sensor noise has less after shrinking


@dataclass(frozen=True, eq=False)
class View:
    """What registration keeps of a frame of ``width`` by ``height`` pixels.

    ``thumb``: float32 ``[h, w]``, a small picture without its slow changes of brightness;
    ``px_per_thumb``: frame pixels per thumb pixel. ``boxes``: float32 ``[N, 4]``, its cells.
    """

    width: int
    height: int
    thumb: npt.NDArray[np.float32]
    px_per_thumb: float
    boxes: npt.NDArray[np.float32]

    @cached_property
    def quarter(self) -> Sketch:
        """The thumb at a quarter of its size, for a look at many others (80 kB)."""
        return Sketch.of(_shrunk(self.thumb, 4), np.float32)


@dataclass(frozen=True)
class Match:
    """A proven shift, with the share of the frame in common and the correlation there."""

    shift: Shift
    overlap: float
    correlation: float

    @property
    def significance(self) -> float:
        """How far from chance: Fisher's z of the correlation, times the root of the overlap."""
        return float(np.arctanh(np.clip(self.correlation, -1, 0.999)) * np.sqrt(self.overlap))


def view_of(pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32]) -> View:
    """Reduce a frame (RGB uint8 ``[h, w, 3]``) and its cells to what registration needs."""
    height, width = pixels.shape[:2]
    scale = min(1.0, THUMB_SIDE_PX / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Green: haemoglobin and nuclei both absorb there, the background does not.
    green = cv2.resize(np.ascontiguousarray(pixels[:, :, 1]), size, interpolation=cv2.INTER_AREA)
    picture = green.astype(np.float32)
    # Illumination belongs to the microscope, not to the slide: it must not correlate.
    picture -= cv2.GaussianBlur(picture, (0, 0), size[0] / 16)
    return View(width, height, picture, width / size[0], boxes)


def find(first: View, second: View) -> Match | None:
    """The shift between two frames of one size, or None when none can be proven."""
    if (first.width, first.height) != (second.width, second.height):
        return None
    reach_px = 2 * first.px_per_thumb
    candidates = _correlated(first, second, _proposals(first, second), reach_px)
    # The most significant one that the cells bear out: they are compared last, which costs most.
    for found in sorted(candidates, key=lambda found: -found.significance):
        if found.significance < SIGNIFICANCE:
            break
        if _same_cells(first, second, found.shift):
            return found
    return None


def confirm(first: View, second: View, expected: Shift) -> Match | None:
    """Like :func:`find`, but only near a shift that a stage or known positions tell: cheap."""
    if (first.width, first.height) != (second.width, second.height):
        return None
    for found in _correlated(first, second, [expected], reach_px=0.06 * first.width):
        return found if found.significance >= EXPECTED_SIGNIFICANCE else None
    return None


def choose(first: View, second: View, steps: Iterable[Shift]) -> Match | None:
    """The one of a few ``steps`` that the pictures bear out best, where :func:`find` proves none.

    For fields with too few cells to prove a shift from nothing, in a scan whose steps are known.
    Whatever cells the overlap holds must agree.
    """
    if (first.width, first.height) != (second.width, second.height):
        return None
    candidates = [
        found
        for found in _correlated(first, second, steps, reach_px=0.06 * first.width)
        if found.significance >= EXPECTED_SIGNIFICANCE
        and _same_cells(first, second, found.shift, least=1)
    ]
    return max(candidates, key=lambda found: found.significance, default=None)


def likeness(first: View, second: View) -> float:
    """How likely it is that two frames show one place, at a glance (0.1 ms): higher is likelier.

    The best significance of all shifts, at a quarter of the thumb's size. Of some 200 frames of a
    composited slide, one with a fifth or more in common came out first in 98 %, among the first
    five always. It proves nothing: :func:`find` does.
    """
    if (first.width, first.height) != (second.width, second.height):
        return -1.0
    share = shifts_of(*first.quarter.shape).share
    significance = correlation(first.quarter, second.quarter) * np.sqrt(share)
    return float(significance[share >= MIN_OVERLAP].max())


def overlap_of(shift: Shift, width: int, height: int) -> float:
    """Share of a frame that two frames at ``shift`` have in common, 0 to 1."""
    common_x = max(0.0, width - abs(shift[0]))
    common_y = max(0.0, height - abs(shift[1]))
    return common_x * common_y / (width * height)


def _same_cells(first: View, second: View, shift: Shift, least: int = SAME_CELLS) -> bool:
    """Whether the two frames show the same cells where they overlap, and ``least`` of them.

    One cell less will do where the overlap holds no other.
    """
    offset = np.array([*shift, *shift], np.float32)
    size = np.array([0, 0, first.width, first.height], np.float32)
    common = clip(size, size + offset)
    here, there = (_mostly_inside(boxes, common) for boxes in (first.boxes, second.boxes + offset))
    one, other = touching(here, there)
    same = iou(here[one], there[other]) > _SAME_BOX_IOU
    shared = min(len(np.unique(one[same])), len(np.unique(other[same])))
    mean = (len(here) + len(there)) / 2
    if mean < least:
        return shared == mean == max(1, least - 1)
    return shared >= max(least, SAME_CELL_SHARE * mean)  # the share is Dice's coefficient


def _mostly_inside(
    boxes: npt.NDArray[np.float32], frame: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Boxes cut at ``frame``, without those of which less than a third is left."""
    inside = clip(boxes, frame)
    kept: npt.NDArray[np.float32] = inside[area(inside) > area(boxes) / 3]
    return kept


def _correlated(
    first: View, second: View, shifts: Iterable[Shift], reach_px: float
) -> Iterator[Match]:
    """The best-correlated shift within ``reach_px`` of each of ``shifts``."""
    for shift in shifts:
        found = _correlate(first, second, shift, reach_px)
        if found is not None:
            yield found


def _correlate(first: View, second: View, shift: Shift, reach_px: float) -> Match | None:
    """Slide the overlap of ``second`` over ``first`` around ``shift``."""
    unit = first.px_per_thumb
    height, width = first.thumb.shape
    reach = max(1, round(reach_px / unit))
    dx, dy = round(shift[0] / unit), round(shift[1] / unit)
    # The template is the part of `second` that stays inside `first` at every tried position.
    x0, x1 = max(0, reach - dx), min(width, width - dx - reach)
    y0, y1 = max(0, reach - dy), min(height, height - dy - reach)
    if (x1 - x0) * (y1 - y0) < MIN_OVERLAP / 2 * width * height or min(x1 - x0, y1 - y0) < 8:
        return None
    template = second.thumb[y0:y1, x0:x1]
    if template.std() < _LEAST_STRUCTURE:
        return None
    window = first.thumb[y0 + dy - reach : y1 + dy + reach, x0 + dx - reach : x1 + dx + reach]
    response = cv2.matchTemplate(window, template, cv2.TM_CCOEFF_NORMED)
    _, peak, _, (px, py) = cv2.minMaxLoc(response)
    if not np.isfinite(peak):
        return None
    fine_x = px + _vertex(response[py, :], px)
    fine_y = py + _vertex(response[:, px], py)
    found = ((dx - reach + fine_x) * unit, (dy - reach + fine_y) * unit)
    return Match(found, overlap_of(found, first.width, first.height), float(peak))


def _vertex(values: npt.NDArray[Any], at: int) -> float:
    """Offset in [-0.5, 0.5] of the vertex of the parabola through a peak and its neighbours."""
    if at == 0 or at == len(values) - 1:
        return 0.0
    left, middle, right = (float(v) for v in values[at - 1 : at + 2])
    curvature = left - 2 * middle + right
    return 0.0 if curvature >= 0 else float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _proposals(first: View, second: View) -> list[Shift]:
    """The most significant shifts of all possible ones, by correlating half-size thumbs."""
    one, other = _half(first), _half(second)
    shifts = shifts_of(*one.shape)
    found = correlation(one, other)
    score = np.full(found.shape, -1.0)
    possible = (found > 0) & (shifts.share >= MIN_OVERLAP)
    certain = np.minimum(found[possible], 0.999)
    score[possible] = np.arctanh(certain) * np.sqrt(shifts.share[possible])
    unit = 2 * first.px_per_thumb
    proposals: list[Shift] = []
    for _ in range(_PROPOSALS):
        y, x = np.unravel_index(int(np.argmax(score)), score.shape)
        proposals.append((float(shifts.x[x]) * unit, float(shifts.y[y]) * unit))
        score[max(0, y - 3) : y + 4, max(0, x - 3) : x + 4] = -1.0
    return proposals


@lru_cache(maxsize=4)  # the latest frame is held against the one before it and the one after it
def _half(view: View) -> Sketch:
    """The thumb at half its size (650 kB)."""
    return Sketch.of(_shrunk(view.thumb, 2))


def _shrunk(thumb: npt.NDArray[np.float32], by: int) -> npt.NDArray[np.float32]:
    size = (max(1, thumb.shape[1] // by), max(1, thumb.shape[0] // by))
    return np.asarray(cv2.resize(thumb, size, interpolation=cv2.INTER_AREA), np.float32)
