"""The registry's tables, in a file of SQLite or in a schema of its own in PostgreSQL.

A row is JSON as text in both, so that what one program wrote is what another reads. SQLite's file
says what it is by its ``application_id`` and ``user_version``; in PostgreSQL a table says so, and
the schema lets the registry lie in one database with the dashboard's results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.schema import CreateSchema

from deploy.database.opening import WAIT_FOR_OTHERS_S, BaseDatabase
from deploy.registry.errors import RegistryAwayError, RegistryError

FORMAT = 1
SCHEMA = "leuko_registry"
"""Of PostgreSQL."""
_APPLICATION_ID = 0x4C45_5247  # "LERG"; of the advisory lock as well

METADATA = MetaData()
# PostgreSQL would sort by the rules of a language
_Plain = Text().with_variant(Text(collation="C"), "postgresql")

device = Table(
    "device",
    METADATA,
    Column("name", _Plain, primary_key=True),
    Column("enrolment", Text, nullable=False),
    Column("desired", Text),
    Column("reported", Text),
    sqlite_with_rowid=False,
)
"""A column for each of those who write it."""

aside = Table(
    "aside",
    METADATA,
    Column("name", _Plain, primary_key=True),
    Column("leaf", Text, primary_key=True),
    Column("why", Text, primary_key=True),
    Column("line", Text, nullable=False),
    Column("first_at", _Plain, nullable=False),
    Column("last_at", _Plain, nullable=False),
    Column("count", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

listened = Table(
    "listened",
    METADATA,
    Column("one", Integer, CheckConstraint("one = 1"), primary_key=True, autoincrement=False),
    Column("document", Text, nullable=False),
)

_format = Table(
    "format",
    MetaData(),
    Column("format", Integer, primary_key=True, autoincrement=False),
)
"""In PostgreSQL only: the version of the tables, in its only row."""


class RegistryDatabase(BaseDatabase):
    """The database of a registry; its transactions that write take turns, in PostgreSQL too."""

    noun: ClassVar[str] = "registry"
    error: ClassVar[type[RegistryError]] = RegistryError
    away: ClassVar[type[RegistryError]] = RegistryAwayError

    def __init__(self, place: str | Path) -> None:
        """Name it; nothing is opened before it is used. Raises :class:`RegistryError`."""
        super().__init__(place, pool_size=1)
        if not self.is_sqlite:
            self.engine = self.engine.execution_options(schema_translate_map={None: SCHEMA})

    def require(self, *, create: bool) -> None:
        """See that it is a registry of this version; ``create`` begins one where there is none.

        Raises:
            RegistryError: one line that says what is wrong, and what to do.
        """
        none = RegistryError(
            f"no registry at {self.name}: name the authority's folder with --pki to begin one"
        )
        if self.is_sqlite and not create and not Path(self.url.database or "").exists():
            raise none
        with self.said("opened"):
            with self.engine.connect() as connection, connection.begin():
                begun = self._is_begun(connection)
            if begun:
                return
            if not create and not self.is_sqlite:
                raise none
            with self.transaction() as connection:
                self.take_turn(connection)
                if not self._is_begun(connection):  # no other program began it meanwhile
                    self._begin(connection)

    def take_turn(self, connection: Connection) -> None:
        """Wait until no other program writes; until the end of the transaction none does.

        Whoever writes many rows in an order of its own would wait for another who waits for it.
        """
        if self.is_sqlite:  # which has one writer anyway
            return
        connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_OTHERS_S:.0f}s'"))
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_APPLICATION_ID})"))

    def look_at(self, connection: Any) -> None:
        """Refuse another program's file, and one of a newer version, as it was found."""
        connection.execute("BEGIN")  # another program may begin it at this moment
        (found,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.execute("COMMIT")
        if (tables or found) and found != _APPLICATION_ID:
            raise self._foreign()
        self._judge(version)

    def _is_begun(self, connection: Connection) -> bool:
        if self.is_sqlite:
            return bool(connection.scalar(text("PRAGMA application_id")) == _APPLICATION_ID)
        tables = inspect(connection).get_table_names(SCHEMA)
        if not tables:
            return False
        if "format" not in tables or "device" not in tables:
            raise self._foreign()
        self._judge(connection.scalar(select(_format.c.format)) or 0)
        return True

    def _begin(self, connection: Connection) -> None:
        if self.is_sqlite:
            METADATA.create_all(connection)
            connection.execute(text(f"PRAGMA application_id = {_APPLICATION_ID}"))
            connection.execute(text(f"PRAGMA user_version = {FORMAT}"))
            return
        if SCHEMA not in inspect(connection).get_schema_names():
            connection.execute(CreateSchema(SCHEMA))
        METADATA.create_all(connection)
        _format.create(connection)
        connection.execute(insert(_format).values(format=FORMAT))

    def _foreign(self) -> RegistryError:
        return RegistryError(f"{self.name} is another program's database: name another place")

    def _judge(self, version: int) -> None:
        if version > FORMAT:
            raise RegistryError(
                f"registry {self.name} has format {version}, this program knows {FORMAT}: "
                "update this program"
            )
