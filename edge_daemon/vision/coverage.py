"""Which part of the slide has been seen, coarsely: a map for the operator, not for the counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from edge_daemon.contract.terms import CellLabel
from edge_daemon.vision.boxes import Rectangle

COARSE_PX = 128
"""Side of a tile of the map: about a tenth of a camera's frame, two white cells."""


@dataclass(frozen=True)
class SeenIsland:
    """A connected piece of the slide: what was seen of it, and what lies there."""

    tiles: frozenset[tuple[int, int]]
    """Column and row of each tile that a frame showed, in tiles of :data:`COARSE_PX`."""
    cells: tuple[tuple[float, float, CellLabel], ...]
    """Centre, in tiles, and label of each nucleated cell that was not cleared."""


@dataclass(frozen=True)
class Coverage:
    """The field in view as seen so far; earlier fields lie elsewhere and are not shown."""

    islands: tuple[SeenIsland, ...]
    """Those of most area first. Where two lie to each other nobody knows."""
    here: tuple[int, tuple[float, float, float, float]] | None
    """The newest frame: which island, and x0, y0, x1, y1 in tiles."""


def coarse_tiles(frame: Rectangle) -> Iterator[tuple[int, int]]:
    """The tiles that a frame touches by more than half."""
    x0, y0, x1, y1 = np.rint(np.asarray(frame) / COARSE_PX).astype(int).tolist()
    for row in range(y0, max(y1, y0 + 1)):
        for column in range(x0, max(x1, x0 + 1)):
            yield column, row


def shrunk(island: SeenIsland, most: int) -> tuple[list[str], tuple[int, int], int]:
    """An island as rows of ``1`` (seen) and ``0``, at most ``most`` wide and high.

    Returns:
        The rows from the top; column and row of its top left corner in tiles; and how many tiles
        one mark stands for along each side. A mark is set where any of its tiles was seen.
    """
    if not island.tiles:
        return [], (0, 0), 1
    at = np.array(sorted(island.tiles), np.int64)
    corner = at.min(axis=0)
    extent = at.max(axis=0) - corner + 1
    step = max(1, -(-int(extent.max()) // most))
    marks = np.unique((at - corner) // step, axis=0)
    width, height = (-(-extent // step)).tolist()
    grid = np.full((height, width), "0")
    grid[marks[:, 1], marks[:, 0]] = "1"
    return ["".join(row) for row in grid.tolist()], (int(corner[0]), int(corner[1])), step


def largest_first(islands: Sequence[SeenIsland]) -> list[int]:
    """The order in which islands are shown: numbers of those of most area first."""
    return sorted(range(len(islands)), key=lambda number: -len(islands[number].tiles))
