"""One slide: what its counts say, how that came about, what was looked at, and what is missing."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import cells, devices, frames, shadows, slides, summaries
from deploy.dashboard.database.types import unpacked
from deploy.dashboard.queries.worklist import COLUMNS, SlideRow, row_of

MOST_POINTS = 400
"""Points of the interval over time; the first and the last are always among them."""
MOST_RECTANGLES = 5000
"""Frames of the coverage map."""


@dataclass(frozen=True)
class Point:
    """A standing of the slide: what a summary said."""

    at: datetime
    nucleated: int
    fraction: float | None
    low: float | None
    high: float | None
    disposition: str


@dataclass(frozen=True)
class Differential:
    """Unique cells by label: as the models say, and with the word of people in its place.

    Cells are those that frames listed. The summary can have fewer: islands that were joined later
    share cells that had two numbers.
    """

    blast: int
    uncertain: int
    normal: int
    reviewed_blast: int
    reviewed_uncertain: int
    reviewed_normal: int
    reviewed_other: int
    """Other labels that people gave."""


@dataclass(frozen=True)
class Rectangle:
    """Where a frame lies. Frames of one field and piece share their coordinates, in pixels."""

    frame: int
    outcome: str
    field: int
    piece: int | None
    """None: it was not analysed, so it has no place on the map."""
    x: float | None
    y: float | None
    width: int | None
    height: int | None
    um_per_px: float | None
    stage_x_um: float | None
    stage_y_um: float | None
    blasts: int
    uncertain: int
    wbc: int
    tie: str | None


@dataclass(frozen=True)
class FrameQualities:
    """Frames by outcome, why some were not analysed, and how those measured up."""

    analysed: int
    rejected: int
    dropped: int
    failed: int
    reasons: tuple[tuple[str, int], ...]
    """Most frequent first."""
    saturated: int
    hinted: int
    """Analysed with a hint that makes the counts uncertain."""
    focus: float | None
    """Means over frames that were measured."""
    exposure: float | None
    stain_shift: float | None
    mean_ms: float | None
    slowest_ms: float | None


@dataclass(frozen=True)
class Candidate:
    """What a bundle in shadow said of the same slide, newest report."""

    name: str
    digest: str
    active: str | None
    compared: int
    agreed: int
    cells: int
    disagreements: int
    ended: bool
    message: bytes
    """The whole report, JSON."""


@dataclass(frozen=True)
class Slide:
    """All but its cells, which come by pages."""

    row: SlideRow
    device_id: int
    summary: dict[str, Any] | None
    """The newest, whole, as it was said: by a daemon of then, so a field of now may be absent."""
    differential: Differential
    points: tuple[Point, ...]
    quality: FrameQualities
    missing_frames: tuple[tuple[int, int], ...]
    """First and last number of frames that are not here."""
    candidates: tuple[Candidate, ...]
    purged_at: datetime | None
    """When frames of it were deleted by retention: what is gone since then is not missing."""


def slide_id(connection: Connection, site: str, device: str, name: str) -> int | None:
    """The number of a slide; None: there is none of this name."""
    query = (
        select(slides.c.id)
        .join(devices, devices.c.id == slides.c.device_id)
        .where(devices.c.site == site, devices.c.name == device, slides.c.name == name)
    )
    found: int | None = connection.scalar(query)
    return found


def slide(connection: Connection, number: int) -> Slide | None:
    """One slide; None: there is none of this number."""
    found = connection.execute(
        select(
            *COLUMNS, slides.c.device_id, slides.c.summary, slides.c.first_at, slides.c.analysed,
            slides.c.rejected, slides.c.dropped, slides.c.failed, slides.c.purged_at,
        )
        .join(devices, devices.c.id == slides.c.device_id)
        .where(slides.c.id == number)
    ).one_or_none()  # fmt: skip
    if found is None:
        return None
    span = (found.first_at, found.newest_at)
    counts = (found.analysed, found.rejected, found.dropped, found.failed)
    summary = None if found.summary is None else json.loads(unpacked(found.summary))
    return Slide(
        row=row_of(found),
        device_id=found.device_id,
        summary=summary,
        differential=differential(connection, number),
        points=points(connection, number),
        quality=_quality(connection, number, span, counts),
        missing_frames=(() if found.purged_at else _missing(connection, number, span, summary)),
        purged_at=found.purged_at,
        candidates=_candidates(connection, number),
    )


def differential(connection: Connection, number: int) -> Differential:
    """Unique cells by label."""
    now = func.coalesce(cells.c.reviewed_label, cells.c.label)
    before = {"blast": 0, "uncertain": 0, "normal": 0}
    after = {"blast": 0, "uncertain": 0, "normal": 0}
    for label, last_word, count in connection.execute(
        select(cells.c.label, now, func.count())
        .where(cells.c.slide_id == number)
        .group_by(cells.c.label, now)
    ):
        before[label] += count
        after[last_word] = after.get(last_word, 0) + count
    other = sum(count for label, count in after.items() if label not in before)
    return Differential(
        **before,
        reviewed_blast=after["blast"],
        reviewed_uncertain=after["uncertain"],
        reviewed_normal=after["normal"],
        reviewed_other=other,
    )


def points(connection: Connection, number: int) -> tuple[Point, ...]:
    """The interval over time, thinned to :data:`MOST_POINTS`, in the order of cells counted."""
    found = connection.execute(
        select(
            summaries.c.at, summaries.c.nucleated, summaries.c.fraction, summaries.c.low,
            summaries.c.high, summaries.c.disposition,
        )
        .where(summaries.c.slide_id == number)
        .order_by(summaries.c.frames, summaries.c.at)
    ).all()  # fmt: skip
    if len(found) > MOST_POINTS:
        step = (len(found) - 1) / (MOST_POINTS - 1)
        found = [found[round(place * step)] for place in range(MOST_POINTS)]
    return tuple(Point(*row) for row in found)


def coverage(connection: Connection, number: int) -> tuple[Rectangle, ...]:
    """Where the frames of a slide lie, in their order, at most :data:`MOST_RECTANGLES`."""
    span = _span(connection, number)
    if span is None:
        return ()
    columns = [frames.c[name] for name in Rectangle.__dataclass_fields__]
    found = connection.execute(
        select(*columns)
        .where(frames.c.slide_id == number, frames.c.received_at.between(*span))
        .order_by(frames.c.frame)
        .limit(MOST_RECTANGLES)
    )
    return tuple(Rectangle(*row) for row in found)


def frame_message(connection: Connection, number: int, frame: int) -> bytes | None:
    """A frame's result as it came, JSON; None: it is not here."""
    span = _span(connection, number)
    if span is None:
        return None
    stored = connection.scalar(
        select(frames.c.message)
        .where(
            frames.c.slide_id == number,
            frames.c.frame == frame,
            frames.c.received_at.between(*span),
        )
        .limit(1)
    )
    return None if stored is None else unpacked(stored)


