"""Where the frames of a slide lie, as paths of a drawing.

Frames of one field and piece share their coordinates; how pieces lie to each other is not known,
so each is drawn for itself, one beside the other, largest first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.dashboard.queries.slide import Rectangle

_WIDTH = 600.0
"""Units of the drawing; its height follows."""
_LOWEST = 120.0
_GAP = 14.0


@dataclass(frozen=True)
class Mark:
    """A frame that shows cells to look at."""

    x: float
    y: float
    blasts: int
    uncertain: int
    frame: int


@dataclass(frozen=True)
class CoverageMap:
    """A drawing of ``width`` by ``height`` units."""

    width: float
    height: float
    seen: str
    """One path of all analysed frames."""
    blasts: tuple[Mark, ...]
    uncertain: tuple[Mark, ...]
    pieces: int
    placed: int
    radius: float


def coverage_map(frames: Sequence[Rectangle]) -> CoverageMap | None:
    """Draw the frames that have a place; None: none has."""
    pieces: dict[tuple[int, int], list[Rectangle]] = defaultdict(list)
    for one in frames:
        if one.piece is not None and one.x is not None and one.y is not None and one.width:
            pieces[one.field, one.piece].append(one)
    if not pieces:
        return None
    boxes = [(group, _bounds(group)) for group in pieces.values()]
    boxes.sort(key=lambda pair: -len(pair[0]))
    widest = max(right - left for _, (left, _, right, _) in boxes)
    scale = _WIDTH / widest
    path: list[str] = []
    blasts: list[Mark] = []
    uncertain: list[Mark] = []
    x, y, row_height = 0.0, 0.0, 0.0
    smallest = _WIDTH
    for group, (left, top, right, bottom) in boxes:
        width, height = (right - left) * scale, (bottom - top) * scale
        if x > 0 and x + width > _WIDTH:
            x, y, row_height = 0.0, y + row_height + _GAP, 0.0
        for one in group:
            at_x = x + ((one.x or 0) - left) * scale
            at_y = y + ((one.y or 0) - top) * scale
            wide, high = (one.width or 0) * scale, (one.height or 0) * scale
            smallest = min(smallest, wide, high)
            path.append(f"M{at_x:.1f} {at_y:.1f}h{wide:.1f}v{high:.1f}h{-wide:.1f}z")
            mark = Mark(
                round(at_x + wide / 2, 1),
                round(at_y + high / 2, 1),
                one.blasts,
                one.uncertain,
                one.frame,
            )
            if one.blasts:
                blasts.append(mark)
            elif one.uncertain:
                uncertain.append(mark)
        x += width + _GAP
        row_height = max(row_height, height)
    return CoverageMap(
        width=_WIDTH,
        height=round(max(_LOWEST, y + row_height), 1),
        seen="".join(path),
        blasts=tuple(blasts),
        uncertain=tuple(uncertain),
        pieces=len(boxes),
        placed=sum(len(group) for group, _ in boxes),
        radius=round(max(2.0, min(7.0, smallest / 4)), 1),
    )


def _bounds(group: Sequence[Rectangle]) -> tuple[float, float, float, float]:
    return (
        min(one.x or 0 for one in group),
        min(one.y or 0 for one in group),
        max((one.x or 0) + (one.width or 0) for one in group),
        max((one.y or 0) + (one.height or 0) for one in group),
    )
