"""What the rules judge: read from the database in one go, changed by nothing here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, or_, select

from deploy.dashboard.alerts.words import Limits
from deploy.dashboard.database.tables import (
    alert_channels,
    alerts,
    boots,
    devices,
    slides,
)
from deploy.dashboard.queries.fleet import Listening, Standing, listening, standing


@dataclass(frozen=True)
class DeviceFacts:
    """One device."""

    id: int
    name: str
    """``SITE/DEVICE``."""
    standing: Standing = "online"
    seen_at: datetime | None = None
    state_at: datetime | None = None
    screening: str | None = None
    """A slide that it had under way when it was last heard."""
    missing: int = 0
    """Results that were issued after it was first heard and are not here."""
    missing_since: datetime | None = None
    control_verdict: str | None = None
    control_run: int | None = None
    control_due: bool = False
    disk_free_bytes: int | None = None


@dataclass(frozen=True)
class SlideFacts:
    """A slide that is positive, or was when it raised an alert."""

    id: int
    name: str
    device_id: int
    device: str
    disposition: str | None
    review: str
    running: bool
    fraction: float
    low: float | None
    high: float | None
    nucleated: int
    newest_at: datetime


@dataclass(frozen=True)
class ChannelFacts:
    """Who is told."""

    name: str
    tries: int
    told_at: datetime | None


@dataclass(frozen=True)
class Series:
    """Slides of one device that say something, the newest first."""

    shares: tuple[float, ...] = ()
    """Blasts and uncertain cells among nucleated ones."""
    stains: tuple[float, ...] = ()
    """Mean distance from the reference."""
    bundles: int = 1
    """Models that judged the newest of them and those just before."""


@dataclass(frozen=True)
class Facts:
    """All of it, as it was at one moment."""

    now: datetime
    heard: Listening
    devices: Mapping[int, DeviceFacts] = field(default_factory=dict)
    slides: Mapping[int, SlideFacts] = field(default_factory=dict)
    series: Mapping[int, Series] = field(default_factory=dict)
    """By device; one that is not in it was not looked at this time."""
    channels: tuple[ChannelFacts, ...] = ()
    central_free_bytes: int | None = None


def read_facts(
    connection: Connection,
    now: datetime,
    limits: Limits,
    series: Mapping[int, Series],
    central_free_bytes: int | None = None,
) -> Facts:
    """What is so now; ``series`` are the histories that were looked at."""
    heard = listening(connection, now)
    return Facts(
        now,
        heard,
        _devices(connection, heard),
        _slides(connection, now - timedelta(days=limits.positive_days)),
        series,
        tuple(
            ChannelFacts(row.name, row.tries, row.told_at)
            for row in connection.execute(select(alert_channels))
        ),
        central_free_bytes,
    )


def _devices(connection: Connection, heard: Listening) -> dict[int, DeviceFacts]:
    lost = boots.c.missing - boots.c.before
    missing: dict[int, tuple[int, datetime | None]] = {
        row[0]: (int(row[1]), row[2])
        for row in connection.execute(
            select(boots.c.device_id, func.sum(lost), func.min(boots.c.missing_since))
            .where(boots.c.missing > 0, lost > 0)
            .group_by(boots.c.device_id)
        )
    }
    screening = {
        row.device_id: row.name
        for row in connection.execute(
            select(slides.c.device_id, slides.c.name)
            .where(slides.c.state == "running")
            .order_by(slides.c.newest_at)
        )
    }
    found: dict[int, DeviceFacts] = {}
    it, since = devices.c, heard.since
    for row in connection.execute(
        select(
            it.id, it.site, it.name, it.state, it.seen_at, it.state_at, it.control_verdict,
            it.control_run, it.control_due, it.disk_free_bytes,
        )
    ):  # fmt: skip
        count, missing_since = missing.get(row.id, (0, None))
        found[row.id] = DeviceFacts(
            id=row.id,
            name=f"{row.site}/{row.name}",
            standing=standing(row.state, row.seen_at, row.state_at, heard.now, since),
            seen_at=row.seen_at,
            state_at=row.state_at,
            screening=screening.get(row.id),
            missing=count,
            missing_since=missing_since,
            control_verdict=row.control_verdict,
            control_run=row.control_run,
            control_due=row.control_due is not None,
            disk_free_bytes=row.disk_free_bytes,
        )
    return found


def _slides(connection: Connection, since: datetime) -> dict[int, SlideFacts]:
    """Those that are positive and unsigned, and those with an open alert."""
    told = select(alerts.c.slide_id).where(
        alerts.c.kind == "positive", alerts.c.cleared_at.is_(None), alerts.c.slide_id.is_not(None)
    )
    it = slides.c
    found = connection.execute(
        select(
            it.id, it.name, it.device_id, devices.c.site, devices.c.name.label("device"),
            it.disposition, it.review, it.state, it.fraction, it.low, it.high, it.nucleated,
            it.newest_at,
        )
        .join(devices, devices.c.id == it.device_id)
        .where(
            or_(
                it.id.in_(told),
                (it.severity == 3)
                & (it.review != "signed")
                & it.control.is_(False)
                & (it.newest_at >= since),
            )
        )
    )  # fmt: skip
    return {
        row.id: SlideFacts(
            id=row.id,
            name=row.name,
            device_id=row.device_id,
            device=f"{row.site}/{row.device}",
            disposition=row.disposition,
            review=row.review,
            running=row.state in ("running", "paused"),
            fraction=row.fraction,
            low=row.low,
            high=row.high,
            nucleated=row.nucleated,
            newest_at=row.newest_at,
        )
        for row in found
    }
