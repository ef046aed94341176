"""What two bundles say of the cells of a slide, counted: each cell once, whatever frames show it.

From frame to frame a cell is recognised by its place on the slide, which is the active bundle's
placement of the frame and the slide map's own rule. What was counted of a cell is taken back and
counted anew when another frame shows it, so that a frame costs what it shows and not what the
slide holds.
"""

from __future__ import annotations

import base64
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge_daemon.contract.shadow import MOST_DISAGREEMENTS, Disagreement
from edge_daemon.shadow.cells import Cell, Judged, Labels, Shown, pairs_of
from edge_daemon.vision.island import Island, Sighting
from edge_daemon.vision.pictures import picture_of
from edge_daemon.vision.placement import Joined, Numbers

MOST_PICTURE_BYTES = 4096
"""Of the picture of one disagreement: all of them together stay near 100 kB in a message."""
_MOST_KEPT = 1000
"""Disagreements that may still come to be among the worst."""


@dataclass(frozen=True)
class Compared:
    """How a comparison stands; a copy."""

    frames: int = 0
    labels: Counter[Labels] = field(default_factory=Counter)
    """Cells by what both say of them."""
    shift_micro: int = 0
    """Sum of candidate less active ``p_blast`` of the cells that both found, in millionths."""
    shift_absolute_micro: int = 0
    saturated: tuple[int, int] = (0, 0)
    """Frames in which active and candidate found more cells than they report."""
    worst: tuple[Disagreement, ...] = ()

    @property
    def disagreements(self) -> int:
        """Cells of which the two do not say the same."""
        return sum(n for (active, candidate), n in self.labels.items() if active != candidate)


class Comparison:
    """The cells of one slide, as both bundles judge them. Belongs to one thread."""

    def __init__(self) -> None:
        self.latest = Compared()
        """How it stands after the last frame; may be read by any thread."""
        self._field: int | None = None
        self._islands: dict[int, Island] = defaultdict(Island)
        self._numbers = Numbers()
        self._cells: dict[int, Cell] = {}
        self._labels: Counter[Labels] = Counter()
        self._shift = self._shift_absolute = 0
        self._saturated = (0, 0)
        self._apart: dict[int, Judged] = {}
        self._worst: list[int] = []
        self._pictures: dict[int, tuple[int, str]] = {}

    def enter(self, shown: Shown, candidate: Sequence[Sighting], *, saturated: bool) -> None:
        """Compare one frame; ``candidate``: what that found in it, in pixels of the frame."""
        placement = shown.placement
        if placement.field != self._field:
            self._close_field(placement.field)
        joins = shown.joined_before
        if placement.joined is not None:
            joins = (*joins, placement.joined)
        changed = {number for joined in joins for number in self._join(joined)}
        pairs = pairs_of(shown, candidate)
        numbers = self._islands[placement.island].enter(
            [pair.sighting for pair in pairs], placement.frame, self._numbers
        )
        for number, pair in zip(numbers, pairs, strict=True):
            self._retract(number)
            self._cells.setdefault(number, Cell()).see(pair.active, pair.candidate)
            self._assert(number)
        self._choose_worst(changed | set(numbers))
        self._picture(shown)
        self._saturated = (self._saturated[0] + shown.saturated, self._saturated[1] + saturated)
        self.latest = Compared(
            frames=self.latest.frames + 1,
            labels=+self._labels,
            shift_micro=self._shift,
            shift_absolute_micro=self._shift_absolute,
            saturated=self._saturated,
            worst=tuple(self._told(number) for number in self._worst),
        )

    def _join(self, joined: Joined) -> set[int]:
        source = self._islands.pop(joined.source, None)
        if source is None:  # no frame of it was compared
            return set()
        became = self._islands[joined.target].absorb(source, joined.dx, joined.dy)
        for number, later in became.items():
            self._retract(number)
            self._retract(later)
            self._cells[later].absorb(self._cells.pop(number))
            self._assert(later)
        return {*became, *became.values()}

    def _retract(self, number: int) -> None:
        self._tally(number, -1)
        self._apart.pop(number, None)

    def _assert(self, number: int) -> None:
        judged = self._tally(number, 1)
        if judged is not None and judged.labels[0] != judged.labels[1]:
            self._apart[number] = judged

    def _tally(self, number: int, by: int) -> Judged | None:
        cell = self._cells.get(number)
        judged = None if cell is None else cell.judged
        if judged is not None:
            self._labels[judged.labels] += by
            self._shift += by * judged.shift_micro
            self._shift_absolute += by * abs(judged.shift_micro)
        return judged

    def _choose_worst(self, changed: set[int]) -> None:
        moved = any(number in changed for number in self._worst)
        # One that was left out for want of room may move up.
        among = self._apart.keys() if moved else {*self._worst, *(changed & self._apart.keys())}
        self._worst = self._ordered(among)[:MOST_DISAGREEMENTS]
        if len(self._apart) > _MOST_KEPT:
            keep = self._ordered(self._apart)[: _MOST_KEPT // 2]
            self._apart = {number: self._apart[number] for number in keep}

    def _ordered(self, among: Iterable[int]) -> list[int]:
        return sorted(among, key=lambda number: (*self._apart[number].order, number))

    def _picture(self, shown: Shown) -> None:
        """Keep pictures of the worst, cut while the frame is here."""
        self._pictures = {n: p for n, p in self._pictures.items() if n in self._worst}
        for number in self._worst:
            view = self._apart[number].shown
            if view.frame == shown.frame:
                jpeg = picture_of(view.box, shown.pixels, MOST_PICTURE_BYTES)
                self._pictures[number] = view.frame, base64.b64encode(jpeg).decode()

    def _told(self, number: int) -> Disagreement:
        judged = self._apart[number]
        view = judged.shown
        frame, jpeg = self._pictures.get(number, (None, None))
        x, y, width, height = view.box
        return Disagreement(
            frame=view.frame,
            unique_id=view.unique_id,
            box=(round(x, 1), round(y, 1), round(width, 1), round(height, 1)),
            active=judged.active,
            candidate=judged.candidate,
            jpeg=jpeg if frame == view.frame else None,
        )

    def _close_field(self, coming: int) -> None:
        """Frames of other fields cannot show these cells again: keep what was counted."""
        self._field = coming
        self._islands.clear()
        self._cells.clear()
        self._apart = {number: self._apart[number] for number in self._worst}
