"""Focus, and whether the stage moved: how sharp edges are, and whether in all directions.

The measures do not depend on the stain, the brightness or the number of cells:

* **Focus** looks at the steepest 5 % of the frame, which are edges of cells and nuclei, and asks
  how much of their slope a further small blur takes away. A sharp edge loses much, an edge that is
  blurred already loses little: under a blur r, a step edge of blur s falls to a slope smaller by
  sqrt(1 + (r/s)^2), and contrast cancels out (the idea of Crete et al., "The blur effect", 2007,
  on strong edges only). The sharpest twentieth of them counts: a thick smear is never sharp
  everywhere. What noise adds is estimated and taken off: noise is sharp in a blurred frame too.
* **Evenness** asks the same of the edges of each of six directions. Cells are round, so every
  direction has edges. Defocus makes all of them blunt alike; motion blunts those that lie across
  it and leaves the others, so the ratio between a direction and the one across it falls. Where
  cells lie does not matter, as it would for the energy of slopes (a structure tensor), because
  every edge is only held against itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.vision.quality.scratch import Scratch
from edge_daemon.vision.quality.thresholds import QualityThresholds
from edge_daemon.vision.quality.verdict import Judgement

FOCUS_SIDE_PX = 480
"""The longer side at which focus is measured: a frame of more pixels is not a blurred one."""
FURTHER_BLUR_PX = 1.0
"""The blur r of the measure."""
_SENSOR_BLUR_PX = 0.9
"""Takes the noise of the sensor and of JPEG off, which no defocus blurs."""
_STEEPEST = 0.05
_SHARPEST_OF_THEM = 0.95
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
"""Blind to planes and edges along the axes; its gain on white noise is the root of its squares."""
_NOISE_MASK_GAIN = 6.0
_MEDIAN_OF_NORMAL = 0.6745
_SAMPLE_STEP = 4
_DIRECTIONS = 6
_STEEP_IN_ANY_DIRECTION = 0.10
"""More than for focus: of a moved frame, the steepest edges all lie along the motion."""
_SHARPEST_OF_A_DIRECTION = 0.90
_ENOUGH_EDGES = 60
"""Pixels; a direction with fewer says nothing."""
_LEAST_LOSS = 0.3
"""Percent; below it all is blur, and a ratio of two such numbers is noise."""
_scratch = Scratch()


class Sharpness(NamedTuple):
    """How sharp a frame is, see the top of this module."""

    focus: float
    """Slope lost by a further blur, in percent."""
    evenness: float | None
    """The bluntest direction over that across it, 0 to 1; None where a frame has too few edges."""


def green_to_measure(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The green channel, in which all of the stains are dark, at the size of measuring."""
    green = cv2.extractChannel(pixels, 1, _scratch("green", pixels.shape[:2], np.uint8))
    scale = FOCUS_SIDE_PX / max(green.shape)
    # Averaging costs six times as much as interpolation, and is needed only far down.
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(green, None, fx=scale, fy=scale, interpolation=how), np.uint8)


def measure_sharpness(green: npt.NDArray[np.uint8]) -> Sharpness:
    """Of a frame's green channel at the size of measuring, uint8 ``[height, width]``."""
    light = _float_like(green, "light")
    np.copyto(light, green)
    seen = cv2.GaussianBlur(light, (0, 0), _SENSOR_BLUR_PX, _float_like(green, "seen"))
    across, down, slope = _slopes(seen, "seen")
    blurred = cv2.GaussianBlur(seen, (0, 0), FURTHER_BLUR_PX, light)
    across, down, slope_blurred = _slopes(blurred, "blurred")
    sample = np.ravel(slope_blurred[::_SAMPLE_STEP, ::_SAMPLE_STEP])
    # Few: their numbers are quicker than a mask.
    edges = np.flatnonzero(slope_blurred >= _quantile(sample, 1 - _STEEP_IN_ANY_DIRECTION))
    steepness = np.maximum(np.take(slope_blurred, edges), 1e-3)
    loss = np.take(slope, edges) / steepness - 1.0
    noise = _noise(green)
    steepest = steepness >= _quantile(sample, 1 - _STEEPEST)
    lost = _quantile(loss[steepest], _SHARPEST_OF_THEM)
    # Noise adds slope that any blur takes away, the more so the weaker the edges are.
    focus = max(0.0, 100.0 * (lost - noise / _quantile(steepness[steepest], 0.5)))
    few = slice(None, None, 2)
    direction = np.arctan2(np.take(down, edges[few]), np.take(across, edges[few]))
    return Sharpness(focus, _evenness(direction, loss[few], steepness[few], noise))


