"""Reading and writing many rows at once.

PostgreSQL gets each column as one array (``unnest``), so that a statement takes a thousand rows as
it takes one; with a statement for each row, sending them took a worker longer than all the rest.
SQLite is in this process: there a statement is prepared once and run for each row.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, Select, Table, bindparam, select, tuple_, update
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
            _select_sql(table, names, key, hold), _as_arrays(key, _rows_of(key, wanted))
        )
        return [dict(row._mapping) for row in found]
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
    connection: Connection, table: Table, rows: Sequence[Row], *, added: bool = False
) -> None:
    """Write columns of rows by ``id``, or add to them. All have the same columns."""
    if not rows:
        return
    names = tuple(rows[0])
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_update_sql(table, names, added), _as_arrays(names, rows))
        return
    values = {
        name: table.c[name] + bindparam(f"b_{name}") if added
        else bindparam(f"b_{name}", type_=table.c[name].type)
        for name in names if name != "id"
    }  # fmt: skip
    connection.execute(
        update(table).where(table.c.id == bindparam("b_id")).values(values),
        [{f"b_{name}": value for name, value in row.items()} for row in rows],
    )


def update_changed(
    connection: Connection, table: Table, before: Iterable[Row], after: Iterable[Row]
) -> None:
    """Update rows by ``id`` in those columns that are not as before."""
    alike: dict[Names, list[Row]] = {}
    for was, row in zip(before, after, strict=True):
        names = tuple(name for name in row if name not in was or was[name] != row[name])
        if names:
            alike.setdefault(names, []).append({name: row[name] for name in ("id", *names)})
    for rows in alike.values():
        update_by_id(connection, table, rows)


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
        connection.exec_driver_sql(_insert_sql(table, names, over, key), _as_arrays(names, rows))
        return
    statement = sqlite.insert(table)
    written = {
        name: table.c[name] + statement.excluded[name] if more else statement.excluded[name]
        for name, more in over
        if name not in key
    }
    if written:
        statement = statement.on_conflict_do_update(index_elements=list(key), set_=written)
    else:
        statement = statement.on_conflict_do_nothing()
    connection.execute(statement, list(rows))


def _rows_of(names: Names, values: Iterable[tuple[Any, ...]]) -> list[Row]:
    return [dict(zip(names, one, strict=True)) for one in values]


def _as_arrays(names: Names, rows: Sequence[Row]) -> tuple[Any, ...]:
    return tuple([row[name] for row in rows] for name in names)


@cache
def _arrays(table: Table, names: Names) -> str:
    """A table of parameters, a row of each position: ``unnest(...) AS v (...)``."""
    arrays = ", ".join(f"%b::{_type_of(table, name)}[]" for name in names)
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
def _update_sql(table: Table, names: Names, added: bool) -> str:
    written = ", ".join(
        f'"{name}" = t."{name}" + v."{name}"' if added else f'"{name}" = v."{name}"'
        for name in names
        if name != "id"
    )
    return f"UPDATE {table.name} t SET {written} FROM {_arrays(table, names)} WHERE t.id = v.id"  # noqa: S608


def _type_of(table: Table, name: str) -> str:
    return table.c[name].type.compile(_POSTGRES).partition("(")[0]


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
