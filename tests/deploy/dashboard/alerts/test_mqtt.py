"""Alerts at a real broker: what is open lies there, and so does whether anybody watches."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from paho.mqtt.client import topic_matches_sub

from deploy.broker.rights import ALERTS, rights_of
from deploy.dashboard.alerts.message import AlertMessage
from deploy.dashboard.alerts.mqtt import WATCH_TOPIC, Broker, topic_of
from deploy.dashboard.alerts.outbox import NotTakenError, Outbox
from deploy.dashboard.alerts.watching import Watching, WatchSettings
from deploy.dashboard.database.opening import Database
from deploy.identity.names import parse_identity
from edge_daemon.contract.envelope import utc_now
from edge_daemon.delivery.link import Link, open_link
from edge_daemon.delivery.settings import BrokerSettings
from tests.deploy.dashboard.alerts.conftest import QUICK, Fleet
from tests.deploy.dashboard.fleet_day import Voice, enter, listens
from tests.mosquitto import Mosquitto

WITHIN_S = 30.0


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Generator[Mosquitto, None, None]:
    with Mosquitto(mosquitto, tmp_path / "broker") as one:
        yield one


class Ear:
    """Somebody who looks on: the last word of every topic, and all that was not retained."""

    def __init__(self, broker: Mosquitto) -> None:
        self.lies: dict[str, bytes] = {}
        self.heard: list[tuple[str, bytes]] = []
        settings = BrokerSettings.from_url(broker.url)
        self._link: Link = open_link(settings, "ear", on_arrival=self._arrived)
        self._link.subscribe(f"{ALERTS}/#")

    def _arrived(self, arrival: object) -> None:
        topic, payload = arrival.topic, arrival.payload  # type: ignore[attr-defined]
        self.heard.append((topic, payload))
        self.lies[topic] = payload

    def wait_for(self, so: Callable[[], object]) -> None:
        until_s = time.monotonic() + WITHIN_S
        while not so():
            assert time.monotonic() < until_s, f"it did not come; heard {self.heard}"
            self._link.pump(0.05)

    @property
    def open(self) -> list[AlertMessage]:
        return [
            AlertMessage.model_validate_json(payload)
            for topic, payload in self.lies.items()
            if topic != WATCH_TOPIC and payload
        ]

    @property
    def watched(self) -> bool:
        said = self.lies.get(WATCH_TOPIC)
        return said is not None and json.loads(said)["watching"]

    def close(self) -> None:
        self._link.close()


@pytest.fixture
def ear(broker: Mosquitto) -> Generator[Ear, None, None]:
    one = Ear(broker)
    yield one
    one.close()


def test_an_alert_lies_at_the_broker_until_it_is_over(
    database: Database, broker: Mosquitto, ear: Ear
) -> None:
    listens(database, utc_now())
    voice = Voice("lab", "scope-1")
    enter(database, (voice.status(utc_now(), "offline", "connection lost"), utc_now()))
    settings = WatchSettings((), BrokerSettings.from_url(broker.url), QUICK)
    with Watching(database, settings):
        ear.wait_for(lambda: ear.open and ear.watched)
        (one,) = ear.open
        assert (one.site, one.device, one.state) == ("lab", "scope-1", "open")
        assert topic_of(one) == f"{ALERTS}/alert/lab/scope-1/{one.id}"

        enter(database, (voice.status(utc_now()), utc_now()))
        ear.wait_for(lambda: not ear.open)
        words = [payload for topic, payload in ear.heard if topic == topic_of(one) and payload]
        assert AlertMessage.model_validate_json(words[-1]).state == "cleared"
    ear.wait_for(lambda: not ear.watched)


def test_a_watcher_that_dies_is_known_to_be_gone(fleet: Fleet, broker: Mosquitto, ear: Ear) -> None:
    one = Broker(BrokerSettings.from_url(broker.url), fleet.database, "alerts")
    one.idle(utc_now())
    ear.wait_for(lambda: ear.watched)
    assert one._link is not None
    one._link._client.socket().close()  # as a cut cable or a kill does it
    ear.wait_for(lambda: not ear.watched)


def test_what_was_not_taken_is_told_when_the_broker_is_back(
    fleet: Fleet, broker: Mosquitto
) -> None:
    outbox = Outbox(fleet.database, Broker.name)
    outbox.begin()
    one = Broker(BrokerSettings.from_url(broker.url), fleet.database, "alerts")
    one.idle(utc_now())
    broker.stop()
    fleet.pass_time(minutes=20)
    fleet.watch().round()
    due = outbox.due(fleet.now)
    assert due is not None
    with pytest.raises(NotTakenError, match="broker mqtt://"):
        one.tell(due, fleet.now)

    broker.start()
    while (due := outbox.due(fleet.now)) is not None:
        one.tell(due, fleet.now)
        outbox.taken(due, fleet.now)
    ear = Ear(broker)
    ear.wait_for(lambda: len(ear.open) == 2 and ear.watched)
    one.close()
    ear.close()


@pytest.mark.parametrize(
    ("who", "writes", "reads"),
    [
        ("dashboard:ward", True, True),
        ("receiver:ingest", False, False),
        ("controller:central", False, False),
        ("lab/scope-1", False, False),
    ],
)
def test_only_a_dashboard_writes_and_reads_alerts(who: str, writes: bool, reads: bool) -> None:
    rights = rights_of(parse_identity(who))
    topic = f"{ALERTS}/alert/lab/scope-1/7"
    assert any(topic_matches_sub(one, topic) for one in rights.writes) == writes
    assert any(topic_matches_sub(one, topic) for one in rights.reads) == reads
