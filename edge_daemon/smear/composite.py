"""Cut-out cells put onto real smear background: cut, scale, stain, paste.

Published single-cell sets (C-NMC 2019) show one cell on black; a camera shows cells among red
cells, under its own light and stain. Pasting the cut-out cell onto a real field closes that gap
for training, for the simulated microscope and for tests, with the truth known by construction.

What makes a composite look right, found by looking: the scale comes from the red cells of the
frame; the published mask is opened and eroded, because it has a dark rim and ragged appendages;
mean and contrast of the cell are moved towards the nuclei of the frame in CIELAB; the alpha is
feathered by about one pixel of the frame, as wide as its own edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Alpha = NDArray[np.float32]

CNMC_UM_PER_PX = 0.044
"""Nominal scale of C-NMC 2019 pictures: 450 px show 19.8 um."""

BLACK_LEVEL = 10
"""Largest channel value (0..255) that still counts as the black around a cut-out cell."""


OPENED_AT = 3
"""Masks are opened at this fraction of their size."""

SECOND_BODY = 0.5
"""A picture holds more than its one cell where a second disc of at least this share of the radius
of the largest fits into the mask beside that."""


@dataclass(frozen=True)
class CutOutCell:
    """One cell without its background, cropped to its own extent."""

    rgb: Rgb
    """uint8 ``[h, w, 3]``; outside the cell the nearest cell colours, so that resizing and
    feathering never mix black into the rim."""
    alpha: Alpha
    """float32 ``[h, w]``, 0..1: how much of the pixel belongs to the cell."""
    um_per_px: float

    def __post_init__(self) -> None:
        if self.rgb.dtype != np.uint8 or self.rgb.shape != (*self.alpha.shape, 3):
            raise ValueError("rgb must be uint8 [h, w, 3] with the height and width of alpha")
        if self.um_per_px <= 0:
            raise ValueError("um_per_px must be positive")

    @property
    def area_um2(self) -> float:
        """Area of the cell in square micrometres."""
        return float(self.alpha.sum()) * self.um_per_px**2


@dataclass(frozen=True)
class Stain:
    """Mean and spread of nuclear colour in CIELAB (L 0..100, a and b about -127..127)."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


WRIGHT_GIEMSA = Stain(mean=(36.0, 38.0, -29.0), std=(5.0, 6.0, 8.0))
"""Nuclear stain used where a frame shows no nucleus to take it from: median of the nuclei in
BCCD and TXL-PBC training frames, roughly."""


STAIN_STRENGTH = 0.8
"""How far a composite moves a cell towards the stain of its field unless it is told otherwise."""


def cut_out(picture: Rgb, um_per_px: float = CNMC_UM_PER_PX, *, erode_px: int = 2) -> CutOutCell:
    """Cut the cell out of a ``picture`` on black (uint8 ``[H, W, 3]``, RGB), see :func:`cell_mask`.

    Raises ``ValueError`` when nothing but black is there.
    """
    cell = cell_mask(picture, erode_px=erode_px)
    ys, xs = np.nonzero(cell)
    window = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    alpha = cell[window].astype(np.float32)
    return CutOutCell(_bleed(picture[window], alpha), alpha, um_per_px)


def cell_mask(picture: Rgb, *, erode_px: int = 2) -> NDArray[np.uint8]:
    """Where the cell of a ``picture`` on black is, uint8 ``[H, W]``, 0 or 1.

    Everything brighter than black, opened with a disc of a quarter of the cell's diameter (removes
    appendages and threads), reduced to its largest component, filled, and eroded by ``erode_px``
    (removes the dark rim). Raises ``ValueError`` when nothing but black is there.
    """
    red, green, blue = cv2.split(picture)  # picture.max(axis=2) takes twenty times as long
    brightest = np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)
    bright = (brightest > BLACK_LEVEL).astype(np.uint8)
    window = _window(bright)
    cell = np.zeros_like(bright)
    cell[window] = _solid(bright[window], erode_px)
    if not cell.any():
        raise ValueError("the picture holds no cell: everything is black")
    return cell


