"""How often a login may fail: per user, and per address, each in a window of time.

Counted in the database, so that a second process, or a restart, gives nobody more tries. An unknown
user fails like a known one, so the limit tells nobody which names there are. Names and addresses
are kept as digests, because people type passwords into the wrong field; what is older than the
window goes with the next try.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, or_, select, text

from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import failed_logins, meta
from edge_daemon.contract.envelope import utc_now

_ONE_AT_A_TIME = 0x4C45_4C4F  # number of the advisory lock, "LELO"


@dataclass(frozen=True)
class LoginLimits:
    """Failures that are borne in ``window_s`` seconds."""

    per_user: int = 8
    per_address: int = 30
    window_s: float = 300.0


class FailedLogins:
    """Counts failures; used by several threads, and by several processes on one database."""

    def __init__(
        self, database: Database, limits: LoginLimits, clock: Callable[[], datetime] = utc_now
    ) -> None:
        """``clock``: of all processes the same, as far as machines agree about the time."""
        self._database = database
        self._limits = limits
        self._clock = clock
        self._window = timedelta(seconds=limits.window_s)

    def attempt(self, user: str, address: str) -> float:
        """Count a try, and say how many seconds it has to wait; 0: the password may be looked at.

        It is counted as failed before the password is looked at, so that a hundred tries at once
        are a hundred. One that has to wait is not counted: it learnt nothing, and a storm of them
        writes nothing.

        Raises:
            DatabaseError: it cannot be counted, so it cannot be made.
        """
        with self._database.reading() as connection:
            wait = self._wait(connection, user, address)
        if wait > 0:
            return wait
        with self._database.writing() as connection:
            if not self._database.is_sqlite:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
            now = self._clock()
            # What lies ahead by more than a window is of a clock that was set back since.
            over = or_(
                failed_logins.c.at <= now - self._window, failed_logins.c.at > now + self._window
            )
            connection.execute(delete(failed_logins).where(over))
            wait = self._wait(connection, user, address)
            if wait == 0:
                keys = self._keys(connection, user, address)
                connection.execute(insert(failed_logins), [{"key": key, "at": now} for key in keys])
        return wait

    def succeeded(self, user: str, address: str) -> None:
        """Forgive a user who came in; the address keeps what failed for other names.

        Raises:
            DatabaseError: it cannot be written.
        """
        with self._database.writing() as connection:
            of_user, of_address = self._keys(connection, user, address)
            last = (
                select(failed_logins.c.id)
                .where(failed_logins.c.key == of_address)
                .order_by(failed_logins.c.at.desc(), failed_logins.c.id.desc())
                .limit(1)
            )
            forgiven = or_(
                failed_logins.c.key == of_user, failed_logins.c.id == last.scalar_subquery()
            )
            connection.execute(delete(failed_logins).where(forgiven))

    def _wait(self, connection: Connection, user: str, address: str) -> float:
        of_user, of_address = self._keys(connection, user, address)
        return max(
            self._wait_of(connection, of_user, self._limits.per_user),
            self._wait_of(connection, of_address, self._limits.per_address),
        )

    def _wait_of(self, connection: Connection, key: str, most: int) -> float:
        """Seconds until the oldest of the last ``most`` failures is out of the window."""
        now = self._clock()
        at = connection.scalar(
            select(failed_logins.c.at)
            .where(
                failed_logins.c.key == key,
                failed_logins.c.at > now - self._window,
                failed_logins.c.at <= now + self._window,
            )
            .order_by(failed_logins.c.at.desc())
            .offset(most - 1)
            .limit(1)
        )
        if at is None:
            return 0.0
        over: timedelta = at + self._window - now
        return min(over.total_seconds(), self._limits.window_s)

    def _keys(self, connection: Connection, user: str, address: str) -> tuple[str, str]:
        """How a user and an address are called here, and in no other database."""
        identity = connection.scalar(select(meta.c.value).where(meta.c.key == "database_id"))
        said = (f"{identity}\nuser\n{user}", f"{identity}\naddress\n{address}")
        of_user, of_address = (
            hashlib.sha256(one.encode(errors="replace")).hexdigest() for one in said
        )
        return of_user, of_address
