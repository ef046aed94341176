"""What devices say over a real Mosquitto arrives in the registry, whoever is killed meanwhile."""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.registry.connection import settings_of
from deploy.registry.drift import Limits, short
from deploy.registry.listening import Listener
from deploy.registry.record import Device
from deploy.registry.store import Registry
from deploy.registry.watch import watch
from edge_daemon.contract.messages import Message
from edge_daemon.contract.topics import channel_of, topic_of
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.errors import BrokerError, ConfigError
from tests.deploy.broker.device import PATIENCE_S, Voice
from tests.deploy.broker.device import Device as RunningDevice
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.deploy.registry.fleet import NEW, A, B, control, enrolled, health, status, summary
from tests.edge_daemon.delivery.inbox import brisk
from tests.mosquitto import Mosquitto
from tests.postgres import Postgres

ONE = "lab/scope-1"


@pytest.fixture
def broker(mosquitto: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(mosquitto, tmp_path / "broker") as running:
        yield running


@pytest.fixture
def registry(place: str) -> Iterator[Registry]:
    with Registry(place) as book:
        book.enrol({ONE: enrolled(), "lab/scope-2": enrolled()})
        yield book


@pytest.fixture
def listener(broker: Mosquitto, registry: Registry) -> Iterator[Listener]:
    with Listener(brisk(broker.url), registry) as listening:
        listening.connect()
        yield listening


@pytest.fixture
def voice(broker: Mosquitto) -> Iterator[Voice]:
    speaking = Voice(brisk(broker.url), uuid.uuid4().hex)
    yield speaking
    speaking.close()


def say(voice: Voice, message: Message) -> None:
    assert voice.say(topic_of(message), message.to_json(), retain=channel_of(message).retained) in (
        None,
        "no matching subscribers",
    )


def hears(listener: Listener, condition: Callable[[], bool]) -> bool:
    def now() -> bool:
        listener.step()
        return condition()

    return wait_until(now, PATIENCE_S)


def knows(
    listener: Listener, registry: Registry, what: Callable[[Device], bool], name: str = ONE
) -> bool:
    return hears(listener, lambda: what(registry.device(name)))


def test_everything_that_a_device_says_of_itself_is_kept(
    listener: Listener, registry: Registry, voice: Voice
) -> None:
    for message in (status(), health(seq=2, bundle=NEW), control(), summary(slide="S-1")):
        say(voice, message)
    assert knows(listener, registry, lambda one: one.reported.screened_at is not None)
    reported = registry.device(ONE).reported
    assert (reported.state, reported.version, reported.bundle) == ("online", "1.0.0", NEW)
    assert (reported.control, reported.waiting) == ("passed", 3)
    assert registry.device("lab/scope-2").reported.seen_at is None
    assert registry.listened is not None
    assert registry.aside() == []


def test_a_status_from_before_is_known_at_once_and_is_no_sign_of_life(
    broker: Mosquitto, registry: Registry, voice: Voice
) -> None:
    say(voice, status())
    with Listener(brisk(broker.url), registry) as listener:
        listener.connect()
        assert knows(listener, registry, lambda one: one.reported.state == "online")
        assert registry.device(ONE).reported.seen_at is None


def test_two_daemons_of_one_name_are_found_out(
    listener: Listener, registry: Registry, voice: Voice
) -> None:
    for seq, boot_id in enumerate((A, B, A, B)):
        say(voice, health(boot_id=boot_id, seq=seq))
    assert knows(listener, registry, lambda one: one.reported.doubled_at is not None)


def test_what_cannot_be_entered_is_kept_aside_and_told_once(
    listener: Listener, registry: Registry, voice: Voice, caplog: pytest.LogCaptureFixture
) -> None:
    newer = status().to_json().replace(b"leukoedge.status/1", b"leukoedge.status/2")
    topic = topic_of(status())
    with caplog.at_level(logging.WARNING, "deploy.registry"):
        for payload in (newer, newer, b"{", health().to_json()):
            voice.say(topic, payload)
        voice.say(topic_of(summary(slide="Doe-1958")), b"[1, 2]")
        say(voice, status("lab/stranger"))
        assert hears(listener, lambda: len(registry.aside()) == 4)
    found = {(one.name, one.leaf, one.why): one for one in registry.aside()}
    assert found[ONE, "status", "unknown schema"].count == 2
    assert found[ONE, "status", "refused"].count == 2
    assert found[ONE, "summary", "refused"].line == "message refused: not a JSON object"
    assert found["lab/stranger", "status", "unknown device"].count == 1
    told = [record.getMessage() for record in caplog.records]
    assert sum("'leukoedge.status/2', which this program does not know" in one for one in told) == 1
    assert sum("lab/stranger: status: speaks and is not enrolled here" in one for one in told) == 1
    assert "Doe" not in caplog.text + str(registry.aside())
    assert registry.device(ONE).reported.seen_at is None


def test_a_device_enrolled_while_it_listens_is_known(
    broker: Mosquitto, tmp_path: Path, place: str, voice: Voice
) -> None:
    laboratory = Laboratory(tmp_path / "lab")
    with Registry(place) as registry:
        with Listener(brisk(broker.url), registry, laboratory.pki) as listener:
            listener.connect()
            assert registry.devices() == []
            laboratory.enrol(ONE)
            say(voice, status())
            assert hears(listener, lambda: bool(registry.devices()))
            assert knows(listener, registry, lambda one: one.reported.state == "online")
        assert registry.aside() == []


def test_a_journal_that_goes_is_told_once_and_listening_goes_on(
    broker: Mosquitto, tmp_path: Path, voice: Voice, caplog: pytest.LogCaptureFixture
) -> None:
    laboratory = Laboratory(tmp_path / "lab")
    laboratory.enrol(ONE)
    with (
        Registry(tmp_path / "fleet.db") as registry,
        Listener(brisk(broker.url), registry, laboratory.pki) as listener,
    ):
        listener.connect()
        (laboratory.pki / "journal.jsonl").unlink()
        with caplog.at_level(logging.WARNING, "deploy.registry"):
            for _ in range(2):
                say(voice, status("lab/stranger"))
            say(voice, status())
            assert knows(listener, registry, lambda one: one.reported.state == "online")
        assert sum("is known as of before" in one for one in caplog.messages) == 1


def test_what_was_forgotten_meanwhile_does_not_come_back(
    listener: Listener, registry: Registry, voice: Voice
) -> None:
    registry.enrol({ONE: enrolled(standing="revoked")})
    registry.forget(ONE)
    say(voice, status())
    assert hears(listener, lambda: ONE not in listener.fleet)
    say(voice, health(seq=2))
    assert hears(listener, lambda: bool(registry.aside()))
    assert [one.name for one in registry.devices()] == ["lab/scope-2"]


def test_it_waits_for_a_broker_that_is_killed_and_tells_once(
    broker: Mosquitto,
    listener: Listener,
    registry: Registry,
    voice: Voice,
    caplog: pytest.LogCaptureFixture,
) -> None:
    say(voice, status())
    assert knows(listener, registry, lambda one: one.reported.state == "online")
    before = registry.listened
    with caplog.at_level(logging.WARNING, "deploy.registry"):
        broker.kill()
        assert hears(listener, lambda: not listener.connected)
        broker.start()
        assert hears(listener, lambda: listener.connected)
    assert 1 <= sum("nobody hears the devices" in one for one in caplog.messages) <= 2
    listener.commit()
    assert before is not None
    assert registry.listened is not None
    assert registry.listened.since == before.since  # a break so short is none
    second = Voice(brisk(broker.url), "second")
    say(second, health(seq=9, bundle=NEW))
    assert knows(listener, registry, lambda one: one.reported.bundle == NEW)
    second.close()


@pytest.fixture
def away(postgres: Postgres) -> Iterator[tuple[Registry, Callable[[], None], Callable[[], None]]]:
    """A registry in PostgreSQL; how to stop the server, and how to start it."""
    url, up = postgres.fresh(), True

    def stop() -> None:
        nonlocal up
        up = False
        postgres.stop()

    def start() -> None:
        nonlocal up
        if not up:
            postgres.start()
        up = True

    try:
        with Registry(url) as book:
            book.enrol({ONE: enrolled(), "lab/scope-2": enrolled()})
            yield book, stop, start
    finally:
        start()
        postgres.drop(url)


def test_what_is_said_while_the_registrys_server_is_away_is_entered_when_it_is_back(
    broker: Mosquitto,
    away: tuple[Registry, Callable[[], None], Callable[[], None]],
    voice: Voice,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("deploy.registry.listening.TRY_AGAIN_AFTER_S", 0.2)
    registry, stop, start = away
    laboratory = Laboratory(tmp_path / "lab")
    with (
        caplog.at_level(logging.WARNING, "deploy.registry"),
        Listener(brisk(broker.url), registry, laboratory.pki) as listener,
    ):
        listener.connect()
        say(voice, status())
        assert knows(listener, registry, lambda one: one.reported.state == "online")
        before = registry.listened
        stop()
        say(voice, health(seq=2, bundle=NEW))
        laboratory.enrol("lab/scope-3")
        say(voice, health("lab/scope-3"))
        assert hears(listener, lambda: listener.fleet[ONE].bundle == NEW)
        assert hears(listener, lambda: listener.registry_away)
        broker.kill()  # and as if that were not enough
        assert hears(listener, lambda: not listener.connected)
        broker.start()
        start()
        assert hears(listener, lambda: not listener.registry_away and listener.connected)
        assert registry.device(ONE).reported.bundle == NEW
        listener.read_journal_again()
        assert [one.name for one in registry.devices()] == [ONE, "lab/scope-2", "lab/scope-3"]
        listener.commit()
        again = Voice(brisk(broker.url), "again")
        say(again, health("lab/scope-3", seq=2, bundle=NEW))
        assert knows(listener, registry, lambda one: one.reported.bundle == NEW, "lab/scope-3")
        again.close()
    assert before is not None
    assert registry.listened is not None
    assert registry.listened.since == before.since  # it listened all the while
    assert registry.aside() == []  # and nobody was a stranger
    assert sum("what devices say is kept in memory" in one for one in caplog.messages) == 1
    assert sum("is back" in one for one in caplog.messages) == 1


def test_a_watcher_outlives_the_registrys_server(
    broker: Mosquitto,
    away: tuple[Registry, Callable[[], None], Callable[[], None]],
    voice: Voice,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("deploy.registry.listening.TRY_AGAIN_AFTER_S", 0.2)
    monkeypatch.setattr("deploy.registry.watch._LOOK_AT_ALL_EVERY_S", 0.1)
    registry, stop, start = away
    said: list[str] = []

    class Enough(Exception):  # noqa: N818 - no error
        pass

    def hear(line: str) -> None:
        said.append(line)
        if "online" in line and len(said) == 3:
            stop()
            say(voice, health(seq=2, bundle=NEW))
            threading.Timer(1.0, start).start()
        if short(NEW) in line:
            raise Enough

    say(voice, status())
    with pytest.raises(Enough):
        watch(registry, brisk(broker.url), None, Limits(), hear, seconds=PATIENCE_S)


def test_a_broken_message_cannot_break_the_registry_either(
    listener: Listener, registry: Registry, voice: Voice
) -> None:
    fields = json.loads(status().to_json())
    for strange in ("\0", "\ud800", "\x1b[2J", "x" * 5000):
        payload = json.dumps(fields | {f"field{strange}": 1}).encode()
        voice.say(topic_of(status()), payload)
    say(voice, status())
    assert knows(listener, registry, lambda one: one.reported.state == "online")
    (one,) = registry.aside()
    assert one.count == 4
    assert one.line.isprintable()
    assert len(one.line) <= 300


def test_after_a_long_break_listening_begins_anew(
    broker: Mosquitto, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.registry.listening._gap", lambda: timedelta(0))
    spans = []
    for _ in range(2):
        with Listener(brisk(broker.url), registry) as listener:
            listener.connect()
            listener.commit()
        assert registry.listened is not None
        spans.append(registry.listened)
    assert spans[1].since > spans[0].until


def test_with_a_certificate_of_its_own_at_a_hardened_broker(
    mosquitto: Path, tmp_path: Path
) -> None:
    laboratory = Laboratory(tmp_path / "lab")
    folders = {who: laboratory.enrol(who) for who in (ONE, "dashboard:registry")}
    laboratory.write_broker(laboratory.enrol("server:broker"))
    settings = settings_of(folders["dashboard:registry"], None)
    with (
        HardenedMosquitto(mosquitto, laboratory),
        Registry(tmp_path / "registry.db") as registry,
        Listener(settings, registry, laboratory.pki) as listener,
    ):
        listener.connect()
        with RunningDevice(tmp_path, laboratory.settings(folders[ONE])):
            assert knows(listener, registry, lambda one: one.reported.state == "online")
            assert registry.device(ONE).reported.seen_at is not None
        assert knows(listener, registry, lambda one: one.reported.state == "offline")


def test_who_listens_without_a_certificate_or_a_broker_gets_one_line(
    tmp_path: Path, registry: Registry
) -> None:
    with pytest.raises(ConfigError, match="say who listens with --identity FOLDER"):
        settings_of(None, None)
    with pytest.raises(ConfigError, match="No such file"):
        settings_of(tmp_path / "none", None)
    (tmp_path / "broker.toml").write_text("[broker]\n")
    with pytest.raises(ConfigError, match="url"):
        settings_of(tmp_path, None)
    with (
        Listener(settings_of(None, "mqtt://127.0.0.1:1"), registry) as listener,
        pytest.raises(BrokerError, match="nothing listens there"),
    ):
        listener.connect()


def test_a_document_of_json_that_is_too_deep_is_refused_like_any_other(
    listener: Listener, registry: Registry, voice: Voice
) -> None:
    deep = b"[" * 100_000
    voice.say(topic_of(status()), json.dumps({"schema": 3}).encode())
    voice.say(topic_of(status()), deep)
    assert hears(listener, lambda: sum(one.count for one in registry.aside()) == 2)
