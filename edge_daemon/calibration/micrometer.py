"""A stage micrometer -> micrometres per pixel, from the spacing of its lines.

The lines may lie at any angle and may be of different lengths. Their direction is that across
which the profile of the frame varies most; the period comes from the autocorrelation of that
profile; then every line is placed to a fraction of a pixel by its centre of gravity, numbered, and
the spacing is the slope of a straight line through all of them. Its standard error falls with the
number of lines to the power of 3/2, so a frame with twenty lines gives the scale to 0.1 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

_LEAST_LINES = 4
_COHERENT = 0.6
"""Of the structure tensor: 1 where all edges are parallel, 0 where there is no direction."""
_REPEATS = 0.3
"""Least autocorrelation at one period."""
_LEAST_CONTRAST = 0.02
"""Depth of the lines in the profile, of full signal."""
_LEAST_PERIOD_PX = 5

Profile: TypeAlias = npt.NDArray[np.float64]
Grey: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class Spacing:
    """Distance from line to line in one frame, in pixels."""

    px: float
    error_px: float
    """Standard error of the fit."""
    lines: int


def line_spacing(pixels: npt.NDArray[np.uint8]) -> Spacing | None:
    """Of a frame, RGB uint8 ``[height, width, 3]``; None where it shows no scale."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    side = max(grey.shape) // 3
    grey -= cv2.blur(grey, (side, side), borderType=cv2.BORDER_REFLECT)  # uneven light
    angle = _direction(grey)
    if angle is None:
        return None
    for steps in (np.arange(-2, 2.1, 0.5), np.arange(-0.4, 0.41, 0.1)):
        around = [angle + np.deg2rad(step) for step in steps]
        angle = max(around, key=lambda one: float(np.var(_profile(grey, one))))
    profile = _profile(grey, angle)
    period = _period(profile)
    if period is None or np.ptp(profile) < _LEAST_CONTRAST:
        return None
    return _fitted(_line_centres(profile, period), period)


def _direction(grey: Grey) -> float | None:
    """The direction across the lines in radians, by the structure tensor (Bigun, Granlund 1987)."""
    smooth = cv2.GaussianBlur(grey, (0, 0), 1.5)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    xx, yy, xy = (
        float(np.mean(a * b)) for a, b in ((across, across), (down, down), (across, down))
    )
    energy = xx + yy
    if energy <= 0 or np.hypot(xx - yy, 2 * xy) / energy < _COHERENT:
        return None
    return float(0.5 * np.arctan2(2 * xy, xx - yy))


def _profile(grey: Grey, angle: float) -> Profile:
    """Mean grey level along the lines, one value a pixel across them; ends without pixels cut."""
    height, width = grey.shape
    x = (np.arange(width) - width / 2) * np.cos(angle)
    y = (np.arange(height) - height / 2) * np.sin(angle)
    along = x[None] + y[:, None]
    low = along.min()
    place = along - low
    left = np.floor(place).astype(np.int64)
    share = (place - left).ravel()
    bins = int(left.max()) + 2
    weights, flat = grey.ravel().astype(np.float64), left.ravel()
    # Shared between two neighbours, so that a place between pixels is kept.
    count = np.bincount(flat, 1 - share, bins) + np.bincount(flat + 1, share, bins)
    total = np.bincount(flat, weights * (1 - share), bins)
    total += np.bincount(flat + 1, weights * share, bins)
    full = np.flatnonzero(count >= 0.3 * count.max())
    return np.asarray(total[full[0] : full[-1] + 1] / count[full[0] : full[-1] + 1], np.float64)


def _period(profile: Profile) -> float | None:
    """The first strong peak of the autocorrelation, in pixels."""
    centred = profile - profile.mean()
    size = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * size)) ** 2
    correlation = np.fft.irfft(spectrum)[:size]
    if correlation[0] <= 0:
        return None
    # Unbiased: fewer pairs are left at longer distances.
    correlation = correlation / correlation[0] * size / np.maximum(size - np.arange(size), 1)
    usable = correlation[: size // 2]
    peaks = [
        lag
        for lag in range(_LEAST_PERIOD_PX, len(usable) - 1)
        if usable[lag] >= usable[lag - 1] and usable[lag] > usable[lag + 1]
    ]
    peaks = [lag for lag in peaks if usable[lag] > _REPEATS]
    if not peaks:
        return None
    strongest = max(usable[lag] for lag in peaks)
    # The first that is nearly as strong: later ones are its multiples, where lines are longer.
    return float(next(lag for lag in peaks if usable[lag] > 0.6 * strongest))


def _line_centres(profile: Profile, period: float) -> list[float]:
    """Centres of gravity of the dark lines, in pixels of the profile."""
    middle = np.median(profile)
    depth = np.maximum(middle - profile, 0.0)
    high = np.percentile(depth, 98) if depth.any() else 0.0
    half = max(2, round(period / 3))
    centres, last = [], -period
    for place in range(half, len(profile) - half):
        window = depth[place - half : place + half + 1]
        if depth[place] < 0.3 * high or depth[place] < window.max() or place - last < period / 2:
            continue
        weight = np.maximum(window - 0.3 * depth[place], 0.0)
        centres.append(float(place + (weight * np.arange(-half, half + 1)).sum() / weight.sum()))
        last = place
    return centres


def _fitted(centres: list[float], period: float) -> Spacing | None:
    if len(centres) < _LEAST_LINES:
        return None
    places = np.asarray(centres)
    # From neighbour to neighbour: a rough period would miscount over a long row.
    numbers = np.concatenate([[0], np.cumsum(np.maximum(1, np.round(np.diff(places) / period)))])
    slope, start = np.polyfit(numbers, places, 1)
    left = places - (slope * numbers + start)
    degrees = max(1, len(places) - 2)
    error = np.sqrt((left @ left) / degrees / ((numbers - numbers.mean()) ** 2).sum())
    if np.abs(left).max() > 0.2 * slope:
        return None
    return Spacing(float(slope), float(error), len(centres))
