"""Drawn white cells: nucleus, chromatin and cytoplasm of each species, as optical density.

The differences are those a haematologist reads at 100x (Bain, "Blood Cells"; Bennett et al. 1976,
the FAB proposals for lymphoblasts): size, nucleus-to-cytoplasm ratio, outline of the nucleus,
clumped or fine chromatin, nucleoli, colour and granules of the cytoplasm. Sizes are diameters on
a dried film.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.smear.palette import Density, Palette
from edge_daemon.smear.texture import (
    Grid,
    Plane,
    capsule,
    coverage,
    disc,
    dots,
    ellipse,
    grain,
    union,
    warped_grid,
    without,
)

Layers: TypeAlias = tuple[npt.NDArray[np.float32], Plane]
"""Optical density ``[h, w, 3]`` and the mask 0..1 ``[h, w]`` of a drawn cell."""


def lymphocyte(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Small mature lymphocyte: dense round nucleus, clumped chromatin, a thin sky-blue rim."""
    radius = rng.uniform(3.9, 4.9)
    grid = warped_grid(rng, 2 * radius + 4, um_per_px, 0.16, 5.0)
    body = _rounded(rng, grid, radius, 0.08)
    nuclear_radius = radius * rng.uniform(0.84, 0.92)
    shift = (radius - nuclear_radius) * 0.8
    angle = rng.uniform(0, 2 * np.pi)
    x_um, y_um = shift * np.cos(angle), shift * np.sin(angle)
    nucleus = _rounded(rng, grid, nuclear_radius, 0.06, x_um, y_um)
    if rng.random() < 0.45:  # one shallow indentation
        nucleus = _notched(rng, grid, nucleus, nuclear_radius, x_um, y_um, depth=0.16)
    chromatin = _chromatin(rng, grid, nucleus, level=1.08, clump=0.24, clump_um=1.0, fine=0.07)
    rim = palette.blue_cytoplasm * np.float32(rng.uniform(0.8, 1.25))
    return _assembled(
        grid, body, rim, nucleus, palette.chromatin, chromatin, _mottle(rng, grid, 0.10)
    )


