"""What came and could not be entered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from deploy.dashboard.database import tables


@dataclass(frozen=True)
class Aside:
    """One message, however often it came."""

    id: int
    site: str
    device: str
    topic: str
    why: str
    """``unknown schema``, ``refused`` or ``not stored``."""
    schema: str | None
    line: str
    size: int
    first_at: datetime
    last_at: datetime
    count: int


@dataclass(frozen=True)
class AsideKind:
    """Messages of one device that were kept aside for one reason."""

    site: str
    device: str
    why: str
    schema: str | None
    messages: int
    last_at: datetime


def aside(connection: Connection, most: int = 100) -> tuple[Aside, ...]:
    """What was kept aside, newest first."""
    columns = [tables.aside.c[name] for name in Aside.__dataclass_fields__]
    found = connection.execute(select(*columns).order_by(tables.aside.c.last_at.desc()).limit(most))
    return tuple(Aside(*row) for row in found)


def kinds(connection: Connection) -> tuple[AsideKind, ...]:
    """The same by device and reason, newest first."""
    it = tables.aside.c
    newest = func.max(it.last_at).label("last_at")
    found = connection.execute(
        select(it.site, it.device, it.why, it.schema, func.count(), newest)
        .group_by(it.site, it.device, it.why, it.schema)
        .order_by(newest.desc())
    )
    return tuple(AsideKind(*row) for row in found)


def payload(connection: Connection, number: int) -> bytes | None:
    """The first bytes of a message that was kept aside; None: it is not here any more."""
    found: bytes | None = connection.scalar(
        select(tables.aside.c.payload).where(tables.aside.c.id == number)
    )
    return found
