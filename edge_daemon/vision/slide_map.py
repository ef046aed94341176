"""The slide as seen so far: where each frame lies, and every cell once.

Frames of one *field* (a stage scan, a video of a slide moved by hand) share one plane; frames of
different fields never overlap. Within a field a frame is placed by the stage where there is one,
checked and refined by the picture, and by the picture alone where there is none. Every new frame
is tied to as many earlier frames as it overlaps, so that errors do not add up along a row. When a
frame can be tied to nothing, the position is *lost*: it starts an *island* of its own, and a later
frame that overlaps two islands joins them.

A cell is the same cell when its box, seen through the part of the slide that both views have in
common, is the same box: a cell cut by the border of one frame is thus still recognised.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import KINDS, CellKind, CellLabel
from edge_daemon.vision.boxes import area, clip, iou
from edge_daemon.vision.register import Match, View, confirm, find, overlap_of, view_of

Tie: TypeAlias = Literal["first", "stage", "image", "lost"]
"""How a frame was placed: first of its field, by the stage alone, by the picture, or not at all."""

SAME_CELL_IOU = 0.3
"""Overlap of two boxes, within the area both frames show, above which they are one cell.
Registration is good to a few pixels, boxes to some 5 % of a cell; touching cells overlap less."""
KEPT_VIEWS = 256
"""Frames kept for registration (37 kB each): with 30 % overlap, ten rows of a scan."""
_TIES = 3
_JOIN_TRIES = 16
"""Frames of other islands a new frame is compared with (2.5 ms each) while there are several."""
_BUCKET_PX = 256


@dataclass(frozen=True)
class Placement:
    """Where a frame lies on the slide: its corner in pixels, on which island, and how known."""

    island: int
    x: float
    y: float
    tie: Tie


@dataclass
class UniqueCell:
    """One cell on the slide with the best view of it so far."""

    id: int
    kind: CellKind
    box: npt.NDArray[np.float64]
    """x0, y0, x1, y1 in slide pixels of its island, as the best view shows it."""
    seen_in: npt.NDArray[np.float64]
    """The frame of the best view, as a rectangle in slide pixels."""
    rank: tuple[bool, float]
    centre_seen: bool
    """Whether the best view shows the cell's centre. A cell counts by its centre: otherwise every
    sliver at the rim of a scan would be counted, and by the neighbouring scan again."""
    label: CellLabel | None
    p_blast: float | None


@dataclass(frozen=True)
class Sighting:
    """A detection as the slide map needs it. ``box``: x0, y0, x1, y1 in frame pixels."""

    box: tuple[float, float, float, float]
    kind: CellKind
    score: float
    label: CellLabel | None = None
    p_blast: float | None = None


@dataclass
class _Island:
    """A connected piece of the slide, in its own pixel coordinates."""

    cells: dict[int, UniqueCell] = field(default_factory=dict)
    buckets: dict[tuple[int, int], set[int]] = field(default_factory=lambda: defaultdict(set))
    covered: set[tuple[int, int]] = field(default_factory=set)

    def put(self, cell: UniqueCell) -> None:
        old = self.cells.get(cell.id)
        if old is not None:
            for key in _buckets(old.box):
                self.buckets[key].discard(cell.id)
        self.cells[cell.id] = cell
        for key in _buckets(cell.box):
            self.buckets[key].add(cell.id)

    def near(self, rectangle: npt.NDArray[np.float64]) -> list[UniqueCell]:
        ids = set().union(*(self.buckets.get(key, ()) for key in _buckets(rectangle)))
        return [self.cells[i] for i in sorted(ids)]


@dataclass
class _Placed:
    view: View
    island: int
    x: float
    y: float
    stage_px: tuple[float, float] | None


class SlideMap:
    """Places frames and counts each cell once. Belongs to one thread; one slide each."""

    def __init__(self) -> None:
        self._field: int | None = None
        self._frames: deque[_Placed] = deque(maxlen=KEPT_VIEWS)
        self._steps: deque[tuple[float, float]] = deque(maxlen=4)
        self._islands: dict[int, _Island] = {}
        self._next_island = 0
        self._next_cell = 0
        self._closed_cells: Counter[tuple[CellKind, CellLabel | None]] = Counter()
        self._closed_area_px = 0.0
        self.lost = 0
        """Frames that could be tied to no earlier frame of their field."""

    def place(
        self,
        pixels: npt.NDArray[np.uint8],
        boxes: npt.NDArray[np.float32],
        frame_field: int,
        stage_px: tuple[float, float] | None = None,
    ) -> Placement:
        """Find where a frame lies, and remember it.

        Args:
            pixels: RGB uint8 ``[h, w, 3]``.
            boxes: float32 ``[N, 4]``, x0, y0, x1, y1 of its cells of all kinds, in its pixels.
            frame_field: frames of different fields are never compared.
            stage_px: position of the stage in pixels of the frame, when there is a stage.
        """
        if frame_field != self._field:
            self._close_field()
            self._field = frame_field
        view = view_of(pixels, boxes)
        placed, tie = self._locate(view, stage_px)
        self._frames.append(placed)
        self._islands[placed.island].covered.update(
            _tiles(placed.x, placed.y, view.width, view.height)
        )
        if tie == "lost":
            self.lost += 1
        return Placement(placed.island, placed.x, placed.y, tie)

    def add(
        self, placement: Placement, sightings: Iterable[Sighting], width: int, height: int
    ) -> list[int]:
        """Enter the cells of a placed frame; the unique number of each, in order."""
        island = self._islands[placement.island]
        offset = np.array([placement.x, placement.y] * 2)
        frame = offset + np.array([0.0, 0.0, width, height])
        sightings = list(sightings)
        boxes = np.array([s.box for s in sightings], np.float64).reshape(-1, 4) + offset
        known = island.near(frame)
        same = _assign(boxes, sightings, known, frame)
        ids: list[int] = []
        for index, sighting in enumerate(sightings):
            cell = self._entered(sighting, boxes[index], frame, same.get(index))
            island.put(cell)
            ids.append(cell.id)
        return ids

    def cells(self) -> Iterator[UniqueCell]:
        """The unique cells of the field in view (those of earlier fields are only counted)."""
        for island in self._islands.values():
            yield from island.cells.values()

    def count(self, kind: CellKind, label: CellLabel | None = None) -> int:
        """Unique cells of a kind on the slide so far, of one label or of all."""
        counted = self._closed_cells + self._in_view()
        return sum(
            n
            for (its_kind, its_label), n in counted.items()
            if its_kind == kind and label in (None, its_label)
        )

    @property
    def area_px(self) -> float:
        """Area of the slide seen so far in square pixels, overlap counted once."""
        return self._closed_area_px + sum(map(_area, self._islands.values()))

    def _locate(self, view: View, stage_px: tuple[float, float] | None) -> tuple[_Placed, Tie]:
        anchor, found = self._anchor(view, stage_px)
        if anchor is None:
            tie: Tie = "lost" if self._frames else "first"
            self._islands[self._next_island] = _Island()
            self._next_island += 1
            x, y = stage_px or (0.0, 0.0)
            return _Placed(view, self._next_island - 1, x, y, stage_px), tie
        x, y = anchor.x + found.shift[0], anchor.y + found.shift[1]
        placed = _Placed(view, anchor.island, x, y, stage_px)
        by_stage = found.correlation == 0.0
        self._tie_to_neighbours(placed, anchor, weight=0.05 if by_stage else found.significance)
        return placed, "stage" if by_stage else "image"

    def _anchor(
        self, view: View, stage_px: tuple[float, float] | None
    ) -> tuple[_Placed | None, Match]:
        """An earlier frame that the new one is tied to, and the shift from it."""
        nothing = Match((0.0, 0.0), 0.0, 0.0)
        recent = list(reversed(self._frames))
        if stage_px is not None:
            with_stage = [f for f in recent if f.stage_px is not None]
            if with_stage:
                return self._by_stage(view, stage_px, with_stage)
        for shift in self._steps if recent else ():
            found = confirm(recent[0].view, view, shift)
            if found is not None:
                return recent[0], found
        for earlier in recent:
            found = find(earlier.view, view)
            if found is not None:
                if earlier is recent[0]:
                    self._remember_step(found.shift)
                return earlier, found
        return None, nothing

    def _remember_step(self, shift: tuple[float, float]) -> None:
        """A scan takes few different steps: along a row, back along the next, and between rows."""
        alike = [s for s in self._steps if max(abs(s[0] - shift[0]), abs(s[1] - shift[1])) < 20]
        if not alike:
            self._steps.append(shift)

    @staticmethod
    def _by_stage(
        view: View, stage_px: tuple[float, float], frames: list[_Placed]
    ) -> tuple[_Placed, Match]:
        """Tie to the frame the stage says is closest; trust the stage where nothing overlaps."""

        def shift_from(earlier: _Placed) -> tuple[float, float]:
            at = earlier.stage_px or (0.0, 0.0)
            return (stage_px[0] - at[0], stage_px[1] - at[1])

        closest = sorted(frames, key=lambda f: -overlap_of(shift_from(f), view.width, view.height))
        for earlier in closest[:_TIES]:
            found = confirm(earlier.view, view, shift_from(earlier))
            if found is not None:
                return earlier, found
        shift = shift_from(closest[0])
        return closest[0], Match(shift, overlap_of(shift, view.width, view.height), 0.0)

    def _tie_to_neighbours(self, placed: _Placed, anchor: _Placed, weight: float) -> None:
        """Average over all neighbours (in place), and join islands that turn out to touch."""
        view = placed.view
        total, sum_x, sum_y = weight, weight * placed.x, weight * placed.y
        overlaps = [
            (overlap_of((placed.x - f.x, placed.y - f.y), view.width, view.height), index)
            for index, f in enumerate(self._frames)
            if f is not anchor and f.island == placed.island
        ]
        for overlap, index in sorted(overlaps, reverse=True)[:_TIES]:
            earlier = self._frames[index]
            if overlap < 0.1:
                break
            found = confirm(earlier.view, view, (placed.x - earlier.x, placed.y - earlier.y))
            if found is not None:
                total += found.significance
                sum_x += found.significance * (earlier.x + found.shift[0])
                sum_y += found.significance * (earlier.y + found.shift[1])
        placed.x, placed.y = sum_x / total, sum_y / total
        self._join_touching_island(placed)

    def _join_touching_island(self, placed: _Placed) -> None:
        apart = [f for f in reversed(self._frames) if f.island != placed.island]
        for earlier in apart[:_JOIN_TRIES]:
            found = find(earlier.view, placed.view)
            if found is not None:
                dx = placed.x - found.shift[0] - earlier.x
                dy = placed.y - found.shift[1] - earlier.y
                self._move_island(earlier.island, placed.island, dx, dy)
                return

    def _move_island(self, source: int, target: int, dx: float, dy: float) -> None:
        moved = self._islands.pop(source)
        shift = np.array([dx, dy, dx, dy])
        for cell in moved.cells.values():
            cell.box = cell.box + shift
            cell.seen_in = cell.seen_in + shift
            self._islands[target].put(cell)
        for frame in self._frames:
            if frame.island == source:
                frame.island, frame.x, frame.y = target, frame.x + dx, frame.y + dy
                self._islands[target].covered.update(
                    _tiles(frame.x, frame.y, frame.view.width, frame.view.height)
                )

    def _entered(
        self,
        sighting: Sighting,
        box: npt.NDArray[np.float64],
        frame: npt.NDArray[np.float64],
        known: UniqueCell | None,
    ) -> UniqueCell:
        """The unique cell of a sighting: a new one, or the known one with its best view kept."""
        cut_low, cut_high = box[:2] < frame[:2] + 2, box[2:] > frame[2:] - 2
        cut = cut_low | cut_high
        whole = not cut.any()
        rank = (whole, sighting.score if whole else float(area(box)))
        if known is not None and rank <= known.rank:
            return known
        self._next_cell += known is None
        return UniqueCell(
            id=self._next_cell - 1 if known is None else known.id,
            kind=sighting.kind,
            box=box,
            seen_in=frame,
            rank=rank,
            centre_seen=whole or _shows_centre(box[2:] - box[:2], cut),
            label=sighting.label,
            p_blast=sighting.p_blast,
        )

    def _in_view(self) -> Counter[tuple[CellKind, CellLabel | None]]:
        """The counted cells of the field in view."""
        return Counter((cell.kind, cell.label) for cell in self.cells() if cell.centre_seen)

    def _close_field(self) -> None:
        """Frames of other fields cannot overlap what comes: keep their counts, free the rest."""
        self._closed_cells += self._in_view()
        self._closed_area_px += sum(map(_area, self._islands.values()))
        self._frames.clear()
        self._islands.clear()


def _assign(
    boxes: npt.NDArray[np.float64],
    sightings: list[Sighting],
    known: list[UniqueCell],
    frame: npt.NDArray[np.float64],
) -> dict[int, UniqueCell]:
    """Which sighting is which known cell: one to one, best overlap first, kinds kept apart."""
    if not known or not len(boxes):
        return {}
    old = np.array([cell.box for cell in known])
    seen_in = np.array([cell.seen_in for cell in known])
    # Each box as the other's frame would have shown it.
    new_there = clip(boxes[:, None], seen_in[None])
    old_here = clip(old[None], frame)
    overlap = iou(new_there, old_here)
    kinds = np.array([KINDS.index(s.kind) for s in sightings])
    old_kinds = np.array([KINDS.index(cell.kind) for cell in known])
    overlap[kinds[:, None] != old_kinds[None]] = 0.0
    matched: dict[int, UniqueCell] = {}
    taken: set[int] = set()
    rows, columns = np.nonzero(overlap > SAME_CELL_IOU)
    for at in np.argsort(-overlap[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in matched and column not in taken:
            matched[row] = known[column]
            taken.add(column)
    return matched


def _shows_centre(sides: npt.NDArray[np.float64], cut: npt.NDArray[np.bool_]) -> bool:
    """Whether a box cut by the border of its frame still shows the centre of its round cell.

    The uncut side tells the diameter; in a corner the longer one does, which is all there is.
    """
    diameter = sides[~cut].max() if not cut.all() else sides.max()
    return bool((sides >= diameter / 2).all())


def _buckets(box: npt.NDArray[np.float64]) -> list[tuple[int, int]]:
    x0, y0, x1, y1 = (int(v // _BUCKET_PX) for v in box)
    return [(x, y) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)]


_TILE_PX = 32


def _tiles(x: float, y: float, width: int, height: int) -> Iterator[tuple[int, int]]:
    """The tiles of the slide whose centre a frame shows."""
    for row in range(int(np.ceil(y / _TILE_PX - 0.5)), int((y + height) / _TILE_PX + 0.5)):
        for column in range(int(np.ceil(x / _TILE_PX - 0.5)), int((x + width) / _TILE_PX + 0.5)):
            yield row, column


def _area(island: _Island) -> float:
    return len(island.covered) * float(_TILE_PX**2)
