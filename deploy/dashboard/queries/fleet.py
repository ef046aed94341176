"""Devices: how each stands now, what is missing of it, which versions there are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from sqlalchemy import Connection, func, select

from deploy.dashboard.database.tables import boots, devices, stretches, workers

SILENT_S = 300.0
"""Not heard for so long, while somebody listened."""
LISTENER_S = 60.0
"""A worker that has not said for so long that it listens does not."""

Standing: TypeAlias = Literal["online", "degraded", "offline", "silent", "unknown"]


@dataclass(frozen=True)
class Worker:
    """A worker of the ingest."""

    name: str
    since: datetime
    until: datetime
    connected: bool
    line: str | None
    """What it waits for."""
    messages: int


@dataclass(frozen=True)
class Listening:
    """Whether somebody takes in messages: without that, all that stands here is of then."""

    now: datetime
    workers: tuple[Worker, ...]

    @property
    def active(self) -> tuple[Worker, ...]:
        """Those that are connected and said so lately."""
        late = self.now - timedelta(seconds=LISTENER_S)
        return tuple(one for one in self.workers if one.connected and one.until >= late)

    @property
    def since(self) -> datetime | None:
        """Since when somebody listens; None: nobody does."""
        return min((one.since for one in self.active), default=None)

    @property
    def until(self) -> datetime | None:
        """When somebody last said that he listens; None: never."""
        return max((one.until for one in self.workers), default=None)


@dataclass(frozen=True)
class DeviceRow:
    """A device as the list shows it."""

    id: int
    site: str
    name: str
    standing: Standing
    reason: str | None
    seen_at: datetime | None
    version: str | None
    bundle: str | None
    skew_s: float | None
    clock_synchronised: bool | None
    fps: float | None
    p95_ms: float | None
    hottest_c: float | None
    disk_free_bytes: int | None
    waiting: int | None
    """Messages in its outbox."""
    refused: int | None
    evicted: int | None
    control_due: str | None
    control_verdict: str | None
    missing: int
    """Results that it issued and that are not here, of all its starts."""
    missing_since: datetime | None


@dataclass(frozen=True)
class Gap:
    """Results of one start of a device that are not here (they may still be on their way)."""

    boot_id: str
    first: int
    """Numbers of the records."""
    last: int
    before_first: bool
    """Issued before anything of this start came in: this database may be younger than it."""

    @property
    def records(self) -> int:
        """How many."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Versions:
    """Devices that run one version of the daemon with one bundle."""

    version: str | None
    bundle: str | None
    devices: int


def listening(connection: Connection, now: datetime) -> Listening:
    """Who takes in messages."""
    found = connection.execute(select(workers).order_by(workers.c.name))
    return Listening(
        now,
        tuple(
            Worker(row.name, row.since, row.until, row.connected, row.line, row.messages)
            for row in found
        ),
    )


def device_list(
    connection: Connection, now: datetime, site: str | None = None
) -> tuple[DeviceRow, ...]:
    """Every device, or those of a site, by name."""
    query = _devices().order_by(devices.c.site, devices.c.name)
    if site is not None:
        query = query.where(devices.c.site == site)
    heard = listening(connection, now)
    since = heard.since
    return tuple(_row(row, now, since) for row in connection.execute(query))


def device(connection: Connection, number: int, now: datetime) -> DeviceRow | None:
    """One device; None: there is none of this number."""
    row = connection.execute(_devices().where(devices.c.id == number)).one_or_none()
    return None if row is None else _row(row, now, listening(connection, now).since)


def device_id(connection: Connection, site: str, name: str) -> int | None:
    """The number of a device; None: it was never heard."""
    found: int | None = connection.scalar(
        select(devices.c.id).where(devices.c.site == site, devices.c.name == name)
    )
    return found


def standing(
    state: str | None,
    seen_at: datetime | None,
    state_at: datetime | None,
    now: datetime,
    since: datetime | None,
) -> Standing:
    """How a device stands: its own word, unless it fell silent while somebody listened.

    ``since``: when somebody began to listen, None while nobody does. What came after ``offline``
    was said shows that the device is back.
    """
    if state is None and seen_at is None:
        return "unknown"
    if state == "offline" and (seen_at is None or state_at is None or seen_at <= state_at):
        return "offline"
    if since is not None:
        begin = since if seen_at is None else max(since, seen_at)
        if (now - begin).total_seconds() > SILENT_S:
            return "silent"
    return "degraded" if state == "degraded" else "online"


def gaps(connection: Connection, number: int, most: int = 200) -> tuple[Gap, ...]:
    """What is missing of a device, newest start first."""
    found = connection.execute(
        select(
            boots.c.id,
            boots.c.boot_id,
            boots.c.complete_to,
            boots.c.highest,
            boots.c.known_from,
        )
        .where(boots.c.device_id == number, boots.c.missing > 0)
        .order_by(boots.c.id.desc())
        .limit(most)
    ).all()
    ahead: dict[int, list[tuple[int, int]]] = {row.id: [] for row in found}
    beyond = connection.execute(
        select(stretches.c.boot, stretches.c.first, stretches.c.last)
        .where(stretches.c.boot.in_(list(ahead)))
        .order_by(stretches.c.boot, stretches.c.first)
    )
    for boot, first, last in beyond:
        ahead[boot].append((first, last))
    holes: list[Gap] = []
    for row in found:
        coming = row.complete_to + 1
        for first, last in ahead[row.id]:
            if first > coming:
                holes += _gaps(row.boot_id, coming, first - 1, row.known_from)
            coming = last + 1
        if row.highest >= coming:
            holes += _gaps(row.boot_id, coming, row.highest, row.known_from)
    return tuple(holes[:most])


def _gaps(boot_id: str, first: int, last: int, known_from: int) -> list[Gap]:
    """A hole, in two where a part of it was issued before anything of this start came in."""
    border = min(max(known_from, first - 1), last)
    parts = ((first, border, True), (border + 1, last, False))
    return [Gap(boot_id, *part) for part in parts if part[0] <= part[1]]


def versions(connection: Connection) -> tuple[Versions, ...]:
    """Which daemons and bundles the fleet runs, most frequent first."""
    found = connection.execute(
        select(devices.c.version, devices.c.bundle, func.count().label("devices"))
        .group_by(devices.c.version, devices.c.bundle)
        .order_by(func.count().desc(), devices.c.version)
    )
    return tuple(Versions(row.version, row.bundle, row.devices) for row in found)


def _devices() -> Any:
    missing = (
        select(
            boots.c.device_id,
            func.sum(boots.c.missing).label("missing"),
            func.min(boots.c.missing_since).label("missing_since"),
        )
        .where(boots.c.missing > 0)
        .group_by(boots.c.device_id)
        .subquery()
    )
    shown = {*DeviceRow.__dataclass_fields__, "state", "state_at"}
    return select(
        *(column for column in devices.c if column.name in shown),
        func.coalesce(missing.c.missing, 0).label("missing"),
        missing.c.missing_since,
    ).join_from(devices, missing, missing.c.device_id == devices.c.id, isouter=True)


def _row(row: Any, now: datetime, since: datetime | None) -> DeviceRow:
    values = dict(row._mapping)
    state, state_at = values.pop("state"), values.pop("state_at")
    values["missing"] = int(values["missing"])
    stands = standing(state, values["seen_at"], state_at, now, since)
    return DeviceRow(standing=stands, **values)
