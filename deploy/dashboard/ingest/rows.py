"""Reading and writing many rows at once.

PostgreSQL gets each column as one array (``unnest``), so that a statement takes a thousand rows as
it takes one; with a statement for each row, sending them took a worker longer than all the rest.
SQLite is in this process: there a statement is prepared once and run for each row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import (
    Boolean,
    Connection,
    Float,
    Integer,
    Select,
    Table,
    bindparam,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

Row: TypeAlias = dict[str, Any]
Names: TypeAlias = tuple[str, ...]
Item = TypeVar("Item")
_AT_ONCE = 400
_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]


def read(
    connection: Connection,
    table: Table,
    names: Names,
    key: Names,
    wanted: Collection[tuple[Any, ...]],
    *,
    hold: bool = False,
) -> list[Row]:
    """Rows whose ``key`` columns are one of ``wanted``.

    ``hold``: keep everybody else from changing them until the end of the transaction; they are
    held in the order of their keys, so that two who do so never wait for each other.
    """
    if not wanted:
        return []
    if connection.dialect.name == "postgresql":
        found = connection.exec_driver_sql(
            _select_sql(table, names, key, hold), _as_arrays(table, key, _rows_of(key, wanted))
        )
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    rows: list[Row] = []
    columns = [table.c[name] for name in names]
    for keys in some(wanted):
        query: Select[Any] = select(*columns)
        if len(key) == 1:
            query = query.where(table.c[key[0]].in_([one for (one,) in keys]))
        else:
            query = query.where(tuple_(*(table.c[name] for name in key)).in_(keys))
        rows += [dict(row._mapping) for row in connection.execute(query)]
    return rows


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; those whose key is there already are left as they are."""
    _insert(connection, table, rows, ())


def insert_or_update(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    *,
    key: Names | None = None,
    added: Names = (),
    keep: Names = (),
) -> None:
    """Insert rows, or write them over those of the same key (that of the table).

    Columns ``keep`` are not written over; to the columns ``added`` the new value is added.
    All rows have the same columns, and no two the same key.
    """
    names = tuple(rows[0]) if rows else ()
    over = tuple((name, name in added) for name in names if name not in keep)
    _insert(connection, table, rows, over, key or tuple(table.primary_key.columns.keys()))


def update_by_id(
    connection: Connection, table: Table, rows: Sequence[Row], *, added: Names = ()
) -> None:
    """Write columns of rows by ``id``; to the columns ``added`` the value is added.

    All have the same columns.
    """
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        statement = _update_sql(table, names, added)
        connection.exec_driver_sql(statement, _as_arrays(table, names, rows))
        return
    values = {
        name: table.c[name] + bindparam(f"b_{name}") if name in added
        else bindparam(f"b_{name}", type_=table.c[name].type)
        for name in names if name != "id"
    }  # fmt: skip
    connection.execute(
        update(table).where(table.c.id == bindparam("b_id")).values(values),
        [{f"b_{name}": value for name, value in row.items()} for row in rows],
    )


def update_changed(
    connection: Connection,
    table: Table,
    before: Iterable[Row],
    after: Iterable[Row],
    added: Mapping[int, Row] | None = None,
) -> None:
    """Update rows by ``id`` in those columns that are not as before.

    ``added``: by id, what is added to further columns, which others change too.
    """
    added = added or {}
    alike: dict[tuple[Names, Names], list[Row]] = {}
    for was, row in zip(before, after, strict=True):
        more = added.get(row["id"], {})
        names = tuple(name for name in row if name not in was or was[name] != row[name])
        if names or more:
            one = {name: row[name] for name in ("id", *names)} | more
            alike.setdefault((names, tuple(more)), []).append(one)
    for (_, sums), rows in alike.items():
        update_by_id(connection, table, rows, added=sums)


def some(items: Iterable[Item]) -> Iterator[list[Item]]:
    """As many at a time as a statement takes for its conditions."""
    every = list(items)
    for start in range(0, len(every), _AT_ONCE):
        yield every[start : start + _AT_ONCE]


def _insert(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    over: tuple[tuple[str, bool], ...],
    key: Names = (),
) -> None:
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            _insert_sql(table, names, over, key), _as_arrays(table, names, rows)
        )
        return
    insert = sqlite.insert(table)
    written = {
        name: table.c[name] + insert.excluded[name] if more else insert.excluded[name]
        for name, more in over
        if name not in key
    }
    if written:
        insert = insert.on_conflict_do_update(index_elements=list(key), set_=written)
    else:
        insert = insert.on_conflict_do_nothing()
    connection.execute(insert, list(rows))


def _rows_of(names: Names, values: Iterable[tuple[Any, ...]]) -> list[Row]:
    return [dict(zip(names, one, strict=True)) for one in values]


def _as_arrays(table: Table, names: Names, rows: Sequence[Row]) -> tuple[Any, ...]:
    columns = ([row[name] for row in rows] for name in names)
    return tuple(
        _written(column) if plain else column
        for column, plain in zip(columns, _are_numbers(table, names), strict=True)
    )


def _written(column: Iterable[float | bool | None]) -> str:
    """An array of PostgreSQL as text: the driver's own way is written in Python, step by step."""
    return "{" + ",".join(["NULL" if value is None else repr(value) for value in column]) + "}"


@cache
def _are_numbers(table: Table, names: Names) -> tuple[bool, ...]:
    return tuple(isinstance(table.c[name].type, (Integer, Float, Boolean)) for name in names)


@cache
def _arrays(table: Table, names: Names) -> str:
    """A table of parameters, a row of each position: ``unnest(...) AS v (...)``."""
    ways = ("%t" if plain else "%b" for plain in _are_numbers(table, names))
    arrays = ", ".join(
        f"{way}::{_type_of(table, name)}[]" for way, name in zip(ways, names, strict=True)
    )
    return f"unnest({arrays}) AS v ({_quoted(names)})"


@cache
def _select_sql(table: Table, names: Names, key: Names, hold: bool) -> str:
    same = " AND ".join(f't."{name}" = v."{name}"' for name in key)
    columns = ", ".join(f't."{name}"' for name in names)
    order = ", ".join(f't."{name}"' for name in key)
    end = f" ORDER BY {order} FOR UPDATE OF t" if hold else ""
    return f"SELECT {columns} FROM {_arrays(table, key)} JOIN {table.name} t ON {same}{end}"  # noqa: S608


@cache
def _insert_sql(table: Table, names: Names, over: tuple[tuple[str, bool], ...], key: Names) -> str:
    written = ", ".join(
        f'"{name}" = t."{name}" + excluded."{name}"' if more else f'"{name}" = excluded."{name}"'
        for name, more in over
        if name not in key
    )
    what = f"({_quoted(key)}) DO UPDATE SET {written}" if written else "DO NOTHING"
    return (
        f"INSERT INTO {table.name} AS t ({_quoted(names)}) "  # noqa: S608
        f"SELECT * FROM {_arrays(table, names)} ON CONFLICT {what}"
    )


@cache
def _update_sql(table: Table, names: Names, added: Names) -> str:
    written = ", ".join(
        f'"{name}" = t."{name}" + v."{name}"' if name in added else f'"{name}" = v."{name}"'
        for name in names
        if name != "id"
    )
    return f"UPDATE {table.name} t SET {written} FROM {_arrays(table, names)} WHERE t.id = v.id"  # noqa: S608


def _type_of(table: Table, name: str) -> str:
    return table.c[name].type.compile(_POSTGRES).partition("(")[0]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
