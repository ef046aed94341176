"""Which cell lies where on a virtual slide: the plan from which every field and truth follows.

Cells are thrown one after the other onto the slide and stay where they find a place, as they do
when blood is spread: white cells apart from each other, red cells around them in loose groups that
touch and partly overlap, platelets in the gaps. Positions are whole pixels of the slide, so that
two overlapping fields show exactly the same pixels.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from edge_daemon.contract.terms import CellClass, CellKind
from edge_daemon.smear.atlas import Atlas

FIELD_UM2 = 48.0 * 36.0
"""Area of the standard field, 640x480 px at 0.075 um/px: what 'per field' in a recipe means."""

_BIN_UM = 16.0
_OVERLAP_SHARE = 0.22
"""Chance that a red cell which would overlap another one stays there all the same."""


@dataclass(frozen=True)
class SmearRecipe:
    """What the blood is like. Rates are per standard field of 48 by 36 um."""

    red_cells_per_field: float = 17.0
    white_cells_per_field: float = 1.2
    platelets_per_field: float = 1.6
    blast_fraction: float = 0.2
    """Share of the white cells that are blasts; the count is rounded, not drawn."""

    def __post_init__(self) -> None:
        for name in ("red_cells_per_field", "white_cells_per_field", "platelets_per_field"):
            if not 0 <= getattr(self, name) <= 200:
                raise ValueError(f"{name} must lie between 0 and 200")
        if not 0 <= self.blast_fraction <= 1:
            raise ValueError("blast_fraction must lie between 0 and 1")


@dataclass(frozen=True)
class PlannedCell:
    """One cell of the slide. ``x_px, y_px`` is its middle, in pixels of the slide."""

    cell_id: int
    kind: CellKind
    label: CellClass | None
    breed: str
    variant: int
    orientation: int
    x_px: int
    y_px: int
    reach_um: float


def plan_cells(
    rng: np.random.Generator, width_um: float, height_um: float, recipe: SmearRecipe, atlas: Atlas
) -> list[PlannedCell]:
    """Place the cells of a slide of ``width_um`` by ``height_um``; painted in list order.

    Where the slide is too crowded for all cells, fewer are placed: the plan is the truth, the
    recipe only the wish.
    """
    return _Planner(rng, width_um, height_um, recipe, atlas).run()


class _Planner:
    def __init__(
        self,
        rng: np.random.Generator,
        width_um: float,
        height_um: float,
        recipe: SmearRecipe,
        atlas: Atlas,
    ) -> None:
        self._rng = rng
        self._size_um = (width_um, height_um)
        self._recipe = recipe
        self._atlas = atlas
        self._bins: dict[tuple[int, int], list[tuple[float, float, float, str]]] = defaultdict(list)
        self._found: list[tuple[CellKind, CellClass | None, str, float, float]] = []
        # red cells lie denser in some places: a coarse map of the chance to stay
        self._density = rng.uniform(0.25, 1.0, (int(height_um // 45) + 3, int(width_um // 45) + 3))

    def run(self) -> list[PlannedCell]:
        fields = self._size_um[0] * self._size_um[1] / FIELD_UM2
        self._place_white(round(self._recipe.white_cells_per_field * fields))
        if self._atlas.breeds("rbc", None):
            self._place_red(round(self._recipe.red_cells_per_field * fields))
        if self._atlas.breeds("platelet", None):
            self._place_platelets(round(self._recipe.platelets_per_field * fields))
        order: dict[str, int] = {"rbc": 0, "wbc": 1, "platelet": 2}
        self._found.sort(key=lambda cell: order[cell[0]])
        return [
            PlannedCell(
                cell_id=index,
                kind=kind,
                label=label,
                breed=breed,
                variant=int(self._rng.integers(self._atlas.variants(breed))),
                orientation=int(self._rng.integers(8)),
                x_px=round(x_um / self._atlas.um_per_px),
                y_px=round(y_um / self._atlas.um_per_px),
                reach_um=self._atlas.reach_um(breed),
            )
            for index, (kind, label, breed, x_um, y_um) in enumerate(self._found)
        ]

    def _place_white(self, count: int) -> None:
        blasts = round(count * self._recipe.blast_fraction)
        for index in self._rng.permutation(count):
            label: CellClass = "blast" if index < blasts else "normal"
            shares = self._atlas.breeds("wbc", label)
            breed = str(self._rng.choice(list(shares), p=list(shares.values())))
            reach = self._atlas.reach_um(breed)
            best: tuple[float, float, float] | None = None
            for _ in range(24):
                x_um, y_um = self._anywhere()
                if self._gap_um(x_um, y_um, reach, "wbc") < 1.2:
                    continue
                radius_px = int(reach / self._atlas.um_per_px)
                crowding = self._atlas.crowding(
                    int(x_um / self._atlas.um_per_px),
                    int(y_um / self._atlas.um_per_px),
                    radius_px,
                )
                if best is None or crowding < best[0]:
                    best = (crowding, x_um, y_um)
                if crowding < 0.05:
                    break
            if best is not None:
                self._settle("wbc", label, breed, best[1], best[2])

    def _place_red(self, count: int) -> None:
        reach = self._atlas.reach_um("red_cell")
        last: tuple[float, float] | None = None
        for _ in range(count):
            for attempt in range(30):
                if last is not None and attempt < 4 and self._rng.random() < 0.5:
                    angle = self._rng.uniform(0, 2 * np.pi)
                    away = 2 * reach * self._rng.uniform(0.72, 1.1)
                    x_um, y_um = last[0] + away * np.cos(angle), last[1] + away * np.sin(angle)
                    if not (0 <= x_um < self._size_um[0] and 0 <= y_um < self._size_um[1]):
                        continue
                else:
                    x_um, y_um = self._anywhere()
                    if self._rng.random() > self._density[int(y_um // 45), int(x_um // 45)]:
                        continue
                if self._gap_um(x_um, y_um, reach, "wbc") < 0.1:
                    continue
                gap = self._gap_um(x_um, y_um, reach, "rbc")
                if gap < -0.55 * reach:
                    continue
                if gap < -0.06 * reach and self._rng.random() > _OVERLAP_SHARE:
                    continue
                self._settle("rbc", None, "red_cell", x_um, y_um)
                last = (x_um, y_um)
                break

    def _place_platelets(self, count: int) -> None:
        reach = self._atlas.reach_um("platelet")
        for _ in range(count):
            on_red_cell = self._rng.random() < 0.08
            for _ in range(30):
                x_um, y_um = self._anywhere()
                if self._gap_um(x_um, y_um, reach, "wbc") < 0.3:
                    continue
                if self._gap_um(x_um, y_um, reach, "platelet") < 0.1:
                    continue
                if not on_red_cell and self._gap_um(x_um, y_um, reach, "rbc") < 0.2:
                    continue
                self._settle("platelet", None, "platelet", x_um, y_um)
                break

    def _anywhere(self) -> tuple[float, float]:
        return float(self._rng.uniform(0, self._size_um[0])), float(
            self._rng.uniform(0, self._size_um[1])
        )

    def _settle(
        self, kind: CellKind, label: CellClass | None, breed: str, x_um: float, y_um: float
    ) -> None:
        reach = self._atlas.reach_um(breed)
        self._bins[int(x_um // _BIN_UM), int(y_um // _BIN_UM)].append((x_um, y_um, reach, kind))
        self._found.append((kind, label, breed, x_um, y_um))

    def _gap_um(self, x_um: float, y_um: float, reach_um: float, kind: CellKind) -> float:
        """Distance between the outlines of a new cell and the nearest one of ``kind``."""
        column, row = int(x_um // _BIN_UM), int(y_um // _BIN_UM)
        nearest = np.inf
        for near_column in (column - 1, column, column + 1):
            for near_row in (row - 1, row, row + 1):
                for x, y, reach, other in self._bins.get((near_column, near_row), ()):
                    if other == kind:
                        gap = ((x - x_um) ** 2 + (y - y_um) ** 2) ** 0.5 - reach - reach_um
                        nearest = min(nearest, gap)
        return float(nearest)
