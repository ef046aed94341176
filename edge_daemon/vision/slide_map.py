"""The slide as seen so far: where each frame lies, and every cell once.

Frames of one *field* (a stage scan, a video of a slide moved by hand) share one plane; frames of
different fields never overlap. Within a field a frame is placed by the stage where there is one,
checked and refined by the picture, and by the picture alone where there is none. Every new frame
is tied to as many earlier frames as it overlaps, so that errors do not add up along a row. When a
frame can be tied to nothing, the position is *lost*: it starts an *island* of its own, and a later
frame that overlaps two islands joins them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import CellKind, CellLabel
from edge_daemon.vision.boxes import Rectangle
from edge_daemon.vision.coverage import COARSE_PX, Coverage, largest_first
from edge_daemon.vision.island import Island, Sighting, UniqueCell
from edge_daemon.vision.register import Match, View, choose, confirm, find, overlap_of, view_of

Tie: TypeAlias = Literal["first", "stage", "image", "lost"]
"""How a frame was placed: first of its field, by the stage alone, by the picture, or not at all."""

KEPT_VIEWS = 256
"""Frames kept for registration (37 kB each): with 30 % overlap, ten rows of a scan."""
_TIES = 3
_JOIN_TRIES = 16
"""Frames of other islands a new frame is compared with (2.5 ms each) while there are several."""


@dataclass(frozen=True)
class Placement:
    """Where a frame lies on the slide: its rectangle, on which island, and how known."""

    island: int
    frame: Rectangle
    """x0, y0, x1, y1 in pixels of the island."""
    tie: Tie


@dataclass
class _Placed:
    view: View
    island: int
    x: float
    y: float
    stage_px: tuple[float, float] | None

    @property
    def rectangle(self) -> Rectangle:
        return np.array([self.x, self.y, self.x + self.view.width, self.y + self.view.height])


class SlideMap:
    """Places frames and counts each cell once. Belongs to one thread; one slide each."""

    def __init__(self) -> None:
        self._field: int | None = None
        self._frames: deque[_Placed] = deque(maxlen=KEPT_VIEWS)
        self._steps: deque[tuple[float, float]] = deque(maxlen=4)
        self._islands: dict[int, Island] = {}
        self._numbers = count()
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
        self._islands[placed.island].cover(placed.rectangle)
        if tie == "lost":
            self.lost += 1
        return Placement(placed.island, placed.rectangle, tie)

    def add(self, placement: Placement, sightings: Sequence[Sighting]) -> list[int]:
        """Enter the cells of a placed frame; the unique number of each, in order."""
        island = self._islands[placement.island]
        return island.enter(sightings, placement.frame, self._numbers)

    def cells(self) -> Iterator[UniqueCell]:
        """The unique cells of the field in view (those of earlier fields are only counted)."""
        for island in self._islands.values():
            yield from island.cells

    def count(self, kind: CellKind, label: CellLabel | None = None) -> int:
        """Unique cells of a kind on the slide so far, of one label or of all."""
        counted = sum((i.counted() for i in self._islands.values()), self._closed_cells)
        return sum(
            n
            for (its_kind, its_label), n in counted.items()
            if its_kind == kind and label in (None, its_label)
        )

    @property
    def area_px(self) -> float:
        """Area of the slide seen so far in square pixels, overlap counted once."""
        return self._closed_area_px + sum(i.area_px for i in self._islands.values())

    def coverage(self) -> Coverage:
        """Which part of the field in view was seen so far, and what lies there. A copy."""
        numbers = list(self._islands)
        islands = [self._islands[number].seen() for number in numbers]
        order = largest_first(islands)
        here = None
        if self._frames:
            newest = self._frames[-1]
            x0, y0, x1, y1 = (newest.rectangle / COARSE_PX).tolist()
            place = order.index(numbers.index(newest.island))
            here = (place, (x0, y0, x1, y1))
        return Coverage(tuple(islands[index] for index in order), here)

    def _locate(self, view: View, stage_px: tuple[float, float] | None) -> tuple[_Placed, Tie]:
        anchor, found = self._anchor(view, stage_px)
        if anchor is None:
            tie: Tie = "lost" if self._frames else "first"
            number = max(self._islands, default=-1) + 1
            self._islands[number] = Island()
            x, y = stage_px or (0.0, 0.0)
            return _Placed(view, number, x, y, stage_px), tie
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
        for earlier in recent[:1]:
            found = find(earlier.view, view)
            if found is not None:
                self._remember_step(found.shift)
            else:
                found = choose(earlier.view, view, self._steps)
            if found is not None:
                return earlier, found
        for earlier in recent[1:]:
            found = find(earlier.view, view)
            if found is not None:
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
        self._islands[target].absorb(self._islands.pop(source), dx, dy)
        for frame in self._frames:
            if frame.island == source:
                frame.island, frame.x, frame.y = target, frame.x + dx, frame.y + dy
                self._islands[target].cover(frame.rectangle)

    def _close_field(self) -> None:
        """Frames of other fields cannot overlap what comes: keep their counts, free the rest."""
        for island in self._islands.values():
            self._closed_cells += island.counted()
            self._closed_area_px += island.area_px
        self._frames.clear()
        self._islands.clear()
