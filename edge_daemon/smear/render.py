"""Cells and background of a Wright-Giemsa smear, drawn from numbers: nothing is downloaded.

The demo, the tests and the golden set of a bundle need pictures that belong to nobody else. They
are drawn here, as a haematologist would describe them, in optical density: red cells with central
pallor, granular platelets, white cells by species (:mod:`edge_daemon.smear.nucleated`), the pale
plasma between them. One seeded generator in, one picture out: the same seed gives the same bytes.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import RED_CELL_DIAMETER_UM, CellClass, CellKind
from edge_daemon.smear.composite import CutOutCell
from edge_daemon.smear.nucleated import WHITE_CELLS, Layers
from edge_daemon.smear.palette import WRIGHT_GIEMSA_DYES, Palette
from edge_daemon.smear.sprite import Picture, Sprite, mask_extent
from edge_daemon.smear.texture import (
    Plane,
    coverage,
    disc,
    ellipse,
    grain,
    union,
    warped_grid,
)

Species: TypeAlias = Literal[
    "red_cell", "platelet", "lymphocyte", "neutrophil", "monocyte", "eosinophil", "precursor",
    "blast",
]  # fmt: skip
"""What can be drawn."""

SPECIES: tuple[Species, ...] = get_args(Species)

NORMAL_WHITE_CELLS: tuple[Species, ...] = (
    "lymphocyte",
    "neutrophil",
    "monocyte",
    "eosinophil",
    "precursor",
)


def kind_of(species: Species) -> CellKind:
    """The detector's kind of a species."""
    if species == "red_cell":
        return "rbc"
    return "platelet" if species == "platelet" else "wbc"


def class_of(species: Species) -> CellClass | None:
    """The classifier's class of a species; None for cells without a nucleus."""
    if kind_of(species) != "wbc":
        return None
    return "blast" if species == "blast" else "normal"


def render_sprite(
    rng: np.random.Generator,
    species: Species,
    um_per_px: float,
    palette: Palette = WRIGHT_GIEMSA_DYES,
) -> Sprite:
    """Draw one cell of ``species`` at ``um_per_px``; its ``rng`` decides the rest.

    The sprite's mask holds the pixels that the cell covers by more than half.
    """
    if species == "red_cell":
        density, mask = _red_cell(rng, um_per_px, palette)
    elif species == "platelet":
        density, mask = _platelet(rng, um_per_px, palette)
    else:
        density, mask = WHITE_CELLS[species](rng, um_per_px, palette)
    gain = np.exp(-density) * 255 + 0.5
    # a thin bright line around every cell: light refracted at its edge
    halo = np.clip(cv2.GaussianBlur(mask, (0, 0), 0.22 / um_per_px) - mask, 0, 1)
    body = np.repeat((halo * 24)[..., None], 3, axis=2)
    return Sprite(gain.astype(np.uint8), body.astype(np.uint8), mask > 0.5).trimmed()


def render_cell(
    rng: np.random.Generator,
    species: Species,
    um_per_px: float,
    palette: Palette = WRIGHT_GIEMSA_DYES,
) -> CutOutCell:
    """Draw one cell cut out of its background, as the published single-cell pictures are.

    Returns a :class:`~edge_daemon.smear.composite.CutOutCell`: colours as seen over plasma, alpha
    the cell's mask, cropped to the cell.
    """
    sprite = render_sprite(rng, species, um_per_px, palette)
    plasma = np.exp(-palette.plasma) * 255
    rgb = np.clip(plasma * (sprite.gain / 255) + sprite.body, 0, 255).astype(np.uint8)
    x0, y0, x1, y1 = mask_extent(sprite.mask)
    window = np.s_[y0:y1, x0:x1]
    return CutOutCell(
        np.ascontiguousarray(rgb[window]),
        np.ascontiguousarray(sprite.mask[window].astype(np.float32)),
        um_per_px,
    )


def render_background(
    rng: np.random.Generator,
    side_px: int,
    um_per_px: float,
    palette: Palette = WRIGHT_GIEMSA_DYES,
) -> Picture:
    """Plasma between the cells, uint8 ``[side_px, side_px, 3]``, seamless when tiled.

    Faint clouds of dried protein, fine grain, and a few specks of stain.
    """
    clouds = 0.5 * _tiling_grain(rng, side_px, 18 / um_per_px)
    clouds += 0.3 * _tiling_grain(rng, side_px, 4 / um_per_px)
    fine = 0.25 * _tiling_grain(rng, side_px, 0.35 / um_per_px)
    tint = 1 + 0.05 * np.stack([_tiling_grain(rng, side_px, 30 / um_per_px) for _ in range(3)], -1)
    density = palette.plasma * tint * (1 + 0.10 * clouds + 0.05 * fine)[..., None]
    specks = np.zeros((side_px, side_px), np.float32)
    for _ in range(int(rng.poisson(side_px**2 * um_per_px**2 / 900))):
        x, y = rng.integers(0, side_px, 2)
        radius = max(1, round(rng.uniform(0.08, 0.3) / um_per_px))
        cv2.circle(specks, (int(x), int(y)), radius, float(rng.uniform(0.2, 0.8)), -1, cv2.LINE_AA)
    blurred = cv2.GaussianBlur(specks, (0, 0), 0.12 / um_per_px)
    density = density + palette.platelet * (0.4 * blurred)[..., None]
    return np.asarray(np.exp(-density) * 255 + 0.5, dtype=np.uint8)


