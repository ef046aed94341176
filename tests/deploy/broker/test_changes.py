"""Devices come, go and are replaced while the broker runs: what a reload does, what a restart."""

from __future__ import annotations

import resource
import time
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.broker.mosquitto import access
from deploy.identity.names import identity
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.errors import BrokerError
from tests.deploy.broker.device import PATIENCE_S, Device, Voice
from tests.deploy.laboratory import HardenedMosquitto, Laboratory
from tests.edge_daemon.delivery.inbox import Inbox
from tests.edge_daemon.delivery.parcels import put_frames

STATUS = "leukoedge/v1/lab/scope-1/status"


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(tmp_path / "lab")


def refused(laboratory: Laboratory, folder: Path) -> bool:
    try:
        check_broker(laboratory.settings(folder), timeout_s=PATIENCE_S)
    except BrokerError:
        return True
    return False


def test_a_new_device_is_let_in_after_a_reload(mosquitto: Path, laboratory: Laboratory) -> None:
    server, first = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        connected = Voice(laboratory.settings(first))
        second = laboratory.enrol("lab/scope-2")
        newcomer = Voice(laboratory.settings(second))
        topic = "leukoedge/v1/lab/scope-2/status"
        assert newcomer.say(topic, b"x") == "not authorized", "enrolled, and not yet named"
        laboratory.write_broker(server)
        broker.reload()
        assert wait_until(lambda: newcomer.say(topic, b"x") is None, PATIENCE_S)
        assert connected.say(STATUS, b"x") is None, "and who was there stays"