def holds_second_body(cell: CutOutCell) -> bool:
    """Whether another cell, or something of a cell's size, hangs on the one that was cut out.

    C-NMC lists one cell for such a picture; a detector rightly finds two.
    """
    mask = np.asarray(cell.alpha > 0.5, np.uint8)
    # A third of the size is plenty, and the border must be outside for the distances.
    size = (-(-mask.shape[1] // OPENED_AT), -(-mask.shape[0] // OPENED_AT))
    small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
    body = cv2.copyMakeBorder(small, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    _, largest, _, middle = cv2.minMaxLoc(cv2.distanceTransform(body, cv2.DIST_L2, 5))
    cv2.circle(body, middle, round(largest), 0, cv2.FILLED)
    second = float(cv2.distanceTransform(body, cv2.DIST_L2, 5).max())
    return second >= SECOND_BODY * largest


def _window(mask: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns that hold all of ``mask`` and a margin, where they divide evenly."""
    height, width = mask.shape
    if height % OPENED_AT or width % OPENED_AT:
        return slice(None), slice(None)
    left, top, wide, high = cv2.boundingRect(mask)
    return _stretch(top, high), _stretch(left, wide)


def _stretch(first: int, length: int) -> slice:
    start, stop = first // OPENED_AT - 1, (first + length - 1) // OPENED_AT + 2
    return slice(max(0, start) * OPENED_AT, stop * OPENED_AT)


def _solid(mask: NDArray[np.uint8], erode_px: int) -> NDArray[np.uint8]:
    """The cell in what is brighter than black, uint8 0 or 1, as :func:`cell_mask` tells."""
    opened = _opened(mask)
    largest = _largest_component(opened if opened.any() else mask)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.asarray(
        cv2.drawContours(np.zeros_like(largest), contours, -1, 1, cv2.FILLED), np.uint8
    )
    solid = filled & mask
    padded = cv2.copyMakeBorder(solid, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    eroded = cv2.erode(padded, _disc(2 * erode_px + 1))[1:-1, 1:-1] if erode_px else solid
    return np.asarray(eroded if eroded.any() else solid, np.uint8)


def stain_of_nuclei(frame: Rgb, white_cell_boxes: NDArray[np.floating]) -> Stain | None:
    """Nuclear stain of ``frame`` (uint8 RGB), read inside the boxes of its white cells.

    The nucleus is taken as the pixels of a box in the upper half of purple (a - b in CIELAB) and
    the lower half of lightness. ``None`` when no box holds enough of them.
    """
    samples = []
    height, width = frame.shape[:2]
    for x0, y0, x1, y1 in np.asarray(white_cell_boxes, dtype=np.float64).reshape(-1, 4):
        left, top = max(0, int(x0)), max(0, int(y0))
        right, bottom = min(width, int(np.ceil(x1))), min(height, int(np.ceil(y1)))
        if right - left < 8 or bottom - top < 8:
            continue
        lab = _to_lab(frame[top:bottom, left:right]).reshape(-1, 3)
        purple = lab[:, 1] - lab[:, 2]
        nucleus = (purple >= np.median(purple)) & (lab[:, 0] <= np.median(lab[:, 0]))
        if int(nucleus.sum()) >= 64:
            samples.append(lab[nucleus])
    return _stain(np.concatenate(samples)) if samples else None


def paste(
    background: Rgb,
    cell: CutOutCell,
    center_xy: tuple[float, float],
    um_per_px: float,
    *,
    rotation_deg: float = 0.0,
    flip: bool = False,
    magnify: float = 1.0,
    stain: Stain | None = None,
    stain_strength: float = STAIN_STRENGTH,
    feather_px: float = 0.7,
    coverage: Alpha | None = None,
) -> NDArray[np.float32]:
    """Paste ``cell`` into ``background`` **in place** and return its box.

    ``background``: uint8 ``[H, W, 3]``, RGB, writable, at ``um_per_px``. The cell is brought to
    that scale (times ``magnify``), mirrored when ``flip``, turned by ``rotation_deg``, moved
    towards ``stain`` by ``stain_strength`` (0 leaves it as it is, 1 takes over mean and contrast),
    and feathered by a Gaussian of ``feather_px``. ``center_xy``: where the middle of the cell's
    extent goes, in pixels of the background; what lies outside is cut off. ``coverage``, float32
    ``[H, W]``, takes the share of this cell in each pixel, where it is wanted.

    Returns float32 ``[4]``, x0, y0, x1, y1, tight around alpha > 0.5 and clipped to the
    background; all zeros when nothing of the cell is inside.
    """
    scale = magnify * cell.um_per_px / um_per_px
    rgb, alpha = _transformed(cell, scale, rotation_deg, flip, margin_px=2 + int(3 * feather_px))
    if stain is not None and stain_strength > 0:
        rgb = _restained(rgb, alpha, stain, stain_strength)
    if feather_px > 0:
        alpha = np.asarray(cv2.GaussianBlur(alpha, (0, 0), feather_px), np.float32)

    height, width = background.shape[:2]
    left = round(center_xy[0] - alpha.shape[1] / 2)
    top = round(center_xy[1] - alpha.shape[0] / 2)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(width, left + alpha.shape[1]), min(height, top + alpha.shape[0])
    if x0 >= x1 or y0 >= y1:
        return np.zeros(4, np.float32)
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    weight = alpha[part][..., None]
    field = background[y0:y1, x0:x1]
    if coverage is not None:
        coverage[y0:y1, x0:x1] = alpha[part]
    field[:] = np.clip(field + weight * (rgb[part] - field.astype(np.float32)) + 0.5, 0, 255)

    rows = np.flatnonzero((alpha[part] > 0.5).any(axis=1))
    columns = np.flatnonzero((alpha[part] > 0.5).any(axis=0))
    if not rows.size:
        return np.zeros(4, np.float32)
    return np.array(
        [x0 + columns[0], y0 + rows[0], x0 + columns[-1] + 1, y0 + rows[-1] + 1], np.float32
    )


def _transformed(
    cell: CutOutCell, scale: float, rotation_deg: float, flip: bool, margin_px: int
) -> tuple[NDArray[np.float32], Alpha]:
    """Colour (float32) and alpha of the cell scaled, mirrored and turned, with a margin."""
    rgb, alpha = cell.rgb, cell.alpha
    if flip:
        rgb, alpha = rgb[:, ::-1], alpha[:, ::-1]
    if scale < 1:  # shrink by area first: a warp alone would alias the chromatin
        size = max(1, round(alpha.shape[1] * scale)), max(1, round(alpha.shape[0] * scale))
        rgb = _shrunk(rgb, size).astype(np.uint8)
        alpha = _shrunk(alpha, size).astype(np.float32)
        scale = 1.0
    height, width = alpha.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rotation_deg, scale)
    cos, sin = abs(turn[0, 0]), abs(turn[0, 1])
    out_w = int(np.ceil(width * cos + height * sin)) + 2 * margin_px
    out_h = int(np.ceil(width * sin + height * cos)) + 2 * margin_px
    turn[:, 2] += ((out_w - width) / 2, (out_h - height) / 2)
    size = (out_w, out_h)
    # edges replicated: bilinear samples at the rim then never reach black
    colour = cv2.warpAffine(
        np.ascontiguousarray(rgb),
        turn,
        size,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    shape = cv2.warpAffine(np.ascontiguousarray(alpha), turn, size, flags=cv2.INTER_LINEAR)
    return colour.astype(np.float32), shape.astype(np.float32)


def _shrunk(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    return cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)


def _restained(
    rgb: NDArray[np.float32], alpha: Alpha, stain: Stain, strength: float
) -> NDArray[np.float32]:
    """Move mean and spread of the cell's CIELAB towards ``stain`` (Reinhard et al. 2001)."""
    inside = alpha > 0.5
    if not inside.any():
        return rgb
    lab = cv2.cvtColor(rgb / np.float32(255), cv2.COLOR_RGB2LAB)
    own = _stain(lab[inside])
    own_mean, own_std = np.array(own.mean, np.float32), np.array(own.std, np.float32)
    # contrast is carried over within bounds: a flat cell must not become a noisy one
    gain = np.clip(np.array(stain.std, np.float32) / np.maximum(own_std, 1.0), 0.6, 1.8)
    gain = 1 + strength * (gain - 1)
    mean = own_mean + strength * (np.array(stain.mean, np.float32) - own_mean)
    lab -= own_mean  # in place: half of the time goes into fetching new memory
    lab *= gain
    lab += mean
    moved = np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), np.float32)
    moved *= 255
    return moved


def _stain(lab: NDArray[np.float32]) -> Stain:
    mean, std = lab.mean(axis=0), lab.std(axis=0)
    return Stain(
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(std[0]), float(std[1]), float(std[2])),
    )


def _to_lab(rgb: Rgb) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)


