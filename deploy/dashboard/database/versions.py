"""Which version of the tables a database has, and whether this program knows it."""

from __future__ import annotations

from sqlalchemy import Connection, inspect, text

from deploy.dashboard.errors import DatabaseError

VERSIONS = ("0001", "0002")
"""All that there ever were, oldest first; each is a module of ``migrations/versions``."""
NEWEST = VERSIONS[-1]


def found(connection: Connection) -> str | None:
    """The version of a database; None of an empty one.

    Raises:
        DatabaseError: it is another program's.
    """
    tables = set(inspect(connection).get_table_names())
    if not tables:
        return None
    if "alembic_version" not in tables or not {"meta", "boots"} & tables:
        raise DatabaseError("this is another program's database: name another place")
    version: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return version


def judge(version: str | None, name: str) -> None:
    """Refuse what this program cannot work with.

    Raises:
        DatabaseError: one line that says what to do.
    """
    if version is None:
        raise DatabaseError(
            f"database {name} is empty: `leuko-deploy dashboard migrate` makes its tables"
        )
    if version not in VERSIONS:
        raise DatabaseError(
            f"database {name} has version {version[:20]}, this program knows none newer than "
            f"{NEWEST}: update this program"
        )
    if version != NEWEST:
        raise DatabaseError(
            f"database {name} has version {version}, this program needs {NEWEST}: stop all that "
            "use it, keep a copy, and call `leuko-deploy dashboard migrate`"
        )
