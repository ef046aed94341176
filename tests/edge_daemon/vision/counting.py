"""What is wrong with a slide's count, cell by cell: the simulator knows which cell is which.

A net figure hides errors: one cell counted twice and one missed make a perfect count. Here every
unique white cell of a slide map is held against the true cell that its best view shows, and every
true cell against the unique cells that were made of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from edge_daemon.sources.simulated import FrameTruth, SlideTruth
from edge_daemon.vision.boxes import area, clip, iou
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.slide_map import SlideMap

_SAME_IOU = 0.4
"""A box shows a true cell from this overlap on; boxes of neighbours overlap far less."""
_PART = 0.6
"""A box shows part of a true cell when this share of it lies inside the true one."""


@dataclass(frozen=True)
class CountErrors:
    """White cells of one slide, ``found - true = too_much - too_little``."""

    true: int = 0
    found: int = 0
    twice: int = 0
    """Counted once more than they are: registration, or a box that did not fit the other."""
    parts: int = 0
    """Part of a true cell counted besides it: a second cell in one picture, or a false box."""
    false_alarms: int = 0
    """No true white cell is there."""
    at_the_rim: int = 0
    """True cells that the truth does not count: less than ``visible`` of them was ever in view."""
    merged: int = 0
    """Seen, and taken for another cell."""
    uncounted: int = 0
    """Seen, but never by more than half, and so not counted."""
    missed: int = 0
    """Never seen."""

    @property
    def too_much(self) -> int:
        """All that was counted and should not have been."""
        return self.twice + self.parts + self.false_alarms + self.at_the_rim

    @property
    def too_little(self) -> int:
        """All that was not counted and should have been."""
        return self.merged + self.uncounted + self.missed

    def __add__(self, other: CountErrors) -> CountErrors:
        names = (field.name for field in fields(self))
        return CountErrors(*(getattr(self, name) + getattr(other, name) for name in names))


@dataclass(frozen=True)
class SeenCell:
    """A white cell in one frame: what it truly is."""

    true_id: int | None
    whole: bool
    """The box is that of the cell, not part of it."""


class CountingRecord:
    """Takes in every placed frame of a slide; in the end says what is wrong with its count."""

    def __init__(self) -> None:
        self._seen: dict[tuple[float, float | None], SeenCell] = {}
        self._true_ids_seen: set[int] = set()

    def enter(self, truth: FrameTruth, sightings: Sequence[Sighting]) -> list[SeenCell]:
        """Take in the cells that were found in a frame."""
        white = [s for s in sightings if s.kind == "wbc"]
        seen = true_cells(truth, np.array([s.box for s in white], np.float64).reshape(-1, 4))
        for sighting, cell in zip(white, seen, strict=True):
            self._seen[_key(sighting.box, sighting.p_blast)] = cell
            if cell.true_id is not None:
                self._true_ids_seen.add(cell.true_id)
        return seen

    def unique_cells(self, slide_map: SlideMap) -> list[SeenCell]:
        """What the best view of every counted white cell truly shows."""
        return [
            self._seen[_key(cell.box - np.tile(cell.seen_in[:2], 2), cell.p_blast)]
            for cell in slide_map.cells()
            if cell.kind == "wbc" and cell.centre_seen
        ]

    def errors(self, slide_map: SlideMap, truth: SlideTruth) -> CountErrors:
        """The count, and what is wrong with it."""
        counted = self.unique_cells(slide_map)
        wanted = true_white_ids(truth)
        wholes = Counter(c.true_id for c in counted if c.true_id is not None and c.whole)
        parts = Counter(c.true_id for c in counted if c.true_id is not None and not c.whole)
        for true_id in parts:  # a cell of which only a part was counted is counted all the same
            if not wholes[true_id]:
                wholes[true_id], parts[true_id] = 1, parts[true_id] - 1
        uncounted = {
            self._seen[_key(cell.box - np.tile(cell.seen_in[:2], 2), cell.p_blast)].true_id
            for cell in slide_map.cells()
            if cell.kind == "wbc" and not cell.centre_seen
        }
        lacking = wanted - {true_id for true_id, number in wholes.items() if number}
        missed = lacking - self._true_ids_seen
        return CountErrors(
            true=len(wanted),
            found=len(counted),
            twice=sum(number - 1 for number in wholes.values() if number > 1),
            parts=sum(parts.values()),
            false_alarms=sum(cell.true_id is None for cell in counted),
            at_the_rim=sum(
                number > 0 and true_id not in wanted for true_id, number in wholes.items()
            ),
            merged=len(lacking - missed - uncounted),
            uncounted=len(lacking & uncounted - missed),
            missed=len(missed),
        )


def true_white_ids(truth: SlideTruth) -> set[int]:
    """The white cells that the truth counts."""
    wanted: set[int] = set()
    for frame in truth.frames:
        if frame.defect is None:
            white = np.array([kind == "wbc" for kind in frame.field.kinds], bool)
            shown = white & (frame.field.visible >= truth.unique.min_visible)
            wanted.update(frame.field.cell_ids[shown].tolist())
    return wanted


def true_cells(truth: FrameTruth, boxes: npt.NDArray[np.float64]) -> list[SeenCell]:
    """Which true white cell each box (float64 ``[N, 4]``) of a frame shows."""
    white = np.array([kind == "wbc" for kind in truth.field.kinds], bool)
    true_boxes, ids = truth.field.boxes[white], truth.field.cell_ids[white]
    if not len(ids):
        return [SeenCell(None, whole=False) for _ in boxes]
    overlap = iou(boxes[:, None], true_boxes[None])
    inside = area(clip(boxes[:, None], true_boxes[None])) / np.maximum(area(boxes)[:, None], 1e-9)
    best_of = overlap.argmax(axis=0) if len(boxes) else np.empty(0, np.intp)
    seen = []
    for index, (by_iou, by_share) in enumerate(zip(overlap, inside, strict=True)):
        true = int(by_iou.argmax())
        if by_iou[true] >= _SAME_IOU and best_of[true] == index:
            seen.append(SeenCell(int(ids[true]), whole=True))
        elif by_iou[true] >= _SAME_IOU or by_share.max() >= _PART:
            seen.append(SeenCell(int(ids[by_share.argmax()]), whole=False))
        else:
            seen.append(SeenCell(None, whole=False))
    return seen


def _key(box: npt.ArrayLike, p_blast: float | None) -> tuple[float, float | None]:
    """A cell seen in one frame; no two have the same box and the same probability."""
    return round(float(np.asarray(box, np.float64).sum()), 2), p_blast
