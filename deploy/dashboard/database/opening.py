"""The central database as programs open it: SQLite in a file, or PostgreSQL by its address.

What PostgreSQL has to keep (``fsync`` and ``synchronous_commit`` on) is asked by
:meth:`Database.check`.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from sqlalchemy import text

from deploy.dashboard.database import fence, versions
from deploy.dashboard.errors import DatabaseAwayError, DatabaseError
from deploy.database.opening import BaseDatabase, reason_of

__all__ = ["DEFAULT", "Database", "reason_of"]

DEFAULT = "dashboard.db"


class Database(BaseDatabase):
    """``with Database("dashboard.db") as database:``; may be used by several threads.

    Every method raises :class:`DatabaseError`, or :class:`DatabaseAwayError` where a server does
    not answer now.
    """

    error: ClassVar[type[DatabaseError]] = DatabaseError
    away: ClassVar[type[DatabaseError]] = DatabaseAwayError

    def require(self) -> None:
        """See that it is there, and of this version.

        Raises:
            DatabaseError: one line that says what is wrong, and what to do.
        """
        if self.is_sqlite and not Path(self.url.database or "").exists():
            raise DatabaseError(
                f"no database at {self.name}: `leuko-deploy dashboard migrate` begins one"
            )
        with self.reading() as connection:
            found = versions.found(connection)
        versions.judge(found, self.name)

    def check(self) -> list[str]:
        """What is wrong with how the database is kept, in sentences; empty where all is well.

        Raises:
            DatabaseError: it cannot be read, or is of another version.
        """
        self.require()
        with self.reading() as connection:
            if self.is_sqlite:
                fault = connection.scalar(text("PRAGMA quick_check(1)"))
                kept = (
                    [] if fault == "ok" else [f"{self.name} is damaged ({fault}): restore a copy"]
                )
            else:
                kept = [
                    f"{setting} is off: a power cut loses results that were receipted; switch it on"
                    for setting in ("fsync", "synchronous_commit", "full_page_writes")
                    if connection.scalar(text(f"SHOW {setting}")) == "off"
                ]
            return kept + [
                f"nothing refuses changes to {table}: `leuko-deploy dashboard verify` says whether "
                "there were any, `leuko-deploy dashboard migrate` puts the fence up again"
                for table in fence.gaps(connection)
            ]
