"""Real frames made into background: their own white cells taken out, their colours made alike.

Every nucleated cell on a virtual slide must be in its truth, with its class. The class of the white
cells in published frames is not known, so they are removed: plasma is put in the place of each, and
red cells of the same frame into the clearing. (Left empty, a clearing of a white cell's size with
red cells pressed against it is what a detector rightly takes for a pale white cell.) What still
looks like a nucleus afterwards (a cell that nobody annotated) disqualifies the frame.

Frames differ in light and stain, one slide does not: plasma and red cells of every frame are
brought to those of one reference frame, channel by channel, in optical density.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.smear.annotated_frames import AnnotatedFrame
from edge_daemon.smear.sprite import Picture

NUCLEUS_PURPLE = 2.2
"""Purple is green density plus red minus blue. In nuclei of BCCD and TXL-PBC it is at least this
many times the green density of the red cells of the frame, red cells themselves reach 1.5."""
NUCLEUS_UM2 = 8.0
"""The smallest dark purple area that is taken for a nucleus: a platelet of 3 um has 7 um2."""

_OVAL = 0.56
"""Half axes of the oval that is filled, as a share of the white cell's box: more than all of it,
for the halo."""
_DONOR_TRIES = 60
"""Places tried for red cells in each clearing; most of them overlap another cell."""
_DONOR_GAP = 0.85
"""Least distance of red cells from each other, in their diameters: touching, a few overlapping."""
_FEATHER_PX = 3.0
_PALE = 0.10
"""Pixels within this optical density of the plasma are plasma."""


@dataclass(frozen=True)
class Light:
    """Colour of plasma (0..255) and optical density of red cells over it, per channel."""

    plasma: tuple[float, float, float]
    red_cell: tuple[float, float, float]


def light_of(frame: AnnotatedFrame) -> Light | None:
    """Plasma and red cells of a frame; None when it shows too little of either."""
    inside = np.zeros(frame.pixels.shape[:2], np.uint8)
    cores = np.zeros_like(inside)
    for kind, boxes in frame.boxes.items():
        for x0, y0, x1, y1 in boxes.astype(int):
            inside[max(0, y0) : y1, max(0, x0) : x1] = 1
            if kind == "rbc":
                centre = ((x0 + x1) // 2, (y0 + y1) // 2)
                axes = (max(1, int((x1 - x0) * 0.36)), max(1, int((y1 - y0) * 0.36)))
                cv2.ellipse(cores, centre, axes, 0, 0, 360, 1, -1)
    for x0, y0, x1, y1 in frame.boxes["wbc"].astype(int):
        cores[max(0, y0) : y1, max(0, x0) : x1] = 0
    between = frame.pixels[inside == 0]
    if len(between) < 2000 or int(cores.sum()) < 2000:
        return None
    # unlisted red cells lie between the boxes too: plasma is the brighter half
    bright = between[between[:, 1] >= np.median(between[:, 1])]
    plasma = np.maximum(np.median(bright, axis=0), 1.0)
    red = np.maximum(np.median(frame.pixels[cores == 1], axis=0), 1.0)
    density = np.log(plasma / red)
    if density[1] < 0.05:
        return None
    return Light(tuple(map(float, plasma)), tuple(map(float, density)))  # type: ignore[arg-type]


def relit(pixels: Picture, own: Light, wanted: Light) -> Picture:
    """``pixels`` with plasma and red cells of ``wanted`` instead of ``own``."""
    levels = np.arange(256, dtype=np.float64)
    table = np.empty((256, 3), np.uint8)
    for channel in range(3):
        have, want = own.red_cell[channel], wanted.red_cell[channel]
        power = float(np.clip(want / max(have, 0.02), 0.7, 1.5))
        share = np.maximum(levels, 1) / own.plasma[channel]
        table[:, channel] = np.clip(wanted.plasma[channel] * share**power + 0.5, 0, 255)
    return np.asarray(cv2.LUT(pixels, table[None]), np.uint8)


def healed(frame: AnnotatedFrame, light: Light) -> Picture:
    """The frame's pixels with plasma where its white cells were.

    White cells push the red cells aside, so an oval of plasma in the place of one looks natural.
    The plasma takes its colour from the plasma nearby and its grain from the frame.
    """
    hole = _holes(frame, light)
    if not hole.any():
        return frame.pixels
    plasma = _plasma(frame, light, hole)
    weight = cv2.GaussianBlur(hole.astype(np.float32), (0, 0), _FEATHER_PX)[..., None]
    weight = np.clip(weight * 2.0, 0, 1)  # opaque up to the edge of the hole, fading outside
    mixed = frame.pixels + weight * (plasma - frame.pixels)
    _settle_red_cells(mixed, frame, hole)
    return np.asarray(np.clip(mixed + 0.5, 0, 255), np.uint8)


def _settle_red_cells(
    canvas: npt.NDArray[np.float32], frame: AnnotatedFrame, hole: npt.NDArray[np.bool_]
) -> None:
    """Copy red cells of the frame into its clearings, beside the cells that are there."""
    height, width = hole.shape
    red = frame.boxes["rbc"].astype(int)
    centres = (red[:, :2] + red[:, 2:]) / 2
    rng = np.random.default_rng(len(red))
    donors = [box for box in red if _is_whole_and_alone(box, red, hole)]
    if not donors:
        return
    diameter = float(np.median(np.sqrt((red[:, 2:] - red[:, :2]).prod(axis=1))))
    settled = list(centres)
    for x0, y0, x1, y1 in frame.boxes["wbc"].astype(int):
        for _ in range(_DONOR_TRIES):
            at = rng.uniform((x0, y0), (x1, y1))
            gaps = [float(np.hypot(*(at - other))) for other in settled]
            left, top, right, bottom = donors[int(rng.integers(len(donors)))]
            corner = np.round(at - ((right - left) / 2, (bottom - top) / 2)).astype(int)
            end = corner + np.array([right - left, bottom - top])
            inside = (corner >= 0).all() and end[0] <= width and end[1] <= height
            if not inside or min(gaps, default=diameter) < _DONOR_GAP * diameter:
                continue
            alpha = _oval(right - left, bottom - top)
            there = canvas[corner[1] : end[1], corner[0] : end[0]]
            there += alpha * (frame.pixels[top:bottom, left:right] - there)
            settled.append(at)


def _is_whole_and_alone(
    box: npt.NDArray[np.int_], red: npt.NDArray[np.int_], hole: npt.NDArray[np.bool_]
) -> bool:
    """Whether a red cell can be lifted out: nothing cuts it, and nothing else is in its box."""
    x0, y0, x1, y1 = box
    height, width = hole.shape
    if x0 < 3 or y0 < 3 or x1 > width - 3 or y1 > height - 3 or hole[y0:y1, x0:x1].any():
        return False
    if not 0.8 < (x1 - x0) / max(1, y1 - y0) < 1.25:
        return False
    low, high = np.maximum(red[:, :2], box[:2]), np.minimum(red[:, 2:], box[2:])
    shared = np.clip(high - low, 0, None).prod(axis=1)
    return bool((shared > 0.12 * (x1 - x0) * (y1 - y0)).sum() <= 1)  # itself


def _oval(width: int, height: int) -> npt.NDArray[np.float32]:
    """An oval that fills its box and fades over a few pixels at its edge, ``[h, w, 1]``."""
    alpha = np.zeros((height, width), np.float32)
    axes = (max(1, width // 2 - 2), max(1, height // 2 - 2))
    cv2.ellipse(alpha, (width // 2, height // 2), axes, 0, 0, 360, 1.0, -1)
    return np.asarray(cv2.GaussianBlur(alpha, (0, 0), 1.5)[..., None], np.float32)


def shows_nucleus(pixels: Picture, um_per_px: float, light: Light) -> bool:
    """Whether a purple area as large as a nucleus is to be seen."""
    dark = _purple(pixels, light).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(dark)
    areas = stats[1:, cv2.CC_STAT_AREA] * (2 * um_per_px) ** 2
    return bool((areas > NUCLEUS_UM2).any())


def _purple(pixels: Picture, light: Light) -> npt.NDArray[np.bool_]:
    """Where half the picture's size is as purple as a nucleus."""
    small = cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    levels = np.maximum(np.arange(256, dtype=np.float32), 1)[:, None]
    density = cv2.LUT(small, np.log(np.array(light.plasma, np.float32) / levels)[None])
    purple = density[..., 1] + density[..., 0] - density[..., 2]
    return np.asarray(purple > NUCLEUS_PURPLE * light.red_cell[1], np.bool_)


