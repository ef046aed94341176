"""Failed logins are counted once for all processes, kept as digests, and forgotten in time."""

from __future__ import annotations

import http.cookiejar
import re
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone

import pytest
from sqlalchemy import select

from deploy.dashboard.access import users
from deploy.dashboard.access.limits import FailedLogins, LoginLimits
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import failed_logins
from deploy.dashboard.errors import DatabaseError
from tests.deploy.dashboard.web.browser import PASSWORD

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
LIMITS = LoginLimits(per_user=2, per_address=10, window_s=60)


class Clock:
    """One that is set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def go_on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def kept(database: Database) -> list[tuple[str, datetime]]:
    with database.reading() as connection:
        rows = connection.execute(select(failed_logins).order_by(failed_logins.c.id))
        return [(row.key, row.at) for row in rows]


def test_failures_are_forgotten_after_a_while_and_by_a_login(
    database: Database, clock: Clock
) -> None:
    logins = FailedLogins(database, LIMITS, clock)

    assert [logins.attempt("rosa", "::1") for _ in range(3)] == [0, 0, 60]
    assert logins.attempt("ruth", "::1") == 0
    clock.go_on(61)
    assert logins.attempt("rosa", "::1") == 0
    logins.succeeded("rosa", "::1")
    assert [logins.attempt("rosa", "::1") for _ in range(2)] == [0, 0]


def test_a_try_waits_until_the_oldest_of_the_last_ones_is_forgotten(
    database: Database, clock: Clock
) -> None:
    logins = FailedLogins(database, LIMITS, clock)
    logins.attempt("rosa", "::1")
    clock.go_on(40)
    logins.attempt("rosa", "::1")

    assert logins.attempt("rosa", "::1") == 20
    clock.go_on(20)
    assert logins.attempt("rosa", "::1") == 0
    assert logins.attempt("rosa", "::1") == 40


def test_an_address_keeps_what_failed_for_other_names(database: Database, clock: Clock) -> None:
    """Whoever has an account of their own cannot use it to be forgiven for guessing at others'."""
    logins = FailedLogins(database, LoginLimits(per_user=2, per_address=4, window_s=60), clock)
    for name in ("rosa", "ruth", "lena"):
        assert logins.attempt(name, "192.0.2.7") == 0
        assert logins.attempt("vera", "192.0.2.7") == 0
        logins.succeeded("vera", "192.0.2.7")

    assert logins.attempt("anna", "192.0.2.7") == 0
    assert logins.attempt("vera", "192.0.2.7") == 60
    assert logins.attempt("vera", "192.0.2.8") == 0


def test_two_processes_count_together(database: Database, clock: Clock) -> None:
    with Database(str(database.url.render_as_string(hide_password=False))) as another:
        one = FailedLogins(database, LIMITS, clock)
        other = FailedLogins(another, LIMITS, clock)

        assert [one.attempt("rosa", "::1"), other.attempt("rosa", "::1")] == [0, 0]
        assert [one.attempt("rosa", "::1"), other.attempt("rosa", "::1")] == [60, 60]
        other.succeeded("rosa", "::1")
        assert one.attempt("rosa", "::1") == 0


def test_a_hundred_tries_at_once_are_a_hundred(database: Database, clock: Clock) -> None:
    logins = FailedLogins(database, LoginLimits(per_user=8), clock)
    answers: list[float] = []
    together = threading.Barrier(6)

    def guess() -> None:
        together.wait()
        answers.extend(logins.attempt("rosa", "::1") for _ in range(5))

    threads = [threading.Thread(target=guess) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert len(answers) == 30
    assert answers.count(0) == 8


def test_what_is_over_goes_and_what_waits_writes_nothing(database: Database, clock: Clock) -> None:
    logins = FailedLogins(database, LIMITS, clock)
    for _ in range(20):
        logins.attempt("rosa", "::1")
    assert len(kept(database)) == 4, "two tries, each by user and by address"
    clock.go_on(61)
    logins.attempt("ruth", "::1")

    assert [at for _, at in kept(database)] == [clock.now] * 2


def test_what_is_typed_is_not_kept(database: Database, clock: Clock) -> None:
    logins = FailedLogins(database, LIMITS, clock)
    for typed in ("rosa", PASSWORD, "", "é\x00\ud800", "x" * 10_000):
        assert logins.attempt(typed, "192.0.2.7") == 0

    keys = [key for key, _ in kept(database)]
    assert len(keys) == 10
    assert all(re.fullmatch(r"[0-9a-f]{64}", key) for key in keys)
    assert len(set(keys)) == 6, "five names, one address"


def test_a_clock_that_was_set_back_locks_nobody_out(database: Database, clock: Clock) -> None:
    logins = FailedLogins(database, LIMITS, clock)
    logins.attempt("rosa", "::1")
    logins.attempt("rosa", "::1")
    clock.go_on(-3600)

    assert logins.attempt("rosa", "::1") == 0
    assert len(kept(database)) == 2


def test_a_machine_whose_clock_is_a_little_behind_counts_too(
    database: Database, clock: Clock
) -> None:
    logins = FailedLogins(database, LIMITS, clock)
    logins.attempt("rosa", "::1")
    logins.attempt("rosa", "::1")
    clock.go_on(-5)

    assert logins.attempt("rosa", "::1") == 60


def test_where_nothing_can_be_counted_nobody_comes_in(database: Database, clock: Clock) -> None:
    with database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE failed_logins")

    with pytest.raises(DatabaseError):
        FailedLogins(database, LIMITS, clock).attempt("rosa", "::1")


@contextmanager
def process(place: str) -> Iterator[subprocess.Popen[str]]:
    """`leuko-deploy dashboard serve` on a free port."""
    started = subprocess.Popen(
        [
            sys.executable, "-c", "from deploy.cli import main; main()",
            "dashboard", "serve", "--database", place, "--port", "0",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        yield started
    finally:
        started.terminate()
        started.wait(30)


def address_of(started: subprocess.Popen[str]) -> str:
    """Where it says that it listens."""
    assert started.stdout is not None
    said = started.stdout.readline()
    found = re.search(r"http://[\w.:]+", said)
    assert found is not None, said
    return found[0]


def login(url: str, name: str, password: str) -> int:
    """The status that a browser without any cookie is given."""
    jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(jar)
    browser.addheaders = [("Accept", "text/html")]
    page = browser.open(f"{url}/login").read().decode()
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    assert token is not None
    form = {"name": name, "password": password, "csrf": token[1]}
    try:
        return int(browser.open(f"{url}/login", urllib.parse.urlencode(form).encode()).status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def servers(database: Database, place: str) -> Generator[list[str], None, None]:
    """Two processes on one database."""
    with database.writing() as connection:
        users.add(connection, "rosa", "reviewer", PASSWORD)
    with process(place) as one, process(place) as other:
        yield [address_of(one), address_of(other)]


def test_a_second_process_gives_a_guesser_no_more_tries(servers: list[str]) -> None:
    guesses = [login(servers[turn % 2], "rosa", f"guess {turn}") for turn in range(10)]

    assert guesses == [401] * 8 + [429] * 2
    assert [login(url, "rosa", PASSWORD) for url in servers] == [429, 429]
