"""What microscope and camera do to a field: focus blur, vignetting, exposure, shot noise.

Everything is uint8 or int16 arithmetic on precomputed planes, because a frame may cost a few
milliseconds only. The noise follows the light (shot noise: variance proportional to the signal).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.smear.sprite import Picture

BLUR_PX_PER_UM = 1.3
"""Widening of the Gaussian blur, in px at 0.075 um/px, for each um out of focus: at 100x, where
the depth of field is about half a um, red cells lose their outline some 4 um off."""

_NOISE_MARGIN_PX = 64
_HALOGEN = (1.0, 0.84, 0.6)
"""RGB of a dimmed halogen bulb, seen by a camera that is set to daylight."""


class Optics:
    """One microscope: the same planes for all frames, a fresh draw of noise for each."""

    def __init__(
        self,
        rng: np.random.Generator,
        width_px: int,
        height_px: int,
        vignetting: float,
        noise: float,
        sharpness_px: float,
        cast: float = 0.0,
    ) -> None:
        """Prepare the planes.

        Args:
            rng: draws the off-centre of the vignetting and the noise plane.
            width_px: width of the frames.
            height_px: height of the frames.
            vignetting: share of light lost in the corners, 0..1.
            noise: standard deviation of the noise at full signal, in grey levels of 255.
            sharpness_px: standard deviation of the blur in perfect focus.
            cast: colour of the lamp, 0 white to 1 the yellow of a dimmed halogen bulb.
        """
        self._sharpness_px = sharpness_px
        self._light = _vignette(rng, width_px, height_px, vignetting)
        if cast:
            colour = 1 - cast * (1 - np.asarray(_HALOGEN))
            self._light = np.asarray(self._light * colour + 0.5, np.uint8)
        deviation = noise * np.sqrt(np.arange(256) / 255)
        self._deviation = deviation.astype(np.float32)
        self._noisy = noise > 0
        plane = rng.standard_normal(
            (height_px + _NOISE_MARGIN_PX, width_px + _NOISE_MARGIN_PX, 3), np.float32
        )
        self._plane = plane

    def expose(
        self,
        rng: np.random.Generator,
        field: Picture,
        defocus_um: float,
        um_per_px: float,
        exposure: float = 1.0,
        way_px: tuple[float, float] = (0.0, 0.0),
    ) -> Picture:
        """The frame a camera would take of ``field`` (uint8 RGB, not changed).

        ``defocus_um`` is the distance from focus, ``exposure`` the factor on the light (1 is the
        camera's own), ``way_px`` how far the field moves in x and y while it is exposed.
        """
        blur_px = BLUR_PX_PER_UM * abs(defocus_um) * 0.075 / um_per_px
        sigma_px = float(np.hypot(self._sharpness_px, blur_px))
        frame = cv2.GaussianBlur(field, (0, 0), sigma_px) if sigma_px > 0.2 else field
        if any(way_px):
            frame = cv2.filter2D(frame, -1, streak(*way_px), borderType=cv2.BORDER_REFLECT)
        frame = cv2.multiply(frame, self._light, scale=exposure / 255)
        if not self._noisy:
            return np.asarray(frame, np.uint8)
        top, left = (int(v) for v in rng.integers(0, _NOISE_MARGIN_PX, 2))
        height, width = frame.shape[:2]
        noise = self._plane[top : top + height, left : left + width]
        grains = cv2.multiply(cv2.LUT(frame, self._deviation), noise)
        return np.asarray(cv2.add(frame, grains, dtype=cv2.CV_8U), np.uint8)


def streak(x_px: float, y_px: float) -> npt.NDArray[np.float32]:
    """The kernel of even motion along a straight line: what a point becomes, sum 1."""
    fine = 8  # drawn so many times as large, then averaged down
    side = 2 * int(np.ceil(max(abs(x_px), abs(y_px)) / 2)) + 3
    middle = side * fine / 2 - 0.5
    drawn = np.zeros((side * fine, side * fine), np.float32)
    half = x_px * fine / 2, y_px * fine / 2
    start = round(middle - half[0]), round(middle - half[1])
    cv2.line(drawn, start, (round(middle + half[0]), round(middle + half[1])), 1.0, fine)
    kernel = cv2.resize(drawn, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _vignette(
    rng: np.random.Generator, width_px: int, height_px: int, strength: float
) -> npt.NDArray[np.uint8]:
    """Light reaching each pixel, 255 is all of it: falls with the square of the distance."""
    dx, dy = rng.normal(0, 0.06, 2)
    x = np.linspace(-1, 1, width_px) - dx
    y = (np.linspace(-1, 1, height_px) - dy) * height_px / width_px
    corner = 1 + (height_px / width_px) ** 2
    distance2 = np.clip((x[None] ** 2 + y[:, None] ** 2) / corner, 0, 1)
    light = 255 * (1 - strength * distance2)
    return np.repeat((light + 0.5).astype(np.uint8)[..., None], 3, axis=2)
