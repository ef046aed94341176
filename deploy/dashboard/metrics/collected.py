"""What the database says, asked anew at each scrape: any process may tell it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Connection, func, select

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alerts, aside, boots, slides
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.queries.fleet import DeviceRow, Standing, device_list, listening

_STANDINGS: tuple[Standing, ...] = get_args(Standing)
_LEVELS = ("info", "warning", "urgent")


class DatabaseCollector(Collector):
    """``registry.register(DatabaseCollector(database, utc_now))``."""

    def __init__(self, database: Database, now: Callable[[], datetime]) -> None:
        self._database, self._now = database, now

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: registering must not ask the database."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All figures; where the database cannot be read, only that."""
        up = GaugeMetricFamily("leuko_dashboard_database_up", "Whether the database can be read")
        try:
            with self._database.reading() as connection:
                found = list(self._asked(connection))
        except DatabaseError:
            up.add_metric((), 0)
            yield up
            return
        up.add_metric((), 1)
        yield up
        yield from found

    def _asked(self, connection: Connection) -> Iterator[Metric]:
        now = self._now()
        devices = device_list(connection, now)
        yield from _ingest(connection, now, devices)
        yield from _devices(now, devices)
        yield from _slides(connection)
        yield _alerts(connection)


def _ingest(
    connection: Connection, now: datetime, devices: tuple[DeviceRow, ...]
) -> Iterator[Metric]:
    heard = listening(connection, now)
    messages = CounterMetricFamily(
        "leuko_ingest_messages", "Messages that a worker entered", labels=("worker",)
    )
    for one in heard.workers:
        messages.add_metric((one.name,), one.messages)
    yield messages
    yield GaugeMetricFamily(
        "leuko_ingest_workers", "Workers that take in messages now", len(heard.active)
    )
    arrived, repeats = connection.execute(
        select(
            func.coalesce(func.sum(boots.c.arrived), 0), func.coalesce(func.sum(boots.c.repeats), 0)
        )
    ).one()
    yield CounterMetricFamily("leuko_ingest_results", "Results entered, each once", arrived)
    yield CounterMetricFamily(
        "leuko_ingest_repeats", "Results that came again and were not entered again", repeats
    )
    newest = connection.scalar(select(func.max(slides.c.newest_at)))
    if newest is not None:
        yield GaugeMetricFamily(
            "leuko_ingest_newest_result_age_seconds",
            "Since the last result of a slide came in",
            max(0.0, (now - newest).total_seconds()),
        )
    yield GaugeMetricFamily(
        "leuko_ingest_lag_messages",
        "Messages that wait in the outboxes of devices, as they last said",
        sum(one.waiting or 0 for one in devices),
    )
    kept = CounterMetricFamily(
        "leuko_ingest_aside", "Messages that could not be entered", labels=("why",)
    )
    for why, count in connection.execute(
        select(aside.c.why, func.sum(aside.c.count)).group_by(aside.c.why)
    ):
        kept.add_metric((why,), count)
    yield kept


def _devices(now: datetime, devices: tuple[DeviceRow, ...]) -> Iterator[Metric]:
    stand = Counter(one.standing for one in devices)
    states = GaugeMetricFamily("leuko_devices", "Devices by how they stand", labels=("state",))
    for name in _STANDINGS:
        states.add_metric((name,), stand[name])
    yield states
    labels = ("site", "device")
    missing = GaugeMetricFamily(
        "leuko_device_missing_results", "Results issued and not here: gaps", labels=labels
    )
    waiting = GaugeMetricFamily(
        "leuko_device_waiting_messages", "Messages in its outbox", labels=labels
    )
    heard = GaugeMetricFamily(
        "leuko_device_heard_age_seconds", "Since it was heard live", labels=labels
    )
    for one in devices:
        name_of = (one.site, one.name)
        missing.add_metric(name_of, one.missing)
        if one.waiting is not None:
            waiting.add_metric(name_of, one.waiting)
        if one.seen_at is not None:
            heard.add_metric(name_of, max(0.0, (now - one.seen_at).total_seconds()))
    yield from (missing, waiting, heard)


def _slides(connection: Connection) -> Iterator[Metric]:
    of_people = slides.c.control.is_(False)
    stand = GaugeMetricFamily(
        "leuko_slides", "Slides by what the models say and how far it is signed",
        labels=("disposition", "review"),
    )  # fmt: skip
    for disposition, review, count in connection.execute(
        select(slides.c.disposition, slides.c.review, func.count())
        .where(of_people)
        .group_by(slides.c.disposition, slides.c.review)
    ):
        stand.add_metric((disposition or "none", review), count)
    yield stand
    waiting = select(func.count()).select_from(slides).where(of_people, slides.c.unreviewed > 0)
    yield GaugeMetricFamily(
        "leuko_slides_unreviewed",
        "Slides with cells that were not cleared and that nobody has looked at",
        connection.scalar(waiting) or 0,
    )


def _alerts(connection: Connection) -> Metric:
    found = GaugeMetricFamily(
        "leuko_alerts", "Open alerts, by level and by whether somebody acknowledged them",
        labels=("level", "acknowledged"),
    )  # fmt: skip
    known = alerts.c.acknowledged_at.is_not(None)
    counts: Counter[tuple[str, str]] = Counter()
    for level, acknowledged, count in connection.execute(
        select(alerts.c.level, known, func.count())
        .where(alerts.c.cleared_at.is_(None))
        .group_by(alerts.c.level, known)
    ):
        counts[level, "yes" if acknowledged else "no"] = count
    for level in (*_LEVELS, *sorted({one[0] for one in counts} - set(_LEVELS))):
        for word in ("no", "yes"):
            found.add_metric((level, word), counts[level, word])
    return found
