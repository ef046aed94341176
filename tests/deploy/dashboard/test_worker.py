"""One worker at a real broker: what it acknowledges, receipts, keeps aside, and tells."""

from __future__ import annotations

import random
import statistics
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from deploy.dashboard.changes import Changes
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import boots, devices
from deploy.dashboard.ingest import worker as working
from deploy.dashboard.ingest.arrived import read
from deploy.dashboard.ingest.entering import Entering
from deploy.dashboard.ingest.worker import Worker
from deploy.dashboard.queries.aside import aside
from deploy.dashboard.queries.fleet import listening
from edge_daemon.contract.envelope import FromDevice, utc_now
from edge_daemon.contract.messages import Receipt, parse_message
from edge_daemon.delivery.link import Arrival, Link, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.receiver import wait_until
from tests.deploy.dashboard.content import entered, said
from tests.deploy.dashboard.speakers import Speaker, arrival, parcel_of
from tests.edge_daemon.delivery.inbox import brisk
from tests.mosquitto import Mosquitto

PATIENCE_S = 30.0


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Generator[Mosquitto, None, None]:
    with Mosquitto(mosquitto, tmp_path / "broker") as started:
        yield started


@contextmanager
def running(worker: Worker) -> Iterator[Worker]:
    """In a thread of its own, which opened its connection."""
    stopping, ready = threading.Event(), threading.Event()

    def run() -> None:
        worker.connect()
        ready.set()
        while not stopping.is_set():
            worker.step()
        worker.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield worker
    finally:
        stopping.set()
        thread.join(PATIENCE_S)


class Mouth:
    """Says messages, and hears receipts."""

    def __init__(self, url: str) -> None:
        self.receipts: list[Receipt] = []
        self._link = open_link(brisk(url), "mouth", on_arrival=self._heard)
        self._link.subscribe("leukoedge/v1/+/+/receipt")

    def _heard(self, came: Arrival) -> None:
        message = parse_message(came.payload)
        assert isinstance(message, Receipt)
        self.receipts.append(message)

    def say(self, *messages: FromDevice | Parcel) -> None:
        for one in messages:
            self._link.publish(one if isinstance(one, Parcel) else parcel_of(one))
            self._link.pump(0.0)
        self.hear(lambda: True)

    def hear(self, condition: Callable[[], bool]) -> bool:
        def turn() -> bool:
            self._link.pump(0.01)
            return condition()

        return wait_until(turn, PATIENCE_S)

    def close(self) -> None:
        self._link.close()


@pytest.fixture
def mouth(broker: Mosquitto) -> Generator[Mouth, None, None]:
    one = Mouth(broker.url)
    yield one
    one.close()


def test_a_receipt_claims_what_is_committed_and_nothing_else(
    database: Database, broker: Mosquitto, mouth: Mouth
) -> None:
    speaker = Speaker("lab", "scope-1")
    messages = [speaker.frame() for _ in range(5)]
    with running(Worker(brisk(broker.url), database)):
        mouth.say(messages[0], messages[1], messages[4])

        assert mouth.hear(lambda: any(one.beyond for one in mouth.receipts))
        assert (mouth.receipts[-1].up_to_seq, mouth.receipts[-1].beyond) == (2, ((5, 5),))
        mouth.say(*messages[2:4])
        assert mouth.hear(lambda: mouth.receipts[-1].up_to_seq == 5)
    assert entered(database) == said(messages)


def test_what_waited_while_nobody_was_there_is_entered_by_the_next(
    database: Database, broker: Mosquitto, mouth: Mouth
) -> None:
    with running(Worker(brisk(broker.url), database)):
        pass  # its session stays with the broker
    speaker = Speaker("lab", "scope-1")
    messages = list(speaker.some(30))
    mouth.say(*messages)
    with running(Worker(brisk(broker.url), database)):
        assert mouth.hear(lambda: entered(database) == said(messages))


def test_what_the_database_refuses_is_kept_aside_and_stops_nobody(
    database: Database, broker: Mosquitto, mouth: Mouth, caplog: pytest.LogCaptureFixture
) -> None:
    good, bad = Speaker("lab", "scope-1"), Speaker("lab", "scope-2")
    too_large = bad.frame().model_copy(update={"frame": 2**70})
    messages = [good.frame() for _ in range(3)]
    with running(Worker(brisk(broker.url), database)):
        mouth.say(messages[0], too_large, *messages[1:])
        assert mouth.hear(lambda: entered(database) == said(messages))
    with database.reading() as connection:
        (kept,) = aside(connection)
    assert (kept.device, kept.why) == ("scope-2", "not stored")
    assert "lab/scope-2: kept aside" in caplog.text


