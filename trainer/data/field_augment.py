"""Training frames of the detector: published fields, varied as microscopes vary.

A smear has no upright side and no fixed magnification, so frames are turned, mirrored, scaled and
put together as mosaics; light, stain, focus, sensor noise and JPEG differ between laboratories,
so those vary too. Everything draws from one ``numpy`` generator: the same seed, epoch and index
give the same frame, whichever worker makes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.data.marking import UNMARKED

Rgb = NDArray[np.uint8]


class MarkedFrame(NamedTuple):
    """A picture with its truth."""

    pixels: Rgb
    """uint8 ``[H, W, 3]``, RGB."""
    boxes: NDArray[np.float32]
    """float32 ``[N, 4]``: x0, y0, x1, y1 in pixels."""
    kinds: NDArray[np.int8]
    """int8 ``[N]``: index into ``KINDS``, or ``UNMARKED``."""


@dataclass(frozen=True)
class AugmentConfig:
    """How much frames are varied. Probabilities are per training frame."""

    scale_range: tuple[float, float] = (0.55, 1.5)
    """Magnification relative to the letterboxed frame."""
    plain_scale_range: tuple[float, float] = (0.75, 1.2)
    """The same in plain epochs, where most frames are seen whole: which cells at the edge of a
    frame count is a habit of those who marked it, and can only be learnt from whole frames."""
    mosaic_probability: float = 0.4
    mosaic_scale_range: tuple[float, float] = (0.4, 1.1)
    hue_degrees: float = 10.0
    """OpenCV counts hue in steps of two degrees; this is in degrees of the colour circle."""
    saturation_range: tuple[float, float] = (0.5, 1.5)
    gamma_range: tuple[float, float] = (0.65, 1.5)
    channel_gain: float = 0.12
    """Each channel is scaled by 1 +- this: white balance."""
    shading_probability: float = 0.3
    shading_depth: float = 0.35
    """Largest loss of light at the far corner."""
    blur_probability: float = 0.3
    blur_sigma_px: tuple[float, float] = (0.4, 1.8)
    noise_probability: float = 0.3
    noise_sigma: tuple[float, float] = (2.0, 9.0)
    jpeg_probability: float = 0.3
    jpeg_quality: tuple[int, int] = (35, 90)


MIN_VISIBLE_FRACTION = 0.2
"""A cell cut by the edge of a picture is still marked when this much of its box is left."""
MIN_VISIBLE_SIDE_PX = 4.0


def single(
    frame: MarkedFrame,
    height: int,
    width: int,
    scale_range: tuple[float, float],
    rng: np.random.Generator,
) -> MarkedFrame:
    """One frame, turned and scaled, on a canvas of ``height`` by ``width``."""
    canvas = _Canvas.of_background(frame.pixels, height, width, rng)
    frame = turned(frame, rng)
    scale = _fitting_scale(frame, height, width) * _log_uniform(scale_range, rng)
    canvas.place(frame, scale, (0, 0, width, height), rng)
    return canvas.frame()


def mosaic(
    frames: list[MarkedFrame],
    height: int,
    width: int,
    config: AugmentConfig,
    rng: np.random.Generator,
) -> MarkedFrame:
    """Four frames around a random point (Bochkovskiy et al. 2020, arXiv:2004.10934)."""
    canvas = _Canvas.of_background(frames[0].pixels, height, width, rng)
    x = int(width * rng.uniform(0.25, 0.75))
    y = int(height * rng.uniform(0.25, 0.75))
    quarters = ((0, 0, x, y), (x, 0, width, y), (0, y, x, height), (x, y, width, height))
    for frame, quarter in zip(frames, quarters, strict=True):
        scale = _fitting_scale(frame, height, width) * _log_uniform(config.mosaic_scale_range, rng)
        canvas.place(turned(frame, rng), scale, quarter, rng)
    return canvas.frame()


def turned(frame: MarkedFrame, rng: np.random.Generator) -> MarkedFrame:
    """One of the eight ways to lay a frame on the table: quarter turns and a mirror."""
    pixels, boxes = frame.pixels, frame.boxes
    for _ in range(rng.integers(4)):
        width = pixels.shape[1]
        pixels = np.rot90(pixels)
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([y0, width - x1, y1, width - x0], axis=1)
    if rng.random() < 0.5:
        width = pixels.shape[1]
        pixels = pixels[:, ::-1]
        x0, y0, x1, y1 = boxes.T
        boxes = np.stack([width - x1, y0, width - x0, y1], axis=1)
    return MarkedFrame(np.ascontiguousarray(pixels), boxes.astype(np.float32), frame.kinds)


def photometric(pixels: Rgb, config: AugmentConfig, rng: np.random.Generator) -> Rgb:
    """The same field under another lamp, stain, focus and camera; uint8 in, uint8 out."""
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    steps = np.arange(256, dtype=np.float32)
    hue = (steps + rng.uniform(-1, 1) * config.hue_degrees / 2) % 180
    saturation = steps * rng.uniform(*config.saturation_range)
    hsv = cv2.LUT(
        hsv, np.stack([hue, np.clip(saturation, 0, 255), steps], -1).astype(np.uint8)[None]
    )
    pixels = _uint8(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))
    gamma = _log_uniform(config.gamma_range, rng)
    gains = 1 + rng.uniform(-1, 1, 3) * config.channel_gain
    curve = 255 * (steps[:, None] / 255) ** gamma * gains
    pixels = _uint8(cv2.LUT(pixels, np.clip(curve, 0, 255).astype(np.uint8)[None]))
    if rng.random() < config.shading_probability:
        pixels = _shaded(pixels, config.shading_depth, rng)
    if rng.random() < config.blur_probability:
        pixels = _uint8(cv2.GaussianBlur(pixels, (0, 0), rng.uniform(*config.blur_sigma_px)))
    if rng.random() < config.noise_probability:
        noise = np.empty(pixels.shape, dtype=np.int16)
        cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
        cv2.randn(noise, 0, rng.uniform(*config.noise_sigma))  # type: ignore[call-overload]
        pixels = _uint8(cv2.add(pixels, noise, dtype=cv2.CV_8U))
    if rng.random() < config.jpeg_probability:
        quality = int(rng.integers(*config.jpeg_quality))
        # RGB stored as if BGR: chroma subsampling then acts on the wrong primaries by a little,
        # which is of no matter to an augmentation and saves two conversions.
        _, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
        pixels = _uint8(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return pixels


class _Canvas:
    """Where pictures are put together; collects the truth as it goes."""

    def __init__(self, pixels: Rgb) -> None:
        self.pixels = pixels
        self._boxes: list[NDArray[np.float32]] = []
        self._kinds: list[NDArray[np.int8]] = []

    @classmethod
    def of_background(
        cls, pixels: Rgb, height: int, width: int, rng: np.random.Generator
    ) -> _Canvas:
        """A plain canvas: the grey of the letterbox, or the bright background of the smear."""
        colour = np.full(3, 114.0)
        if rng.random() < 0.5:
            colour = np.percentile(pixels[::16, ::16].reshape(-1, 3), 85, axis=0)
        return cls(np.full((height, width, 3), colour, dtype=np.uint8))

    def place(
        self,
        frame: MarkedFrame,
        scale: float,
        region: tuple[int, int, int, int],
        rng: np.random.Generator,
    ) -> None:
        """Scale a frame and show a random part of it in ``region`` (x0, y0, x1, y1)."""
        x0, y0, x1, y1 = region
        height, width = (max(round(side * scale), 1) for side in frame.pixels.shape[:2])
        # How far the frame is moved inside its region: a cut when larger, a margin when smaller.
        left = _shift(width, x1 - x0, rng)
        top = _shift(height, y1 - y0, rng)
        scaled = cv2.resize(
            frame.pixels,
            (width, height),
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
        )
        seen = scaled[max(-top, 0) : y1 - y0 - top, max(-left, 0) : x1 - x0 - left]
        row, column = y0 + max(top, 0), x0 + max(left, 0)
        self.pixels[row : row + seen.shape[0], column : column + seen.shape[1]] = seen
        offset = np.array([x0 + left, y0 + top] * 2, dtype=np.float32)
        boxes = frame.boxes * np.float32(scale) + offset
        clipped = np.clip(boxes, [x0, y0, x0, y0], [x1, y1, x1, y1]).astype(np.float32)
        kept = _visible(boxes, clipped) | (frame.kinds == UNMARKED)
        self._boxes.append(clipped[kept])
        self._kinds.append(frame.kinds[kept])

    def frame(self) -> MarkedFrame:
        return MarkedFrame(self.pixels, np.concatenate(self._boxes), np.concatenate(self._kinds))


def _visible(boxes: NDArray[np.float32], clipped: NDArray[np.float32]) -> NDArray[np.bool_]:
    sides = clipped[:, 2:] - clipped[:, :2]
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return (sides >= MIN_VISIBLE_SIDE_PX).all(axis=1) & (
        sides.prod(axis=1) >= MIN_VISIBLE_FRACTION * area
    )


def _shift(length: int, room: int, rng: np.random.Generator) -> int:
    low, high = sorted((0, room - length))
    return int(rng.integers(low, high + 1))


def _fitting_scale(frame: MarkedFrame, height: int, width: int) -> float:
    # The longer side of the frame along the longer side of the canvas, also for turned frames:
    # otherwise a turn would change the magnification.
    long_side, short_side = max(frame.pixels.shape[:2]), min(frame.pixels.shape[:2])
    return min(max(height, width) / long_side, min(height, width) / short_side)


def _log_uniform(limits: tuple[float, float], rng: np.random.Generator) -> float:
    low, high = limits
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _uint8(picture: NDArray[Any] | None) -> Rgb:
    """What OpenCV made of a uint8 picture, which its type hints no longer know to be one."""
    return np.asarray(picture, dtype=np.uint8)


def _shaded(pixels: Rgb, depth: float, rng: np.random.Generator) -> Rgb:
    """Light that falls off towards one side, as under a decentred condenser."""
    height, width = pixels.shape[:2]
    angle = rng.uniform(0, 2 * np.pi)
    x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * np.float32(np.cos(angle))
    y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * np.float32(np.sin(angle))
    ramp = x[None, :] + y[:, None]
    ramp = (ramp - ramp.min()) / max(float(np.ptp(ramp)), 1e-6)
    light = 1 - ramp * np.float32(rng.uniform(0, depth))
    return (pixels * light[..., None]).astype(np.uint8)
