"""The database itself refuses to change or delete what was decided, signed or audited."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import Connection, Table, insert, select, text
from sqlalchemy.exc import IntegrityError
from typer.testing import CliRunner

from deploy.cli import app as command
from deploy.dashboard.access import users
from deploy.dashboard.database import fence
from deploy.dashboard.database.migrating import configuration, migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import audit, failed_logins, health, reviews
from deploy.dashboard.errors import DatabaseError
from deploy.dashboard.retention.limits import Limits
from deploy.dashboard.retention.purge import purge
from deploy.dashboard.review.anchor import verify_all
from deploy.dashboard.review.chain import append
from deploy.dashboard.review.records import record
from edge_daemon.contract.envelope import utc_now
from tests.deploy.dashboard.web.browser import PASSWORD

CHAINS = pytest.mark.parametrize("table", [reviews, audit], ids=lambda table: table.name)
NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


@pytest.fixture
def written(database: Database) -> Database:
    """Three rows in each chain."""
    with database.writing() as connection:
        rosa = users.add(connection, "rosa", "lead", PASSWORD)
        for number in range(3):
            record(connection, "rosa", "sign in", "rosa")
            decided(connection, rosa, number)
    return database


def decided(connection: Connection, who: users.User, unique_id: int) -> None:
    values = {"at": utc_now(), "user_id": who.id, "user_name": who.name, "kind": "override",
              "slide_id": 7, "unique_id": unique_id, "label": "blast"}  # fmt: skip
    append(connection, reviews, values)


def unharmed(database: Database) -> None:
    with database.reading() as connection:
        ends = verify_all(connection)
    assert (ends["reviews"].rows, ends["audit"].rows) == (3, 3)


@CHAINS
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {table} SET user_name = 'nobody' WHERE id = 2",
        "UPDATE {table} SET user_name = user_name",
        "UPDATE {table} SET id = 9 WHERE id = 3",
        "DELETE FROM {table} WHERE id = 3",
        "DELETE FROM {table}",
        "WITH old AS (SELECT 2 AS id) DELETE FROM {table} WHERE id IN (SELECT id FROM old)",
    ],
)
def test_no_row_is_changed_or_deleted(written: Database, table: Table, statement: str) -> None:
    refused = pytest.raises(DatabaseError, match=f"{table.name} is only ever added to")
    with refused, written.writing() as connection:
        connection.execute(text(statement.format(table=table.name)))

    unharmed(written)


@CHAINS
def test_no_row_takes_the_place_of_another(written: Database, table: Table) -> None:
    """REPLACE of SQLite deletes without asking a trigger of deletions; upserts change a row."""
    with written.reading() as connection:
        second = dict(connection.execute(select(table).where(table.c.id == 2)).mappings().one())
    forged = {**second, "user_name": "nobody"}
    names = ", ".join(second)
    values = f"SELECT {names} FROM {table.name} WHERE id = 2"  # noqa: S608
    upsert = "ON CONFLICT (id) DO UPDATE SET user_name = 'nobody'"
    ways = [f"INSERT INTO {table.name} ({names}) {values} {upsert}"]
    if written.is_sqlite:
        ways += [
            f"REPLACE INTO {table.name} ({names}) {values}",
            f"INSERT OR REPLACE INTO {table.name} (id, {names.replace('id, ', '', 1)}) "
            + values.replace("SELECT id", "SELECT 77", 1),
            f"UPDATE OR REPLACE {table.name} SET id = 1 WHERE id = 2",  # noqa: S608
        ]
    else:
        ways += [
            f"TRUNCATE {table.name}",
            f"TRUNCATE {table.name} CASCADE",
            f"SET LOCAL session_replication_role = replica; DELETE FROM {table.name}",  # noqa: S608
        ]
    for way in ways:
        with pytest.raises(DatabaseError, match="is only ever added to"), written.writing() as one:
            one.exec_driver_sql(way)
    with pytest.raises(IntegrityError), written.transaction() as one:
        one.execute(insert(table).values(forged))

    unharmed(written)


def test_whoever_deletes_a_user_deletes_no_decision(written: Database) -> None:
    with pytest.raises(DatabaseError), written.writing() as connection:
        connection.execute(text("DELETE FROM users"))

    unharmed(written)


def test_a_purge_deletes_what_is_old_and_adds_to_the_audit(written: Database) -> None:
    """It needs no way through the fence: nothing of a chain is ever purged."""
    with written.writing() as connection:
        values = {"fps": 1.0, "waiting": 0, "evicted": 0, "dropped": 0}
        connection.execute(
            insert(health).values(device_id=1, at=NOW - timedelta(days=400), **values)
        )

    done = purge(written, Limits.at(NOW - timedelta(days=30)), "rosa", "a year is over", NOW)

    assert (done.rows, done.number) == (1, 4)
    with written.reading() as connection:
        assert verify_all(connection)["audit"].rows == 4


def test_a_database_of_before_is_fenced_by_migrating(place: str) -> None:
    from alembic import command as alembic

    with Database(place) as database:
        config = configuration()
        with database.writing() as connection:
            config.attributes["connection"] = connection
            alembic.upgrade(config, "0001")
            assert fence.gaps(connection) == ["reviews", "audit"]
        with pytest.raises(DatabaseError, match=r"has version 0001.*dashboard migrate"):
            database.require()

        assert migrate(database) == ("0001", "0002")

        with database.reading() as connection:
            assert fence.gaps(connection) == []
            assert connection.execute(select(failed_logins)).all() == []
        assert database.check() == []


def test_a_fence_that_is_down_is_told_and_put_up_again(written: Database, place: str) -> None:
    down = (
        "DROP TRIGGER audit_fence_delete"
        if written.is_sqlite
        else "ALTER TABLE audit DISABLE TRIGGER ALL"
    )
    with written.writing() as connection:
        connection.execute(text(down))

    (fault,) = written.check()
    assert fault.startswith("nothing refuses changes to audit")
    done = CliRunner().invoke(command, ["dashboard", "check", "--database", place])
    assert "nothing refuses changes to audit" in str(done.exception)

    assert CliRunner().invoke(command, ["dashboard", "migrate", "--database", place]).exit_code == 0
    assert written.check() == []
    refused = pytest.raises(DatabaseError, match="audit is only ever added to")
    with refused, written.writing() as connection:
        connection.execute(text("DELETE FROM audit"))
    unharmed(written)


def test_a_trigger_of_the_same_name_that_refuses_nothing_is_no_fence(written: Database) -> None:
    ways: tuple[str, ...] = (
        "DROP TRIGGER reviews_fence_update",
        "CREATE TRIGGER reviews_fence_update BEFORE UPDATE ON reviews BEGIN SELECT 1; END",
    )
    if not written.is_sqlite:
        nothing = "RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$"
        ways = (f"CREATE OR REPLACE FUNCTION leuko_fence() {nothing}",)
    with written.writing() as connection:
        for way in ways:
            connection.exec_driver_sql(way)

    with written.reading() as connection:
        assert "reviews" in fence.gaps(connection)
