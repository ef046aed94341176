"""One device in full: its last health message, how that went, its statuses, controls, replies.

Whole messages are given as they were said: by a daemon of then, so a field of now may be absent.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from deploy.dashboard.database.tables import boots, controls, devices, health, replies, statuses
from deploy.dashboard.database.types import unpacked


@dataclass(frozen=True)
class HealthPoint:
    """A minute of a device."""

    at: datetime
    fps: float
    p50_ms: float | None
    p95_ms: float | None
    hottest_c: float | None
    disk_free_bytes: int | None
    memory_bytes: int | None
    waiting: int
    evicted: int
    dropped: int
    skew_s: float | None


@dataclass(frozen=True)
class Said:
    """A status that was not as the one before it."""

    at: datetime
    state: str
    reason: str | None
    version: str
    bundle: str | None
    boot_id: str


@dataclass(frozen=True)
class Boot:
    """A start of the daemon, and how much of it is here."""

    boot_id: str
    first_seen_at: datetime
    seen_at: datetime
    highest: int
    """Records that it is known to have issued."""
    arrived: int
    missing: int
    repeats: int


@dataclass(frozen=True)
class Reply:
    """What became of a command."""

    received_at: datetime
    command_id: str
    name: str
    ok: bool
    reason: str | None


def newest_health(connection: Connection, number: int) -> tuple[datetime, dict[str, Any]] | None:
    """The last health message of a device, and when it came; None: there is none."""
    found = connection.execute(
        select(devices.c.health_at, devices.c.health).where(devices.c.id == number)
    ).one_or_none()
    if found is None or found.health is None:
        return None
    return found.health_at, json.loads(unpacked(found.health))


def newest_updates(connection: Connection, number: int) -> dict[str, Any] | None:
    """What its updater said last, as ``standing`` of `leukoedge.update/1`; None: it has not."""
    found = connection.scalar(select(devices.c.updates).where(devices.c.id == number))
    standing = None if found is None else json.loads(unpacked(found)).get("standing")
    return standing if isinstance(standing, dict) else None


def health_since(
    connection: Connection, number: int, since: datetime, most: int = 1500
) -> tuple[HealthPoint, ...]:
    """A device's health by the minute, oldest first; the newest ``most`` of them."""
    columns = [health.c[name] for name in HealthPoint.__dataclass_fields__]
    found = connection.execute(
        select(*columns)
        .where(health.c.device_id == number, health.c.at >= since)
        .order_by(health.c.at.desc())
        .limit(most)
    ).all()
    return tuple(HealthPoint(*row) for row in reversed(found))


def said(connection: Connection, number: int, most: int = 100) -> tuple[Said, ...]:
    """What a device said of itself, newest first."""
    columns = [statuses.c[name] for name in Said.__dataclass_fields__]
    found = connection.execute(
        select(*columns)
        .where(statuses.c.device_id == number)
        .order_by(statuses.c.at.desc(), statuses.c.id.desc())
        .limit(most)
    )
    return tuple(Said(*row) for row in found)


def starts(connection: Connection, number: int, most: int = 50) -> tuple[Boot, ...]:
    """Starts of a device's daemon, newest first."""
    columns = [boots.c[name] for name in Boot.__dataclass_fields__]
    found = connection.execute(
        select(*columns).where(boots.c.device_id == number).order_by(boots.c.id.desc()).limit(most)
    )
    return tuple(Boot(*row) for row in found)


def control_runs(connection: Connection, number: int, most: int = 50) -> tuple[dict[str, Any], ...]:
    """Controls of a device, newest first."""
    found = connection.scalars(
        select(controls.c.message)
        .where(controls.c.device_id == number)
        .order_by(controls.c.run.desc())
        .limit(most)
    )
    return tuple(json.loads(unpacked(stored)) for stored in found)


def answers(connection: Connection, number: int, most: int = 50) -> tuple[Reply, ...]:
    """What a device answered to commands, newest first."""
    columns = [replies.c[name] for name in Reply.__dataclass_fields__]
    found = connection.execute(
        select(*columns)
        .where(replies.c.device_id == number)
        .order_by(replies.c.received_at.desc())
        .limit(most)
    )
    return tuple(Reply(*row) for row in found)
