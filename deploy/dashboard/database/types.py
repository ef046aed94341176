"""Columns that mean the same in SQLite and in PostgreSQL, and how a message is packed."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta, timezone
from typing import Any

from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, TypeDecorator
from sqlalchemy.types import TypeEngine

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
"""All tables of the database."""

Key = BigInteger().with_variant(Integer, "sqlite")
"""A number of ours; SQLite counts up only what is called INTEGER."""

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_US = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """A moment in UTC: ``timestamptz`` in PostgreSQL, microseconds since 1970 in SQLite."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type there."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(BigInteger())
        return dialect.type_descriptor(DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """As it is stored."""
        if value is None or dialect.name != "sqlite":
            return value
        return (value - _EPOCH) // _US

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """As it was given."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + int(value) * _US
        found: datetime = value.astimezone(timezone.utc)
        return found


def packed(json: bytes) -> bytes:
    """A message as it lies in the database (zlib)."""
    return zlib.compress(json, 1)


def unpacked(stored: bytes) -> bytes:
    """The JSON of a message that was :func:`packed`."""
    return zlib.decompress(stored)
