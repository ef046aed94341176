"""Good frames spoilt as a microscope spoils them, for the tests of the quality gate."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from edge_daemon.smear.optics import streak as _streak
from edge_daemon.sources.base import Pixels


def defocused(pixels: Pixels, sigma_px_at_640: float) -> Pixels:
    """Blurred by a Gaussian whose sigma is given for a frame 640 pixels wide."""
    sigma = sigma_px_at_640 * max(pixels.shape) / 640
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), dtype=np.uint8)


def moved(pixels: Pixels, way_px_at_640: float, angle_rad: float = 0.6) -> Pixels:
    """The stage moved so far while the frame was exposed, of a frame 640 pixels wide."""
    way = way_px_at_640 * max(pixels.shape) / 640
    kernel = _streak(way * np.cos(angle_rad), way * np.sin(angle_rad))
    return np.asarray(
        cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REFLECT), dtype=np.uint8
    )


def compressed(pixels: Pixels, quality: int) -> Pixels:
    """Through JPEG of this quality, 1 to 100."""
    coded = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def vignetted(pixels: Pixels, share: float) -> Pixels:
    """Corners that get this share less light than the middle."""
    height, width = pixels.shape[:2]
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return (pixels * (1 - share * (x * x + y * y) / 2)[..., None]).astype(np.uint8)


def layered(pixels: Pixels, layers: int) -> Pixels:
    """So many films of cells on top of each other: what one lets through, the next one dims."""
    glass = np.percentile(pixels[::4, ::4].reshape(-1, 3), 98, axis=0)
    turned = (pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1])
    light = np.ones(pixels.shape)
    for film in turned[:layers]:
        light *= film / glass
    return np.clip(light * glass, 0, 255).astype(np.uint8)


def cast(pixels: Pixels, red: float, green: float, blue: float) -> Pixels:
    """Through a lamp, a filter or a white balance of another colour."""
    return np.clip(pixels * np.array([red, green, blue]), 0, 255).astype(np.uint8)


def faded(pixels: Pixels, left: float) -> Pixels:
    """With this share of the stain left: optical density scaled, glass as it was."""
    glass = np.percentile(pixels[::4, ::4].reshape(-1, 3), 98, axis=0)
    light = np.clip(pixels / glass, 1 / 255, 1) ** left
    return np.clip(light * glass, 0, 255).astype(np.uint8)


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
    "moved 6 px": lambda pixels: moved(pixels, 6),
    "moved 10 px": lambda pixels: moved(pixels, 10),
    "moved 14 px": lambda pixels: moved(pixels, 14),
    "moved 14 px, noise": lambda pixels: with_noise(moved(pixels, 14)),
    "moved 20 px": lambda pixels: moved(pixels, 20),
    "JPEG, quality 30": lambda pixels: compressed(pixels, 30),
    "JPEG, quality 10": lambda pixels: compressed(pixels, 10),
    "corners with half the light": lambda pixels: vignetted(pixels, 0.5),
    "three films of cells": lambda pixels: layered(pixels, 3),
    "yellow lamp": lambda pixels: cast(pixels, 1.0, 0.92, 0.8),
    "half of the stain": lambda pixels: faded(pixels, 0.5),
    "stain 1.5 times as dense": lambda pixels: faded(pixels, 1.5),
}
