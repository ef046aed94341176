"""Where a virtual slide takes its cells and its background from: one Protocol, two sources.

:class:`RenderedAtlas` draws everything (nothing downloaded). The real-pixel atlas in
:mod:`edge_daemon.smear.real_pixels` cuts cells and background out of published pictures.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

import numpy as np

from edge_daemon.contract.terms import CellClass, CellKind
from edge_daemon.smear.palette import WRIGHT_GIEMSA_DYES, Palette
from edge_daemon.smear.render import (
    NORMAL_WHITE_CELLS,
    SPECIES,
    Species,
    render_background,
    render_sprite,
)
from edge_daemon.smear.sprite import Picture, Sprite

BACKGROUND_TILE_PX = 768
"""Side of the drawn background that repeats over the slide: larger than a field is high."""


class Atlas(Protocol):
    """Cells and background for one slide. The same arguments always give the same pixels."""

    @property
    def um_per_px(self) -> float:
        """Scale of everything it hands out."""

    @property
    def exact_kinds(self) -> tuple[CellKind, ...]:
        """The kinds for which the slide's truth is complete: every such cell is known.

        Real background brings red cells and platelets that nobody annotated completely.
        """

    def breeds(self, kind: CellKind, label: CellClass | None) -> dict[str, float]:
        """Names of the breeds of that kind and class, with their share (sums to 1); may be empty.

        A *breed* is whatever the atlas tells apart: a species that it draws, a folder it reads.
        """

    def variants(self, breed: str) -> int:
        """How many different cells of ``breed`` there are."""

    def reach_um(self, breed: str) -> float:
        """Room that a cell of ``breed`` takes up, as a radius in um, for finding a free place."""

    def sprite(self, breed: str, variant: int, orientation: int) -> Sprite:
        """One cell; ``variant`` counts from 0, ``orientation`` is 0..7."""

    def background(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Picture:
        """Background of a window of the slide, a fresh picture that may be painted on."""

    def crowding(self, x_px: int, y_px: int, radius_px: int) -> float:
        """Share 0..1 of that disc's box that the *background* already fills with cells."""


NORMAL_DIFFERENTIAL: dict[Species, float] = {
    "neutrophil": 0.46,
    "lymphocyte": 0.27,
    "monocyte": 0.08,
    "eosinophil": 0.04,
    "precursor": 0.15,
}
"""Shares of the normal white cells: adult blood, with precursors as after chemotherapy."""

_REACH_UM: dict[str, float] = {
    "red_cell": 3.75,
    "platelet": 1.2,
    "lymphocyte": 5.0,
    "neutrophil": 7.1,
    "monocyte": 8.6,
    "eosinophil": 7.2,
    "precursor": 5.0,
    "blast": 7.9,
}
"""Nearly the largest of each white species: red cells lie beside white cells, not on them."""

_VARIANTS: dict[str, int] = {
    "red_cell": 64,
    "platelet": 24,
    "blast": 48,
    "lymphocyte": 32,
    "neutrophil": 40,
    "monocyte": 16,
    "eosinophil": 10,
    "precursor": 24,
}


class RenderedAtlas:
    """Drawn cells, a finite number of each breed, drawn when first needed and kept.

    Memory stays below some 60 MB however long the slide is.
    """

    exact_kinds: tuple[CellKind, ...] = ("wbc", "rbc", "platelet")

    def __init__(
        self, seed: int = 0, um_per_px: float = 0.075, palette: Palette = WRIGHT_GIEMSA_DYES
    ) -> None:
        self.um_per_px = um_per_px
        self._seed = seed
        self._palette = palette
        self._drawn = lru_cache(maxsize=None)(self._draw)
        self._oriented = lru_cache(maxsize=320)(self._orient)
        rng = np.random.default_rng([seed, 1])
        tile = render_background(rng, BACKGROUND_TILE_PX, um_per_px, palette)
        self._tile: Picture = np.tile(tile, (2, 2, 1))

    def breeds(self, kind: CellKind, label: CellClass | None) -> dict[str, float]:
        """See :class:`Atlas`."""
        if kind == "rbc":
            return {"red_cell": 1.0}
        if kind == "platelet":
            return {"platelet": 1.0}
        if label == "blast":
            return {"blast": 1.0}
        return {species: NORMAL_DIFFERENTIAL[species] for species in NORMAL_WHITE_CELLS}

    def variants(self, breed: str) -> int:
        """See :class:`Atlas`."""
        return _VARIANTS[breed]

    def reach_um(self, breed: str) -> float:
        """See :class:`Atlas`."""
        return _REACH_UM[breed]

    def sprite(self, breed: str, variant: int, orientation: int) -> Sprite:
        """See :class:`Atlas`."""
        return self._oriented(breed, variant, orientation)

    def background(self, x_px: int, y_px: int, width_px: int, height_px: int) -> Picture:
        """See :class:`Atlas`."""
        left, top = x_px % BACKGROUND_TILE_PX, y_px % BACKGROUND_TILE_PX
        window = self._tile[top : top + height_px, left : left + width_px]
        if window.shape[:2] == (height_px, width_px):
            return np.array(window, np.uint8)
        rows = np.arange(top, top + height_px) % BACKGROUND_TILE_PX
        columns = np.arange(left, left + width_px) % BACKGROUND_TILE_PX
        return np.ascontiguousarray(self._tile[rows[:, None], columns])

    def crowding(self, x_px: int, y_px: int, radius_px: int) -> float:  # noqa: ARG002
        """Drawn background is free of cells."""
        return 0.0

    def _draw(self, breed: str, variant: int) -> Sprite:
        species = next(s for s in SPECIES if s == breed)
        rng = np.random.default_rng([self._seed, 2, SPECIES.index(species), variant])
        return render_sprite(rng, species, self.um_per_px, self._palette)

    def _orient(self, breed: str, variant: int, orientation: int) -> Sprite:
        return self._drawn(breed, variant).oriented(orientation)
