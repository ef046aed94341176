"""Tables of the ledger as they are found, by whoever may read them, and widened by a release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from edge_daemon.delivery.outbox import Batch


class Tables(Protocol):
    """What can be asked: the outbox of this process, or the file of another one."""

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that answer."""


def columns_of(tables: Tables, table: str) -> set[str]:
    """Names of a table's columns; none where there is no such table."""
    return {row[1] for row in tables.query(f"PRAGMA table_info({table})")}


def add_columns(tables: Tables, batch: Batch, table: str, wanted: Mapping[str, str]) -> None:
    """Add the columns that the file of an older release lacks, by name and SQL type."""
    there = columns_of(tables, table)
    for name, kind in wanted.items():
        if name not in there:
            batch.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
