"""What changed, told from one process to another: from the ingest to the web application.

PostgreSQL tells by ``NOTIFY``, which is heard when the transaction is committed. SQLite has no such
thing: changes are written into a table under the same commit, and whoever waits asks the file every
50 ms whether another connection has committed (``PRAGMA data_version``, which reads no page).

A change says what to look at again, never what it is now: two may become one, and after a break in
listening comes ``everything``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Event
from types import TracebackType
from typing import Literal, TypeAlias

import psycopg
from sqlalchemy import Connection, delete, func, insert, select, text
from sqlalchemy.exc import SQLAlchemyError
from typing_extensions import Self

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import changes

Kind: TypeAlias = Literal["slide", "device", "aside", "review", "alert", "worker", "everything"]

_CHANNEL = "leuko_changes"
_LOOK_EVERY_S = 0.05
_MOST_IN_ONE = 400
"""Changes in one NOTIFY, which holds 8,000 bytes."""
_KEEP = 20_000
"""Rows of SQLite that wait for whoever is slow."""
_RETRY_S = (0.2, 5.0)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class Change:
    """Something to look at again: a slide, a device, ... by its number in the database."""

    kind: Kind
    key: int | None = None


EVERYTHING = Change("everything")
"""Nobody listened for a while: look at everything again."""


def announce(connection: Connection, what: Iterable[Change]) -> None:
    """Tell others what this transaction changes; they hear it when it is committed."""
    told = sorted(set(what), key=lambda one: (one.kind, one.key or 0))
    if not told:
        return
    if connection.dialect.name == "postgresql":
        for start in range(0, len(told), _MOST_IN_ONE):
            part = [[one.kind, one.key] for one in told[start : start + _MOST_IN_ONE]]
            connection.execute(
                text("SELECT pg_notify(:channel, :changes)"),
                {"channel": _CHANNEL, "changes": json.dumps(part, separators=(",", ":"))},
            )
        return
    connection.execute(insert(changes), [{"kind": one.kind, "key": one.key} for one in told])
    newest = connection.scalar(select(func.max(changes.c.id)))
    connection.execute(delete(changes).where(changes.c.id <= (newest or 0) - _KEEP))


class Changes:
    """``with Changes(database) as heard: for told in heard: ...``, or ``async for`` the same.

    Each step gives what changed since the last one, at least one. Used by one thread at a time;
    what is announced after the ``with`` began is heard. :meth:`close` ends the iteration from any
    thread. A database that goes away is waited for.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closed = Event()
        self._waits: _Postgres | _Sqlite | None = None
        self._failures = 0

    def wait(self, timeout_s: float) -> tuple[Change, ...]:
        """What changed, as soon as it did; nothing where nothing does within ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        while not self._closed.is_set() and (left_s := until_s - time.monotonic()) > 0:
            try:
                if self._waits is None:
                    self._waits = _opened(self._database)
                    return (EVERYTHING,)
                told = self._waits.wait(min(left_s, 0.5))
                self._failures = 0
            except (SQLAlchemyError, psycopg.Error) as error:
                self._lost(error, left_s)
                continue
            if told:
                return tuple(dict.fromkeys(told))
        return ()

    def _lost(self, error: Exception, left_s: float) -> None:
        if not self._failures:
            _log.warning("changes of the database are not heard: %s", str(error).strip()[:200])
        self._forget()
        least, most = _RETRY_S
        pause_s = min(most, least * 2.0 ** min(self._failures, 8)) * random.uniform(0.5, 1.0)
        self._failures += 1
        self._closed.wait(min(pause_s, left_s))

    def _forget(self) -> None:
        if self._waits is not None:
            with suppress(SQLAlchemyError, psycopg.Error):
                self._waits.close()
            self._waits = None

    def close(self) -> None:
        """End the iteration; what waits returns within half a second."""
        self._closed.set()

    def __iter__(self) -> Iterator[tuple[Change, ...]]:
        while not self._closed.is_set():
            told = self.wait(3600.0)
            if told:
                yield told

    async def __aiter__(self) -> AsyncIterator[tuple[Change, ...]]:
        while not self._closed.is_set():
            told = await asyncio.to_thread(self.wait, 3600.0)
            if told:
                yield told

    def __enter__(self) -> Self:
        self._waits = _opened(self._database)
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
        self._forget()


class _Postgres:
    def __init__(self, database: Database) -> None:
        url = database.url.set(drivername="postgresql")
        self._connection = psycopg.connect(
            url.render_as_string(hide_password=False), autocommit=True, connect_timeout=5
        )
        self._connection.execute(f"LISTEN {_CHANNEL}")

    def wait(self, timeout_s: float) -> list[Change]:
        told: list[Change] = []
        for heard in self._connection.notifies(timeout=timeout_s, stop_after=1):
            told += [Change(kind, key) for kind, key in json.loads(heard.payload)]
        return told

    def close(self) -> None:
        self._connection.close()


class _Sqlite:
    def __init__(self, database: Database) -> None:
        self._connection = database.engine.raw_connection()
        self._version = self._data_version()
        self._last = self._newest()

    def wait(self, timeout_s: float) -> list[Change]:
        until_s = time.monotonic() + timeout_s
        while True:
            version = self._data_version()
            if version != self._version:
                self._version = version
                told = self._since()
                if told:
                    return told
            if time.monotonic() >= until_s:
                return []
            time.sleep(_LOOK_EVERY_S)

    def _since(self) -> list[Change]:
        cursor = self._connection.cursor()
        rows = cursor.execute(
            "SELECT id, kind, key FROM changes WHERE id > ? ORDER BY id", (self._last,)
        ).fetchall()
        if not rows:
            return []
        missed = rows[0][0] > self._last + 1 and self._last > 0
        self._last = rows[-1][0]
        return [EVERYTHING] if missed else [Change(kind, key) for _, kind, key in rows]

    def _newest(self) -> int:
        found = self._connection.cursor().execute("SELECT max(id) FROM changes").fetchone()[0]
        return found or 0

    def _data_version(self) -> int:
        found: int = self._connection.cursor().execute("PRAGMA data_version").fetchone()[0]
        return found

    def close(self) -> None:
        self._connection.close()


def _opened(database: Database) -> _Postgres | _Sqlite:
    return _Sqlite(database) if database.is_sqlite else _Postgres(database)
