"""A worker: takes messages from the broker, commits them in groups, then says so.

All in one thread. A message is acknowledged to the broker after its commit and receipted to its
device after that, so a kill at any moment costs a repeat and never a message. The broker sends no
more ahead of the acknowledgements than :data:`MOST_UNACKNOWLEDGED`, which bounds what is in memory
while the database is away.
"""

from __future__ import annotations

import logging
import random
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from deploy.dashboard.database.migrating import begin
from deploy.dashboard.database.opening import Database, reason_of
from deploy.dashboard.database.partitions import make_partitions
from deploy.dashboard.database.tables import meta
from deploy.dashboard.ingest.arrived import Arrived, Aside, not_stored, read
from deploy.dashboard.ingest.entering import Entered, Entering
from deploy.dashboard.ingest.receipts import Receipts
from deploy.dashboard.ingest.rows import Row
from deploy.dashboard.ingest.tally import Tally
from edge_daemon.contract.envelope import utc_now
from edge_daemon.contract.topics import CHANNELS, ROOT, Channel
from edge_daemon.delivery.backoff import Redial
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError

MOST_UNACKNOWLEDGED = 500
MOST_TOGETHER = 250
"""In one commit: more would have devices wait for their locks, and readers for what is new."""
MOST_AT_QOS_0 = 2000
"""Health messages in memory; more are given up while the database is away."""
KEEP_SESSION_S = 7 * 24 * 3600
"""How long the broker collects for a worker that is away."""

