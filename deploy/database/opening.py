"""A database as programs open it: SQLite in a file, or PostgreSQL by its address.

SQLite runs with a write-ahead log and every commit on the disk (``synchronous = FULL``); a
transaction that writes says so when it begins, so that two writers wait for each other instead of
failing in the middle. PostgreSQL keeps its own settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from typing_extensions import Self

from edge_daemon.errors import LeukoError

WAIT_FOR_OTHERS_S = 10.0
"""How long a writer waits for its turn."""
_WRITES = "leuko_writes"
# A server whose machine is gone without a word is given up, after 60 s at most.
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}


class BaseDatabase:
    """``with KIND(place) as database:``; may be used by several threads.

    A kind of database says what it is called and which errors it raises.
    """

    noun: ClassVar[str] = "database"
    error: ClassVar[type[LeukoError]] = LeukoError
    away: ClassVar[type[LeukoError]] = LeukoError
    """A server does not answer now, and may later."""

    def __init__(self, place: str | Path, *, pool_size: int = 5) -> None:
        """Name it; nothing is opened before it is used.

        ``place``: a file, ``sqlite:///FILE``, or ``postgresql://user:password@host/name``.

        Raises:
            LeukoError: of this kind; it is no such place.
        """
        self.url = self._url_of(str(place))
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.engine = self._sqlite() if self.is_sqlite else self._postgresql(pool_size)

    @property
    def name(self) -> str:
        """The place, for people: without a password."""
        return (
            (self.url.database or "")
            if self.is_sqlite
            else (self.url.set(drivername="postgresql", query={}).render_as_string())
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads.

        Raises:
            LeukoError: of this kind; the database cannot be read.
        """
        with self.said("read"), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes: all of it, or nothing where an error leaves it.

        Raises:
            LeukoError: of this kind; the database cannot be written.
        """
        with self.said("written"), self.transaction() as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """The same, for who tells SQLAlchemy's errors apart."""
        with self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITES: True})
            with connection.begin():
                yield connection

    @contextmanager
    def said(self, what: str) -> Iterator[None]:
        """Turn the library's errors into one line."""
        try:
            yield
        except SQLAlchemyError as error:
            away = isinstance(error, OperationalError) and not self.is_sqlite
            kind = self.away if away else self.error
            raise kind(f"{self.noun} {self.name} cannot be {what}: {reason_of(error)}") from None

    def close(self) -> None:
        """Close all connections; idempotent."""
        self.engine.dispose()

    def look_at(self, connection: Any) -> None:
        """Refuse SQLite's file, which a new connection opened, before anything is set in it."""

    def _url_of(self, place: str) -> URL:
        if "://" not in place:
            return URL.create("sqlite", database=place)
        try:
            url = make_url(place)
        except (ArgumentError, ValueError):
            raise self.error(
                f"the {self.noun}'s address cannot be read: write a file, or "
                "postgresql://user@host/name"
            ) from None
        backend = url.get_backend_name()
        if backend in ("postgresql", "postgres"):
            return url.set(drivername="postgresql+psycopg")
        if backend == "sqlite" and url.database not in (None, "", ":memory:"):
            return url.set(drivername="sqlite")
        raise self.error(
            f"{backend[:20]}://... is no place for the {self.noun}: write a file, or "
            "postgresql://..."
        )

    def _postgresql(self, pool_size: int) -> Engine:
        patience = {key: value for key, value in _PATIENCE.items() if key not in self.url.query}
        try:
            return create_engine(
                self.url,
                pool_size=pool_size,
                max_overflow=pool_size,
                pool_pre_ping=True,
                connect_args=patience,
            )
        except ImportError:
            raise self.error(
                f"{self.noun} {self.name}: PostgreSQL is spoken to with psycopg, which is not "
                "installed: pip install 'psycopg[binary]'"
            ) from None

    def _sqlite(self) -> Engine:
        engine = create_engine(self.url, connect_args={"timeout": WAIT_FOR_OTHERS_S})

        @event.listens_for(engine, "connect")
        def _prepare(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # transactions begin where we say, not where it likes
            try:
                self.look_at(connection)
                for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.execute("PRAGMA cache_size = -32000")  # 32 MB
            except BaseException:
                connection.close()
                raise

        @event.listens_for(engine, "begin")
        def _begin(connection: Connection) -> None:
            writes = connection.get_execution_options().get(_WRITES, False)
            connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

        return engine

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def reason_of(error: SQLAlchemyError) -> str:
    """What the database itself said, in one line."""
    said = str(error.orig if isinstance(error, DBAPIError) else error)
    return " ".join(said.split())[:300] or type(error).__name__
