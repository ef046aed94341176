"""A connected piece of the slide: its cells, each once with its best view, and its area.

A cell is the same cell when its box, seen through the part of the slide that both views have in
common, is the same box: a cell cut by the border of one frame is thus still recognised.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import KINDS, CellKind, CellLabel
from edge_daemon.vision.boxes import Rectangle, area, clip, iou
from edge_daemon.vision.coverage import COARSE_PX, SeenIsland, coarse_tiles

SAME_CELL_IOU = 0.3
"""Overlap of two boxes, within the area both frames show, above which they are one cell.
Registration is good to a few pixels, boxes to some 5 % of a cell; touching cells overlap less."""
_BORDER_PX = 5.0
"""A box that comes this close to the border may belong to a cell that goes on beyond it."""
_BUCKET_PX = 256
_TILE_PX = 32


@dataclass(frozen=True)
class Sighting:
    """A detection as the slide map needs it. ``box``: x0, y0, x1, y1 in frame pixels."""

    box: tuple[float, float, float, float]
    kind: CellKind
    score: float
    label: CellLabel | None = None
    p_blast: float | None = None


@dataclass(frozen=True, eq=False)
class UniqueCell:
    """One cell on the slide with the best view of it so far."""

    id: int
    kind: CellKind
    box: Rectangle
    """As the best view shows it."""
    seen_in: Rectangle
    """The frame of the best view."""
    rank: tuple[bool, float]
    """Whole views before cut ones; among whole ones the better score, else the larger part."""
    centre_seen: bool
    """Whether the best view shows the cell's centre. A cell counts by its centre: otherwise every
    sliver at the rim of a scan would be counted, and by the neighbouring scan again."""
    label: CellLabel | None
    p_blast: float | None


@dataclass
class Island:
    """Cells and area of a connected piece of the slide, in pixel coordinates of its own."""

    _cells: dict[int, UniqueCell] = field(default_factory=dict)
    _buckets: dict[tuple[int, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    _covered: set[tuple[int, int]] = field(default_factory=set)
    _seen: set[tuple[int, int]] = field(default_factory=set)

    @classmethod
    def of(cls, cells: Iterable[UniqueCell], tiles: npt.NDArray[np.integer]) -> Island:
        """An island as it was: its cells, and :attr:`tiles`."""
        covered = {(int(row), int(column)) for row, column in tiles}
        fine = COARSE_PX // _TILE_PX
        seen = {(column // fine, row // fine) for row, column in covered}
        island = cls(_covered=covered, _seen=seen)
        for cell in cells:
            island._put(cell)
        return island

    @property
    def tiles(self) -> npt.NDArray[np.int64]:
        """The tiles of 32 pixels that were seen, int64 ``[N, 2]``: row and column."""
        return np.array(sorted(self._covered), np.int64).reshape(-1, 2)

    @property
    def cells(self) -> Iterator[UniqueCell]:
        """Every cell, also those whose centre was not seen."""
        return iter(self._cells.values())

    @property
    def area_px(self) -> float:
        """Area seen in square pixels, overlap counted once, to a tile of 32 pixels."""
        return len(self._covered) * float(_TILE_PX**2)

    def counted(self) -> Counter[tuple[CellKind, CellLabel | None]]:
        """The cells whose centre was seen, by kind and label."""
        return Counter((cell.kind, cell.label) for cell in self.cells if cell.centre_seen)

    def cover(self, frame: Rectangle) -> None:
        """Add a frame to the area seen."""
        self._covered.update(_tiles(frame))
        self._seen.update(coarse_tiles(frame))

    def seen(self) -> SeenIsland:
        """A copy of what was seen, for the map that the operator looks at."""
        cells = []
        for cell in self.cells:
            if cell.label in ("blast", "uncertain") and cell.centre_seen:
                x, y = ((cell.box[:2] + cell.box[2:]) / (2 * COARSE_PX)).tolist()
                cells.append((x, y, cell.label))
        return SeenIsland(frozenset(self._seen), tuple(cells))

    def enter(
        self, sightings: Sequence[Sighting], frame: Rectangle, numbers: Iterator[int]
    ) -> list[int]:
        """Enter the cells of a frame; new ones take their numbers from ``numbers``.

        Returns:
            The number of each sighting's unique cell, in order.
        """
        boxes = np.array([s.box for s in sightings], np.float64).reshape(-1, 4)
        seen = [
            _cell_of(sighting, box, frame)
            for sighting, box in zip(sightings, boxes + np.tile(frame[:2], 2), strict=True)
        ]
        known = self._near(frame)
        same = _same_cells(seen, known)
        ids: list[int] = []
        for index, cell in enumerate(seen):
            before = known[same[index]] if index in same else None
            number = next(numbers) if before is None else before.id
            if before is None or cell.rank > before.rank:
                self._put(replace(cell, id=number))
            ids.append(number)
        return ids

    def absorb(self, other: Island, dx: float, dy: float) -> None:
        """Take in another island, moved by ``(dx, dy)``; cells that both have become one."""
        shift = np.array([dx, dy, dx, dy])
        moved = [replace(c, box=c.box + shift, seen_in=c.seen_in + shift) for c in other.cells]
        mine = list(self.cells)
        same = _same_cells(moved, mine)
        for index, cell in enumerate(moved):
            before = mine[same[index]] if index in same else None
            if before is None:
                self._put(cell)
            elif cell.rank > before.rank:
                self._put(replace(cell, id=before.id))

    def _near(self, rectangle: Rectangle) -> list[UniqueCell]:
        ids = set().union(*(self._buckets.get(key, ()) for key in _buckets_of(rectangle)))
        return [self._cells[number] for number in sorted(ids)]

    def _put(self, cell: UniqueCell) -> None:
        old = self._cells.get(cell.id)
        if old is not None:
            for key in _buckets_of(old.box):
                self._buckets[key].discard(cell.id)
        self._cells[cell.id] = cell
        for key in _buckets_of(cell.box):
            self._buckets[key].add(cell.id)


def cut_sides(box: Rectangle, frame: Rectangle) -> npt.NDArray[np.bool_]:
    """Whether a box may go on beyond the frame, along x and along y: bool ``[2]``."""
    return (box[:2] < frame[:2] + _BORDER_PX) | (box[2:] > frame[2:] - _BORDER_PX)


def _cell_of(sighting: Sighting, box: Rectangle, frame: Rectangle) -> UniqueCell:
    """A sighting as a cell of its own, not numbered yet."""
    cut = cut_sides(box, frame)
    whole = not cut.any()
    return UniqueCell(
        id=-1,
        kind=sighting.kind,
        box=box,
        seen_in=frame,
        rank=(whole, sighting.score if whole else float(area(box))),
        centre_seen=whole or _shows_centre(box[2:] - box[:2], cut),
        label=sighting.label,
        p_blast=sighting.p_blast,
    )


def _shows_centre(sides: npt.NDArray[np.float64], cut: npt.NDArray[np.bool_]) -> bool:
    """Whether a box cut by the border of its frame still shows the centre of its round cell.

    The uncut side tells the diameter; in a corner the longer one does, which is all there is.
    """
    diameter = sides[~cut].max() if not cut.all() else sides.max()
    return bool((sides >= diameter / 2).all())


def _same_cells(seen: Sequence[UniqueCell], known: Sequence[UniqueCell]) -> dict[int, int]:
    """Which of ``seen`` is which of ``known``: one to one, best overlap first, kinds kept apart."""
    if not seen or not known:
        return {}
    boxes, old = np.array([c.box for c in seen]), np.array([c.box for c in known])
    frames, seen_in = np.array([c.seen_in for c in seen]), np.array([c.seen_in for c in known])
    # Each box as the other's frame would have shown it.
    overlap = iou(clip(boxes[:, None], seen_in[None]), clip(old[None], frames[:, None]))
    kinds = np.array([KINDS.index(c.kind) for c in seen])
    old_kinds = np.array([KINDS.index(c.kind) for c in known])
    overlap[kinds[:, None] != old_kinds[None]] = 0.0
    matched: dict[int, int] = {}
    taken: set[int] = set()
    rows, columns = np.nonzero(overlap > SAME_CELL_IOU)
    for at in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in matched and column not in taken:
            matched[row] = column
            taken.add(column)
    return matched


def _buckets_of(box: Rectangle) -> list[tuple[int, int]]:
    x0, y0, x1, y1 = (int(v // _BUCKET_PX) for v in box)
    return [(x, y) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]


def _tiles(frame: Rectangle) -> Iterator[tuple[int, int]]:
    """The tiles whose centre a frame shows."""
    first = np.ceil(frame[:2] / _TILE_PX - 0.5).astype(int)
    last = np.ceil(frame[2:] / _TILE_PX - 0.5).astype(int)
    for row in range(first[1], last[1]):
        for column in range(first[0], last[0]):
            yield row, column