def _holes(frame: AnnotatedFrame, light: Light) -> npt.NDArray[np.bool_]:
    """The white cells: the oval in each box, and whatever purple reaches out of it."""
    height, width = frame.pixels.shape[:2]
    ovals = np.zeros((height, width), np.uint8)
    boxes = np.zeros_like(ovals)
    for x0, y0, x1, y1 in frame.boxes["wbc"].astype(int):
        # a cell cut by the frame is longer than its box: its oval continues outside
        left = x0 - (x1 - x0) // 3 if x0 <= 2 else x0
        right = x1 + (x1 - x0) // 3 if x1 >= width - 2 else x1
        top = y0 - (y1 - y0) // 3 if y0 <= 2 else y0
        bottom = y1 + (y1 - y0) // 3 if y1 >= height - 2 else y1
        half = (int((right - left) * _OVAL) + 3, int((bottom - top) * _OVAL) + 3)
        centre = ((left + right) // 2, (top + bottom) // 2)
        cv2.ellipse(ovals, centre, half, 0, 0, 360, 1, -1)
        cv2.rectangle(boxes, (x0 - 20, y0 - 20), (x1 + 20, y1 + 20), 1, -1)
    purple = cv2.resize(_purple(frame.pixels, light).astype(np.uint8), (width, height))
    purple = cv2.dilate(cv2.bitwise_and(purple, boxes), np.ones((11, 11), np.uint8))
    return np.asarray((ovals > 0) | (purple > 0), np.bool_)


def _plasma(
    frame: AnnotatedFrame, light: Light, hole: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Plasma over the whole frame: the colour of what is pale nearby, with the frame's grain."""
    pixels = frame.pixels.astype(np.float32)
    darkest, brightest = (np.array(light.plasma) * np.exp(sign * _PALE) for sign in (-1, 1))
    pale = cv2.inRange(frame.pixels, darkest, np.minimum(brightest, 255))
    pale[hole] = 0
    known = cv2.erode(pale, np.ones((5, 5), np.uint8)).astype(np.float32) / 255
    # slow changes of light: an eighth of the size is plenty, and forty times as fast
    size = (pixels.shape[1] // 8, pixels.shape[0] // 8)
    reach = size[0] / 10
    amount = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    light_there = cv2.resize(pixels * known[..., None], size, interpolation=cv2.INTER_AREA)
    amount = cv2.GaussianBlur(amount, (0, 0), reach)[..., None] + 1e-4
    light_there = cv2.GaussianBlur(light_there, (0, 0), reach)
    nearby = (light_there + 1e-4 * np.array(light.plasma, np.float32)) / amount
    colour = cv2.resize(nearby, (pixels.shape[1], pixels.shape[0]))
    green = pixels[..., 1]
    residual = (green - cv2.GaussianBlur(green, (0, 0), 2.0))[known > 0]
    spread = float(residual.std()) if residual.size else 1.0
    grain = np.random.default_rng(0).standard_normal(pixels.shape, np.float32) * (1.6 * spread)
    return np.asarray(colour + cv2.GaussianBlur(grain, (0, 0), 0.8), np.float32)
