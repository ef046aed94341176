"""Good frames spoilt as a microscope spoils them, for the tests of the quality gate."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge_daemon.sources.base import Pixels


def defocused(pixels: Pixels, sigma_px_at_640: float) -> Pixels:
    """Blurred by a Gaussian whose sigma is given for a frame 640 pixels wide."""
    sigma = sigma_px_at_640 * max(pixels.shape) / 640
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def with_noise(pixels: Pixels, sigma: float = 2.5) -> Pixels:
    """The sensor's noise comes behind the lens, and is never blurred."""
    noise = np.random.default_rng(1).normal(0, sigma, pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def exposed(pixels: Pixels, gain: float) -> Pixels:
    """As with a lamp that is so many times as bright."""
    return np.clip(pixels.astype(np.float32) * gain, 0, 255).astype(np.uint8)


def emptied(pixels: Pixels, vignetting: float = 0.12) -> Pixels:
    """The glass of this frame without its cells, darker in the corners, with noise."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    light = 1 - vignetting * (x * x + y * y) / 2
    glass = np.percentile(pixels[::4, ::4].reshape(-1, 3), 95, axis=0)
    return with_noise((glass * light[..., None]).astype(np.uint8))


SPOILT: dict[str, Callable[[Pixels], Pixels]] = {
    "blurred, sigma 3": lambda pixels: defocused(pixels, 3),
    "blurred, sigma 4": lambda pixels: defocused(pixels, 4),
    "blurred, sigma 4, noise": lambda pixels: with_noise(defocused(pixels, 4)),
    "blurred, sigma 6": lambda pixels: defocused(pixels, 6),
    "blurred, sigma 6, noise": lambda pixels: with_noise(defocused(pixels, 6)),
    "half the light": lambda pixels: exposed(pixels, 0.5),
    "40 % of the light": lambda pixels: exposed(pixels, 0.4),
    "1.6 times the light": lambda pixels: exposed(pixels, 1.6),
    "twice the light": lambda pixels: exposed(pixels, 2.0),
    "empty glass": emptied,
}
