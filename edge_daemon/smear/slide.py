"""The virtual slide: cells at fixed places, any field of it rendered on demand, exactly known.

A field is rendered from the plan alone, so the same slide gives the same pixels whatever the order
of the visits, and two overlapping fields show the same cells. Nothing but the plan (some 100 bytes
a cell) and a finite number of sprites is kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import CellClass, CellKind
from edge_daemon.smear.atlas import Atlas, RenderedAtlas
from edge_daemon.smear.plan import PlannedCell, SmearRecipe, plan_cells
from edge_daemon.smear.sprite import Picture

_BIN_PX = 256
_LONGEST_REACH_UM = 14.0
"""No cell reaches further than this from its middle."""


@dataclass(frozen=True, eq=False)
class FieldTruth:
    """What one field shows. All arrays have one entry per cell, in painting order.

    Attributes:
        boxes: float32 ``[N, 4]``, x0, y0, x1, y1 in px of the field, ends open, cut at the field.
        kinds: kind of each cell.
        labels: ``normal`` or ``blast`` for white cells, else None.
        cell_ids: int64 ``[N]``, the same number for the same cell in every field of the slide.
        visible: float32 ``[N]``, share (0..1] of the cell's area that lies inside the field.
    """

    boxes: npt.NDArray[np.float32]
    kinds: tuple[CellKind, ...]
    labels: tuple[CellClass | None, ...]
    cell_ids: npt.NDArray[np.int64]
    visible: npt.NDArray[np.float32]


def empty_truth() -> FieldTruth:
    """The truth of a field without any cell."""
    return FieldTruth(
        np.zeros((0, 4), np.float32), (), (), np.zeros(0, np.int64), np.zeros(0, np.float32)
    )


@dataclass(frozen=True)
class UniqueCells:
    """Cells counted once each, however many fields show them."""

    white: int
    blasts: int
    red: int
    platelets: int
    exact_kinds: tuple[CellKind, ...]
    """Kinds for which these counts are complete (real background brings unlisted red cells)."""
    min_visible: float
    """A cell counts when some field shows at least this share of it."""

    @property
    def blast_fraction(self) -> float | None:
        """Blasts per white cell; None without white cells."""
        return self.blasts / self.white if self.white else None


class VirtualSlide:
    """A seeded slide of ``width_um`` by ``height_um``; its origin is the top left corner."""

    def __init__(
        self,
        seed: int,
        width_um: float,
        height_um: float,
        recipe: SmearRecipe | None = None,
        atlas: Atlas | None = None,
    ) -> None:
        self.width_um = width_um
        self.height_um = height_um
        self.atlas: Atlas = atlas if atlas is not None else RenderedAtlas(seed)
        rng = np.random.default_rng([seed, 3])
        self.cells: Sequence[PlannedCell] = plan_cells(
            rng, width_um, height_um, recipe or SmearRecipe(), self.atlas
        )
        self._bins: dict[tuple[int, int], list[int]] = defaultdict(list)
        for cell in self.cells:
            self._bins[cell.x_px // _BIN_PX, cell.y_px // _BIN_PX].append(cell.cell_id)

    @property
    def um_per_px(self) -> float:
        """Scale of the rendered fields."""
        return self.atlas.um_per_px

    def render_field(
        self, x_um: float, y_um: float, width_px: int = 640, height_px: int = 480
    ) -> tuple[Picture, FieldTruth]:
        """The field whose top left corner is at ``x_um, y_um``, before any optics.

        The corner is rounded to whole pixels of the slide. Outside the slide there is plasma.
        Returns an RGB picture, uint8 ``[height_px, width_px, 3]``, and its truth.
        """
        pixels = self.render_pixels(x_um, y_um, width_px, height_px)
        return pixels, self.field_truth(x_um, y_um, width_px, height_px)

    def render_pixels(
        self, x_um: float, y_um: float, width_px: int = 640, height_px: int = 480
    ) -> Picture:
        """The picture of :meth:`render_field` without its truth."""
        left, top = self._corner_px(x_um, y_um)
        canvas = self.atlas.background(left, top, width_px, height_px)
        for cell in self._near(left, top, width_px, height_px):
            sprite = self.atlas.sprite(cell.breed, cell.variant, cell.orientation)
            sprite.paint(canvas, cell.x_px - left, cell.y_px - top)
        return canvas

    def field_truth(
        self, x_um: float, y_um: float, width_px: int = 640, height_px: int = 480
    ) -> FieldTruth:
        """The truth of :meth:`render_field` without the picture."""
        left, top = self._corner_px(x_um, y_um)
        boxes: list[tuple[int, int, int, int]] = []
        visible: list[float] = []
        shown: list[PlannedCell] = []
        for cell in self._near(left, top, width_px, height_px):
            sprite = self.atlas.sprite(cell.breed, cell.variant, cell.orientation)
            seen = sprite.seen_in(cell.x_px - left, cell.y_px - top, width_px, height_px)
            if seen is not None:
                boxes.append(seen[0])
                visible.append(seen[1])
                shown.append(cell)
        return FieldTruth(
            boxes=np.array(boxes, np.float32).reshape(-1, 4),
            kinds=tuple(cell.kind for cell in shown),
            labels=tuple(cell.label for cell in shown),
            cell_ids=np.array([cell.cell_id for cell in shown], np.int64),
            visible=np.array(visible, np.float32),
        )

    def unique_cells(self, fields: Iterable[FieldTruth], min_visible: float = 0.5) -> UniqueCells:
        """Count the cells that at least one of ``fields`` shows by ``min_visible`` or more."""
        seen: set[int] = set()
        for truth in fields:
            seen.update(truth.cell_ids[truth.visible >= min_visible].tolist())
        kinds = [self.cells[cell_id].kind for cell_id in seen]
        labels = [self.cells[cell_id].label for cell_id in seen]
        return UniqueCells(
            white=kinds.count("wbc"),
            blasts=labels.count("blast"),
            red=kinds.count("rbc"),
            platelets=kinds.count("platelet"),
            exact_kinds=self.atlas.exact_kinds,
            min_visible=min_visible,
        )

    def _corner_px(self, x_um: float, y_um: float) -> tuple[int, int]:
        return round(x_um / self.um_per_px), round(y_um / self.um_per_px)

    def _near(self, left: int, top: int, width: int, height: int) -> list[PlannedCell]:
        """Cells whose sprite may reach into the window, in painting order."""
        reach = int(_LONGEST_REACH_UM / self.um_per_px)
        columns = range((left - reach) // _BIN_PX, (left + width + reach) // _BIN_PX + 1)
        rows = range((top - reach) // _BIN_PX, (top + height + reach) // _BIN_PX + 1)
        found = [i for c in columns for r in rows for i in self._bins.get((c, r), ())]
        return [self.cells[i] for i in sorted(found)]
