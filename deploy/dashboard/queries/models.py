"""Which bundle said what, and how two of them judged the same slides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import bundles, devices, shadows, slides


@dataclass(frozen=True)
class Model:
    """A bundle, and the slides whose newest summary it made."""

    digest: str
    name: str | None
    """Where a message told it."""
    first_seen_at: datetime
    devices: int
    """That run it now."""
    slides: int
    positive: int
    review: int
    insufficient: int
    negative: int


@dataclass(frozen=True)
class SideBySide:
    """Two bundles on one slide: the newest report of the candidate."""

    slide_id: int
    slide: str
    active: str | None
    candidate: str
    candidate_name: str
    compared: int
    cells: int
    agreed: int
    disagreements: int
    received_at: datetime


def models(connection: Connection) -> tuple[Model, ...]:
    """Every bundle, the newest first."""
    said: dict[str, dict[str, int]] = {}
    for digest, disposition, count in connection.execute(
        select(slides.c.bundle, slides.c.disposition, func.count())
        .where(slides.c.bundle.is_not(None), slides.c.disposition.is_not(None))
        .group_by(slides.c.bundle, slides.c.disposition)
    ):
        said.setdefault(digest, {})[disposition] = count
    found = connection.execute(select(devices.c.bundle, func.count()).group_by(devices.c.bundle))
    running = {row[0]: row[1] for row in found}
    return tuple(
        Model(
            digest=row.digest,
            name=row.name,
            first_seen_at=row.first_seen_at,
            devices=running.get(row.digest, 0),
            slides=sum(said.get(row.digest, {}).values()),
            **{
                word: said.get(row.digest, {}).get(word, 0)
                for word in ("positive", "review", "insufficient", "negative")
            },
        )
        for row in connection.execute(
            select(bundles).order_by(bundles.c.first_seen_at.desc(), bundles.c.digest)
        )
    )


def side_by_side(
    connection: Connection, candidate: str | None = None, most: int = 100
) -> tuple[SideBySide, ...]:
    """Slides that a candidate looked at as well, newest first."""
    query = (
        select(shadows, shadows.c.bundle.label("active"), slides.c.name.label("slide"))
        .join(slides, slides.c.id == shadows.c.slide_id)
        .order_by(shadows.c.received_at.desc())
        .limit(20 * most)
    )
    if candidate is not None:
        query = query.where(shadows.c.candidate == candidate)
    found: dict[tuple[int, str], SideBySide] = {}
    for row in connection.execute(query):
        values = {name: getattr(row, name) for name in SideBySide.__dataclass_fields__}
        found.setdefault((row.slide_id, row.candidate), SideBySide(**values))
    return tuple(found.values())[:most]
