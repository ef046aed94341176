"""Smear fields as backgrounds for cut-out cells: frames with scale, stain and free places.

Real ones come from BCCD and TXL-PBC, their scale from their red cells; rendered ones are drawn, so
that the classifier also knows the smear that the demo shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import KINDS, CellClass
from edge_daemon.smear.composite import WRIGHT_GIEMSA, CutOutCell, Stain, paste, stain_of_nuclei
from edge_daemon.smear.palette import draw_palette
from edge_daemon.smear.render import SPECIES, class_of, render_background, render_cell
from edge_daemon.vision.scale import estimate_um_per_px
from trainer.data.fields import FieldSet

OWN_STAIN = 0.7
"""Share of the cells pasted onto a field in training that are given its own stain."""

_RED, _WHITE = KINDS.index("rbc"), KINDS.index("wbc")


@dataclass(frozen=True, eq=False)
class SmearField:
    """One field and what is needed to put a cell into it."""

    rgb: NDArray[np.uint8]
    """uint8 ``[H, W, 3]``, RGB; never written to."""
    um_per_px: float
    stain: Stain | None
    """Stain of its nuclei; ``None`` when it shows no white cell."""
    white_boxes: NDArray[np.float32]
    """float32 ``[N, 4]``, x0, y0, x1, y1 of its own white cells."""


def real_fields(sets: Iterable[FieldSet]) -> tuple[SmearField, ...]:
    """All frames of ``sets`` with enough red cells to tell their scale."""
    fields = []
    for record in (record for one in sets for record in one.records):
        red, white = record.boxes[record.kinds == _RED], record.boxes[record.kinds == _WHITE]
        um_per_px = estimate_um_per_px(red, (record.height, record.width))
        if um_per_px is not None:
            rgb = record.read()
            fields.append(SmearField(rgb, um_per_px, stain_of_nuclei(rgb, white), white))
    return tuple(fields)


def stains_of(fields: Iterable[SmearField]) -> list[Stain]:
    """The stains of those that show nuclei."""
    return [field.stain for field in fields if field.stain is not None]


def likely_stain(on: SmearField, stains: Sequence[Stain], rng: np.random.Generator) -> Stain:
    """The field's own mostly, else one of ``stains``: labels must not follow the stain.

    Without any of them, :data:`edge_daemon.smear.composite.WRIGHT_GIEMSA`.
    """
    if rng.random() < OWN_STAIN or not stains:
        return on.stain or WRIGHT_GIEMSA
    return stains[int(rng.integers(len(stains)))]


def rendered_fields(
    count: int, seed: int, *, side_px: int = 480, um_per_px: float = 0.08
) -> tuple[SmearField, ...]:
    """Fields drawn from numbers: plasma and red cells, no white cell; the same for a ``seed``."""
    fields = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        palette = draw_palette(rng)
        rgb = render_background(rng, side_px, um_per_px, palette).copy()
        density_per_px = rng.uniform(0.3, 1.0) * um_per_px**2 / 90
        for _ in range(rng.poisson(density_per_px * side_px**2)):
            red = render_cell(rng, "red_cell", um_per_px, palette)
            x, y = rng.uniform(0, side_px, 2)
            paste(rgb, red, (float(x), float(y)), um_per_px)
        fields.append(SmearField(rgb, um_per_px, None, np.empty((0, 4), np.float32)))
    return tuple(fields)


def rendered_nucleated_cells(
    count: int, seed: int, *, um_per_px: float = 0.08
) -> list[tuple[CellClass, CutOutCell]]:
    """``count`` drawn white cells with their class, half of them blasts."""
    normal = [name for name in SPECIES if class_of(name) == "normal"]
    cells = []
    for index in range(count):
        rng = np.random.default_rng((seed, index))
        species = "blast" if index % 2 else normal[index // 2 % len(normal)]
        label: CellClass = "blast" if index % 2 else "normal"
        cells.append((label, render_cell(rng, species, um_per_px, draw_palette(rng))))
    return cells


def free_centres(
    field: SmearField,
    rng: np.random.Generator,
    count: int,
    *,
    clearance_um: float = 5.0,
    margin_um: float = 0.0,
) -> NDArray[np.float64]:
    """Up to ``count`` random points of the field, float ``[M, 2]``, x, y.

    They keep ``clearance_um`` from its white cells (a pasted cell may touch a neighbour but not
    sit on it) and ``margin_um`` from the edges of the field.
    """
    height, width = field.rgb.shape[:2]
    clearance_px = clearance_um / field.um_per_px
    margin_px = min(margin_um / field.um_per_px, width / 2, height / 2)
    low, high = (margin_px, margin_px), (width - margin_px, height - margin_px)
    points = rng.uniform(low, high, (8 * count, 2))
    for x0, y0, x1, y1 in field.white_boxes:
        gap_x = np.maximum(np.maximum(x0 - points[:, 0], points[:, 0] - x1), 0)
        gap_y = np.maximum(np.maximum(y0 - points[:, 1], points[:, 1] - y1), 0)
        points = points[np.hypot(gap_x, gap_y) >= clearance_px]
    return points[:count]