def test_a_revoked_device_is_out_after_a_reload_and_cut_off_after_a_restart(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    server, lost = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    kept = laboratory.enrol("lab/scope-2")
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        thief = Voice(laboratory.settings(lost))
        assert thief.say(STATUS, b"x") is None
        laboratory.revoke("lab/scope-1")
        laboratory.write_broker(server)
        broker.reload()
        assert wait_until(lambda: thief.say(STATUS, b"x") == "not authorized", PATIENCE_S)
        assert refused(laboratory, lost), "it cannot connect again"
        replacement = laboratory.enrol("lab/scope-1")
        laboratory.write_broker(server)
        broker.reload()
        assert wait_until(lambda: thief.say(STATUS, b"x") is None, PATIENCE_S), (
            "its name counts again, and its connection was never cut: a reload is not enough"
        )
        broker.restart()
        assert wait_until(lambda: not thief.link.pump(0.02), PATIENCE_S)
        assert refused(laboratory, lost)
        assert Voice(laboratory.settings(replacement)).say(STATUS, b"x") is None
        assert not refused(laboratory, kept)


def test_what_a_revoked_device_left_retained_is_not_shown_any_more(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    server, dashboard = laboratory.enrol("server:broker"), laboratory.enrol("dashboard:ward")
    folders = {number: laboratory.enrol(f"lab/scope-{number}") for number in (1, 2)}
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        for number, folder in folders.items():
            voice = Voice(laboratory.settings(folder))
            topic = f"leukoedge/v1/lab/scope-{number}/status"
            assert voice.say(topic, b"by %d" % number, retain=True) is None
            voice.close()
        laboratory.revoke("lab/scope-1")
        laboratory.write_broker(server)
        broker.restart()
        newcomer = Voice(laboratory.settings(dashboard))
        newcomer.link.subscribe("leukoedge/v1/lab/scope-1/#")
        newcomer.link.subscribe("leukoedge/v1/lab/scope-2/#")
        assert newcomer.hears(b"by 2")
        assert [payload for _, payload in newcomer.heard] == [b"by 2"]


def test_a_renewed_device_needs_nothing_of_the_broker(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    server = laboratory.enrol("server:broker")
    old = laboratory.enrol("lab/scope-1", lasts=timedelta(days=30))
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory):
        new = laboratory.enrol("lab/scope-1", again=True)
        for folder in (old, new):
            voice = Voice(laboratory.settings(folder))
            assert voice.say(STATUS, b"x") is None
            voice.close()


def test_the_broker_s_own_certificate_is_renewed_by_a_reload(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    server = laboratory.enrol("server:broker")
    device = laboratory.enrol("lab/scope-1")
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        connected = Voice(laboratory.settings(device))
        laboratory.write_broker(laboratory.enrol("server:broker", again=True))
        broker.reload()
        assert connected.say(STATUS, b"x") is None
        assert wait_until(lambda: not refused(laboratory, device), PATIENCE_S)


def test_devices_move_to_a_new_authority_one_by_one(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    """The key of the old one is lost: docs/fleet/identity.md."""
    old_server, waiting = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-2")
    lost = laboratory.enrol("lab/scope-3")
    laboratory.revoke("lab/scope-3")
    new = Laboratory(laboratory.folder / "new", name="laboratory 2")
    new.port = laboratory.port
    moved = new.enrol("lab/scope-1", also_trusted=(laboratory.pki / "ca.pem").read_bytes())
    laboratory.write_broker(old_server, new)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        assert Voice(laboratory.settings(moved)).say(STATUS, b"x") is None
        assert not refused(laboratory, waiting)
        assert refused(laboratory, lost)
        broker.stop()
        laboratory.write_broker(new.enrol("server:broker"), new)
        broker.start()
        assert not refused(laboratory, moved)
        assert refused(laboratory, waiting), "it does not trust the new one yet"


def test_what_waits_for_an_absent_receiver_survives_kill_9_of_the_broker(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    """But for the turn of its loop in which it was killed: it answers first, and saves then."""
    server, device = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    receiver = laboratory.enrol("receiver:ingest")
    laboratory.write_broker(server)
    frames = "leukoedge/v1/lab/scope-1/slide/S-1/frame"
    rounds = [[b"%d" % number for number in range(start, start + 20)] for start in (0, 20, 40)]
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        absent = Voice(laboratory.settings(receiver), keep_session_s=3600)
        absent.link.subscribe("leukoedge/v1/#")
        absent.close()
        for said in rounds:
            sender = Voice(laboratory.settings(device))
            assert [sender.say(frames, payload) for payload in said] == [None] * 20
            broker.kill()
            broker.start()
        back = Voice(laboratory.settings(receiver), keep_session_s=3600)
        end = Voice(laboratory.settings(device))
        assert end.say(STATUS, b"the end") is None
        assert back.hears(b"the end")
        heard = [payload for topic, payload in back.heard if topic == frames]
    assert heard == [one for said in rounds for one in said if one != said[-1] or one in heard]


def test_with_receipts_nothing_is_lost_whenever_the_broker_is_killed(
    mosquitto: Path, laboratory: Laboratory, tmp_path: Path
) -> None:
    server, scope = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    receiver = laboratory.enrol("receiver:ingest")
    laboratory.write_broker(server, profile=laboratory.profile(devices_wait_for_receipts=True))
    patient = laboratory.settings(scope, await_receipts=True, receipt_timeout_s=0.5)
    with (
        HardenedMosquitto(mosquitto, laboratory) as broker,
        Inbox(laboratory.settings(receiver), send_receipts=True) as inbox,
        Device(tmp_path, patient) as device,
    ):
        for start in range(0, 300, 100):
            put_frames(device.outbox, device.origin, 100, first=start)
            assert wait_until(lambda at=start: len(set(inbox.frames)) > at + 10, PATIENCE_S)
            broker.kill()
            broker.start()
        assert device.publisher.flush(2 * PATIENCE_S) == 0, device.publisher.link.line
        assert sorted(set(inbox.frames)) == list(range(300))
        assert inbox.ledger.missing == []


def test_a_retained_message_survives_kill_9_of_the_broker(
    mosquitto: Path, laboratory: Laboratory
) -> None:
    server, device = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-1")
    dashboard = laboratory.enrol("dashboard:ward")
    laboratory.write_broker(server)
    with HardenedMosquitto(mosquitto, laboratory) as broker:
        voice = Voice(laboratory.settings(device))
        assert voice.say(STATUS, b"kept", retain=True) is None
        assert voice.say(STATUS, b"in the next turn of its loop") is None
        broker.kill()
        broker.start()
        newcomer = Voice(laboratory.settings(dashboard))
        newcomer.link.subscribe("leukoedge/v1/#")
        assert newcomer.hears(b"kept")


def test_a_thousand_devices_are_no_burden(mosquitto: Path, laboratory: Laboratory) -> None:
    server, device = laboratory.enrol("server:broker"), laboratory.enrol("lab/scope-999")
    folder = laboratory.write_broker(server)
    names = [f"lab/scope-{number}" for number in range(1000)]
    (folder / "access.acl").write_text(access(identity(name) for name in names))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with HardenedMosquitto(mosquitto, laboratory):
        voice = Voice(laboratory.settings(device))
        began = time.monotonic()
        for number in range(50):
            assert voice.say("leukoedge/v1/lab/scope-999/status", b"%d" % number) is None
        assert time.monotonic() - began < PATIENCE_S
        voice.close()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 5.0
