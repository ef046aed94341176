"""Where a frame lies on the slide, and what a slide map remembers, as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from edge_daemon.contract.terms import CellKind, CellLabel, Tie
from edge_daemon.vision.boxes import Rectangle
from edge_daemon.vision.island import Island
from edge_daemon.vision.register import View
from edge_daemon.vision.worst import NOTHING_YET, Worst


@dataclass(frozen=True)
class Joined:
    """An island that turned out to be part of another, and how far it was moved, in pixels."""

    source: int
    target: int
    dx: float
    dy: float


@dataclass(frozen=True)
class Placement:
    """Where a frame lies on the slide, how that is known, and what it did to the map."""

    number: int
    """How many frames were placed before it."""
    field: int
    island: int
    frame: Rectangle
    """x0, y0, x1, y1 in pixels of the island."""
    tie: Tie
    view: View | None = None
    """What is kept of it for registration; None where the place is known already."""
    stage_px: tuple[float, float] | None = None
    joined: Joined | None = None
    revisit: bool = False
    """The view came back to a place that it had left."""


@dataclass(eq=False)
class PlacedView:
    """A view that is kept for registration, and where it lies. ``stage_px`` as the stage said."""

    view: View
    island: int
    x: float
    y: float
    stage_px: tuple[float, float] | None
    number: int
    """Of its placement."""

    @property
    def rectangle(self) -> Rectangle:
        """x0, y0, x1, y1 in pixels of the island."""
        return np.array([self.x, self.y, self.x + self.view.width, self.y + self.view.height])


class Numbers(Iterator[int]):
    """Numbers for new cells, from ``coming`` on."""

    def __init__(self, coming: int = 0) -> None:
        self.coming = coming

    def __next__(self) -> int:
        """The next number."""
        self.coming += 1
        return self.coming - 1


@dataclass
class MapState:
    """All that a slide map knows, to be taken up in another process."""

    field: int | None = None
    views: tuple[PlacedView, ...] = ()
    islands: tuple[tuple[int, Island], ...] = ()
    coming_frame: int = 0
    coming_cell: int = 0
    closed_cells: tuple[tuple[CellKind, CellLabel | None, int], ...] = ()
    closed_area_px: float = 0.0
    closed_worst: Worst = NOTHING_YET
    lost: int = 0
    revisits: int = 0
