"""Is a frame worth analysing? Exposure, empty field and focus, each with a word to the operator.

A blurred frame is worse than none: its chromatin looks smooth, and smooth chromatin is what a
blast is known by. So a frame passes this gate first, and what is refused says what to turn.

The measures do not depend on the stain, the brightness or the number of cells:

* **Focus** looks at the steepest 5 % of the frame, which are edges of cells and nuclei, and asks
  how much of their slope a further small blur takes away. A sharp edge loses much, an edge that is
  blurred already loses little: under a blur r, a step edge of blur s falls to a slope smaller by
  sqrt(1 + (r/s)^2), and contrast cancels out (the idea of Crete et al., "The blur effect", 2007,
  on strong edges only). The sharpest twentieth of them counts: a thick smear is never sharp
  everywhere. What noise adds is estimated and taken off: noise is sharp in a blurred frame too.
* **Exposure** is the mean brightness and the share of pixels that are fully black or white.
* **Foreground** is what is darker than the glass around it; the glass is a morphological
  closing of the frame, so that a vignette or a lamp off the axis is not taken for cells.

The defaults were set on the training frames of BCCD and TXL-PBC; the table that supports them is
printed by ``python -m tests.edge_daemon.vision.quality_table``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

_FOCUS_SIDE_PX = 480
"""The longer side at which focus is measured: a frame of more pixels is not a blurred one."""
_SENSOR_BLUR_PX = 0.9
"""Takes the noise of the sensor and of JPEG off, which no defocus blurs."""
_FURTHER_BLUR_PX = 1.0
_STEEPEST = 0.05
_SHARPEST_OF_THEM = 0.95
_NOISE_MASK = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], dtype=np.float32)
"""Blind to planes and edges along the axes; its gain on white noise is the root of its squares."""
_NOISE_MASK_GAIN = 6.0
_MEDIAN_OF_NORMAL = 0.6745
_SAMPLE_STEP = 4
"""Brightness is judged on every fourth pixel of every fourth row."""
_BLACK_AT_MOST, _WHITE_AT_LEAST = 3, 252
_GLASS_SIDE_PX = 60
_GLASS_WITHIN_PX = 25
"""A window so large (0.4 of the frame, more than a white cell) always holds some glass."""
_DARKER_THAN_GLASS = 0.08


class QualityThresholds(BaseModel):
    """What a frame must have to be analysed. Looser values let more frames through."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_side_px: int = Field(default=96, ge=16, description="a red cell and some room around it")
    min_focus: float = Field(default=8.5, ge=0, description="see Quality.focus")
    min_exposure: float = Field(default=0.40, ge=0, le=1, description="mean brightness")
    max_exposure: float = Field(default=0.92, ge=0, le=1, description="mean brightness")
    max_clipped_fraction: float = Field(default=0.05, ge=0, le=1, description="black or white")
    min_foreground_fraction: float = Field(default=0.01, ge=0, le=1, description="cells")


@dataclass(frozen=True)
class Quality:
    """What was measured, and why the frame is refused; what was not got to is None."""

    reason: str | None
    """One line for the operator, None if the frame is accepted."""
    focus: float | None = None
    """Slope that sharp edges lose by a further blur, in percent: 9 to 40 is in focus."""
    exposure: float | None = None
    """Mean brightness, 0 black to 1 white."""
    clipped_fraction: float | None = None
    """Share of pixels fully black or fully white, 0 to 1."""
    foreground_fraction: float | None = None
    """Share of the frame that is cells and not glass, 0 to 1."""

    @property
    def accepted(self) -> bool:
        """Whether the frame goes on to the detector."""
        return self.reason is None


def assess(pixels: npt.NDArray[np.uint8], thresholds: QualityThresholds | None = None) -> Quality:
    """Measure a frame, RGB uint8 ``[height, width, 3]``, and decide.

    Brightness comes first, for nothing can be measured in the dark; then whether there is
    anything to see; then whether it is sharp.
    """
    needs = thresholds or QualityThresholds()
    height, width = pixels.shape[:2]
    if min(height, width) < needs.min_side_px:
        return Quality(
            f"too small: {width} x {height} pixels, needs {needs.min_side_px} on each side: "
            "set a larger picture in the camera"
        )
    exposure, black, white = _brightness(pixels)
    reason = _wrong_exposure(exposure, black, white, needs)
    if reason is not None:
        return Quality(reason, exposure=exposure, clipped_fraction=black + white)
    green = _green(pixels)
    foreground = _foreground_fraction(green)
    focus = None
    if foreground < needs.min_foreground_fraction:
        reason = (
            f"empty field: cells cover {foreground:.1%}, needs "
            f"{needs.min_foreground_fraction:.1%}: move to where the smear is"
        )
    else:
        focus = _focus(green)
        if focus < needs.min_focus:
            reason = (
                f"out of focus: sharpness {focus:.1f}, needs {needs.min_focus:.1f}: "
                "turn the fine focus"
            )
    return Quality(reason, focus, exposure, black + white, foreground)