def precursor(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Normal B-lymphoid precursor: small, smooth dense chromatin, hardly any cytoplasm."""
    radius = rng.uniform(3.7, 4.8)
    grid = warped_grid(rng, 2 * radius + 4, um_per_px, 0.17, 5.0)
    body = _rounded(rng, grid, radius, 0.09)
    nucleus = _rounded(rng, grid, radius * rng.uniform(0.92, 0.96), 0.08)
    if rng.random() < 0.4:
        nucleus = _notched(rng, grid, nucleus, radius * 0.93, 0, 0, depth=0.22)
    chromatin = _chromatin(rng, grid, nucleus, level=1.04, clump=0.12, clump_um=1.1, fine=0.07)
    rim = palette.blue_cytoplasm * np.float32(rng.uniform(0.9, 1.4))
    return _assembled(
        grid, body, rim, nucleus, palette.chromatin, chromatin, _mottle(rng, grid, 0.10)
    )


def blast(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Leukaemic blast: large, nucleus fills it, fine open chromatin, nucleoli, basophilic rim."""
    radius = rng.uniform(5.4, 7.6)
    grid = warped_grid(rng, 2 * radius + 5, um_per_px, 0.34, 6.5)
    body = _rounded(rng, grid, radius, 0.14)
    nuclear_radius = radius * rng.uniform(0.84, 0.94)
    shift = (radius - nuclear_radius) * 0.75
    angle = rng.uniform(0, 2 * np.pi)
    x_um, y_um = shift * np.cos(angle), shift * np.sin(angle)
    nucleus = _rounded(rng, grid, nuclear_radius, 0.12, x_um, y_um)
    for _ in range(int(rng.choice([0, 0, 1, 1, 2]))):  # clefts and indentations
        nucleus = _notched(
            rng, grid, nucleus, nuclear_radius, x_um, y_um, depth=rng.uniform(0.08, 0.36)
        )
    level = rng.uniform(0.64, 0.82)
    chromatin = _chromatin(rng, grid, nucleus, level=level, clump=0.09, clump_um=1.5, fine=0.13)
    for _ in range(int(rng.choice([1, 1, 2, 2, 3]))):
        chromatin += _nucleolus(rng, grid, nuclear_radius, x_um, y_um)
    rim = palette.blue_cytoplasm * np.float32(rng.uniform(1.25, 1.9))
    texture = _mottle(rng, grid, 0.18)
    for _ in range(int(rng.choice([0, 0, 0, 0, 2, 4]))):  # vacuoles, in some blasts
        texture = texture * (1 - 0.7 * coverage(_near_rim(rng, grid, radius, 0.3), um_per_px, 0.2))
    return _assembled(grid, body, rim, nucleus, palette.chromatin, chromatin, texture)


def neutrophil(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Segmented neutrophil: three to five lobes on threads, pale pink, finely granular."""
    radius = rng.uniform(5.6, 6.8)
    grid = warped_grid(rng, 2 * radius + 4, um_per_px, 0.22, 4.2)
    body = _rounded(rng, grid, radius, 0.10)
    nucleus = _lobes(rng, grid, radius, count=int(rng.choice([3, 3, 3, 3, 4, 4, 5])))
    chromatin = _chromatin(rng, grid, nucleus, level=1.12, clump=0.24, clump_um=0.85, fine=0.06)
    grains = _speckle(rng, grid, 0.24, 0.6)
    cytoplasm = (
        palette.pink_cytoplasm[None, None] * (0.85 + 0.30 * _mottle(rng, grid, 0.3))[..., None]
    )
    cytoplasm = cytoplasm + palette.azure_granule * np.float32(0.22) * grains[..., None]
    return _assembled(grid, body, cytoplasm, nucleus, palette.chromatin, chromatin, None)


def eosinophil(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Eosinophil: two lobes, cytoplasm packed with round orange granules."""
    radius = rng.uniform(5.9, 6.9)
    grid = warped_grid(rng, 2 * radius + 4, um_per_px, 0.22, 4.2)
    body = _rounded(rng, grid, radius, 0.08)
    nucleus = _lobes(rng, grid, radius, count=2)
    chromatin = _chromatin(rng, grid, nucleus, level=1.0, clump=0.22, clump_um=0.9, fine=0.06)
    grains = _beads(rng, grid, radius, spacing_um=0.64, bead_um=0.30)
    cytoplasm = palette.pink_cytoplasm * np.float32(0.9) + palette.eosin_granule * (
        np.float32(0.75) * grains[..., None]
    )
    return _assembled(grid, body, cytoplasm, nucleus, palette.chromatin, chromatin, None)


def monocyte(rng: np.random.Generator, um_per_px: float, palette: Palette) -> Layers:
    """Monocyte: the largest normal cell, folded nucleus, lacy chromatin, grey-blue, vacuoles."""
    radius = rng.uniform(6.6, 8.2)
    grid = warped_grid(rng, 2 * radius + 5, um_per_px, 0.45, 6.0)
    body = _rounded(rng, grid, radius, 0.16)
    angle = rng.uniform(0, 2 * np.pi)
    shift = 0.12 * radius
    x_um, y_um = shift * np.cos(angle), shift * np.sin(angle)
    nucleus = ellipse(grid, x_um, y_um, radius * 0.74, radius * 0.58, angle + np.pi / 2)
    away = rng.uniform(0.42, 0.62) * radius
    hollow = disc(grid, x_um - away * np.cos(angle), y_um - away * np.sin(angle), radius * 0.34)
    nucleus = without(nucleus, hollow, 2.2)
    chromatin = _chromatin(rng, grid, nucleus, level=0.80, clump=0.20, clump_um=0.8, fine=0.10)
    texture = _mottle(rng, grid, 0.22)
    for _ in range(int(rng.integers(2, 8))):
        vacuole = _near_rim(rng, grid, radius, rng.uniform(0.2, 0.5))
        texture = texture * (1 - 0.75 * coverage(vacuole, um_per_px, 0.2))
    cytoplasm = palette.grey_cytoplasm * texture[..., None]
    cytoplasm = (
        cytoplasm
        + palette.azure_granule * np.float32(0.12) * _speckle(rng, grid, 0.3, 1.2)[..., None]
    )
    return _assembled(grid, body, cytoplasm, nucleus, palette.chromatin, chromatin, None)


WhiteCell: TypeAlias = Callable[[np.random.Generator, float, Palette], Layers]

WHITE_CELLS: dict[str, WhiteCell] = {
    "lymphocyte": lymphocyte,
    "neutrophil": neutrophil,
    "monocyte": monocyte,
    "eosinophil": eosinophil,
    "precursor": precursor,
    "blast": blast,
}
"""Every drawn species of nucleated cell; all but ``blast`` are of class ``normal``."""


def _rounded(
    rng: np.random.Generator,
    grid: Grid,
    radius_um: float,
    squash: float,
    x_um: float = 0.0,
    y_um: float = 0.0,
) -> Plane:
    """A round outline, up to ``squash`` longer one way than the other (area kept)."""
    stretch = 1 + rng.uniform(0, squash)
    return ellipse(
        grid, x_um, y_um, radius_um * stretch, radius_um / stretch, rng.uniform(0, np.pi)
    )


def _notched(
    rng: np.random.Generator,
    grid: Grid,
    shape: Plane,
    radius_um: float,
    x_um: float,
    y_um: float,
    depth: float,
) -> Plane:
    """``shape`` with an indentation reaching ``depth`` of its radius inwards."""
    angle = rng.uniform(0, 2 * np.pi)
    width = rng.uniform(0.04, 0.13) * radius_um
    reach = radius_um * (1 - depth)
    far = radius_um * 1.4
    cleft = capsule(
        grid,
        (x_um + (reach + width) * np.cos(angle), y_um + (reach + width) * np.sin(angle)),
        (x_um + far * np.cos(angle + 0.2), y_um + far * np.sin(angle + 0.2)),
        width,
    )
    return without(shape, cleft, 1.1)


def _lobes(rng: np.random.Generator, grid: Grid, radius_um: float, count: int) -> Plane:
    """Lobes along a bent line through the cell, joined by threads."""
    sweep = rng.uniform(1.05, 1.4) * np.pi if count > 2 else rng.uniform(0.7, 1.0) * np.pi
    start = rng.uniform(0, 2 * np.pi)
    ring = radius_um * rng.uniform(0.44, 0.54)
    size = radius_um * {2: 0.36, 3: 0.30, 4: 0.28}.get(count, 0.26)
    centres = []
    for step in range(count):
        angle = start + sweep * step / (count - 1) + rng.normal(0, 0.10)
        away = ring * (1 + rng.normal(0, 0.12))
        centres.append((away * np.cos(angle), away * np.sin(angle), angle))
    nucleus = np.full_like(grid.x_um, -99.0)
    for x_um, y_um, angle in centres:
        a_um = size * rng.uniform(1.0, 1.35)
        b_um = size * rng.uniform(0.72, 0.95)
        lobe = ellipse(grid, x_um, y_um, a_um, b_um, angle + np.pi / 2 + rng.normal(0, 0.4))
        nucleus = union(nucleus, lobe, 0.3)
    for (x0, y0, _), (x1, y1, _) in pairwise(centres):
        thread = capsule(grid, (x0, y0), (x1, y1), rng.uniform(0.15, 0.5))
        nucleus = union(nucleus, thread, 0.6)
    return nucleus


def _chromatin(
    rng: np.random.Generator,
    grid: Grid,
    nucleus: Plane,
    level: float,
    clump: float,
    clump_um: float,
    fine: float,
) -> Plane:
    """Relative density of the nucleus: clumps of ``clump_um``, a fine net, a darker membrane."""
    side, scale = grid.side_px, grid.um_per_px
    coarse = np.tanh(1.6 * grain(rng, side, clump_um, scale))
    net = grain(rng, side, 0.42, scale) * 0.7 + grain(rng, side, 0.22, scale) * 0.5
    membrane = np.exp(-((nucleus / 0.28) ** 2))
    slope = grain(rng, side, 7.0, scale) * 0.05
    return np.asarray(
        level * (1 + clump * coarse + fine * net + slope) + 0.10 * membrane, dtype=np.float32
    )


def _nucleolus(
    rng: np.random.Generator, grid: Grid, radius_um: float, x_um: float, y_um: float
) -> Plane:
    """Change of density at one nucleolus: a paler round spot with condensed chromatin around."""
    angle, away = rng.uniform(0, 2 * np.pi), radius_um * 0.62 * np.sqrt(rng.random())
    size_um = rng.uniform(0.65, 1.25)
    spot = ellipse(
        grid,
        x_um + away * np.cos(angle),
        y_um + away * np.sin(angle),
        size_um * rng.uniform(1.0, 1.25),
        size_um,
        rng.uniform(0, np.pi),
    )
    collar = np.exp(-(((spot + 0.12) / 0.28) ** 2))
    return np.asarray(
        -rng.uniform(0.22, 0.36) * coverage(spot, grid.um_per_px, 0.55) + 0.10 * collar,
        dtype=np.float32,
    )


def _near_rim(rng: np.random.Generator, grid: Grid, radius_um: float, size_um: float) -> Plane:
    angle, away = rng.uniform(0, 2 * np.pi), radius_um * rng.uniform(0.55, 0.9)
    return disc(grid, away * np.cos(angle), away * np.sin(angle), size_um)


def _mottle(rng: np.random.Generator, grid: Grid, contrast: float) -> Plane:
    """Cloudiness of cytoplasm around 1."""
    clouds = grain(rng, grid.side_px, 1.4, grid.um_per_px) * 0.7
    dust = grain(rng, grid.side_px, 0.35, grid.um_per_px) * 0.5
    return np.asarray(np.clip(1 + contrast * (clouds + dust), 0, None), dtype=np.float32)


def _speckle(rng: np.random.Generator, grid: Grid, size_um: float, rarity: float) -> Plane:
    """Dust-like granules 0..1; the higher ``rarity`` (in sigma), the fewer."""
    noise = grain(rng, grid.side_px, size_um, grid.um_per_px)
    return np.asarray(np.clip((noise - rarity) * 1.6, 0, 1), dtype=np.float32)


def _beads(
    rng: np.random.Generator, grid: Grid, radius_um: float, spacing_um: float, bead_um: float
) -> Plane:
    """Round granules of one size, packed side by side; some lie deeper and are paler."""
    steps = int(np.ceil(radius_um / spacing_um)) + 1
    axis = np.arange(-steps, steps + 1) * spacing_um
    x_um, y_um = np.meshgrid(axis, axis)
    x_um = x_um + 0.5 * spacing_um * (np.arange(len(axis)) % 2)[:, None]
    centres = np.stack([x_um.ravel(), y_um.ravel()], axis=1)
    centres += rng.normal(0, 0.22 * spacing_um, centres.shape)
    radii = bead_um * rng.uniform(0.75, 1.15, len(centres))
    deep = rng.random(len(centres)) < 0.4
    pale = 0.6 * dots(grid, centres[deep], radii[deep])
    return np.asarray(np.maximum(pale, dots(grid, centres[~deep], radii[~deep])), np.float32)


def _assembled(
    grid: Grid,
    body: Plane,
    cytoplasm: Density | npt.NDArray[np.float32],
    nucleus: Plane,
    chromatin_dye: Density,
    chromatin: Plane,
    texture: Plane | None,
) -> Layers:
    """Lay nucleus over cytoplasm; returns density and mask of the whole cell."""
    nucleus = np.minimum(nucleus, body - 0.12)  # a nucleus never leaves its cell
    cell = coverage(union(body, nucleus + 0.10, 0.2), grid.um_per_px, 0.22)
    core = coverage(nucleus, grid.um_per_px, 0.20)
    outer = np.broadcast_to(cytoplasm, (*cell.shape, 3))
    if texture is not None:
        outer = outer * texture[..., None]
    membrane = 1 + 0.25 * np.exp(-(((body - 0.15) / 0.22) ** 2))
    density = outer * (cell * membrane * (1 - 0.75 * core))[..., None]
    density = density + chromatin_dye * (np.clip(chromatin, 0.2, None) * core)[..., None]
    return density.astype(np.float32), cell
