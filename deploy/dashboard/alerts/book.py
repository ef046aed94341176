"""The tables of alerts: what is open, what a round of the rules changes, who acknowledged what.

Every change takes one lock until its commit (in SQLite the right to write), so events are numbered
in the order in which they become visible: a channel that was told up to a number missed none below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select, text, update
from sqlalchemy.dialects import postgresql, sqlite

from deploy.dashboard.access.users import User
from deploy.dashboard.alerts.errors import AlertError
from deploy.dashboard.alerts.message import AlertMessage
from deploy.dashboard.alerts.rules import Open
from deploy.dashboard.alerts.words import LEVELS, Event, Finding
from deploy.dashboard.changes import Change, announce
from deploy.dashboard.database.tables import alert_events, alerts, devices, slides
from deploy.dashboard.review.chain import identity_of
from deploy.dashboard.review.records import record

LONGEST_NOTE = 2000
_LOCK = 0x4C45_414C  # number of the advisory lock, "LEAL"


@dataclass(frozen=True)
class Plan:
    """What a round of the rules changes."""

    news: tuple[Finding, ...] = ()
    changed: tuple[tuple[Open, Finding], ...] = ()
    """Open alerts whose line or level is another one now."""
    over: tuple[Open, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.news or self.changed or self.over)


def compare(found: Iterable[Finding], open_now: Sequence[Open]) -> Plan:
    """What the findings change; whether an alert that none of them names is over, others say."""
    known = {(one.kind, one.subject): one for one in open_now}
    named = {(one.kind, one.subject): one for one in found}
    return Plan(
        tuple(one for key, one in named.items() if key not in known),
        tuple(
            (known[key], one)
            for key, one in named.items()
            if key in known and (known[key].line, known[key].level) != (one.line, one.level)
        ),
        tuple(one for key, one in known.items() if key not in named),
    )


def open_alerts(connection: Connection) -> list[Open]:
    """All that are not over."""
    it = alerts.c
    return [
        Open(
            row.id, row.kind, row.subject, row.level, row.line, row.raised_at, row.device_id,
            row.slide_id, row.acknowledged_at is not None,
        )
        for row in connection.execute(select(alerts).where(it.cleared_at.is_(None)).order_by(it.id))
    ]  # fmt: skip


def write(connection: Connection, plan: Plan, now: datetime) -> list[int]:
    """Carry a plan out, inside a writing transaction; numbers of the alerts that changed.

    What another process raised, changed or cleared meanwhile stays as that left it.
    """
    lock(connection)
    touched: list[int] = []
    for one in plan.news:
        number = connection.scalar(
            _insert(connection)
            .values(
                kind=one.kind,
                subject=one.subject,
                device_id=one.device_id,
                slide_id=one.slide_id,
                level=one.level,
                line=one.line,
                raised_at=now,
                changed_at=now,
            )
            .on_conflict_do_nothing()
            .returning(alerts.c.id)
        )
        if number is not None:
            _event(connection, number, "raised", now)
            touched.append(number)
    for before, one in plan.changed:
        values: dict[str, object] = {"level": one.level, "line": one.line}
        worse = LEVELS.index(one.level) - LEVELS.index(before.level)
        if worse:
            values["changed_at"] = now
        if worse > 0:  # who acknowledged the lesser one has not seen this
            values |= {"acknowledged_at": None, "acknowledged_by": None, "note": None}
        if _update(connection, before.id, before.level, values):
            touched.append(before.id)
            if worse:
                _event(connection, before.id, "worse" if worse > 0 else "better", now)
    for gone in plan.over:
        if _update(connection, gone.id, None, {"cleared_at": now}):
            touched.append(gone.id)
            _event(connection, gone.id, "cleared", now)
    announce(connection, [Change("alert", number) for number in touched])
    return touched


def acknowledge(
    connection: Connection,
    user: User,
    number: int,
    note: str | None,
    now: datetime,
    address: str | None = None,
) -> None:
    """A person has seen an alert and takes care of it; inside a writing transaction.

    Raises:
        AlertError: there is no such alert, it is over, or somebody was faster.
    """
    lock(connection)
    row = connection.execute(select(alerts).where(alerts.c.id == number)).one_or_none()
    if row is None:
        raise AlertError(f"there is no alert {number} here")
    if row.cleared_at is not None:
        raise AlertError("this alert is over: nothing is left to acknowledge")
    if row.acknowledged_at is not None:
        raise AlertError(f"{row.acknowledged_by} has acknowledged this before")
    note = (note or "").replace("\x00", "").strip()[:LONGEST_NOTE] or None
    values = {"acknowledged_at": now, "acknowledged_by": user.name, "note": note}
    connection.execute(update(alerts).where(alerts.c.id == number).values(values))
    _event(connection, number, "acknowledged", now, user.name, note)
    about = {"kind": row.kind, "level": row.level, "line": row.line, "note": note}
    record(connection, user.name, "alert acknowledged", f"alert {number}", address, **about)
    announce(connection, [Change("alert", number)])


def lock(connection: Connection) -> None:
    """Nobody else changes alerts until this transaction ends."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))


def message_of(connection: Connection, number: int, event: Event, at: datetime) -> AlertMessage:
    """An alert as channels are told of it."""
    row = connection.execute(
        select(alerts, devices.c.site, devices.c.name.label("device"), slides.c.name.label("slide"))
        .join(devices, devices.c.id == alerts.c.device_id, isouter=True)
        .join(slides, slides.c.id == alerts.c.slide_id, isouter=True)
        .where(alerts.c.id == number)
    ).one()
    state = "open" if row.acknowledged_at is None else "acknowledged"
    return AlertMessage(
        database=identity_of(connection)[:12],
        id=number,
        event=event,
        at=at,
        state="cleared" if row.cleared_at is not None else state,  # type: ignore[arg-type]
        kind=row.kind,
        level=row.level,
        line=row.line,
        site=row.site,
        device=row.device,
        slide=row.slide,
        raised_at=row.raised_at,
        changed_at=row.changed_at,
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        cleared_at=row.cleared_at,
    )


def _insert(connection: Connection) -> Any:
    """An INSERT that knows ``ON CONFLICT``."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return dialect.insert(alerts)


def _update(
    connection: Connection, number: int, level: str | None, values: dict[str, object]
) -> bool:
    query = update(alerts).where(alerts.c.id == number, alerts.c.cleared_at.is_(None))
    if level is not None:
        query = query.where(alerts.c.level == level)
    return connection.execute(query.values(values)).rowcount > 0


def _event(
    connection: Connection,
    number: int,
    event: Event,
    at: datetime,
    by: str | None = None,
    note: str | None = None,
) -> None:
    document = message_of(connection, number, event, at).to_json()
    connection.execute(
        insert(alert_events).values(
            alert_id=number, at=at, event=event, by=by, note=note, document=document
        )
    )