def judge_motion(sharp: Sharpness, needs: QualityThresholds) -> Judgement:
    """Whether the stage stood still while the frame was taken."""
    if sharp.evenness is None:
        return Judgement("motion", "unjudged", "too few edges to tell motion")
    if sharp.evenness < needs.min_evenness:
        return Judgement(
            "motion",
            "reject",
            f"moved: edges across the motion have {sharp.evenness:.2f} of the sharpness of those "
            f"along it, needs {needs.min_evenness:.2f}: slow down, or shorten the exposure",
        )
    return Judgement("motion", "pass")


def judge_focus(sharp: Sharpness, needs: QualityThresholds) -> Judgement:
    """Whether it is sharp at all."""
    if sharp.focus < needs.min_focus:
        return Judgement(
            "focus",
            "reject",
            f"out of focus: sharpness {sharp.focus:.1f}, needs {needs.min_focus:.1f}: "
            "turn the fine focus",
        )
    return Judgement("focus", "pass")


def _evenness(
    direction: npt.NDArray[Any],
    loss: npt.NDArray[Any],
    steepness: npt.NDArray[Any],
    noise: float,
) -> float | None:
    """The lowest ratio of the loss in one direction to that across it."""
    turn = (direction * (_DIRECTIONS / np.pi)).astype(np.int32, casting="unsafe")
    # Downwards, also below zero: the two ends of a direction are the same one.
    turn = (turn - (direction < 0)) % _DIRECTIONS
    losses: list[float | None] = []
    for one in range(_DIRECTIONS):
        here = np.flatnonzero(turn == one)
        if here.size < _ENOUGH_EDGES:
            losses.append(None)
            continue
        lost = _quantile(loss[here], _SHARPEST_OF_A_DIRECTION)
        lost -= noise / _quantile(steepness[here], 0.5)
        losses.append(max(_LEAST_LOSS, 100.0 * lost))
    half = _DIRECTIONS // 2
    pairs = zip(losses[:half], losses[half:], strict=True)
    ratios = [min(a / b, b / a) for a, b in pairs if a is not None and b is not None]
    return min(ratios) if ratios else None


def _noise(green: npt.NDArray[np.uint8]) -> float:
    """Standard deviation of the noise in grey levels (Immerkaer 1996, with the median)."""
    room = _scratch("residue", green.shape, np.int16)
    residue = cv2.filter2D(green, cv2.CV_16S, _NOISE_MASK, room)[::_SAMPLE_STEP, ::_SAMPLE_STEP]
    return _quantile(np.ravel(np.abs(residue)), 0.5) / (_MEDIAN_OF_NORMAL * _NOISE_MASK_GAIN)


def _quantile(values: npt.NDArray[Any], share: float) -> float:
    place = int(values.size * share)
    return float(np.partition(values, place)[place])


def _slopes(
    picture: npt.NDArray[Any], name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """Across, down, and steepest; the first two last until the next call."""
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, _float_like(picture, "across"))
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, _float_like(picture, "down"))
    return across, down, cv2.magnitude(across, down, _float_like(picture, f"slope {name}"))


def _float_like(picture: npt.NDArray[Any], name: str) -> npt.NDArray[np.float32]:
    return _scratch(name, picture.shape, np.float32)
