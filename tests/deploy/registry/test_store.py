"""The registry: whole after any interruption, refused with one line where it is none."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from deploy.dashboard.database.migrating import migrate
from deploy.dashboard.database.opening import Database
from deploy.registry.database import SCHEMA
from deploy.registry.errors import RegistryAwayError, RegistryError
from deploy.registry.record import Aside, Desired, Listened, Reported
from deploy.registry.store import MOST_ASIDE, Registry
from tests.deploy.registry.fleet import NEW, NOW, enrolled
from tests.postgres import Postgres

ONE, TWO = "lab/scope-1", "ward/scope-2"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


def aside(name: str = ONE, **changes: object) -> Aside:
    values = {"name": name, "leaf": "status", "why": "refused", "line": "broken", "count": 1}
    return Aside(**(values | {"first_at": NOW, "last_at": NOW} | changes))


def test_what_each_of_three_writers_says_stands_beside_the_others(place: str) -> None:
    wish = Desired(bundle=NEW, at=NOW, by="rollout 7")
    with Registry(place) as book, Registry(place) as other:
        book.enrol({ONE: enrolled(), TWO: enrolled()})
        other.desire({ONE: wish})
        with book.batch():
            assert book.report({ONE: Reported(state="online")}) == set()
        other.enrol({ONE: enrolled(standing="revoked")})
    with Registry(place) as book:
        one, two = book.devices()
        assert (one.desired, one.reported.state, one.site) == (wish, "online", "lab")
        assert one.enrolment.standing == "revoked"
        assert (two.desired, two.reported) == (None, Reported())
        assert [device.name for device in book.devices("ward")] == [TWO]


def test_it_is_on_the_disk_at_each_commit(path: Path) -> None:
    with Registry(path) as book, book._database.reading() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA synchronous")) == 2  # FULL


def test_killed_in_a_batch_it_is_as_before(place: str) -> None:
    with Registry(place) as book:
        book.enrol({ONE: enrolled()})
    code = (
        "import os, signal, sys\n"
        "from deploy.registry.record import Reported\n"
        "from deploy.registry.store import Registry\n"
        "book = Registry(sys.argv[1])\n"
        "with book.batch(): book.report({'lab/scope-1': Reported(state='online')})\n"
        "with book.batch():\n"
        "    book.report({'lab/scope-1': Reported(state='offline')})\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, place], check=False).returncode == -9
    with Registry(place) as book:
        assert book.device(ONE).reported.state == "online"


def test_a_wish_for_an_unknown_device_enters_nothing(place: str) -> None:
    with Registry(place) as book:
        book.enrol({ONE: enrolled()})
        wish = Desired(bundle=NEW, at=NOW, by="me")
        with pytest.raises(RegistryError, match=r"lab/scope-9 is not in the registry: nothing"):
            book.desire({ONE: wish, "lab/scope-9": wish})
        assert book.device(ONE).desired is None


def test_what_was_revoked_before_is_not_begun_and_what_is_known_stays(place: str) -> None:
    with Registry(place) as book:
        book.enrol({ONE: enrolled(), TWO: enrolled(standing="revoked")})
        book.enrol({ONE: enrolled(standing="expired")})
        assert [(one.name, one.enrolment.standing) for one in book.devices()] == [(ONE, "expired")]


def test_forgetting(place: str) -> None:
    with Registry(place) as book:
        book.enrol({ONE: enrolled()})
        with pytest.raises(RegistryError, match=r"is enrolled: `leuko-deploy pki revoke"):
            book.forget(ONE)
        book.enrol({ONE: enrolled(standing="revoked")})
        with book.batch():
            book.put_aside([aside()])
        book.forget(ONE)
        assert (book.devices(), book.aside()) == ([], [])
        with pytest.raises(RegistryError, match="is not in the registry"):
            book.forget(ONE)
        with book.batch():
            assert book.report({ONE: Reported()}) == {ONE}


def test_what_is_aside_is_counted_and_bounded(place: str) -> None:
    later = NOW + timedelta(seconds=9)
    with Registry(place) as book:
        with book.batch():
            book.put_aside([aside(), aside("x/x")])
            book.put_aside([aside(last_at=later, count=4, line="new")])
        first, second = book.aside()
        assert first.name == "x/x"
        assert (second.count, second.line, second.first_at) == (5, "new", NOW)
        with book.batch():
            book.put_aside(aside(f"flood/{n}", last_at=later) for n in range(MOST_ASIDE + 50))
        assert len(book.aside()) == MOST_ASIDE


def test_when_somebody_listened(place: str) -> None:
    with Registry(place) as book:
        assert book.listened is None
        with book.batch():
            book.listened_to(Listened(since=NOW, until=NOW))
        assert book.listened == Listened(since=NOW, until=NOW)


def test_a_full_disk_gets_one_line_and_leaves_what_was_there(path: Path) -> None:
    with Registry(path) as book:
        book.enrol({ONE: enrolled()})
        with book._database.reading() as connection:  # the only one, kept open
            pages = connection.scalar(text("PRAGMA page_count"))
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        with pytest.raises(RegistryError, match="cannot be written: database or disk is full"):
            book.enrol({f"site/{number}": enrolled() for number in range(1000)})
        assert [one.name for one in book.devices()] == [ONE]


def test_who_only_looks_needs_no_turn_at_writing(place: str) -> None:
    with Registry(place) as book, Registry(place) as other:
        book.enrol({ONE: enrolled()})
        with book.batch():
            other.enrol({ONE: enrolled()})
            assert [one.name for one in other.devices()] == [ONE]


def _another_program(path: Path) -> None:
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE theirs (x)")


def _newer(path: Path) -> None:
    Registry(path).close()
    with sqlite3.connect(path) as file:
        file.execute("PRAGMA user_version = 9")


@pytest.mark.parametrize(
    ("made", "line"),
    [
        (lambda path: path.mkdir(), "cannot be opened: unable to open database file"),
        (lambda path: path.write_bytes(b"no database" * 99), "cannot be opened: file is not a"),
        (_another_program, "is another program's database"),
        (_newer, "has format 9, this program knows 1: update this program"),
    ],
)
def test_what_cannot_be_opened_gets_one_line(
    path: Path, made: Callable[[Path], object], line: str
) -> None:
    made(path)
    with pytest.raises(RegistryError, match=line) as refused:
        Registry(path)
    assert "\n" not in str(refused.value)


def test_a_row_that_cannot_be_read_is_told(path: Path) -> None:
    with Registry(path) as book:
        book.enrol({ONE: enrolled()})
    with sqlite3.connect(path) as file:
        file.execute("UPDATE device SET reported = '{\"state\": 3}'")
    with Registry(path) as book, pytest.raises(RegistryError, match="row that cannot be read"):
        book.devices()


def test_places(tmp_path: Path) -> None:
    Registry(f"sqlite:///{tmp_path}/a.db").close()
    assert (tmp_path / "a.db").exists()
    with pytest.raises(RegistryError, match="is no place for the registry: write a file, or"):
        Registry("mysql://host/registry")
    with pytest.raises(RegistryError, match="no registry at"):
        Registry(tmp_path / "none.db", create=False)


# a file as the releases before wrote it, with the standard library alone
_AS_BEFORE = """
BEGIN IMMEDIATE;
CREATE TABLE device (
    name TEXT PRIMARY KEY, enrolment TEXT NOT NULL, desired TEXT, reported TEXT
) WITHOUT ROWID;
CREATE TABLE aside (
    name TEXT, leaf TEXT, why TEXT, line TEXT NOT NULL, first_at TEXT NOT NULL,
    last_at TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (name, leaf, why)
) WITHOUT ROWID;
CREATE TABLE listened (one INTEGER PRIMARY KEY CHECK (one = 1), document TEXT NOT NULL);
PRAGMA application_id = 0x4C455247;
PRAGMA user_version = 1;
COMMIT;
"""


def test_a_file_that_an_earlier_release_wrote_is_used_as_it_is(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.executescript(_AS_BEFORE)
        said = Reported(state="online").model_dump_json()
        row = (ONE, enrolled().model_dump_json(), None, said)
        file.execute("INSERT INTO device VALUES (?, ?, ?, ?)", row)
        file.execute("INSERT INTO aside VALUES (?, ?, ?, ?, ?, ?, ?)", (*_row(aside()),))
        span = Listened(since=NOW, until=NOW)
        file.execute("INSERT INTO listened VALUES (1, ?)", (span.model_dump_json(),))
        before = file.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()

    with Registry(path, create=False) as book:
        assert book.devices() == [book.device(ONE)]
        assert (book.device(ONE).reported.state, book.aside()) == ("online", [aside()])
        assert book.listened == Listened(since=NOW, until=NOW)
        book.enrol({TWO: enrolled()})
        with book.batch():
            book.put_aside([aside()])
            book.listened_to(Listened(since=NOW, until=NOW + timedelta(seconds=1)))
        assert book.aside()[0].count == 2

    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall() == before
        assert file.execute("PRAGMA user_version").fetchone() == (1,)
        assert file.execute("SELECT count(*) FROM device").fetchone() == (2,)


def _row(one: Aside) -> list[object]:
    values = one.model_dump(mode="json")
    return [values[key] for key in ("name", "leaf", "why", "line", "first_at", "last_at", "count")]


def test_another_programs_file_is_left_as_it_was(path: Path) -> None:
    _another_program(path)
    before = path.read_bytes()
    with pytest.raises(RegistryError, match="another program's"):
        Registry(path)
    assert path.read_bytes() == before


NAMES = [f"site/scope-{number}" for number in range(200)]


def write_in_turn(place: str, who: str, rounds: int) -> None:
    """One of three who write the same rows at once, in an order of its own."""
    with Registry(place) as book:
        for number in range(rounds):
            if who == "listener":
                with book.batch():
                    gone = book.report({name: Reported(seq=number) for name in NAMES})
                    assert gone == set()
            elif who == "rollout":
                wish = Desired(version=str(number), at=NOW, by="rollout")
                book.desire(dict.fromkeys(reversed(NAMES), wish))
            else:
                until = NOW + timedelta(days=number)
                book.enrol({name: enrolled(until=until) for name in sorted(NAMES, key=hash)})


def test_three_who_write_the_same_rows_take_turns(place: str) -> None:
    rounds = 10
    with Registry(place) as book:
        book.enrol({name: enrolled() for name in NAMES})
    with ThreadPoolExecutor() as pool:
        who = ("listener", "rollout", "journal")
        list(pool.map(write_in_turn, [place] * 3, who, [rounds] * 3))
    last = rounds - 1
    with Registry(place) as book:
        for one in book.devices():
            assert one.reported.seq == last
            assert one.desired is not None
            assert one.desired.version == str(last)
            assert one.enrolment.until == NOW + timedelta(days=last)


def test_a_registry_and_its_devices_have_one_order_everywhere(place: str) -> None:
    names = ["a/B", "a/a", "a-b/x", "B/z", "a/_"]
    with Registry(place) as book:
        book.enrol({name: enrolled() for name in names})
        assert [one.name for one in book.devices()] == sorted(names)
        assert [one.name for one in book.named(["a/a", "a/none", "B/z"])] == ["B/z", "a/a"]
        assert [one.name for one in book.named([*names, *NAMES, *map(str, range(600))])] == sorted(
            names
        )


def test_four_who_begin_it_at_once_begin_one(place: str) -> None:
    with ThreadPoolExecutor() as pool:
        for book in pool.map(Registry, [place] * 4):
            book.close()
    with Registry(place, create=False) as book:
        assert book.devices() == []


class TestPostgres:
    """What is so in PostgreSQL only."""

    @pytest.fixture
    def url(self, postgres: Postgres) -> Iterator[str]:
        fresh = postgres.fresh()
        yield fresh
        postgres.drop(fresh)

    def test_it_lies_beside_the_dashboards_tables_in_one_database(self, url: str) -> None:
        with Registry(url) as book, Database(url) as results:
            assert migrate(results)[0] is None
            results.require()
            book.enrol({ONE: enrolled()})
            with book.batch():
                book.put_aside([aside()])
            with results.reading() as connection:
                assert "device" not in inspect(connection).get_table_names()
                assert connection.scalar(text("SELECT count(*) FROM aside")) == 0
        with Registry(url, create=False) as book:
            assert len(book.aside()) == len(book.devices()) == 1

    def test_nothing_is_begun_by_who_only_looks(self, url: str) -> None:
        with pytest.raises(RegistryError, match="no registry at postgresql://"):
            Registry(url, create=False)
        with Database(url) as looking, looking.reading() as connection:
            assert SCHEMA not in inspect(connection).get_schema_names()

    def test_a_newer_one_and_another_programs_are_refused_in_a_line(self, url: str) -> None:
        Registry(url).close()
        with Database(url) as at, at.writing() as connection:
            connection.execute(text("UPDATE leuko_registry.format SET format = 9"))
        with pytest.raises(RegistryError, match="has format 9, this program knows 1: update this"):
            Registry(url)
        with Database(url) as at, at.writing() as connection:
            connection.execute(text(f"DROP TABLE {SCHEMA}.format"))
        with pytest.raises(RegistryError, match="is another program's database"):
            Registry(url)

    def test_a_schema_made_for_a_user_who_may_make_none_is_used(
        self, postgres: Postgres, url: str
    ) -> None:
        user = f"u{url[-12:]}"
        with Database(url) as at, at.writing() as connection:
            connection.execute(text(f"CREATE ROLE {user} LOGIN"))
        theirs = url.replace("leuko@", f"{user}@")
        with pytest.raises(RegistryError, match="permission denied"):
            Registry(theirs)
        with Database(url) as at, at.writing() as connection:
            connection.execute(text(f"CREATE SCHEMA {SCHEMA} AUTHORIZATION {user}"))
        with Registry(theirs) as book:
            book.enrol({ONE: enrolled()})
            assert [one.name for one in book.devices()] == [ONE]

    def test_who_waits_too_long_for_a_turn_gets_one_line(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("deploy.registry.database.WAIT_FOR_OTHERS_S", 1)
        with Registry(url) as book, Registry(url) as other:
            with book.batch(), pytest.raises(RegistryAwayError, match="lock timeout"):
                other.enrol({ONE: enrolled()})
            other.enrol({ONE: enrolled()})

    def test_a_server_that_does_not_answer_is_away_and_no_password_is_shown(self) -> None:
        with pytest.raises(RegistryAwayError, match="cannot be opened") as refused:
            Registry("postgresql://leuko:secret@127.0.0.1:1/x?sslmode=disable")
        assert "secret" not in str(refused.value)
        assert "\n" not in str(refused.value)

    def test_without_psycopg_it_is_said_what_to_install(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(RegistryError, match=r"pip install 'psycopg\[binary\]'"):
            Registry("postgresql://leuko@127.0.0.1:1/x")
