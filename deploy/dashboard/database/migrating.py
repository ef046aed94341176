"""From whatever version a database has to the newest: all steps in one transaction."""

from __future__ import annotations

import uuid
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import insert, select, text

from deploy.dashboard.database import fence, versions
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.partitions import make_partitions
from deploy.dashboard.database.tables import meta
from edge_daemon.contract.envelope import utc_now

_ONE_AT_A_TIME = 0x4C45_4442  # number of the advisory lock, "LEDB"


def configuration() -> Config:
    """Alembic's, without a file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def migrate(database: Database) -> tuple[str | None, str]:
    """Bring the tables to the newest version; the version before and after.

    Raises:
        DatabaseError: it is of a newer version, or cannot be written.
    """
    config = configuration()
    with database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
        before = versions.found(connection)
        if before is not None and before not in versions.VERSIONS:
            versions.judge(before, database.name)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        fence.put_up(connection)
        make_partitions(connection, utc_now())
        known = connection.scalar(select(meta.c.value).where(meta.c.key == "database_id"))
        if known is None:
            connection.execute(insert(meta).values(key="database_id", value=uuid.uuid4().hex))
    return before, versions.NEWEST


def begin(database: Database) -> None:
    """See that a database is of this version; make the tables where there are none.

    Raises:
        DatabaseError: as :meth:`Database.require` and :func:`migrate` do.
    """
    with database.reading() as connection:
        empty = versions.found(connection) is None
    if empty:
        migrate(database)
    else:
        database.require()