def test_text_that_a_database_cannot_hold_loses_no_message(
    database: Database, broker: Mosquitto, mouth: Mouth
) -> None:
    speaker = Speaker("lab", "scope-1")
    odd = speaker.rejected().model_copy(update={"reason": "a\0b"})
    with running(Worker(brisk(broker.url), database)):
        mouth.say(odd)
        assert mouth.hear(lambda: entered(database) == said([odd]))


def test_while_the_database_is_away_memory_is_bounded_and_nothing_is_lost(
    database: Database, broker: Mosquitto, mouth: Mouth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "MOST_UNACKNOWLEDGED", 20)
    monkeypatch.setattr(working, "MOST_AT_QOS_0", 5)
    away = threading.Event()
    away.set()
    enter = Entering.enter

    def refuse(*arguments, **more):
        if away.is_set():
            raise OperationalError("COMMIT", {}, Exception("the server went away"))
        return enter(*arguments, **more)

    monkeypatch.setattr(Entering, "enter", refuse)
    worker = Worker(brisk(broker.url), database)
    speaker = Speaker("lab", "scope-1")
    messages = [speaker.frame() for _ in range(100)]
    with running(worker):
        mouth.say(*messages[:50], *(speaker.health() for _ in range(30)), *messages[50:])
        assert mouth.hear(lambda: worker.tally.given_up > 0 and worker.tally.failures > 1)
        assert worker.tally.waiting <= 20 + 5
        away.clear()
        assert mouth.hear(lambda: entered(database) == said(messages))


def test_from_published_to_told_in_a_fifth_of_a_second(
    database: Database, broker: Mosquitto, mouth: Mouth
) -> None:
    speaker = Speaker("lab", "scope-1")
    took_ms: list[float] = []
    with running(Worker(brisk(broker.url), database)), Changes(database) as heard:
        for _ in range(21):
            while heard.wait(0.1):
                pass
            began_s = time.monotonic()
            mouth.say(speaker.frame())
            while told := heard.wait(PATIENCE_S):  # that a worker listens is told besides
                if any(one.kind == "slide" for one in told):
                    break
            assert told
            took_ms.append((time.monotonic() - began_s) * 1000)
    print(f"published to told: median {statistics.median(took_ms):.0f} ms, most {max(took_ms):.0f}")
    assert statistics.median(took_ms) < 200


def test_it_says_that_it_listens_until_it_stops(database: Database, broker: Mosquitto) -> None:
    def active() -> int:
        with database.reading() as connection:
            return len(listening(connection, utc_now()).active)

    with running(Worker(brisk(broker.url), database, name="left")):
        assert wait_until(lambda: active() == 1, PATIENCE_S)
    assert active() == 0


def test_a_status_that_the_broker_kept_is_heard_by_who_comes_later(
    database: Database, broker: Mosquitto, mouth: Mouth
) -> None:
    mouth.say(Speaker("lab", "scope-1").status())
    with running(Worker(brisk(broker.url), database, share="group-7f3a")):

        def known() -> bool:
            with database.reading() as connection:
                return connection.scalar(select(devices.c.state)) == "online"

        assert wait_until(known, PATIENCE_S)
    with database.reading() as connection:  # and it is no sign of life
        assert connection.scalar(select(devices.c.seen_at)) is None


def test_workers_at_once_enter_each_message_once(database: Database) -> None:
    """Four of them, each with all messages of all devices in an order of its own."""
    speakers = [Speaker("lab", f"scope-{number}") for number in range(6)]
    messages = [one for speaker in speakers for one in speaker.some(24)]
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        worker, queue = Entering(database), list(messages)
        random.Random(seed).shuffle(queue)
        try:
            for start in range(0, len(queue), 9):
                batch = [read(arrival(one), utc_now()) for one in queue[start : start + 9]]
                worker.enter([one for one in batch if one is not None], utc_now())
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert failures == []
    assert entered(database) == said(messages)
    with database.reading() as connection:
        repeats = connection.scalar(select(func.sum(boots.c.repeats)))
    assert repeats == 3 * len(said(messages))


def test_a_link_gets_no_more_than_it_acknowledges(mosquitto: Path, tmp_path: Path) -> None:
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        came: list[Arrival] = []
        link = open_link(brisk(broker.url), "slow", on_arrival=came.append, most_unacknowledged=5)
        link.subscribe("leukoedge/v1/#")
        mouth = Mouth(broker.url)
        mouth.say(*(Speaker("lab", "scope-1").frame() for _ in range(12)))

        assert wait_until(lambda: _pumped(link, mouth) and len(came) == 5, PATIENCE_S)
        assert not wait_until(lambda: _pumped(link, mouth) and len(came) > 5, 0.3)
        for one in came[:3]:
            link.acknowledge(one.mid or 0)
        assert wait_until(lambda: _pumped(link, mouth) and len(came) == 8, PATIENCE_S)
        link.close()
        mouth.close()


def _pumped(link: Link, mouth: Mouth) -> bool:
    mouth.hear(lambda: True)
    return link.pump(0.01)
