"""The chain of decisions: whatever is changed, deleted, moved or put in between is noticed."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.cli import app as command
from deploy.dashboard.access import users
from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import audit, reviews
from deploy.dashboard.review import anchor
from deploy.dashboard.review.chain import append, head, verify
from deploy.dashboard.review.errors import ChainError
from deploy.dashboard.review.records import record
from edge_daemon.contract.envelope import utc_now
from edge_daemon.errors import LeukoError
from tests.deploy.dashboard.web.browser import PASSWORD
from tests.soak import repeated

ROWS = 9
COLUMNS = [column.name for column in reviews.columns]


def add(database: Database, unique_id: int, user: str = "rosa") -> int:
    with database.writing() as connection:
        who = users.find(connection, user)
        values = {
            "at": utc_now(),
            "user_id": who.id,
            "user_name": who.name,
            "kind": "override",
            "slide_id": 7,
            "unique_id": unique_id,
            "label": "blast",
            "was": "normal",
            "reason": "Größe ≠ erwartet" if unique_id % 2 else None,
        }
        return append(connection, reviews, values, bundle="sha256:" + "7" * 64)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with some decisions."""
    file = tmp_path_factory.mktemp("chain") / "chain.db"
    with Database(file) as database:
        migrate(database)
        with database.writing() as connection:
            users.add(connection, "rosa", "reviewer", PASSWORD)
        for unique_id in range(ROWS):
            add(database, unique_id)
    return file


def tampering(file: Path) -> closing[sqlite3.Connection]:
    """The file open to somebody who owns it, and who took the fence down first."""
    raw = sqlite3.connect(file, isolation_level=None)
    triggers = raw.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    assert triggers
    for (name,) in triggers:
        raw.execute(f"DROP TRIGGER {name}")
    return closing(raw)


def check(file: Path, held: anchor.Anchor | None = None) -> None:
    with Database(file) as database, database.reading() as connection:
        anchor.verify_all(connection, held)


def test_an_untouched_chain_holds(written: Path) -> None:
    check(written)
    with Database(written) as database, database.reading() as connection:
        assert verify(connection, reviews).rows == ROWS
        assert verify(connection, audit).rows == 0