def _brightness(pixels: npt.NDArray[np.uint8]) -> tuple[float, float, float]:
    """Mean brightness, share of black pixels, share of white pixels, each 0 to 1."""
    sample = np.ascontiguousarray(pixels[::_SAMPLE_STEP, ::_SAMPLE_STEP])
    red, green, blue = sample[..., 0], sample[..., 1], sample[..., 2]
    black = np.maximum(np.maximum(red, green), blue) <= _BLACK_AT_MOST
    white = np.minimum(np.minimum(red, green), blue) >= _WHITE_AT_LEAST
    return float(sample.mean()) / 255.0, float(black.mean()), float(white.mean())


def _wrong_exposure(
    exposure: float, black: float, white: float, needs: QualityThresholds
) -> str | None:
    limit = needs.max_clipped_fraction
    if exposure > needs.max_exposure or (white > limit and white >= black):
        return (
            f"overexposed: mean brightness {exposure:.2f} (at most {needs.max_exposure:.2f}), "
            f"{white:.1%} fully white (at most {limit:.1%}): dim the lamp or shorten the exposure"
        )
    if exposure < needs.min_exposure or black > limit:
        return (
            f"underexposed: mean brightness {exposure:.2f} (at least {needs.min_exposure:.2f}), "
            f"{black:.1%} fully black (at most {limit:.1%}): turn the lamp up or expose longer"
        )
    return None


def _green(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
    """The green channel, in which all of the stains are dark, at the size of measuring."""
    green = cv2.extractChannel(pixels, 1)
    scale = _FOCUS_SIDE_PX / max(green.shape)
    # Averaging costs six times as much as interpolation, and is needed only far down.
    how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
    return cv2.resize(green, None, fx=scale, fy=scale, interpolation=how)


def _foreground_fraction(green: npt.NDArray[Any]) -> float:
    scale = _GLASS_SIDE_PX / _FOCUS_SIDE_PX
    small = cv2.resize(green, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    window = cv2.getStructuringElement(cv2.MORPH_RECT, (_GLASS_WITHIN_PX, _GLASS_WITHIN_PX))
    # Without room around it, the darkest corner of a vignette would be held against its inside.
    room = _GLASS_WITHIN_PX // 2
    roomy = cv2.copyMakeBorder(small, room, room, room, room, cv2.BORDER_REPLICATE)
    glass = cv2.morphologyEx(roomy, cv2.MORPH_CLOSE, window)[room:-room, room:-room]
    return float(np.mean(small < glass * (1.0 - _DARKER_THAN_GLASS)))


def _focus(green: npt.NDArray[Any]) -> float:
    seen = cv2.GaussianBlur(green.astype(np.float32), (0, 0), _SENSOR_BLUR_PX)
    blurred = cv2.GaussianBlur(seen, (0, 0), _FURTHER_BLUR_PX)
    slope, slope_blurred = _slope(seen), _slope(blurred)
    steep_from = _quantile(np.ravel(slope_blurred[::_SAMPLE_STEP, ::_SAMPLE_STEP]), 1 - _STEEPEST)
    steep = np.flatnonzero(
        slope_blurred >= steep_from
    )  # few: their numbers are quicker than a mask
    steepness = np.maximum(np.take(slope_blurred, steep), 1e-3)
    lost = _quantile(np.take(slope, steep) / steepness, _SHARPEST_OF_THEM) - 1.0
    # Noise adds slope that any blur takes away, the more so the weaker the edges are.
    return max(0.0, 100.0 * (lost - _noise(green) / _quantile(steepness, 0.5)))


def _noise(green: npt.NDArray[Any]) -> float:
    """Standard deviation of the noise in grey levels (Immerkaer 1996, with the median)."""
    residue = np.abs(cv2.filter2D(green, cv2.CV_16S, _NOISE_MASK)[::_SAMPLE_STEP, ::_SAMPLE_STEP])
    return _quantile(np.ravel(residue), 0.5) / (_MEDIAN_OF_NORMAL * _NOISE_MASK_GAIN)


def _quantile(values: npt.NDArray[Any], share: float) -> float:
    place = int(values.size * share)
    return float(np.partition(values, place)[place])


def _slope(picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return cv2.magnitude(cv2.Sobel(picture, cv2.CV_32F, 1, 0), cv2.Sobel(picture, cv2.CV_32F, 0, 1))
