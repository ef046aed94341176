"""The database itself refuses to change or delete a row of the chains.

A trigger stops a slip: a statement typed at the wrong prompt, a program with a fault, a hole in a
query. It does not stop whoever owns the tables and takes it down; that is what the chain of hashes
and its anchors prove (:mod:`deploy.dashboard.review.chain`). No program of ours has a way through:
a purge deletes frames, crops and health, and adds a row here. A later migration that has to touch
these tables takes the fence down in its own transaction; ``migrate`` puts it up again in the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, Table, text

from deploy.dashboard.database.people import audit, reviews

FENCED: tuple[Table, ...] = (reviews, audit)
"""What people decided and signed, and what they did beside it: added to, and nothing else."""

_REFUSED = "is only ever added to: no row of it is changed or deleted"
# SQLite's REPLACE deletes without asking the trigger of a deletion: whatever it would delete is
# looked for before.
_SQLITE = {
    "update": "BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, '{table} {refused}'); END",
    "delete": "BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, '{table} {refused}'); END",
    "replace": (
        "BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id "
        "OR previous = NEW.previous OR hash = NEW.hash) "
        "BEGIN SELECT RAISE(ABORT, '{table} {refused}'); END"
    ),
}
_FUNCTION = "leuko_fence"
_BODY = f" BEGIN RAISE '% {_REFUSED}', TG_TABLE_NAME USING ERRCODE = '23000'; END "
_POSTGRESQL = {
    "rows": f"BEFORE UPDATE OR DELETE ON {{table}} FOR EACH ROW EXECUTE FUNCTION {_FUNCTION}()",
    "all": f"BEFORE TRUNCATE ON {{table}} FOR EACH STATEMENT EXECUTE FUNCTION {_FUNCTION}()",
}


def put_up(connection: Connection) -> None:
    """See that the fence stands, inside a writing transaction; what stands already stays."""
    down = gaps(connection)
    sqlite = connection.dialect.name == "sqlite"
    if down and not sqlite:
        connection.execute(
            text(
                f"CREATE OR REPLACE FUNCTION {_FUNCTION}() RETURNS trigger LANGUAGE plpgsql "
                f"AS $${_BODY}$$"
            )
        )
    for table in down:
        for name, statement in _wanted(connection, table).items():
            of = "" if sqlite else f" ON {table}"
            connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {name}{of}")
            connection.exec_driver_sql(statement)
            if not sqlite:  # also where a session calls itself a replica
                connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def gaps(connection: Connection) -> list[str]:
    """The tables whose fence is not as it should be, by name."""
    found = _of_sqlite if connection.dialect.name == "sqlite" else _of_postgresql
    names = [table.name for table in FENCED]
    return [name for name in names if not _stands(found(connection, name), connection, name)]


def _stands(found: Mapping[str, str], connection: Connection, table: str) -> bool:
    return all(found.get(name) == said for name, said in _expected(connection, table).items())


def _wanted(connection: Connection, table: str) -> dict[str, str]:
    sqlite = connection.dialect.name == "sqlite"
    return {
        f"{table}_fence_{kind}": f"CREATE TRIGGER {table}_fence_{kind} "
        + said.format(table=table, refused=_REFUSED)
        for kind, said in (_SQLITE if sqlite else _POSTGRESQL).items()
    }


def _expected(connection: Connection, table: str) -> dict[str, str]:
    wanted = _wanted(connection, table)
    return wanted if connection.dialect.name == "sqlite" else dict.fromkeys(wanted, f"A{_BODY}")


def _of_sqlite(connection: Connection, table: str) -> dict[str, str]:
    """Each trigger of a table as it was made."""
    query = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :of")
    return {row.name: row.sql for row in connection.execute(query, {"of": table})}


def _of_postgresql(connection: Connection, table: str) -> dict[str, str]:
    """Whether each trigger of a table fires (``A``: always), and what it then runs."""
    query = text(
        "SELECT t.tgname AS name, t.tgenabled::text || p.prosrc AS said "
        "FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid "
        "WHERE t.tgrelid = to_regclass(:of) AND NOT t.tgisinternal"
    )
    return {row.name: row.said for row in connection.execute(query, {"of": table})}
