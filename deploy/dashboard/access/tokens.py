"""Tokens of programs: each acts for a user, with a role that is never above that user's.

A token is 32 random bytes behind a word that secret scanners can look for; the database keeps its
SHA-256. It ends on its day, when it is revoked, and when its user is disabled.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update

from deploy.dashboard.access import users
from deploy.dashboard.access.errors import AccessError
from deploy.dashboard.access.roles import ROLES, Role
from deploy.dashboard.access.users import User
from deploy.dashboard.database.tables import tokens
from deploy.dashboard.database.tables import users as users_table

BEGIN = "leuko_"
MOST_DAYS = 366
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_SEEN_EVERY = timedelta(seconds=60)


@dataclass(frozen=True)
class Token:
    """What is known of a token; not what it is."""

    name: str
    user: str
    role: Role
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    seen_at: datetime | None

    def counts(self, now: datetime) -> bool:
        """Whether a program may come in with it."""
        return self.revoked_at is None and now < self.expires_at


def make(
    connection: Connection, name: str, user: str, role: str, days: float, now: datetime
) -> str:
    """Make a token, and say it: nobody can read it again.

    Raises:
        AccessError: the name is taken or none, there is no such user, or the role is above theirs.
    """
    if not _NAME.fullmatch(name):
        raise AccessError(f"token {name[:64]!r} cannot be: take 1 to 64 of a-z, 0-9, '.', '_', '-'")
    if not 0 < days <= MOST_DAYS:
        raise AccessError(f"a token lasts up to {MOST_DAYS} days: make another one then")
    owner = users.find(connection, user)
    if role not in ROLES:
        raise AccessError(f"there is no role {role[:20]!r}: it is one of {', '.join(ROLES)}")
    if not owner.may(role):
        raise AccessError(f"{user} is {owner.role}{_inactive(owner)}: a token cannot do more")
    if connection.scalar(select(tokens.c.id).where(tokens.c.name == name)) is not None:
        raise AccessError(f"token {name} is there already, and a name is never given twice")
    said = BEGIN + secrets.token_urlsafe(32)
    connection.execute(
        insert(tokens).values(
            name=name,
            key=_key(said),
            user_id=owner.id,
            role=role,
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
    )
    return said


def listed(connection: Connection) -> list[Token]:
    """All tokens there ever were, by name."""
    query = select(tokens, users_table.c.name.label("user")).join(
        users_table, users_table.c.id == tokens.c.user_id
    )
    fields = Token.__dataclass_fields__
    rows = connection.execute(query.order_by(tokens.c.name))
    return [Token(*(getattr(row, field) for field in fields)) for row in rows]


def revoke(connection: Connection, name: str, now: datetime) -> None:
    """Let nobody in with a token any more; idempotent. Raises :class:`AccessError`: no such one."""
    if connection.scalar(select(tokens.c.id).where(tokens.c.name == name)) is None:
        raise AccessError(
            f"there is no token {name[:64]!r}: `leuko-deploy dashboard token list` names all"
        )
    connection.execute(
        update(tokens)
        .where(tokens.c.name == name, tokens.c.revoked_at.is_(None))
        .values(revoked_at=now)
    )


def find(connection: Connection, said: str, now: datetime) -> tuple[User, str, bool] | None:
    """Whom a token stands for, with the role it has; its name; and whether its use is to be noted.

    None where it does not count, or its user is disabled.
    """
    row = connection.execute(
        select(tokens, users_table.c.name.label("user"))
        .join(users_table, users_table.c.id == tokens.c.user_id)
        .where(tokens.c.key == _key(said))
    ).one_or_none()
    if row is None or row.revoked_at is not None or now >= row.expires_at:
        return None
    user = users.find(connection, row.user)
    if not user.active:
        return None
    role = min(user.role, row.role, key=ROLES.index)
    unseen = row.seen_at is None or now - row.seen_at >= _SEEN_EVERY
    return replace(user, role=role), row.name, unseen


def touch(connection: Connection, name: str, now: datetime) -> None:
    """Write down that it is used."""
    connection.execute(update(tokens).where(tokens.c.name == name).values(seen_at=now))


def _key(said: str) -> str:
    return hashlib.sha256(said.encode(errors="replace")).hexdigest()


def _inactive(user: User) -> str:
    return "" if user.active else " and disabled"
