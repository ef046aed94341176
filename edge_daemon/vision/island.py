"""A connected piece of the slide: its cells, each once with its best view, and its area.

A cell is the same cell when its box, seen through the part of the slide that both views have in
common, is the same box: a cell cut by the border of one frame is thus still recognised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import KINDS, LABELS, CellKind, CellLabel
from edge_daemon.vision.boxes import Rectangle, best_first, clip, iou, touching
from edge_daemon.vision.cell_table import (
    CellTable,
    PublishedFrame,
    Rows,
    Sighting,
    UniqueCell,
    better,
    cell_of,
    cut_sides,
    label_of,
    seen_rows,
)
from edge_daemon.vision.coverage import COARSE_PX, SeenIsland, coarse_tiles

__all__ = ["Island", "Sighting", "UniqueCell", "cut_sides"]

SAME_CELL_IOU = 0.3
"""Overlap of two boxes, within the area both frames show, above which they are one cell.
Registration is good to a few pixels, boxes to some 5 % of a cell; touching cells overlap less."""
SAME_PLACE = 0.8
"""Two frames that share this much of their area show one place."""
_TILE_PX = 32


@dataclass
class Island:
    """Cells and area of a connected piece of the slide, in pixel coordinates of its own."""

    _table: CellTable = field(default_factory=CellTable)
    _covered: set[tuple[int, int]] = field(default_factory=set)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, rows: Rows, tiles: npt.NDArray[np.integer]) -> Island:
        """An island as it was: its :attr:`rows`, and :attr:`tiles`."""
        covered = {(int(row), int(column)) for row, column in tiles}
        fine = COARSE_PX // _TILE_PX
        seen = {(column // fine, row // fine) for row, column in covered}
        return cls(CellTable(rows), covered, seen)

    @property
    def nucleated(self) -> Iterator[UniqueCell]:
        """The nucleated cells whose centre was seen."""
        rows = self._table.rows
        wanted = rows["centre_seen"] & (rows["kind"] == KINDS.index("wbc"))
        return map(cell_of, rows[wanted])

    @property
    def tiles(self) -> npt.NDArray[np.int64]:
        """The tiles of 32 pixels that were seen, int64 ``[N, 2]``: row and column."""
        return np.array(sorted(self._covered), np.int64).reshape(-1, 2)

    @property
    def rows(self) -> Rows:
        """Every cell, as a row."""
        return self._table.rows

    @property
    def cells(self) -> Iterator[UniqueCell]:
        """Every cell, also those whose centre was not seen."""
        return map(cell_of, self._table.rows)

    @property
    def area_px(self) -> float:
        """Area seen in square pixels, overlap counted once, to a tile of 32 pixels."""
        return len(self._covered) * float(_TILE_PX**2)

    def counted(self) -> Counter[tuple[CellKind, CellLabel | None]]:
        """The cells whose centre was seen, by kind and label."""
        rows = self._table.rows[self._table.rows["centre_seen"]]
        numbers = np.bincount(rows["kind"] * (len(LABELS) + 1) + rows["label"] + 1)
        counted: Counter[tuple[CellKind, CellLabel | None]] = Counter()
        for key in np.flatnonzero(numbers).tolist():
            kind, label = divmod(key, len(LABELS) + 1)
            counted[KINDS[kind], label_of(label - 1)] = int(numbers[key])
        return counted

    def cover(self, frame: Rectangle) -> None:
        """Add a frame to the area seen."""
        self._covered.update(_tiles(frame))
        self._seen.update(coarse_tiles(frame))

    def seen(self) -> SeenIsland:
        """A copy of what was seen, for the map that the operator looks at."""
        rows = self._table.rows
        shown = np.isin(rows["label"], [LABELS.index("blast"), LABELS.index("uncertain")])
        rows = rows[shown & rows["centre_seen"]]
        places = ((rows["box"][:, :2] + rows["box"][:, 2:]) / (2 * COARSE_PX)).tolist()
        labels: list[CellLabel] = [LABELS[number] for number in rows["label"]]
        cells = tuple((x, y, label) for (x, y), label in zip(places, labels, strict=True))
        return SeenIsland(frozenset(self._seen), cells)

    def enter(
        self,
        sightings: Sequence[Sighting],
        frame: Rectangle,
        numbers: Iterator[int],
        published: PublishedFrame | None = None,
    ) -> list[int]:
        """Enter the cells of a frame; new ones take their numbers from ``numbers``.

        Returns:
            The number of each sighting's unique cell, in order.
        """
        seen = seen_rows(sightings, frame, published)
        known = self._near(frame)
        same = _same_cells(seen, self._table.rows[known])
        again = same >= 0
        seen["id"][~again] = [next(numbers) for _ in range(int((~again).sum()))]
        seen["id"][again] = self._table.rows["id"][known[same[again]]]
        self._take(seen, np.where(again, known[same], -1) if len(known) else same)
        ids: list[int] = seen["id"].tolist()
        return ids

    def absorb(self, other: Island, dx: float, dy: float) -> dict[int, int]:
        """Take in another island, moved by ``(dx, dy)``; cells that both have become one.

        Returns:
            Number of each such cell there -> its number from now on.
        """
        moved = other._table.rows.copy()
        shift = np.array([dx, dy, dx, dy])
        moved["box"] += shift
        moved["seen_in"] += shift
        same = _same_cells(moved, self._table.rows)
        again = same >= 0
        there = moved["id"][again].tolist()
        moved["id"][again] = self._table.rows["id"][same[again]]
        self._take(moved, same)
        return dict(zip(there, moved["id"][again].tolist(), strict=True))

    def _near(self, frame: Rectangle) -> npt.NDArray[np.intp]:
        """Which cells reach into a frame, in the order of their numbers."""
        box = self._table.rows["box"]
        inside = (box[:, :2] < frame[2:]).all(axis=1) & (box[:, 2:] > frame[:2]).all(axis=1)
        near = np.flatnonzero(inside)
        return near[np.argsort(self._table.rows["id"][near])]

    def _take(self, seen: Rows, at: npt.NDArray[np.intp]) -> None:
        """Put each cell into its row, where it is the better view; at the end where that is -1."""
        again = np.flatnonzero(at >= 0)
        again = again[better(seen[again], self._table.rows[at[again]])]
        self._table.rows[at[again]] = seen[again]
        self._table.append(seen[at < 0])


def _same_cells(seen: Rows, known: Rows) -> npt.NDArray[np.intp]:
    """Which of ``known`` each of ``seen`` is, or -1.

    One to one, best overlap first, kinds kept apart.
    """
    matched = np.full(len(seen), -1, np.intp)
    rows, columns = touching(seen["box"], known["box"])
    alike = seen["kind"][rows] == known["kind"][columns]
    rows, columns = rows[alike], columns[alike]
    # Each box as the other's frame would have shown it.
    overlap = iou(
        clip(seen["box"][rows], known["seen_in"][columns]),
        clip(known["box"][columns], seen["seen_in"][rows]),
    )
    enough = overlap > SAME_CELL_IOU
    for row, column in best_first(rows[enough], columns[enough], overlap[enough]).items():
        matched[row] = column
    return matched


def _tiles(frame: Rectangle) -> Iterator[tuple[int, int]]:
    """The tiles whose centre a frame shows."""
    first = np.ceil(frame[:2] / _TILE_PX - 0.5).astype(int)
    last = np.ceil(frame[2:] / _TILE_PX - 0.5).astype(int)
    for row in range(first[1], last[1]):
        for column in range(first[0], last[0]):
            yield row, column
