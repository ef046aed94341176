"""Rows that name the hash of the row before them, so that no decision can be changed unseen.

A row keeps the JSON document that was hashed, and beside it the columns that queries use; both
are held to each other. The hash is SHA-256 over the hash before, a line feed, and the document.
The first row names a hash made of the database's own identity and the name of the table, so that
no part of a chain fits into another. Rows are numbered from 1 without a gap, inside the hash.

Whoever appends holds the one lock of the database's identity (in SQLite the right to write), and
``previous`` is unique: a chain has no branches, whatever else writes. What no chain can notice is
that its end was cut off: that takes an anchor (:mod:`deploy.dashboard.review.anchor`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, Table, Text, cast, insert, select

from deploy.dashboard.database.tables import audit, meta, reviews
from deploy.dashboard.review.errors import ChainError

CHAINS: Mapping[str, Table] = {"reviews": reviews, "audit": audit}
_BESIDE = {"id", "document", "previous", "hash"}
_AT_ONCE = 1000


@dataclass(frozen=True)
class Head:
    """The end of a chain."""

    rows: int
    hash: str


def append(connection: Connection, table: Table, values: Mapping[str, Any], **context: Any) -> int:
    """Add a row, inside a writing transaction; returns its number.

    Args:
        connection: of the transaction; nobody else appends until it ends.
        table: with the columns ``id``, ``document``, ``previous`` and ``hash``.
        values: of all other columns.
        context: what else is written down, in the document only.
    """
    lock = select(meta.c.value).where(meta.c.key == "database_id").with_for_update()
    identity = str(connection.scalar(lock))
    last = head(connection, table, identity)
    number = last.rows + 1
    columns = dict.fromkeys(_columns(table)) | dict(values)
    document = _document({"number": number, **_plain(columns), **_plain(context)})
    connection.execute(
        insert(table).values(
            id=number,
            document=document,
            previous=last.hash,
            hash=_hash(last.hash, document),
            **columns,
        )
    )
    return number


def head(connection: Connection, table: Table, identity: str | None = None) -> Head:
    """The end of a chain as it is now."""
    row = connection.execute(
        select(table.c.id, table.c.hash).order_by(table.c.id.desc()).limit(1)
    ).one_or_none()
    if row is not None:
        return Head(row.id, row.hash)
    return Head(0, beginning(table, identity or identity_of(connection)))


def identity_of(connection: Connection) -> str:
    """What this database is called, made once and at random."""
    return str(connection.scalar(select(meta.c.value).where(meta.c.key == "database_id")))


def beginning(table: Table, identity: str) -> str:
    """The hash that the first row names."""
    return hashlib.sha256(f"leukoedge.{table.name}/1\n{identity}".encode()).hexdigest()


def verify(connection: Connection, table: Table, anchor: Head | None = None) -> Head:
    """Go through a whole chain, and hold it to an anchor; returns its end.

    Raises:
        ChainError: names the first row that is not as it was written, or what the anchor misses.
    """
    last = Head(0, beginning(table, identity_of(connection)))
    anchored = anchor is None or anchor == last
    if anchor is not None and anchor.rows == 0 and not anchored:
        raise ChainError(f"{table.name}: the anchor was made of another database")
    for row in _rows(connection, table):
        fault = _fault(row, table, last)
        if fault is not None:
            raise ChainError(f"{table.name}: row {last.rows + 1} {fault}")
        last = Head(row["id"], row["hash"])
        if anchor is not None and anchor.rows == last.rows:
            if anchor.hash != last.hash:
                raise ChainError(
                    f"{table.name}: row {last.rows} is not the one the anchor was made of: what "
                    "is up to here was written anew"
                )
            anchored = True
    if not anchored and anchor is not None:
        raise ChainError(
            f"{table.name}: row {last.rows + 1} is missing: the anchor was made of {anchor.rows} "
            f"rows, here are {last.rows}: the end was cut off"
        )
    return last


def _fault(row: Mapping[str, Any], table: Table, last: Head) -> str | None:
    if row["id"] != last.rows + 1:
        return f"is missing: number {row['id']} stands in its place"
    if row["previous"] != last.hash:
        return "does not follow the one before it"
    if row["hash"] != _hash(last.hash, row["document"]):
        return "was changed: its hash is another"
    try:
        document = json.loads(row["document"])
        said = {name: document[name] for name in _columns(table)}
        number = document["number"]
    except (ValueError, KeyError, TypeError):
        return "holds no document that can be read"
    if number != row["id"]:
        return f"was moved: it was written as number {number}"
    for name, value in _plain({name: row[name] for name in _columns(table)}).items():
        if said[name] != value:
            return f"was changed: its column {name} is not what was hashed"
    return None


def _rows(connection: Connection, table: Table) -> Iterator[Mapping[str, Any]]:
    after: int | None = None
    while True:
        page = select(table.c.id).order_by(table.c.id).limit(_AT_ONCE)
        if after is not None:
            page = page.where(table.c.id > after)
        numbers = connection.scalars(page).all()
        if not numbers:
            return
        yield from _between(connection, table, numbers[0], numbers[-1])
        after = numbers[-1]


def _between(
    connection: Connection, table: Table, first: int, last: int
) -> list[Mapping[str, Any]]:
    query = select(table).where(table.c.id.between(first, last)).order_by(table.c.id)
    try:
        return [dict(row) for row in connection.execute(query).mappings()]
    except (ValueError, OverflowError, TypeError):  # a column holds what was never written
        if first < last:
            middle = (first + last) // 2
            return [
                *_between(connection, table, first, middle),
                *_between(connection, table, middle + 1, last),
            ]
        # as it is stored, which is not what was hashed
        stored = (
            cast(column, Text).label(column.name) for column in table.columns if column.name != "id"
        )
        row = connection.execute(query.with_only_columns(table.c.id, *stored)).mappings().one()
        return [dict(row)]


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.name not in _BESIDE]


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _said(value) for name, value in values.items()}


def _said(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="microseconds")
    return value


def _document(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _hash(previous: str, document: str) -> str:
    return hashlib.sha256(f"{previous}\n{document}".encode()).hexdigest()