def _red_cell(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """A flattened biconcave disc: even rim, pallor of varying width, round to oval outline."""
    radius = RED_CELL_DIAMETER_UM / 2 * float(np.clip(rng.normal(1.0, 0.075), 0.78, 1.22))
    grid = warped_grid(rng, 2 * radius + 3.5, um_per_px, 0.14, 5.0)
    stretch = 1 + abs(rng.normal(0, 0.055)) + (0.14 if rng.random() < 0.06 else 0)
    angle = rng.uniform(0, np.pi)
    outline = ellipse(grid, 0, 0, radius * stretch, radius / stretch, angle)
    # distance from the middle, 0 there and 1 at the outline
    rho = np.clip(1 - outline / (radius / stretch), 0, None)
    x_um, y_um = rng.normal(0, 0.05 * radius, 2)
    pale = 1 - ellipse(
        grid, x_um, y_um, radius * stretch, radius / stretch, angle + rng.normal(0, 0.3)
    ) / (radius / stretch)
    paleness = float(np.clip(rng.normal(0.60, 0.16), 0.08, 0.88))
    width = float(np.clip(rng.normal(0.44, 0.07), 0.28, 0.62))
    steepness = rng.uniform(2.2, 4.2)
    pallor = paleness * np.exp(-((np.clip(pale, 0, None) / width) ** steepness))
    rim = 0.94 + 0.14 * np.exp(-(((rho - 0.74) / 0.20) ** 2))
    membrane = 0.20 * np.exp(-(((outline - 0.14) / 0.17) ** 2))
    mottle = 1 + 0.03 * grain(rng, grid.side_px, 1.8, um_per_px)
    mottle += 0.02 * grain(rng, grid.side_px, 0.3, um_per_px)
    mask = coverage(outline, um_per_px, 0.30)
    thickness = (rim * (1 - pallor) + membrane) * mottle * mask * rng.normal(1.0, 0.07)
    return (palette.red_cell * thickness[..., None]).astype(np.float32), mask


def _platelet(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """A small pale body with purple granules gathered in its middle; outline slightly frayed."""
    radius = float(np.clip(rng.lognormal(np.log(1.05), 0.18), 0.72, 1.7))
    grid = warped_grid(rng, 2 * radius + 3.0, um_per_px, 0.17, 1.7)
    stretch = 1 + rng.uniform(0, 0.3)
    outline = ellipse(grid, 0, 0, radius * stretch, radius / stretch, rng.uniform(0, np.pi))
    for _ in range(int(rng.integers(0, 4))):
        angle = rng.uniform(0, 2 * np.pi)
        bud = disc(grid, radius * np.cos(angle), radius * np.sin(angle), radius * 0.32)
        outline = union(outline, bud, 0.4)
    mask = coverage(outline, um_per_px, 0.55)
    granules = np.clip(0.6 + 0.5 * grain(rng, grid.side_px, 0.5, um_per_px), 0, 1.6)
    middle = np.clip(outline / radius * 1.6, 0, 1)
    thickness: Plane = mask * (0.40 + 0.75 * granules * middle)
    return (palette.platelet * thickness[..., None]).astype(np.float32), mask


def _tiling_grain(
    rng: np.random.Generator, side_px: int, wave_px: float
) -> npt.NDArray[np.float32]:
    """Smooth noise of unit variance that repeats without a seam after ``side_px``."""
    knots = max(2, round(side_px / wave_px))
    coarse = rng.standard_normal((knots, knots)).astype(np.float32)
    wrapped = np.pad(coarse, 2, mode="wrap")
    scale = side_px / knots
    size = round((knots + 4) * scale)
    fine = cv2.resize(wrapped, (size, size), interpolation=cv2.INTER_CUBIC)
    edge = round(2 * scale)
    return np.asarray(fine[edge : edge + side_px, edge : edge + side_px] * 1.35, dtype=np.float32)
