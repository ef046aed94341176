"""Alerts as pages show them: what is open, what was, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, case, func, select

from deploy.dashboard.database.tables import (
    alert_channels,
    alert_events,
    alerts,
    devices,
    slides,
)


@dataclass(frozen=True)
class AlertRow:
    """An alert."""

    id: int
    kind: str
    level: str
    line: str
    device_id: int | None
    site: str | None
    device: str | None
    slide_id: int | None
    slide: str | None
    raised_at: datetime
    changed_at: datetime
    cleared_at: datetime | None
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    note: str | None


@dataclass(frozen=True)
class AlertEvent:
    """What became of an alert."""

    id: int
    alert_id: int
    at: datetime
    event: str
    by: str | None
    note: str | None


@dataclass(frozen=True)
class ChannelRow:
    """Who is told."""

    name: str
    told_at: datetime | None
    waiting: int
    """Events that it was not told yet."""
    tries: int
    next_at: datetime | None
    line: str | None


@dataclass(frozen=True)
class Standing:
    """For the head of every page."""

    open: int
    unacknowledged: int
    """Of these, warnings and urgent ones that nobody acknowledged."""
    urgent: int
    """Of these, urgent ones."""
    newest: int
    """Number of the newest alert."""
    line: str | None
    """Of the newest among those."""


_COLUMNS = (
    alerts.c.id,
    alerts.c.kind,
    alerts.c.level,
    alerts.c.line,
    alerts.c.device_id,
    devices.c.site,
    devices.c.name.label("device"),
    alerts.c.slide_id,
    slides.c.name.label("slide"),
    alerts.c.raised_at,
    alerts.c.changed_at,
    alerts.c.cleared_at,
    alerts.c.acknowledged_at,
    alerts.c.acknowledged_by,
    alerts.c.note,
)
_SEVERITY = case((alerts.c.level == "urgent", 2), (alerts.c.level == "warning", 1), else_=0)


def open_alerts(
    connection: Connection,
    kind: str | None = None,
    device_id: int | None = None,
    most: int = 500,
) -> tuple[AlertRow, ...]:
    """What is so now: what nobody acknowledged first, then by level, the newest first."""
    query = _select().where(alerts.c.cleared_at.is_(None))
    if kind is not None:
        query = query.where(alerts.c.kind == kind)
    if device_id is not None:
        query = query.where(alerts.c.device_id == device_id)
    query = query.order_by(
        alerts.c.acknowledged_at.is_not(None),
        _SEVERITY.desc(),
        alerts.c.raised_at.desc(),
        alerts.c.id.desc(),
    )
    return _rows(connection, query.limit(most))


def past_alerts(
    connection: Connection, kind: str | None = None, before: int | None = None, most: int = 100
) -> tuple[AlertRow, ...]:
    """What was, the newest first; ``before``: numbers below it."""
    query = _select().where(alerts.c.cleared_at.is_not(None))
    if kind is not None:
        query = query.where(alerts.c.kind == kind)
    if before is not None:
        query = query.where(alerts.c.id < before)
    return _rows(connection, query.order_by(alerts.c.id.desc()).limit(most))


def events_of(connection: Connection, number: int) -> tuple[AlertEvent, ...]:
    """What became of one alert, in order."""
    columns = [alert_events.c[name] for name in AlertEvent.__dataclass_fields__]
    found = connection.execute(
        select(*columns).where(alert_events.c.alert_id == number).order_by(alert_events.c.id)
    )
    return tuple(AlertEvent(*row) for row in found)


def alert(connection: Connection, number: int) -> AlertRow | None:
    """One alert; None: there is none of this number."""
    found = _rows(connection, _select().where(alerts.c.id == number))
    return found[0] if found else None


def standing(connection: Connection) -> Standing:
    """How many are open, and the newest that nobody acknowledged."""
    it = alerts.c
    mine = it.acknowledged_at.is_(None) & (it.level != "info")
    counts = connection.execute(
        select(
            func.count(),
            func.count().filter(mine),
            func.count().filter(mine & (it.level == "urgent")),
        ).where(it.cleared_at.is_(None))
    ).one()
    newest = connection.execute(
        select(it.id, it.line).where(it.cleared_at.is_(None), mine).order_by(it.id.desc()).limit(1)
    ).one_or_none()
    return Standing(*counts, 0 if newest is None else newest.id, newest and newest.line)


def channels(connection: Connection) -> tuple[ChannelRow, ...]:
    """Who is told, by name."""
    newest = connection.scalar(select(func.max(alert_events.c.id))) or 0
    return tuple(
        ChannelRow(
            row.name, row.told_at, max(0, newest - row.told_to), row.tries, row.next_at, row.line
        )
        for row in connection.execute(select(alert_channels).order_by(alert_channels.c.name))
    )


def _select() -> Select[Any]:
    return (
        select(*_COLUMNS)
        .join(devices, devices.c.id == alerts.c.device_id, isouter=True)
        .join(slides, slides.c.id == alerts.c.slide_id, isouter=True)
    )


def _rows(connection: Connection, query: Select[Any]) -> tuple[AlertRow, ...]:
    return tuple(AlertRow(*row) for row in connection.execute(query))