def _disc(diameter_px: int) -> NDArray[np.uint8]:
    return np.asarray(
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (diameter_px, diameter_px)), np.uint8
    )


def _opened(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Open with a disc of a quarter of the cell's diameter.

    Done at a third of the size (:data:`OPENED_AT`): a disc of 50 px over 450x450 pixels would cost
    more than the rest of the cutting together.
    """
    height, width = mask.shape
    small = cv2.resize(
        mask,
        (max(1, width // OPENED_AT), max(1, height // OPENED_AT)),
        interpolation=cv2.INTER_AREA,
    )
    diameter_px = 2 * np.sqrt(float(small.sum()) / np.pi)
    opened = cv2.morphologyEx(small, cv2.MORPH_OPEN, _disc(max(3, int(diameter_px / 4) | 1)))
    grown = cv2.resize(opened * np.uint8(255), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray((grown > 127) & (mask > 0), np.uint8)


def _largest_component(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count < 2:
        return mask
    return np.asarray(labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.uint8)


def _bleed(rgb: Rgb, alpha: Alpha) -> Rgb:
    """Fill what lies outside the cell with the colour of the nearest pixel inside it."""
    outside = (alpha < 0.5).astype(np.uint8)
    if not outside.any():
        return np.ascontiguousarray(rgb)
    _, labels = cv2.distanceTransformWithLabels(
        outside, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL
    )
    # four channels are one number, and one number a pixel is looked up far faster than three
    packed = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2RGBA).view(np.uint32)[..., 0]
    inside = np.flatnonzero(outside == 0)
    labels = labels.ravel()
    colour_of_label = np.zeros(len(labels) + 1, np.uint32)
    colour_of_label[labels[inside]] = packed.ravel()[inside]
    filled = colour_of_label[labels].reshape(*alpha.shape, 1).view(np.uint8)
    return np.ascontiguousarray(filled[..., :3])
