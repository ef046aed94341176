"""Cells of the slide as columns of numbers: a frame of a thousand is entered in a millisecond."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.findings import StagePoint
from edge_daemon.contract.terms import KINDS, LABELS, CellKind, CellLabel
from edge_daemon.vision.boxes import Rectangle, area

_BORDER_PX = 5.0
"""A box that comes this close to the border may belong to a cell that goes on beyond it."""
_ROW = np.dtype(
    [
        ("id", "i8"),
        ("box", "f8", 4),
        ("seen_in", "f8", 4),
        ("whole", "?"),
        ("rank", "f8"),
        ("centre_seen", "?"),
        ("kind", "i1"),
        ("label", "i1"),
        ("p_blast", "f8"),
        ("frame", "i8"),
        ("stage", "f8", 3),
    ]
)
_KIND_NUMBERS = {kind: number for number, kind in enumerate(KINDS)}
_LABEL_NUMBERS: dict[CellLabel | None, int] = {label: n for n, label in enumerate(LABELS)}
_LABEL_NUMBERS[None] = -1

Rows = npt.NDArray[np.void]
"""Structured ``[N]``, a cell each, as :class:`UniqueCell` tells it."""


@dataclass(frozen=True)
class Sighting:
    """A detection as the slide map needs it. ``box``: x0, y0, x1, y1 in frame pixels."""

    box: tuple[float, float, float, float]
    kind: CellKind
    score: float
    label: CellLabel | None = None
    p_blast: float | None = None


@dataclass(frozen=True)
class PublishedFrame:
    """What a reader needs to find a frame again."""

    number: int
    """On its slide, as in its FrameResult."""
    stage: StagePoint | None = None
    """Where the stage stood."""


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
    published: PublishedFrame | None = None
    """The frame of the best view, as others know it; None where nobody said."""


class CellTable:
    """A growing list of cells."""

    def __init__(self, rows: Rows | None = None) -> None:
        self._rows = np.empty(0, _ROW) if rows is None else rows
        self._count = len(self._rows)

    @property
    def rows(self) -> Rows:
        """All of them; what is written into it is written into the table."""
        return self._rows[: self._count]

    def append(self, rows: Rows) -> None:
        """Add cells at the end."""
        needed = self._count + len(rows)
        if needed > len(self._rows):
            grown = np.empty(max(needed, 2 * len(self._rows), 64), _ROW)
            grown[: self._count] = self.rows
            self._rows = grown
        self._rows[self._count : needed] = rows
        self._count = needed


def no_rows(count: int) -> Rows:
    """So many rows to be filled in; nobody has said which frames showed their cells."""
    rows = np.zeros(count, _ROW)
    rows["frame"], rows["stage"] = -1, np.nan
    return rows


def cell_of(row: np.void) -> UniqueCell:
    """One row as a cell."""
    p_blast = float(row["p_blast"])
    return UniqueCell(
        id=int(row["id"]),
        kind=KINDS[row["kind"]],
        box=row["box"].copy(),
        seen_in=row["seen_in"].copy(),
        rank=(bool(row["whole"]), float(row["rank"])),
        centre_seen=bool(row["centre_seen"]),
        label=label_of(row["label"]),
        p_blast=None if np.isnan(p_blast) else p_blast,
        published=_published_of(int(row["frame"]), row["stage"].tolist()),
    )


def label_of(number: int) -> CellLabel | None:
    """The label that a row holds as a number."""
    return None if number < 0 else LABELS[number]


def seen_rows(
    sightings: Sequence[Sighting], frame: Rectangle, published: PublishedFrame | None = None
) -> Rows:
    """The cells of a frame that lies at ``frame``, not numbered yet."""
    rows = np.empty(len(sightings), _ROW)
    if not len(rows):
        return rows
    box = np.array([s.box for s in sightings], np.float64) + np.tile(frame[:2], 2)
    cut = cut_sides(box, frame)
    whole = ~cut.any(axis=1)
    rows["id"] = -1
    rows["box"], rows["seen_in"], rows["whole"] = box, frame, whole
    rows["rank"] = np.where(whole, [s.score for s in sightings], area(box))
    rows["centre_seen"] = whole | _shows_centre(box[:, 2:] - box[:, :2], cut)
    rows["kind"] = [_KIND_NUMBERS[s.kind] for s in sightings]
    rows["label"] = [_LABEL_NUMBERS[s.label] for s in sightings]
    rows["p_blast"] = [np.nan if s.p_blast is None else s.p_blast for s in sightings]
    rows["frame"], rows["stage"] = _published_numbers(published)
    return rows


def better(one: Rows, other: Rows) -> npt.NDArray[np.bool_]:
    """Where a view is better than another one of the same cell."""
    same = one["whole"] == other["whole"]
    result: npt.NDArray[np.bool_] = np.where(same, one["rank"] > other["rank"], one["whole"])
    return result


def worth_of_view(
    box: Rectangle, frame: Rectangle, score: float
) -> tuple[tuple[bool, float], bool]:
    """:attr:`UniqueCell.rank` of a view of a cell, and whether it shows the cell's centre."""
    cut = cut_sides(box, frame)
    whole = not cut.any()
    rank = (bool(whole), score if whole else float(area(box)))
    return rank, bool(whole or _shows_centre((box[2:] - box[:2])[None], cut[None])[0])


def cut_sides(box: npt.NDArray[np.float64], frame: Rectangle) -> npt.NDArray[np.bool_]:
    """Whether a box may go on beyond the frame, along x and along y: bool ``[..., 2]``."""
    return (box[..., :2] < frame[:2] + _BORDER_PX) | (box[..., 2:] > frame[2:] - _BORDER_PX)


def _published_numbers(
    published: PublishedFrame | None,
) -> tuple[int, tuple[float, float, float]]:
    stage = None if published is None else published.stage
    at = (np.nan, np.nan, np.nan) if stage is None else (stage.x_um, stage.y_um, stage.z_um)
    return -1 if published is None else published.number, at


def _published_of(number: int, stage: Sequence[float]) -> PublishedFrame | None:
    if number < 0:
        return None
    if np.isnan(stage[0]):
        return PublishedFrame(number)
    return PublishedFrame(number, StagePoint(x_um=stage[0], y_um=stage[1], z_um=stage[2]))


def _shows_centre(
    sides: npt.NDArray[np.float64], cut: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Whether boxes cut by the border of their frame still show the centre of their round cell.

    The uncut side tells the diameter; in a corner the longer one does, which is all there is.
    """
    uncut = np.where(cut, -np.inf, sides).max(axis=1)
    diameter = np.where(cut.all(axis=1), sides.max(axis=1), uncut)
    result: npt.NDArray[np.bool_] = (sides >= diameter[:, None] / 2).all(axis=1)
    return result
