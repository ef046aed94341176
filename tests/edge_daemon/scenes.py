"""Frames the tiny bundle understands: blue and red squares on glass."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timezone

import numpy as np
from typing_extensions import Self

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Captured, Frame
from edge_daemon.vision.quality import QualityThresholds
from tests.edge_daemon.tiny_bundle import GLASS, RED_CELL, SIDE, WHITE_CELL

LENIENT = QualityThresholds(
    min_focus=0.0,
    min_exposure=0.0,
    max_exposure=1.0,
    max_clipped_fraction=1.0,
    min_foreground_fraction=0.0,
    min_evenness=0.0,
)
"""Flat squares have no texture to focus on; the gate has tests of its own."""

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def frame(index: int = 0, *, white: int = 1, red: int = 4, field: int | None = None) -> Frame:
    """A frame of ``white`` white and ``red`` red cells, at most 16 together, 32 pixels apart."""
    pixels = np.full((SIDE, SIDE, 3), GLASS, np.uint8)
    for place, colour in enumerate([WHITE_CELL] * white + [RED_CELL] * red):
        y, x = 32 * (place // 4), 32 * (place % 4)
        pixels[y : y + 16, x : x + 16] = colour
    where = index if field is None else field
    return Frame(index, f"scene-{index}.png", WHEN, pixels, field=where)


class Listed:
    """A source that hands out what it is given, and then ends or breaks."""

    def __init__(self, *captured: Captured, breaks: str | None = None) -> None:
        self.name = "listed"
        self.frame_count: int | None = len(captured)
        self._captured = captured
        self._breaks = breaks

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        pass

    def __iter__(self) -> Iterator[Captured]:
        yield from self._captured
        if self._breaks is not None:
            raise SourceError(self._breaks)
