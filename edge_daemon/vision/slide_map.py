"""The slide as seen so far: where each frame lies, and every cell once.

Frames of one *field* (a stage scan, a video of a slide moved by hand) share one plane; frames of
different fields never overlap. Within a field a frame is placed by the stage where there is one,
checked and refined by the picture, and by the picture alone where there is none. Every new frame
is tied to as many earlier frames as it overlaps, so that errors do not add up along a row. When a
frame can be tied to nothing, the position is *lost*: it starts an *island* of its own, and a later
frame that overlaps two islands joins them.

What registration keeps are views of *places*: while the stage stands still, or creeps, no further
view of the same place is kept, so that coming back after an hour is still coming back.

A placement says all that it did to the map. Given again with the same cells, it makes the same map
(:meth:`SlideMap.replay`): that is how a slide survives the end of its process.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.terms import CellKind, CellLabel, Tie
from edge_daemon.vision.cell_table import PublishedFrame
from edge_daemon.vision.coverage import COARSE_PX, Coverage, largest_first
from edge_daemon.vision.island import SAME_PLACE, Island, Sighting, UniqueCell
from edge_daemon.vision.placement import Joined, MapState, Numbers, PlacedView, Placement
from edge_daemon.vision.register import (
    Match,
    View,
    choose,
    confirm,
    find,
    likeness,
    overlap_of,
    view_of,
)
from edge_daemon.vision.worst import Worst

KEPT_VIEWS = 256
"""Places kept for registration (110 kB each, 190 once they were searched): with 30 % overlap, ten
rows of a scan."""
_TIES = 3
_LOST_TRIES = 8
"""Views a frame is held against in full (2 ms each) before its position is lost: those that look
most alike of all that are kept."""
_JOIN_TRIES = 3
"""The same for views of other islands, while there are several: there will be further frames."""


class SlideMap:
    """Places frames and counts each cell once. Belongs to one thread; one slide each."""

    def __init__(self, state: MapState | None = None) -> None:
        """An empty map, or one that goes on from ``state``, which it takes over."""
        start = state or MapState()
        self._field = start.field
        self._views: deque[PlacedView] = deque(start.views, maxlen=KEPT_VIEWS)
        self._latest = self._views[-1] if self._views else None
        self._home = self._latest
        self._steps: deque[tuple[float, float]] = deque(maxlen=4)
        self._islands: dict[int, Island] = dict(start.islands)
        self._coming_frame = start.coming_frame
        self._numbers = Numbers(start.coming_cell)
        self._closed_cells: Counter[tuple[CellKind, CellLabel | None]] = Counter(
            {(kind, label): number for kind, label, number in start.closed_cells}
        )
        self._closed_area_px = start.closed_area_px
        self._closed_worst = start.closed_worst
        self.lost = start.lost
        """Frames that could be tied to no earlier frame of their field."""
        self.revisits = start.revisits
        """Times that the view came back to a place it had left."""

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
        return self.place_view(view_of(pixels, boxes), frame_field, stage_px)

    def place_view(
        self, view: View, frame_field: int, stage_px: tuple[float, float] | None = None
    ) -> Placement:
        """The same, of a frame that was reduced to its view already."""
        if frame_field != self._field:
            self._close_field(frame_field)
        placed, tie, joined = self._locate(view, stage_px)
        home = self._home_of(placed)
        placement = Placement(
            number=placed.number,
            field=frame_field,
            island=placed.island,
            frame=placed.rectangle,
            tie=tie,
            view=view if home is None else None,
            stage_px=stage_px,
            joined=joined,
            revisit=home is not None and home is not self._home,
        )
        self._remember(placed, placement, home)
        return placement

    def replay(
        self,
        placement: Placement,
        sightings: Sequence[Sighting],
        published: PublishedFrame | None = None,
    ) -> list[int]:
        """Do again what a placement did in another map that stood where this one stands.

        Returns:
            The unique number of each sighting, in order; the same as there.
        """
        if placement.field != self._field:
            self._close_field(placement.field)
        x, y = float(placement.frame[0]), float(placement.frame[1])
        nothing = View(
            width=round(placement.frame[2] - x),
            height=round(placement.frame[3] - y),
            thumb=np.empty((0, 0), np.float32),
            px_per_thumb=1.0,
            boxes=np.empty((0, 4), np.float32),
        )
        if placement.tie in ("first", "lost"):
            self._islands[placement.island] = Island()
        view = placement.view or nothing
        placed = PlacedView(view, placement.island, x, y, placement.stage_px, placement.number)
        if placement.joined is not None:
            self._join(placement.joined)
        self._remember(placed, placement, None if placement.view else self._home_of(placed))
        return self.add(placement, sightings, published)

    def state(self) -> MapState:
        """All it knows; shares the islands, so encode it before the next frame."""
        return MapState(
            field=self._field,
            views=tuple(self._views),
            islands=tuple(self._islands.items()),
            coming_frame=self._coming_frame,
            coming_cell=self._numbers.coming,
            closed_cells=tuple((*key, number) for key, number in self._closed_cells.items()),
            closed_area_px=self._closed_area_px,
            closed_worst=self._closed_worst,
            lost=self.lost,
            revisits=self.revisits,
        )

    def add(
        self,
        placement: Placement,
        sightings: Sequence[Sighting],
        published: PublishedFrame | None = None,
    ) -> list[int]:
        """Enter the cells of a placed frame, ``published`` as others know it.

        Returns:
            The unique number of each sighting, in order.
        """
        island = self._islands[placement.island]
        return island.enter(sightings, placement.frame, self._numbers, published)

    def cells(self) -> Iterator[UniqueCell]:
        """The unique cells of the field in view (of earlier fields only the worst are kept)."""
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

    def worst(self) -> Worst:
        """Where a reader looks first, on the slide so far. Takes time with every cell."""
        return self._closed_worst.with_(Worst.of(self._field or 0, self._islands.items()))

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
        newest = self._latest
        if newest is not None:
            x0, y0, x1, y1 = (newest.rectangle / COARSE_PX).tolist()
            place = order.index(numbers.index(newest.island))
            here = (place, (x0, y0, x1, y1))
        return Coverage(tuple(islands[index] for index in order), here)

    @property
    def views(self) -> tuple[PlacedView, ...]:
        """The views that are kept for registration, oldest first."""
        return tuple(self._views)

    @property
    def islands(self) -> int:
        """Pieces of the field in view that are not tied to each other."""
        return len(self._islands)

    def _remember(self, placed: PlacedView, placement: Placement, home: PlacedView | None) -> None:
        self._coming_frame += 1
        self._latest = placed
        if home is None:
            self._views.append(placed)
        self._home = home or placed
        self._islands[placed.island].cover(placed.rectangle)
        self.lost += placement.tie == "lost"
        self.revisits += placement.revisit

    def _home_of(self, placed: PlacedView) -> PlacedView | None:
        """The kept view of the place that a frame shows."""
        width, height = placed.view.width, placed.view.height

        def shared(kept: PlacedView) -> float:
            if kept.island != placed.island or kept.view.width != width:
                return 0.0
            return overlap_of((placed.x - kept.x, placed.y - kept.y), width, height)

        home = self._home
        if home is not None and home in self._views and shared(home) >= SAME_PLACE:
            return home  # it has hardly moved: the common case
        best = max(self._views, key=shared, default=None)
        return best if best is not None and shared(best) >= SAME_PLACE else None

    def _recent(self) -> list[PlacedView]:
        """What a frame may be tied to: the last frame, then the kept views, newest first."""
        recent = list(reversed(self._views))
        if self._latest is not None and (not recent or self._latest is not recent[0]):
            recent.insert(0, self._latest)
        return recent

    def _locate(
        self, view: View, stage_px: tuple[float, float] | None
    ) -> tuple[PlacedView, Tie, Joined | None]:
        anchor, found = self._anchor(view, stage_px)
        if anchor is None:
            tie: Tie = "lost" if self._latest is not None else "first"
            number = max(self._islands, default=-1) + 1
            self._islands[number] = Island()
            x, y = stage_px or (0.0, 0.0)
            return PlacedView(view, number, x, y, stage_px, self._coming_frame), tie, None
        x, y = anchor.x + found.shift[0], anchor.y + found.shift[1]
        placed = PlacedView(view, anchor.island, x, y, stage_px, self._coming_frame)
        by_stage = found.correlation == 0.0
        self._tie_to_neighbours(placed, anchor, weight=0.05 if by_stage else found.significance)
        joined = self._touching_island(placed)
        if joined is not None:
            self._join(joined)
        return placed, "stage" if by_stage else "image", joined

    def _anchor(
        self, view: View, stage_px: tuple[float, float] | None
    ) -> tuple[PlacedView | None, Match]:
        """An earlier frame that the new one is tied to, and the shift from it."""
        nothing = Match((0.0, 0.0), 0.0, 0.0)
        recent = [one for one in self._recent() if one.view.thumb.size]
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
        for earlier in _likeliest(view, recent[1:], _LOST_TRIES):
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
        view: View, stage_px: tuple[float, float], frames: list[PlacedView]
    ) -> tuple[PlacedView, Match]:
        """Tie to the frame the stage says is closest; trust the stage where nothing overlaps."""

        def shift_from(earlier: PlacedView) -> tuple[float, float]:
            at = earlier.stage_px or (0.0, 0.0)
            return (stage_px[0] - at[0], stage_px[1] - at[1])

        closest = sorted(frames, key=lambda f: -overlap_of(shift_from(f), view.width, view.height))
        for earlier in closest[:_TIES]:
            found = confirm(earlier.view, view, shift_from(earlier))
            if found is not None:
                return earlier, found
        shift = shift_from(closest[0])
        return closest[0], Match(shift, overlap_of(shift, view.width, view.height), 0.0)

    def _tie_to_neighbours(self, placed: PlacedView, anchor: PlacedView, weight: float) -> None:
        """Average over all neighbours, in place."""
        view = placed.view
        total, sum_x, sum_y = weight, weight * placed.x, weight * placed.y
        overlaps = [
            (overlap_of((placed.x - f.x, placed.y - f.y), view.width, view.height), index)
            for index, f in enumerate(self._views)
            if f is not anchor and f.island == placed.island
        ]
        for overlap, index in sorted(overlaps, reverse=True)[:_TIES]:
            earlier = self._views[index]
            if overlap < 0.1:
                break
            found = confirm(earlier.view, view, (placed.x - earlier.x, placed.y - earlier.y))
            if found is not None:
                total += found.significance
                sum_x += found.significance * (earlier.x + found.shift[0])
                sum_y += found.significance * (earlier.y + found.shift[1])
        placed.x, placed.y = sum_x / total, sum_y / total

    def _touching_island(self, placed: PlacedView) -> Joined | None:
        """Another island that turns out to overlap a frame, and how it has to be moved."""
        apart = [f for f in reversed(self._views) if f.island != placed.island]
        for earlier in _likeliest(placed.view, apart, _JOIN_TRIES):
            found = find(earlier.view, placed.view)
            if found is not None:
                dx = placed.x - found.shift[0] - earlier.x
                dy = placed.y - found.shift[1] - earlier.y
                return Joined(earlier.island, placed.island, dx, dy)
        return None

    def _join(self, joined: Joined) -> None:
        self._islands[joined.target].absorb(self._islands.pop(joined.source), joined.dx, joined.dy)
        known = {id(one): one for one in (*self._views, self._latest) if one is not None}
        for view in known.values():
            if view.island == joined.source:
                view.island = joined.target
                view.x, view.y = view.x + joined.dx, view.y + joined.dy
                self._islands[joined.target].cover(view.rectangle)

    def _close_field(self, coming: int) -> None:
        """Frames of other fields cannot overlap what comes: keep their counts, free the rest."""
        self._closed_worst = self.worst()
        for island in self._islands.values():
            self._closed_cells += island.counted()
            self._closed_area_px += island.area_px
        self._views.clear()
        self._latest = self._home = None
        self._islands.clear()
        self._field = coming


def _likeliest(view: View, known: Sequence[PlacedView], most: int) -> Sequence[PlacedView]:
    """Those that may show the same place as a view, by what they look like, the likeliest first."""
    alike = sorted(known, key=lambda one: -likeness(one.view, view)) if len(known) > most else known
    return alike[:most]