_PUMP_S = 0.02
_SAY_EVERY_S = 10.0
_PARTITIONS_EVERY_S = 6 * 3600.0
_RETRY_S = (0.2, 5.0)
_MOST_BYTES = 8 * 1024 * 1024
_MOST_TOLD = 10_000
_MOST_RECEIPTS = 500
"""In flight to the broker."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pace:
    """How long messages wait for others, and receipts."""

    group_s: float = 0.05
    receipts_s: float = 1.0


class Worker:
    """``worker.connect()``, then ``worker.step()`` again and again, then ``worker.close()``."""

    def __init__(
        self,
        settings: BrokerSettings,
        database: Database,
        *,
        name: str = "1",
        share: str | None = None,
        pace: Pace = Pace(),
    ) -> None:
        """``share``: the group of a shared subscription, the same of all workers of a database.

        Raises:
            DatabaseError: the database cannot be used.
        """
        begin(database)
        self.tally = Tally()
        self._database = database
        self._name = name
        self._share = share
        self._pace = pace
        self._entering = Entering(database)
        self._receipts = Receipts()
        receipts = settings.model_copy(update={"max_in_flight": _MOST_RECEIPTS})
        self._redial = Redial(receipts, _log, "nobody hears the devices")
        self._link: Link | None = None
        self._waiting: list[Arrived | Aside] = []
        self._waiting_bytes = 0
        self._waiting_since_s = 0.0
        self._to_acknowledge: list[int] = []
        self._at_qos_0 = 0
        self._commit_at_s = 0.0
        self._failed = 0
        self._receipts_at_s = 0.0
        self._receipts_out = 0
        self._said_at_s = float("-inf")
        self._partitions_at_s = float("-inf")
        self._since: datetime | None = None
        self._line: str | None = "not connected yet"
        self._told: set[tuple[str, str, str, str | None]] = set()
        with database.reading() as connection:
            number = connection.scalar(select(meta.c.value).where(meta.c.key == "database_id"))
        self._client_id = f"leukoedge-ingest-{str(number)[:12]}-{name}"

    @property
    def connected(self) -> bool:
        """Whether it listens now."""
        return self._link is not None

    @property
    def line(self) -> str | None:
        """What it waits for; None: for nothing."""
        return self._line

    def connect(self) -> None:
        """Connect and subscribe now.

        Raises:
            BrokerError: one line that says why not.
        """
        link = open_link(
            self._redial.settings,
            self._client_id,
            on_arrival=self._arrived,
            keep_session_s=KEEP_SESSION_S,
            most_unacknowledged=MOST_UNACKNOWLEDGED,
        )
        self._link = link
        try:
            for channel in CHANNELS:
                if channel.by == "device":
                    always = channel.leaf == "status"
                    link.subscribe(self._filter_of(channel), retained_again=always)
        except BrokerError:
            link.close()
            self._link = None
            raise
        self._receipts_out = 0
        self._since = utc_now()
        self.tally.connections += 1
        self._redial.held()
        self._line = None
        self._said_at_s = float("-inf")

    def _filter_of(self, channel: Channel) -> str:
        """Statuses go to every worker: in a group they would lose their order."""
        levels = ("+" if level[0] == "{" else level for level in channel.path.split("/"))
        topic = f"{ROOT}/+/+/{'/'.join(levels)}"
        if self._share is None or channel.leaf == "status":
            return topic
        return f"$share/{self._share}/{topic}"

    def step(self) -> None:
        """Take in messages for a moment, and commit what is due."""
        now_s = time.monotonic()
        if self._link is None:
            self._connect_when_due()
        elif not self._link.pump(self._pause_s(now_s)):
            self._down(f"broker {self._redial.settings.url}: {self._link.lost}")
        now_s = time.monotonic()
        committed = self._is_due(now_s) and self.commit()
        self._acknowledge()
        all_are_due = now_s - self._receipts_at_s >= self._pace.receipts_s
        if all_are_due:
            self._receipts_at_s = now_s
        if all_are_due or committed:
            self._send_receipts(pressing=not all_are_due)

    def commit(self) -> bool:
        """Commit the oldest that wait; False where the database would not."""
        batch, began_s, at = self._waiting[:MOST_TOGETHER], time.monotonic(), utc_now()
        due = began_s - self._said_at_s >= _SAY_EVERY_S
        worker = self._standing(at, len(batch)) if due else None
        if not batch and worker is None:
            return True
        try:
            self._make_partitions(began_s, at)
            entered = self._enter(batch, at, worker)
        except (SQLAlchemyError, OSError) as error:
            self._database_down(error, began_s)
            return False
        ended_s = time.monotonic()
        if worker is not None:
            self._said_at_s = began_s
        if self._failed:
            _log.warning("the database takes messages again")
        self._failed, self._line = 0, None if self._link is not None else self._line
        self._waiting = self._waiting[len(batch) :]
        self._waiting_bytes = sum(one.size for one in self._waiting)
        self._at_qos_0 = sum(one.mid is None for one in self._waiting)
        self._count(entered, batch, began_s, ended_s)
        self._receipts.add(entered.due)
        self._to_acknowledge += [one.mid for one in batch if one.mid is not None]
        return True

    def close(self) -> None:
        """Commit, receipt and go; what the database does not take now comes again."""
        taken = self.commit()
        while taken and self._waiting:
            taken = self.commit()
        if taken:
            self._acknowledge()
            self._send_receipts()
        if self._link is not None:
            self._link.close()
            self._link = None
        self._since = None
        with suppress(SQLAlchemyError):  # it says no more that it listens: the same, a little later
            self._entering.enter([], utc_now(), self._standing(utc_now(), 0))

    def _enter(self, batch: list[Arrived | Aside], at: datetime, worker: Row | None) -> Entered:
        try:
            return self._entering.enter(batch, at, worker)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            if _is_lost(error):
                raise
            _log.warning(
                "a batch was refused (%s): entering its messages one by one", _first(error)
            )
        together = self._entering.enter([], at, worker)
        for one in batch:
            alone = self._enter_alone(one, at)
            together.news += alone.news
            together.repeats += alone.repeats
            together.aside += alone.aside
            together.due += alone.due
        return together

    def _enter_alone(self, one: Arrived | Aside, at: datetime) -> Entered:
        try:
            return self._entering.enter([one], at)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            if _is_lost(error) or isinstance(one, Aside):
                raise
            aside = not_stored(one, f"the database refused it: {_first(error)}")
            self._tell(aside)
            return self._entering.enter([aside], at)

    def _arrived(self, arrival: Arrival) -> None:
        one = read(arrival, utc_now())
        if one is None:
            if arrival.mid is not None:
                self._to_acknowledge.append(arrival.mid)
            return
        if one.mid is None:
            self._at_qos_0 += 1
            if self._at_qos_0 > MOST_AT_QOS_0:
                self.tally.given_up += 1
                return
        if isinstance(one, Aside):
            self._tell(one)
        if not self._waiting:
            self._waiting_since_s = time.monotonic()
        self._waiting.append(one)
        self._waiting_bytes += one.size
        self.tally.waiting = len(self._waiting)

    def _tell(self, one: Aside) -> None:
        key = (one.site, one.device, one.why, one.schema)
        if key not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(key)
            _log.warning("%s/%s: kept aside: %s", one.site, one.device, one.line)

    def _pause_s(self, now_s: float) -> float:
        if not self._waiting:
            return _PUMP_S
        return min(_PUMP_S, max(0.0, self._waiting_since_s + self._pace.group_s - now_s))

    def _is_due(self, now_s: float) -> bool:
        if now_s < self._commit_at_s:  # the database is away, and waited for
            return False
        if now_s - self._said_at_s >= _SAY_EVERY_S:
            return True
        full = len(self._waiting) >= MOST_TOGETHER or self._waiting_bytes >= _MOST_BYTES
        return bool(self._waiting) and (full or now_s - self._waiting_since_s >= self._pace.group_s)

    def _count(
        self, entered: Entered, batch: list[Arrived | Aside], began_s: float, ended_s: float
    ) -> None:
        tally = self.tally
        tally.commits += 1
        tally.messages += len(batch)
        tally.news += entered.news
        tally.repeats += entered.repeats
        tally.aside += entered.aside
        tally.waiting = len(self._waiting)
        if batch:
            tally.commit_ms.append((ended_s - began_s) * 1000)
            tally.wait_ms.append((ended_s - self._waiting_since_s) * 1000)

    def _standing(self, at: datetime, more: int) -> Row:
        return {
            "name": self._name,
            "since": self._since or at,
            "until": at,
            "connected": self._link is not None,
            "line": self._line,
            "messages": self.tally.messages + more,
        }

    def _make_partitions(self, now_s: float, at: datetime) -> None:
        if now_s - self._partitions_at_s < _PARTITIONS_EVERY_S or self._database.is_sqlite:
            return
        with self._database.transaction() as connection:
            make_partitions(connection, at)
        self._partitions_at_s = now_s

    def _acknowledge(self) -> None:
        if self._link is not None:
            for mid in self._to_acknowledge:
                self._link.acknowledge(mid)
            self._to_acknowledge.clear()

    def _send_receipts(self, *, pressing: bool = False) -> None:
        if self._link is None:
            return  # they are due until there is a connection
        self._receipts_out -= len(self._link.take_acknowledgements())
        # the client would queue more than are in flight in memory, without a bound
        for parcel in self._receipts.take(_MOST_RECEIPTS - self._receipts_out, pressing=pressing):
            if self._link.publish(parcel) is None:
                return  # the device sends again
            self.tally.receipts += 1
            self._receipts_out += 1

    def _connect_when_due(self) -> None:
        full = self._failed and len(self._waiting) >= MOST_UNACKNOWLEDGED
        if full or not self._redial.is_due:  # a connection would bring the same messages again
            time.sleep(_PUMP_S)
            return
        try:
            self.connect()
        except BrokerError as error:
            self._down(str(error))

    def _down(self, line: str) -> None:
        self._line, self._link, self._since = line, None, None
        self._redial.failed(line)
        # the broker sends again what it has no acknowledgement of
        self._waiting = [replace(one, mid=None) for one in self._waiting]
        self._to_acknowledge.clear()

    def _database_down(self, error: Exception, now_s: float) -> None:
        said = reason_of(error) if isinstance(error, SQLAlchemyError) else str(error)
        line = f"database {self._database.name}: {said}"
        if not self._failed:
            _log.warning("%s; messages wait", line)
        self._line = line
        self.tally.failures += 1
        least, most = _RETRY_S
        pause_s = min(most, least * 2.0 ** min(self._failed, 8)) * random.uniform(0.5, 1.0)
        self._failed += 1
        self._commit_at_s = now_s + pause_s


def _is_lost(error: Exception) -> bool:
    """Whether the connection to the database went, rather than that it refused a row."""
    return bool(getattr(error, "connection_invalidated", False))


def _first(error: Exception) -> str:
    said = reason_of(error) if isinstance(error, SQLAlchemyError) else repr(error)
    return said[:200]
