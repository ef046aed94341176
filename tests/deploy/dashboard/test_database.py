"""The tables: made from nothing, brought up to date, refused where they are of another version."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from deploy.dashboard.database import versions
from deploy.dashboard.database.migrating import configuration, migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import METADATA
from deploy.dashboard.errors import DatabaseError


def test_the_migrations_make_the_tables_that_the_program_uses(database: Database) -> None:
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, METADATA)

    foreign = [one for one in found if not _of_a_partition(one)]
    assert foreign == []


def _of_a_partition(difference: object) -> bool:
    return isinstance(difference, tuple) and str(getattr(difference[1], "name", "")).startswith(
        "frames_"
    )


def test_every_version_has_a_migration_and_every_migration_a_version() -> None:
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(configuration())

    known = tuple(reversed([one.revision for one in script.walk_revisions()]))
    assert known == versions.VERSIONS


def test_migrating_again_changes_nothing(place: str) -> None:
    with Database(place) as database:
        assert migrate(database) == (None, versions.NEWEST)
        assert migrate(database) == (versions.NEWEST, versions.NEWEST)
        database.require()


def test_a_database_of_a_newer_version_is_refused_in_a_line(database: Database) -> None:
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9000'"))

    for refused in (database.require, lambda: migrate(database)):
        with pytest.raises(DatabaseError, match=r"has version 9000.*update this program"):
            refused()


def test_an_empty_database_says_what_to_do(place: str) -> None:
    with Database(place) as database, pytest.raises(DatabaseError, match="dashboard migrate"):
        database.require()


def test_another_programs_database_is_left_alone(place: str) -> None:
    with Database(place) as database:
        with database.writing() as connection:
            connection.execute(text("CREATE TABLE theirs (one INTEGER)"))

        with pytest.raises(DatabaseError, match="another program's"):
            migrate(database)
        with database.reading() as connection:
            assert inspect(connection).get_table_names() == ["theirs"]


def test_a_migration_that_fails_leaves_nothing_behind(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("deploy.dashboard.database.migrating.make_partitions", fail)
    with Database(place) as database:
        with pytest.raises(RuntimeError):
            migrate(database)
        with database.reading() as connection:
            assert inspect(connection).get_table_names() == []


def test_sqlite_flushes_every_commit_and_writes_beside_readers(tmp_path: Path) -> None:
    with Database(tmp_path / "dashboard.db") as database, database.reading() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1


@pytest.mark.parametrize("place", ["mysql://x/y", "sqlite://", "://", "postgresql://h:port/x"])
def test_what_is_no_place_for_a_database_is_said(place: str) -> None:
    with pytest.raises(DatabaseError, match="write a file"):
        Database(place)


def test_no_password_is_ever_shown() -> None:
    database = Database("postgresql://leuko:secret@127.0.0.1:1/x")
    with pytest.raises(DatabaseError) as error:
        database.require()

    assert "secret" not in str(error.value)
    assert "secret" not in database.name


def test_the_command_migrates_and_checks(place: str) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        code = "from deploy.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, "dashboard", *words, "--database", place],
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    refused = command("check")
    assert refused.returncode == 20
    assert "leuko-deploy dashboard migrate" in refused.stderr
    assert "to version 0002" in command("migrate").stdout
    assert "already" in command("migrate").stdout
    well = command("check")
    assert well.returncode == 0, well.stderr
    assert "is well" in well.stdout
    assert "nobody takes in messages" in well.stdout
