"""A fleet of two devices that is listened to, in either database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from deploy.dashboard.alerts.watch import Watch
from deploy.dashboard.alerts.words import DEFAULT, Limits
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alert_events
from deploy.dashboard.queries.alerts import AlertRow, open_alerts, past_alerts
from edge_daemon.contract.envelope import FromDevice
from tests.deploy.dashboard.fleet_day import Voice, enter, listens

BEGAN = datetime(2026, 11, 27, 8, tzinfo=timezone.utc)
QUICK = replace(DEFAULT, settle_s=0.0, gap_after_s=10.0)


@dataclass
class Fleet:
    """Time passes when it is told to; somebody always listens, unless told otherwise."""

    database: Database
    now: datetime = BEGAN
    voices: dict[str, Voice] = field(default_factory=dict)

    def __post_init__(self) -> None:
        listens(self.database, self.now)
        for name in ("scope-1", "scope-2"):
            self.voices[name] = Voice("lab", name)
            self.say(self.voices[name].status(self.now))

    def say(self, *messages: FromDevice) -> None:
        enter(self.database, *((one, self.now) for one in messages))

    def pass_time(self, *, listened: bool = True, **span: float) -> None:
        self.now += timedelta(**span)
        if listened:
            listens(self.database, self.now, BEGAN - timedelta(days=1))

    def watch(self, name: str = "one", limits: Limits = QUICK) -> Watch:
        return Watch(self.database, limits, name=name, clock=lambda: self.now)

    @property
    def open(self) -> tuple[AlertRow, ...]:
        with self.database.reading() as connection:
            return open_alerts(connection)

    @property
    def past(self) -> tuple[AlertRow, ...]:
        with self.database.reading() as connection:
            return past_alerts(connection)

    @property
    def events(self) -> list[tuple[int, str]]:
        query = select(alert_events.c.alert_id, alert_events.c.event).order_by(alert_events.c.id)
        with self.database.reading() as connection:
            return [(row[0], row[1]) for row in connection.execute(query)]


@pytest.fixture
def fleet(database: Database) -> Fleet:
    return Fleet(database)


@pytest.fixture
def dies(fleet: Fleet) -> Callable[[str], None]:
    """The broker sends the last will of a device."""

    def die(name: str) -> None:
        fleet.say(fleet.voices[name].status(fleet.now, "offline", "the connection was lost"))

    return die
