"""Organic shapes and textures on a small grid: the geometry that drawn cells are made of.

Everything here is measured in um, so that a cell looks the same at any magnification. A shape is
a *depth field*: float32, how far (in um) a pixel lies inside the outline; negative outside. Depth
fields combine like sets (smooth union, smooth difference) and become an antialiased mask with
:func:`coverage`. The technique is that of signed distance fields (Quilez, "2D distance functions").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

Plane: TypeAlias = npt.NDArray[np.float32]
"""One value per pixel, float32 ``[height, width]``."""

_KNOTS_PER_WAVE = 3.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Pixel centres in um around the middle of a square picture, slightly warped.

    The warp bends every shape drawn on the grid in the same way, so that circles become the
    rounded but never regular outlines of dried cells.
    """

    x_um: Plane
    y_um: Plane
    um_per_px: float

    @property
    def side_px(self) -> int:
        """Width and height of the picture in pixels."""
        return int(self.x_um.shape[0])


def warped_grid(
    rng: np.random.Generator, side_um: float, um_per_px: float, warp_um: float, wave_um: float
) -> Grid:
    """A grid of ``side_um`` by ``side_um``, bent by ``warp_um`` (RMS) over waves of ``wave_um``."""
    side_px = max(4, int(np.ceil(side_um / um_per_px)))
    axis = ((np.arange(side_px) + 0.5) - side_px / 2).astype(np.float32) * np.float32(um_per_px)
    x_um, y_um = np.meshgrid(axis, axis)
    if warp_um > 0:
        x_um = x_um + warp_um * grain(rng, side_px, wave_um, um_per_px)
        y_um = y_um + warp_um * grain(rng, side_px, wave_um, um_per_px)
    return Grid(x_um.astype(np.float32), y_um.astype(np.float32), um_per_px)


def grain(rng: np.random.Generator, side_px: int, wave_um: float, um_per_px: float) -> Plane:
    """Smooth noise of zero mean and unit variance whose blobs measure about ``wave_um``.

    White noise on a grid of knots, blurred there (otherwise the squares of the grid would show in
    every outline) and enlarged.
    """
    knot_px = max(1.0, wave_um / um_per_px / _KNOTS_PER_WAVE)
    knots = int(np.ceil(side_px / knot_px)) + 4
    coarse = rng.standard_normal((knots, knots), np.float32)
    sigma = wave_um / um_per_px / knot_px * 0.4
    smooth = cv2.GaussianBlur(coarse, (0, 0), sigma)
    smooth *= max(1.0, 2 * sigma * np.sqrt(np.pi))  # blurring white noise shrinks its deviation
    if knot_px == 1.0:
        return np.asarray(smooth[2 : 2 + side_px, 2 : 2 + side_px], dtype=np.float32)
    size_px = int(np.ceil(knots * knot_px))
    fine = cv2.resize(smooth, (size_px, size_px), interpolation=cv2.INTER_CUBIC)
    edge = (size_px - side_px) // 2
    return np.asarray(fine[edge : edge + side_px, edge : edge + side_px], dtype=np.float32)


def disc(grid: Grid, x_um: float, y_um: float, radius_um: float) -> Plane:
    """Depth inside a circle."""
    return np.asarray(radius_um - np.hypot(grid.x_um - x_um, grid.y_um - y_um), dtype=np.float32)


def ellipse(
    grid: Grid, x_um: float, y_um: float, a_um: float, b_um: float, angle_rad: float
) -> Plane:
    """Approximate depth inside an ellipse with half axes ``a_um``, ``b_um``."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    u = (grid.x_um - x_um) * cos + (grid.y_um - y_um) * sin
    v = (grid.y_um - y_um) * cos - (grid.x_um - x_um) * sin
    rho = np.hypot(u / a_um, v / b_um)
    return np.asarray((1.0 - rho) * min(a_um, b_um), dtype=np.float32)


def capsule(
    grid: Grid, start_um: tuple[float, float], end_um: tuple[float, float], radius_um: float
) -> Plane:
    """Depth inside a thick line: the filament between two lobes of a nucleus."""
    (x0, y0), (x1, y1) = start_um, end_um
    dx, dy = x1 - x0, y1 - y0
    length2 = dx * dx + dy * dy + 1e-6
    along = np.clip(((grid.x_um - x0) * dx + (grid.y_um - y0) * dy) / length2, 0.0, 1.0)
    away = np.hypot(grid.x_um - x0 - along * dx, grid.y_um - y0 - along * dy)
    return np.asarray(radius_um - away, dtype=np.float32)


def union(first: Plane, second: Plane, blend_um: float) -> Plane:
    """Smooth union of two depth fields; the joint is rounded over ``blend_um``."""
    h = np.clip(0.5 + 0.5 * (first - second) / blend_um, 0.0, 1.0)
    return np.asarray(second * (1 - h) + first * h + blend_um * h * (1 - h), dtype=np.float32)


def without(shape: Plane, hole: Plane, blend_um: float) -> Plane:
    """``shape`` with ``hole`` cut out of it, the edge rounded over ``blend_um``."""
    return -union(-shape, hole, blend_um)


def dots(
    grid: Grid, centres_um: npt.NDArray[np.float64], radii_um: npt.NDArray[np.float64]
) -> Plane:
    """Small round spots 0..1 at ``centres_um`` ``[N, 2]``, drawn to an eighth of a pixel."""
    plane = np.zeros_like(grid.x_um)
    half = grid.side_px / 2 - 0.5
    for (x_um, y_um), radius_um in zip(centres_um, radii_um, strict=True):
        at = (round((x_um / grid.um_per_px + half) * 8), round((y_um / grid.um_per_px + half) * 8))
        cv2.circle(plane, at, max(1, round(radius_um / grid.um_per_px * 8)), 1.0, -1, shift=3)
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), 0.07 / grid.um_per_px), dtype=np.float32)


def coverage(depth: Plane, um_per_px: float, softness_um: float = 0.0) -> Plane:
    """Antialiased mask 0..1 of a depth field; ``softness_um`` widens its edge."""
    width_um = max(um_per_px, softness_um)
    t = np.clip(depth / width_um + 0.5, 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)
