"""Sessions: what a browser holds is random and says nothing; what it stands for is kept here.

The database keeps the SHA-256 of the cookie, so that whoever reads a copy of it cannot come in.
A session ends when its user signs out, is idle for too long, or has been in for too long.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from deploy.dashboard.access.users import User
from deploy.dashboard.database.tables import sessions, users

_SEEN_EVERY = timedelta(seconds=60)
"""A session that is used is written once a minute, not with every picture."""


@dataclass(frozen=True)
class Lifetimes:
    """How long a session lasts."""

    idle: timedelta = timedelta(minutes=30)
    absolute: timedelta = timedelta(hours=12)


@dataclass(frozen=True)
class Session:
    """Somebody who is in."""

    key: str
    """SHA-256 of the cookie, hexadecimal."""
    user: User
    csrf: str
    seen_at: datetime
    expires_at: datetime

    def vouches_for(self, token: str | None) -> bool:
        """Whether a form or a script that holds ``token`` was made for this session."""
        offered = (token or "").encode(errors="replace")
        return hmac.compare_digest(offered, self.csrf.encode())


def begin(
    connection: Connection, user: User, address: str | None, now: datetime, lasts: Lifetimes
) -> str:
    """Open a session, always a new one; returns what the browser shall hold."""
    token = secrets.token_urlsafe(32)
    connection.execute(delete(sessions).where(sessions.c.expires_at < now))
    connection.execute(delete(sessions).where(sessions.c.seen_at < now - lasts.idle))
    connection.execute(
        insert(sessions).values(
            token=_key(token),
            user_id=user.id,
            csrf=secrets.token_urlsafe(32),
            created_at=now,
            seen_at=now,
            expires_at=now + lasts.absolute,
            address=None if address is None else address[:64],
        )
    )
    return token


def find(connection: Connection, token: str, now: datetime, lasts: Lifetimes) -> Session | None:
    """The session of a browser; None: there is none, it is over, or its user is disabled."""
    row = connection.execute(
        select(sessions, users)
        .join(users, users.c.id == sessions.c.user_id)
        .where(sessions.c.token == _key(token))
    ).one_or_none()
    if row is None or not row.active:
        return None
    if now >= row.expires_at or now - row.seen_at >= lasts.idle:
        return None
    user = User(
        row.user_id, row.name, row.full_name, row.role, row.active, row._mapping[users.c.created_at]
    )
    return Session(row.token, user, row.csrf, row.seen_at, row.expires_at)


def to_be_touched(session: Session, now: datetime) -> bool:
    """Whether its use has to be written down."""
    return now - session.seen_at >= _SEEN_EVERY


def touch(connection: Connection, session: Session, now: datetime) -> None:
    """Write down that it is used."""
    connection.execute(update(sessions).where(sessions.c.token == session.key).values(seen_at=now))


def end(connection: Connection, token: str) -> None:
    """Sign out; idempotent."""
    connection.execute(delete(sessions).where(sessions.c.token == _key(token)))


def _key(token: str) -> str:
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()
