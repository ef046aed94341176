"""A cell as C-NMC 2019 shows cells: cut out on black, 450 pixels of 0.044 um on each side.

The trainer reads cells like that. A device sends its cell among others, at its own scale; here the
cell is told from what lies around it by GrabCut (Rother, Kolmogorov, Blake, SIGGRAPH 2004), begun
with the stained nucleus as what certainly belongs to it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.smear.composite import BLACK_LEVEL, CNMC_UM_PER_PX
from edge_daemon.vision.pictures import MARGIN

SIDE = 450
"""Pixels: 19.8 um."""
_AREA_UM2 = (15.0, 330.0)
"""Of a nucleated cell, from a small lymphocyte to the largest blast."""
_ROUNDS = 2
_COLOURED = 14.0
"""Distance in CIE L*a*b* as OpenCV scales it from which a place is not empty."""
_AT_LIMIT = 0.12
"""Share of a cell's outline that may lie where cells are cut off."""
_REDDER = 12.0
"""Levels by which a red cell has more red than blue."""


def on_black(picture: NDArray[np.uint8], um_per_px: float) -> NDArray[np.uint8] | None:
    """A picture of a cell, uint8 ``[h, w, 3]`` RGB, as uint8 ``[450, 450, 3]`` on black.

    None where no cell of a plausible size can be told from its surroundings.
    """
    if min(picture.shape[:2]) < 16 or not 0.005 < um_per_px < 1:
        return None
    mask = _cell(picture)
    if mask is None or not _AREA_UM2[0] <= float(mask.sum()) * um_per_px**2 <= _AREA_UM2[1]:
        return None
    ys, xs = np.nonzero(mask)
    if min(ys.min(), xs.min()) == 0 or ys.max() + 1 == len(mask) or xs.max() + 1 == mask.shape[1]:
        return None  # cut by the edge of its frame
    window = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    scale = um_per_px / CNMC_UM_PER_PX
    size = (round(scale * (np.ptp(xs) + 1)), round(scale * (np.ptp(ys) + 1)))
    if max(size) > SIDE:
        return None
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    cell = np.maximum(cv2.resize(picture[window], size, interpolation=way), BLACK_LEVEL + 1)
    inside = cv2.resize(mask[window], size, interpolation=cv2.INTER_LINEAR) > 0
    whole = np.zeros((SIDE, SIDE, 3), np.uint8)
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    whole[top : top + size[1], left : left + size[0]] = cell * inside[..., None]
    return whole


def foreground_fraction(picture: NDArray[np.uint8]) -> float:
    """Share of a picture on black that is cell, 0 to 1."""
    return float((picture.max(axis=2) > BLACK_LEVEL).mean())


def _cell(picture: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Where the cell in the middle is, uint8 ``[h, w]``, 0 or 1."""
    height, width = picture.shape[:2]
    half = (int(0.5 * width / (1 + 2 * MARGIN)), int(0.5 * height / (1 + 2 * MARGIN)))
    middle = (width // 2, height // 2)
    likely = np.zeros((height, width), np.uint8)
    cv2.ellipse(likely, middle, (int(1.15 * half[0]), int(1.15 * half[1])), 0, 0, 360, 1, -1)
    saturation = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)[..., 1]
    level, _ = cv2.threshold(saturation, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    core = np.zeros_like(likely)
    cv2.ellipse(core, middle, (int(0.8 * half[0]), int(0.8 * half[1])), 0, 0, 360, 1, -1)
    nucleus = (saturation > level) & (core > 0)
    if not nucleus.any():
        return None
    marks = np.where(likely > 0, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    marks[(likely > 0) & _stained(picture)] = cv2.GC_PR_FGD
    marks[nucleus] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # its colour models begin with k-means: the same picture, the same cell
    behind, before = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(picture, marks, (0, 0, 1, 1), behind, before, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    found = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    body = _one_body(found, nucleus)
    return None if _reaches(body, likely) else body


def _reaches(body: NDArray[np.uint8], likely: NDArray[np.uint8]) -> bool:
    """Whether a cell was cut by the limit of where it may lie, instead of ending by itself."""
    rim = (body > 0) & (cv2.erode(body, np.ones((3, 3), np.uint8)) == 0)
    limit = (likely > 0) & (cv2.erode(likely, np.ones((5, 5), np.uint8)) == 0)
    return bool((rim & limit).sum() > _AT_LIMIT * max(1, int(rim.sum())))


def _stained(picture: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """What is neither empty glass nor a red cell, bool ``[h, w]``: nuclei, and cytoplasm of blue.

    Empty glass is the brightest tenth of the picture; a red cell is redder than it is blue.
    """
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB).astype(np.float32)
    bright = lab[..., 0] >= np.percentile(lab[..., 0], 90)
    away = np.linalg.norm(lab - np.median(lab[bright], axis=0), axis=2)
    glass = float(np.median(picture[bright][:, 0].astype(np.float32) - picture[bright][:, 2]))
    redder = picture[..., 0].astype(np.float32) - picture[..., 2] > glass + _REDDER
    return np.asarray((away > _COLOURED) & ~redder)


def _one_body(found: NDArray[np.uint8], nucleus: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The component that holds most of the nucleus, filled."""
    _, parts = cv2.connectedComponents(found, connectivity=4)
    most = int(np.bincount(parts[nucleus & (found > 0)]).argmax())
    body = (parts == most).astype(np.uint8)
    outlines, _ = cv2.findContours(body, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(body, outlines, -1, 1, cv2.FILLED)
    return np.asarray(body, np.uint8)
