"""A cell of the slide as two bundles know it: where each found it, and what each says of it.

Within a frame the nucleated cells of both are matched one to one by the overlap of their boxes. A
cell is judged in the view that shows it best to the active bundle, so that both opinions are about
one picture; where the candidate did not find it there, in the view that shows it best to the
candidate. Each side counts a cell by its centre, as the slide map does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.findings import CellResult, Opinion
from edge_daemon.contract.terms import CellLabel
from edge_daemon.vision.boxes import Rectangle, iou, one_to_one
from edge_daemon.vision.cell_table import Sighting, worth_of_view
from edge_daemon.vision.island import SAME_CELL_IOU
from edge_daemon.vision.placement import Joined, Placement

MICRO = 1_000_000
"""Probabilities are rounded to this part of one: sums of whole numbers can be taken back."""

Labels: TypeAlias = tuple[CellLabel | None, CellLabel | None]
"""What active and candidate say of a cell; None where one did not find it."""


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame that the active bundle analysed, as the comparison needs it."""

    frame: int
    """Its number on the slide."""
    cells: Sequence[CellResult]
    """What the active bundle found in it."""
    sightings: Sequence[Sighting]
    """The same cells, their numbers not rounded."""
    saturated: bool
    placement: Placement
    pixels: npt.NDArray[np.uint8]
    """RGB uint8 ``[h, w, 3]``."""
    joined_before: tuple[Joined, ...] = ()
    """What frames that were skipped before it did to the pieces of the slide."""


@dataclass(frozen=True, eq=False)
class CellView:
    """A cell as one of the two found it in one frame."""

    rank: tuple[bool, float]
    counts: bool
    """It shows the cell's centre."""
    frame: int
    box: tuple[float, float, float, float]
    """x, y, width, height in pixels of the frame."""
    opinion: Opinion
    unique_id: int | None = None


@dataclass
class Cell:
    """One cell on the slide, as both know it."""

    active: CellView | None = None
    candidate: CellView | None = None
    candidate_there: Opinion | None = None
    """The candidate's, in the active bundle's best view."""

    def see(self, active: CellView | None, candidate: CellView | None) -> None:
        """Take in what one frame shows."""
        if active is not None and (self.active is None or active.rank > self.active.rank):
            self.active = active
            self.candidate_there = None if candidate is None else candidate.opinion
        if candidate is not None and (
            self.candidate is None or candidate.rank > self.candidate.rank
        ):
            self.candidate = candidate

    def absorb(self, other: Cell) -> None:
        """Another one turned out to be the same."""
        if other.active is not None and (
            self.active is None or other.active.rank > self.active.rank
        ):
            self.active, self.candidate_there = other.active, other.candidate_there
        self.see(None, other.candidate)

    @property
    def judged(self) -> Judged | None:
        """What both say of it in the end; None while neither saw its centre."""
        active = self.active if self.active is not None and self.active.counts else None
        own = self.candidate if self.candidate is not None and self.candidate.counts else None
        shown = active or own
        if shown is None:
            return None
        there = self.candidate_there if active is not None else None
        return Judged(
            shown,
            None if active is None else active.opinion,
            there or (None if own is None else own.opinion),
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """What both say of a cell."""

    shown: CellView
    """The picture that they are judged by."""
    active: Opinion | None
    candidate: Opinion | None

    @property
    def labels(self) -> Labels:
        """The words alone."""
        return (
            None if self.active is None else self.active.label,
            None if self.candidate is None else self.candidate.label,
        )

    @property
    def shift_micro(self) -> int:
        """Candidate less active ``p_blast``, in millionths; 0 where one did not find it."""
        if self.active is None or self.candidate is None:
            return 0
        return round((self.candidate.p_blast - self.active.p_blast) * MICRO)

    @property
    def order(self) -> tuple[int, bool, float, int]:
        """Worst first: what could be a missed blast, then what one of them leaves open."""
        labels = self.labels
        grade = 1 if "uncertain" in labels else 0 if "blast" in labels else 2
        p_active = 0.0 if self.active is None else self.active.p_blast
        p_candidate = 0.0 if self.candidate is None else self.candidate.p_blast
        silent = p_candidate < p_active  # once it is active, it is the candidate that must speak
        return grade, not silent, -abs(p_candidate - p_active), self.shown.frame


@dataclass(frozen=True, eq=False)
class Pair:
    """A cell in one frame, found by one of them or by both."""

    sighting: Sighting
    active: CellView | None
    candidate: CellView | None


def pairs_of(shown: Shown, candidate: Sequence[Sighting]) -> list[Pair]:
    """The nucleated cells of a frame; ``candidate``: what that found, in pixels of the frame."""
    active = [
        Pair(sighting, _view_of(shown, sighting, cell.unique_id), None)
        for cell, sighting in zip(shown.cells, shown.sightings, strict=True)
        if sighting.kind == "wbc"
    ]
    others = [sighting for sighting in candidate if sighting.kind == "wbc"]
    found = one_to_one(
        iou(_boxes(pair.sighting for pair in active)[:, None], _boxes(others)[None]), SAME_CELL_IOU
    )
    both = [
        replace(pair, candidate=_view_of(shown, others[found[index]])) if index in found else pair
        for index, pair in enumerate(active)
    ]
    alone = sorted(set(range(len(others))) - set(found.values()))
    return [*both, *(Pair(others[at], None, _view_of(shown, others[at])) for at in alone)]


def _boxes(sightings: Iterable[Sighting]) -> Rectangle:
    return np.array([one.box for one in sightings], np.float64).reshape(-1, 4)


def _view_of(shown: Shown, one: Sighting, unique_id: int | None = None) -> CellView:
    if one.p_blast is None or one.label is None:
        raise ValueError("a wbc has p_blast and label")  # whoever sights one says so
    height, width = shown.pixels.shape[:2]
    box, frame = np.array(one.box, np.float64), np.array([0.0, 0.0, width, height])
    rank, counts = worth_of_view(box, frame, one.score)
    x0, y0, x1, y1 = one.box
    opinion = Opinion(p_blast=one.p_blast, label=one.label)
    return CellView(rank, counts, shown.frame, (x0, y0, x1 - x0, y1 - y0), opinion, unique_id)
