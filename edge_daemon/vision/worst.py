"""The cells and the places of a slide that a reader should look at first.

Made from the unique cells when somebody asks, so that a frame pays nothing for it. Only cells that
count are listed: nucleated, their centre seen, each once with its best view.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from itertools import chain

from edge_daemon.contract.worst import (
    MOST_WORST,
    SlidePlace,
    WorstCell,
    WorstField,
    field_order,
)
from edge_daemon.vision.island import SAME_PLACE, Island, UniqueCell


@dataclass(frozen=True)
class Worst:
    """Worst first, at most :data:`MOST_WORST` of each."""

    cells: tuple[WorstCell, ...] = ()
    fields: tuple[WorstField, ...] = ()

    @classmethod
    def of(cls, field: int, islands: Iterable[tuple[int, Island]]) -> Worst:
        """Those of one field; ``islands`` with their numbers."""
        blasts: list[UniqueCell] = []
        uncertain: list[UniqueCell] = []
        frames: list[_Place] = []
        for number, island in islands:
            by_frame: dict[int | bytes, _Place] = {}
            for cell in island.nucleated:
                told = cell.published
                # An older state does not say which frame it was, but where that lay.
                key = cell.seen_in.tobytes() if told is None else told.number
                place = by_frame.get(key)
                if place is None:
                    place = by_frame[key] = _Place(number, cell)
                place.nucleated += 1
                if cell.label == "blast":
                    place.blasts += 1
                    blasts.append(cell)
                elif cell.label == "uncertain":
                    place.uncertain += 1
                    uncertain.append(cell)
            frames += by_frame.values()
        if not blasts and not uncertain:
            return cls()
        worst = [*_most_probable(blasts), *_most_probable(uncertain)][:MOST_WORST]
        places = nsmallest(MOST_WORST, _places(frames), key=lambda place: place.order)
        return cls(
            tuple(_listed(cell) for cell in worst),
            tuple(place.listed(field) for place in places),
        )

    def with_(self, other: Worst) -> Worst:
        """The worst of both, which have no cell and no place in common."""
        if not other.cells:
            return self
        cells = nsmallest(MOST_WORST, chain(self.cells, other.cells), key=lambda one: one.order)
        fields = nsmallest(MOST_WORST, chain(self.fields, other.fields), key=lambda one: one.order)
        return Worst(tuple(cells), tuple(fields))


NOTHING_YET = Worst()


class _Place:
    """The cells that one frame shows best, and then those of other frames of the same place."""

    def __init__(self, island: int, cell: UniqueCell) -> None:
        self.island = island
        self.published = cell.published
        left, top, right, bottom = (float(edge) for edge in cell.seen_in)
        self.x, self.y, self.width, self.height = left, top, right - left, bottom - top
        self.blasts = self.uncertain = self.nucleated = 0

    def take(self, other: _Place) -> None:
        self.blasts += other.blasts
        self.uncertain += other.uncertain
        self.nucleated += other.nucleated

    @property
    def order(self) -> tuple[object, ...]:
        frame = None if self.published is None else self.published.number
        order = field_order(self.blasts, self.uncertain, self.nucleated, frame)
        return (*order, self.island, self.x, self.y)

    @property
    def bucket(self) -> tuple[int, int, int, int, int]:
        """Frames of one size and island whose buckets do not touch have nothing in common."""
        width, height = round(self.width), round(self.height)
        return self.island, width, height, int(self.x // width), int(self.y // height)

    def shares(self, other: _Place) -> float:
        """Share of the area that a frame of the same size has in common with this one."""
        width = max(self.width - abs(self.x - other.x), 0.0)
        height = max(self.height - abs(self.y - other.y), 0.0)
        return width * height / (self.width * self.height)

    def listed(self, field: int) -> WorstField:
        return WorstField(
            frame=None if self.published is None else self.published.number,
            blasts=self.blasts,
            uncertain=self.uncertain,
            nucleated=self.nucleated,
            place=SlidePlace(field=field, piece=self.island, x=self.x, y=self.y),
            stage=None if self.published is None else self.published.stage,
        )


def _places(frames: Iterable[_Place]) -> list[_Place]:
    """The places with cells that were not cleared; each cell in the place that shows it best."""
    found: list[_Place] = []
    near: dict[tuple[int, int, int, int, int], list[_Place]] = defaultdict(list)
    for place in sorted(frames, key=lambda one: one.order):
        island, width, height, column, row = place.bucket
        around = [
            known
            for x in (column - 1, column, column + 1)
            for y in (row - 1, row, row + 1)
            for known in near.get((island, width, height, x, y), ())
        ]
        home = max(around, key=place.shares, default=None)
        if home is not None and home.shares(place) >= SAME_PLACE:
            home.take(place)
        elif place.blasts or place.uncertain:
            found.append(place)
            near[place.bucket].append(place)
    return found


def _most_probable(cells: list[UniqueCell]) -> list[UniqueCell]:
    """By falling ``p_blast`` to six digits, as it is published, and then by number."""
    probabilities = [cell.p_blast or 0.0 for cell in cells]
    if len(cells) > MOST_WORST:  # to round them all would be most of the work
        least = nlargest(MOST_WORST, probabilities)[-1] - 1e-6
        cells = [c for c, p in zip(cells, probabilities, strict=True) if p >= least]
    return nsmallest(MOST_WORST, cells, key=lambda c: (-round(c.p_blast or 0.0, 6), c.id))


def _listed(cell: UniqueCell) -> WorstCell:
    x0, y0, x1, y1 = cell.box.tolist()
    left, top = cell.seen_in[:2].tolist()
    published = cell.published
    return WorstCell(
        unique_id=cell.id,
        label="blast" if cell.label == "blast" else "uncertain",
        p_blast=cell.p_blast or 0.0,
        frame=None if published is None else published.number,
        # Sums of large numbers: without the 0.0, a box at the border would begin at -0.0.
        box=(round(x0 - left, 1) + 0.0, round(y0 - top, 1) + 0.0, x1 - x0, y1 - y0),
        stage=None if published is None else published.stage,
    )
