"""What one process commits another hears, soon, and only when it is committed."""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from contextlib import suppress

from deploy.dashboard.changes import EVERYTHING, Change, Changes, announce
from deploy.dashboard.database.opening import Database

PATIENCE_S = 30.0
SLIDE, DEVICE = Change("slide", 3), Change("device", 1)


def tell(database: Database, *what: Change) -> None:
    with database.writing() as connection:
        announce(connection, what)


def test_a_change_is_heard_by_everybody_who_listens(database: Database) -> None:
    with Changes(database) as one, Changes(database) as other:
        tell(database, SLIDE, DEVICE)

        assert set(one.wait(PATIENCE_S)) == {SLIDE, DEVICE}
        assert set(other.wait(PATIENCE_S)) == {SLIDE, DEVICE}
        assert one.wait(0.2) == ()


def test_what_is_not_committed_is_not_heard(database: Database) -> None:
    with Changes(database) as heard:
        with suppress(RuntimeError), database.writing() as connection:
            announce(connection, [SLIDE])
            raise RuntimeError
        tell(database, DEVICE)

        assert heard.wait(PATIENCE_S) == (DEVICE,)


def test_it_is_heard_in_less_than_a_fifth_of_a_second(database: Database) -> None:
    took_ms: list[float] = []
    with Changes(database) as heard:
        for number in range(15):
            committed_s: list[float] = []

            def commit(number: int = number, at_s: list[float] = committed_s) -> None:
                time.sleep(0.03)
                tell(database, Change("slide", number))
                at_s.append(time.monotonic())

            teller = threading.Thread(target=commit)
            teller.start()
            assert heard.wait(PATIENCE_S) == (Change("slide", number),)
            now_s = time.monotonic()
            teller.join()
            took_ms.append((now_s - committed_s[0]) * 1000)

    assert statistics.median(took_ms) < 200


def test_many_changes_of_one_commit_are_all_heard(database: Database) -> None:
    many = {Change("slide", number) for number in range(1500)}
    with Changes(database) as heard:
        tell(database, *many)

        found: set[Change] = set()
        deadline_s = time.monotonic() + PATIENCE_S
        while found != many and time.monotonic() < deadline_s:
            found |= set(heard.wait(1.0))
    assert found == many


def test_a_web_application_awaits_it(database: Database) -> None:
    async def first() -> tuple[Change, ...]:
        with Changes(database) as heard:
            tell(database, SLIDE)
            async for told in heard:
                return told
        return ()

    assert asyncio.run(first()) == (SLIDE,)


def test_whoever_closes_it_ends_the_waiting(database: Database) -> None:
    with Changes(database) as heard:
        threading.Timer(0.1, heard.close).start()
        began_s = time.monotonic()

        assert list(heard) == []
        assert time.monotonic() - began_s < PATIENCE_S


def test_after_a_break_everything_is_to_be_looked_at_again(postgres, database: Database) -> None:
    if database.is_sqlite:
        return
    with Changes(database) as heard:
        postgres.restart()

        assert heard.wait(PATIENCE_S) == (EVERYTHING,)
        database.close()
        tell(database, SLIDE)
        assert heard.wait(PATIENCE_S) == (SLIDE,)
