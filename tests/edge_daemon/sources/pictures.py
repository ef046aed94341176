"""Small pictures for the tests of sources: made here, nobody's pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from edge_daemon.sources.base import Pixels


def speckled(seed: int = 0, width: int = 64, height: int = 48) -> Pixels:
    """RGB noise around a stain-like pink, different in every pixel and for every seed."""
    noise = np.random.default_rng(seed).integers(-40, 40, (height, width, 3))
    return (np.array([205, 160, 180]) + noise).astype(np.uint8)


def encoded(pixels: np.ndarray, suffix: str, *options: int) -> bytes:
    """The picture (RGB, RGBA or grey) in the bytes of a file."""
    if pixels.ndim == 3:
        code = cv2.COLOR_RGBA2BGRA if pixels.shape[2] == 4 else cv2.COLOR_RGB2BGR
        pixels = cv2.cvtColor(pixels, code)
    ok, data = cv2.imencode(suffix, pixels, list(options))
    assert ok
    return data.tobytes()


def written(path: Path, pixels: np.ndarray, *options: int) -> Path:
    """The picture as a file, in the format that the path's suffix names."""
    path.write_bytes(encoded(pixels, path.suffix, *options))
    return path
