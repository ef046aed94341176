"""Telling a channel what became of alerts: each event in its order, again until it is taken.

An event is told at least once: what was taken just before a crash is told again, under the same
number. A channel that is new is told from now on; what is open then stands on the page.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select, update

from deploy.dashboard.alerts.book import lock
from deploy.dashboard.changes import Change, announce
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import alert_channels, alert_events
from deploy.dashboard.ingest.rows import insert_new

FIRST_WAIT_S = 2.0
LONGEST_WAIT_S = 900.0
GIVE_UP_AFTER = timedelta(days=3)
"""An event that nobody took for so long is history."""
MOST_REFUSALS = 5
"""Tries of an event that the other side says it will never take."""


class NotTakenError(Exception):
    """A channel did not take an event: why, in a line, and whether it never will."""

    def __init__(self, line: str, *, never: bool = False) -> None:
        super().__init__(line)
        self.never = never


@dataclass(frozen=True)
class Due:
    """An event that a channel has to be told."""

    id: int
    alert_id: int
    at: datetime
    document: str
    tries: int


class Outbox:
    """What one channel was told, and what it has to be told next."""

    def __init__(self, database: Database, channel: str, chance: random.Random | None = None):
        """``channel``: its name, at most 200 characters, without a secret."""
        self._database = database
        self._channel = channel
        self._chance = chance or random.Random()

    def begin(self) -> None:
        """Make the channel known; one that is known goes on where it was.

        Raises:
            DatabaseError: the database cannot be written.
        """
        with self._database.writing() as connection:
            lock(connection)
            newest = connection.scalar(select(func.max(alert_events.c.id))) or 0
            row = {"name": self._channel, "told_to": newest, "tries": 0}
            insert_new(connection, alert_channels, [row])

    def due(self, now: datetime) -> Due | None:
        """The next event, where there is one and it is time.

        Raises:
            DatabaseError: the database cannot be read.
        """
        with self._database.reading() as connection:
            own = connection.execute(
                select(alert_channels).where(alert_channels.c.name == self._channel)
            ).one_or_none()
            if own is None or (own.next_at is not None and own.next_at > now):
                return None
            it = alert_events.c
            row = connection.execute(
                select(it.id, it.alert_id, it.at, it.document)
                .where(it.id > own.told_to)
                .order_by(it.id)
                .limit(1)
            ).one_or_none()
        return None if row is None else Due(row.id, row.alert_id, row.at, row.document, own.tries)

    def taken(self, due: Due, now: datetime) -> None:
        """The channel has it.

        Raises:
            DatabaseError: the database cannot be written: it is told again.
        """
        done = {"told_to": due.id, "told_at": now, "tries": 0, "next_at": None, "line": None}
        with self._database.writing() as connection:
            self._set(connection, due, done)

    def not_taken(self, due: Due, error: NotTakenError, now: datetime) -> bool:
        """The channel does not have it; True: it is given up, and the next one is due.

        Raises:
            DatabaseError: the database cannot be written.
        """
        tries = due.tries + 1
        line = str(error)[:500]
        values: dict[str, object]
        given_up = (error.never and tries >= MOST_REFUSALS) or now - due.at > GIVE_UP_AFTER
        if given_up:
            values = {"told_to": due.id, "tries": 0, "next_at": None, "line": f"given up: {line}"}
        else:
            longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2.0 ** min(tries - 1, 16))
            wait = timedelta(seconds=longest * self._chance.uniform(0.5, 1.0))
            values = {"tries": tries, "next_at": now + wait, "line": line}
        with self._database.writing() as connection:
            self._set(connection, due, values)
        return given_up

    def _set(self, connection: Connection, due: Due, values: dict[str, object]) -> None:
        it = alert_channels.c
        connection.execute(
            update(alert_channels)
            .where(it.name == self._channel, it.told_to < due.id)
            .values(values)
        )
        announce(connection, [Change("alert")])