@given(data=st.data())
@settings(max_examples=repeated(60), suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tampering_is_noticed_and_the_row_is_named(
    written: Path, tmp_path: Path, data: st.DataObject
) -> None:
    file = Path(shutil.copy(written, tmp_path / "tampered.db"))
    row = data.draw(st.integers(1, ROWS))
    how = data.draw(st.sampled_from(["change", "delete", "swap", "insert", "document"]))
    first = row
    with tampering(file) as raw:
        if how == "change":
            column = data.draw(st.sampled_from([name for name in COLUMNS if name != "id"]))
            before = raw.execute(f"SELECT {column} FROM reviews WHERE id = ?", (row,)).fetchone()[0]  # noqa: S608
            value = data.draw(st.one_of(st.integers(0, 2**40), st.text(max_size=70)))
            if value == before or str(value) == str(before):
                return
            raw.execute(f"UPDATE reviews SET {column} = ? WHERE id = ?", (value, row))  # noqa: S608
        elif how == "document":
            (text,) = raw.execute("SELECT document FROM reviews WHERE id = ?", (row,)).fetchone()
            said = json.loads(text) | {"bundle": "sha256:" + "0" * 64}
            raw.execute("UPDATE reviews SET document = ? WHERE id = ?", (json.dumps(said), row))
        elif how == "delete":
            if row == ROWS:  # the end: only an anchor knows
                return
            raw.execute("DELETE FROM reviews WHERE id = ?", (row,))
        elif how == "swap":
            other = data.draw(st.integers(1, ROWS).filter(lambda number: number != row))
            first = min(row, other)
            for old, new in ((row, -1), (other, row), (-1, other)):
                raw.execute("UPDATE reviews SET id = ? WHERE id = ?", (new, old))
        else:
            for number in range(ROWS, row - 1, -1):
                raw.execute("UPDATE reviews SET id = ? WHERE id = ?", (number + 1, number))
            copied = ", ".join(name for name in COLUMNS if name not in ("id", "previous", "hash"))
            raw.execute(
                f"INSERT INTO reviews (id, previous, hash, {copied}) "  # noqa: S608
                f"SELECT ?, 'x', 'y', {copied} FROM reviews WHERE id = ?",
                (row, row + 1),
            )

    with pytest.raises(LeukoError, match=rf"reviews: row {first} |cannot be read"):
        check(file)


def test_an_end_that_was_cut_off_is_known_by_an_anchor(written: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(written, tmp_path / "cut.db"))
    with Database(file) as database, database.reading() as connection:
        held = anchor.read(anchor.make(connection).to_json())
    with tampering(file) as raw:
        raw.execute("DELETE FROM reviews WHERE id > ?", (ROWS - 2,))

    check(file)
    with pytest.raises(ChainError, match=f"row {ROWS - 1} is missing.*{ROWS} rows, here are"):
        check(file, held)


def test_a_chain_that_was_written_anew_is_known_by_an_anchor(written: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(written, tmp_path / "anew.db"))
    with Database(file) as database:
        with database.reading() as connection:
            held = anchor.make(connection)
        with tampering(file) as raw:
            raw.execute("DELETE FROM reviews WHERE id > 3")
        for unique_id in range(100, 100 + ROWS):
            add(database, unique_id)

    check(file)
    with pytest.raises(ChainError, match=f"row {ROWS} is not the one"):
        check(file, held)


def test_a_chain_may_grow_past_its_anchor(written: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(written, tmp_path / "grown.db"))
    with Database(file) as database:
        with database.reading() as connection:
            held = anchor.make(connection)
        add(database, 50)
    check(file, held)


def test_an_anchor_of_another_database_holds_nothing(written: Path, tmp_path: Path) -> None:
    with Database(tmp_path / "other.db") as database:
        migrate(database)
        with database.reading() as connection:
            held = anchor.make(connection)
    with pytest.raises(ChainError, match="another database"):
        check(written, held)


def test_an_anchor_says_who_signed_it(written: Path) -> None:
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    with Database(written) as database, database.reading() as connection:
        signed, plain = anchor.make(connection, key).to_json(), anchor.make(connection).to_json()

    assert anchor.read(signed, key.public_key()).heads["reviews"].rows == ROWS
    forged = signed.replace(f'"rows":{ROWS}', '"rows":1')
    for text, public in (
        (signed, other.public_key()), (plain, key.public_key()), (forged, key.public_key()),
    ):  # fmt: skip
        with pytest.raises(ChainError, match="not signed with this key"):
            anchor.read(text, public)
    for nonsense in ("", "[]", '{"schema": 1}', '{"schema": "leukoedge.anchor/1"}'):
        with pytest.raises(ChainError):
            anchor.read(nonsense)


def test_writers_at_once_make_one_chain(database: Database) -> None:
    """Of both databases: no branch, no gap, nobody refused."""
    with database.writing() as connection:
        users.add(connection, "rosa", "reviewer", PASSWORD)
    numbers: list[int] = []

    def write(first: int) -> None:
        numbers.extend(add(database, first + turn) for turn in range(8))

    threads = [threading.Thread(target=write, args=(100 * place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert sorted(numbers) == list(range(1, 33))
    with database.reading() as connection:
        assert verify(connection, reviews).rows == 32


def test_what_is_rolled_back_leaves_no_gap(database: Database) -> None:
    class Changed(Exception):  # noqa: N818
        pass

    def cut_off() -> None:
        with database.writing() as connection:
            record(connection, "rosa", "sign in", "rosa")
            raise Changed

    with pytest.raises(Changed):
        cut_off()
    with database.writing() as connection:
        assert record(connection, "rosa", "sign in", "rosa") == 1
        assert head(connection, audit).rows == 1
    with database.reading() as connection:
        assert verify(connection, audit).rows == 1


def test_the_commands_check_and_anchor(written: Path, tmp_path: Path) -> None:
    file = Path(shutil.copy(written, tmp_path / "cli.db"))
    kept = tmp_path / "anchor.json"

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(command, ["dashboard", *arguments, "--database", str(file)])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            return f"{type(done.exception).__name__}: {done.exception}"
        return done.output

    assert "keep it where" in run("anchor", "--out", str(kept))
    assert f"reviews: {ROWS} rows hold" in run("verify")
    assert "held to no anchor" in run("verify")
    assert "nothing that was there then is missing" in run("verify", "--anchor", str(kept))
    with tampering(file) as raw:
        raw.execute("UPDATE reviews SET label = 'normal' WHERE id = 4")
    assert "ChainError: reviews: row 4 was changed" in run("verify")
    assert "ChainError: reviews: row 4 was changed" in run("anchor"), (
        "nobody anchors what is broken"
    )


def test_the_commands_keep_users(
    written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copy(written, tmp_path / "users.db"))
    monkeypatch.setenv("LEUKO_USER_PASSWORD", PASSWORD)

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(
            command, ["dashboard", "user", *arguments, "--database", str(file)]
        )
        return done.output if done.exception is None else str(done.exception)

    assert run("add", "otto", "--role", "admin", "--full-name", "Otto O.") == (
        "otto may come in as admin\n"
    )
    assert "is there already" in run("add", "otto")
    assert run("role", "rosa", "lead") == "rosa is lead\n"
    assert run("password", "rosa") == "rosa has another password\n"
    assert "last admin" in run("disable", "otto")
    assert run("disable", "rosa") == "rosa may come in no longer\n"
    assert "rosa                 lead" in run("list")
    assert json.loads(run("list", "--json"))[1]["active"] is False
    assert run("disable", "rosa", "--enable") == "rosa may come in again\n"
    with Database(file) as database, database.reading() as connection:
        assert verify(connection, audit).rows == 5
