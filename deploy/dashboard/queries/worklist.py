"""The worklist: slides, worst first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select, tuple_

from deploy.dashboard.database.tables import devices, slides
from deploy.dashboard.queries.paging import MOST, Page, key_of, page_of

MOST_COUNTED = 1000


@dataclass(frozen=True)
class Filters:
    """Which slides; what is None is not asked for."""

    site: str | None = None
    device_id: int | None = None
    state: str | None = None
    """``running``, ``paused``, ``complete`` or ``cut short``."""
    disposition: str | None = None
    unreviewed: bool = False
    """Only slides with cells that were not cleared and that nobody has looked at."""
    unsigned: bool = False
    """Only slides that nobody has signed."""
    since: datetime | None = None
    """Only slides heard of since then."""
    controls: bool = False
    """Control slides instead of slides of people."""


@dataclass(frozen=True)
class SlideRow:
    """A slide as the worklist shows it."""

    id: int
    site: str
    device: str
    name: str
    state: str
    disposition: str | None
    """None before the first summary."""
    fraction: float | None
    low: float | None
    high: float | None
    nucleated: int
    blasts: int
    uncertain: int
    positives: int
    unreviewed: int
    review: str
    """``preliminary``, ``signed`` or ``amended``."""
    newest_at: datetime
    """When something of it last came in, by our clock."""
    started_at: datetime | None
    ended_at: datetime | None
    bundle: str | None
    doubled: bool
    control: bool


COLUMNS = (
    slides.c.id,
    slides.c.site,
    devices.c.name.label("device"),
    slides.c.name,
    slides.c.state,
    slides.c.disposition,
    slides.c.fraction,
    slides.c.low,
    slides.c.high,
    slides.c.nucleated,
    slides.c.blasts,
    slides.c.uncertain,
    slides.c.positives,
    slides.c.unreviewed,
    slides.c.review,
    slides.c.newest_at,
    slides.c.started_at,
    slides.c.ended_at,
    slides.c.bundle,
    slides.c.doubled,
    slides.c.control,
)


def worklist(
    connection: Connection, filters: Filters, after: str | None = None, limit: int = 50
) -> Page[SlideRow]:
    """A page of slides: positive, then review, insufficient, negative; blast fraction falling.

    Raises:
        DatabaseError: ``after`` is no page of ours.
    """
    limit = min(limit, MOST)
    order = (slides.c.severity, slides.c.fraction, slides.c.id)
    query = filtered(
        select(slides.c.severity, *COLUMNS).join(devices, devices.c.id == slides.c.device_id),
        filters,
    ).order_by(*(one.desc() for one in order))
    if after is not None:
        query = query.where(tuple_(*order) < tuple_(*key_of(after, len(order))))
    found = connection.execute(query.limit(limit + 1)).all()
    keys = [(row.severity, row.fraction, row.id) for row in found]
    return page_of([row_of(row) for row in found], keys, limit)


@dataclass(frozen=True)
class Counts:
    """How many slides there are of each kind, for the head of the worklist.

    No count goes beyond :data:`MOST_COUNTED`: what is that many is "so many and more".
    """

    slides: int
    unsigned: int
    unreviewed: int
    sites: tuple[str, ...]


def counts(connection: Connection) -> Counts:
    """Slides of people, in numbers."""
    of_people = slides.c.control.is_(False)

    def how_many(*conditions: Any) -> int:
        some = select(slides.c.id).where(of_people, *conditions).limit(MOST_COUNTED).subquery()
        return int(connection.scalar(select(func.count()).select_from(some)) or 0)

    sites = connection.scalars(select(devices.c.site).distinct().order_by(devices.c.site))
    return Counts(
        slides=how_many(),
        unsigned=how_many(slides.c.review != "signed"),
        unreviewed=how_many(slides.c.unreviewed > 0),
        sites=tuple(sites),
    )


def row_of(row: Any) -> SlideRow:
    """A row of :data:`COLUMNS`."""
    values = {name: getattr(row, name) for name in SlideRow.__dataclass_fields__}
    if values["fraction"] is not None and values["fraction"] < 0:
        values["fraction"] = None
    return SlideRow(**values)


def filtered(query: Select[Any], filters: Filters) -> Select[Any]:
    """A query on slides that returns only those that are asked for."""
    query = query.where(slides.c.control.is_(filters.controls))
    for column, wanted in (
        (slides.c.site, filters.site),
        (slides.c.device_id, filters.device_id),
        (slides.c.state, filters.state),
        (slides.c.disposition, filters.disposition),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if filters.unreviewed:
        query = query.where(slides.c.unreviewed > 0)
    if filters.unsigned:
        query = query.where(slides.c.review != "signed")
    if filters.since is not None:
        query = query.where(slides.c.newest_at >= filters.since)
    return query
