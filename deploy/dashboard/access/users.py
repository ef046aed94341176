"""Local users: added, listed, given another password or role, disabled. Never deleted.

A user who decided something is named in the chain of reviews for good; so one who leaves is
disabled, and the name is not given to anybody else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, insert, select, update

from deploy.dashboard.access import passwords
from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.access.roles import ROLES, Role, at_least
from deploy.dashboard.database.tables import sessions, users
from edge_daemon.contract.envelope import utc_now

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


@dataclass(frozen=True)
class User:
    """Somebody who may come in, or might once."""

    id: int
    name: str
    full_name: str | None
    role: Role
    active: bool
    created_at: datetime

    @property
    def shown(self) -> str:
        """How people are called to each other."""
        return self.full_name or self.name

    def may(self, needed: Role) -> bool:
        """Whether this user may do what ``needed`` may."""
        return self.active and at_least(self.role, needed)


def add(
    connection: Connection,
    name: str,
    role: str,
    password: str,
    full_name: str | None = None,
    created_by: str | None = None,
) -> User:
    """Make a user.

    Raises:
        AccessError: the name is taken or is none, there is no such role, the password is too short.
    """
    if not _NAME.fullmatch(name):
        raise AccessError(
            f"user {name[:64]!r} cannot be: take 1 to 64 of a-z, 0-9, '.', '_', '-', the first a "
            "letter or digit"
        )
    _known_role(role)
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise AccessError(f"user {name} is there already, and a name is never given twice")
    now = utc_now()
    connection.execute(
        insert(users).values(
            name=name,
            full_name=full_name,
            password=passwords.hashed(password),
            role=role,
            active=True,
            created_at=now,
            created_by=created_by,
            password_at=now,
        )
    )
    return find(connection, name)


def everyone(connection: Connection) -> list[User]:
    """All users, by name."""
    return [_user(row) for row in connection.execute(select(users).order_by(users.c.name))]


def find(connection: Connection, name: str) -> User:
    """One user. Raises :class:`AccessError`: there is none of this name."""
    row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    if row is None:
        raise AccessError(
            f"there is no user {name[:64]!r}: `leuko-deploy dashboard user list` names all"
        )
    return _user(row)


def set_password(connection: Connection, name: str, password: str) -> None:
    """Give a user another password, and end the sessions that the old one opened.

    Raises:
        AccessError: there is no such user, or the password is too short.
    """
    user = find(connection, name)
    values = {"password": passwords.hashed(password), "password_at": utc_now()}
    connection.execute(update(users).where(users.c.id == user.id).values(values))
    _end_sessions(connection, user)


def set_role(connection: Connection, name: str, role: str) -> None:
    """Give a user another role; it counts from the next request on.

    Raises:
        AccessError: there is no such user or role, or nobody would be left to keep users.
    """
    user = find(connection, name)
    _known_role(role)
    if role != "admin":
        _somebody_is_left(connection, user)
    connection.execute(update(users).where(users.c.id == user.id).values(role=role))


def set_active(connection: Connection, name: str, active: bool) -> None:
    """Let a user in no longer, or again; the open sessions of one who is disabled end at once.

    Raises:
        AccessError: there is no such user, or nobody would be left to keep users.
    """
    user = find(connection, name)
    if not active:
        _somebody_is_left(connection, user)
        _end_sessions(connection, user)
    connection.execute(update(users).where(users.c.id == user.id).values(active=active))


def with_password(connection: Connection, name: str, password: str) -> User | None:
    """The user whose name and password these are; None for anything else, after the same time."""
    row = None
    if _NAME.fullmatch(name):  # what is no name is looked up nowhere, and takes as long
        row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    known = None if row is None or not row.active else row.password
    if not passwords.fits(password, known) or row is None:
        return None
    return _user(row)


def renew_hash(connection: Connection, user: User, password: str) -> None:
    """Hash again what was hashed with weaker parameters, while the password is at hand."""
    stored = connection.scalar(select(users.c.password).where(users.c.id == user.id))
    if stored is not None and passwords.outdated(stored):
        values = {"password": passwords.hashed(password)}
        connection.execute(update(users).where(users.c.id == user.id).values(values))


def _known_role(role: str) -> None:
    if role not in ROLES:
        raise AccessError(f"there is no role {role[:20]!r}: it is one of {', '.join(ROLES)}")


def _somebody_is_left(connection: Connection, user: User) -> None:
    admins = select(func.count()).where(
        users.c.role == "admin", users.c.active.is_(True), users.c.id != user.id
    )
    if user.role == "admin" and user.active and not connection.scalar(admins):
        raise AccessError(f"{user.name} is the last admin: make another one first")


def _end_sessions(connection: Connection, user: User) -> None:
    connection.execute(delete(sessions).where(sessions.c.user_id == user.id))


def _user(row: object) -> User:
    return User(*(getattr(row, field) for field in User.__dataclass_fields__))