def _span(connection: Connection, number: int) -> tuple[datetime, datetime] | None:
    """When its frames came in: which partitions can hold them."""
    found = connection.execute(
        select(slides.c.first_at, slides.c.newest_at).where(slides.c.id == number)
    ).one_or_none()
    return None if found is None else (found[0], found[1])


def _quality(
    connection: Connection,
    number: int,
    span: tuple[datetime, datetime],
    counts: tuple[int, int, int, int],
) -> FrameQualities:
    here = (frames.c.slide_id == number, frames.c.received_at.between(*span))
    about = connection.execute(
        select(
            func.count().filter(frames.c.saturated),
            func.count().filter(frames.c.hints > 0),
            func.avg(frames.c.focus),
            func.avg(frames.c.exposure),
            func.avg(frames.c.stain_shift),
            func.avg(frames.c.total_ms),
            func.max(frames.c.total_ms),
        ).where(*here)
    ).one()
    reasons = connection.execute(
        select(frames.c.reason, func.count())
        .where(*here, frames.c.reason.is_not(None))
        .group_by(frames.c.reason)
        .order_by(func.count().desc(), frames.c.reason)
        .limit(20)
    )
    return FrameQualities(*counts, tuple((line, count) for line, count in reasons), *about)


def _missing(
    connection: Connection,
    number: int,
    span: tuple[datetime, datetime],
    summary: dict[str, Any] | None,
) -> tuple[tuple[int, int], ...]:
    """Holes in the numbers of frames; the newest summary says how far they go."""
    here = connection.scalars(
        select(frames.c.frame)
        .where(frames.c.slide_id == number, frames.c.received_at.between(*span))
        .order_by(frames.c.frame)
    ).all()
    end = 0 if summary is None else summary["frames"]["captured"]
    marks = [-1, *here, max(end, here[-1] + 1 if here else 0)]
    return tuple((one + 1, other - 1) for one, other in pairwise(marks) if other > one + 1)


def _candidates(connection: Connection, number: int) -> tuple[Candidate, ...]:
    found = connection.execute(
        select(shadows)
        .where(shadows.c.slide_id == number)
        .order_by(shadows.c.received_at, shadows.c.seq)
    )
    newest = {row.candidate: row for row in found}
    return tuple(
        Candidate(
            name=row.candidate_name,
            digest=row.candidate,
            active=row.bundle,
            compared=row.compared,
            agreed=row.agreed,
            cells=row.cells,
            disagreements=row.disagreements,
            ended=row.ended,
            message=unpacked(row.message),
        )
        for row in newest.values()
    )
