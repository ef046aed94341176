"""The attacks of a fleet against a real Mosquitto that was written here: each is refused."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from edge_daemon.contract.messages import FrameResult, Status
from edge_daemon.delivery.link import check_broker, open_link
from edge_daemon.delivery.parcel import Parcel
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.session import client_id_of
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError
from tests.deploy.broker.device import PATIENCE_S, Device, Voice, command, send
from tests.deploy.laboratory import HERE, NOW, HardenedMosquitto, Laboratory
from tests.edge_daemon.delivery.inbox import Inbox
from tests.edge_daemon.delivery.parcels import put_frames

ROOT = "leukoedge/v1/lab"
CLIENTS = [
    *(f"lab/scope-{number}" for number in (1, 2, 3)),
    "dashboard:ward",
    "dashboard:desk",
    "receiver:ingest",
    "controller:central",
]


class Site:
    """A laboratory whose broker runs."""

    def __init__(self, laboratory: Laboratory) -> None:
        self.laboratory = laboratory
        self.folders = {who: laboratory.enrol(who) for who in CLIENTS}
        self.folders["server:broker"] = laboratory.enrol("server:broker")

    def settings(self, who: str, **more: object) -> BrokerSettings:
        return self.laboratory.settings(self.folders[who], **more)

    def voice(self, who: str, **more: object) -> Voice:
        return Voice(self.settings(who), **more)


@pytest.fixture(scope="module")
def site(mosquitto: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    laboratory = Laboratory(tmp_path_factory.mktemp("lab"))
    made = Site(laboratory)
    made.folders["lab/lost"] = laboratory.enrol("lab/lost")
    laboratory.revoke("lab/lost")
    made.folders["lab/old"] = laboratory.enrol(
        "lab/old", when=NOW - timedelta(days=9), lasts=timedelta(days=8)
    )
    foreign = Laboratory(laboratory.folder / "foreign").enrol("lab/scope-1")
    trusted = laboratory.folder / "pki" / "ca.pem"
    (foreign / "ca.pem").write_bytes(trusted.read_bytes())
    made.folders["foreign"] = foreign
    laboratory.write_broker(made.folders["server:broker"])
    with HardenedMosquitto(mosquitto, laboratory):
        yield made


def test_a_device_delivers_and_hears_its_receipts(site: Site, tmp_path: Path) -> None:
    with (
        Inbox(site.settings("receiver:ingest"), send_receipts=True) as inbox,
        Device(tmp_path, site.settings("lab/scope-1", await_receipts=True)) as device,
    ):
        put_frames(device.outbox, device.origin, 50)
        assert device.publisher.flush(PATIENCE_S) == 0, device.publisher.link.line
        assert inbox.wait_for_frames(50, PATIENCE_S)
        assert wait_until(lambda: "online" in inbox.states, PATIENCE_S)


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("lab/old", "this device's certificate has expired: renew it"),
        ("lab/lost", "does it want TLS or a client certificate"),
        ("foreign", "does it want TLS or a client certificate"),
        ("server:broker", "does it want TLS or a client certificate"),
    ],
)
def test_who_is_not_let_in(site: Site, tmp_path: Path, who: str, said: str) -> None:
    """``foreign``: a certificate of another authority, in a device's name."""
    with pytest.raises(BrokerError, match=said):
        check_broker(site.settings(who), PATIENCE_S)
    with Device(tmp_path, site.settings(who)) as device:
        put_frames(device.outbox, device.origin, 10)
        assert wait_until(lambda: said in device.publisher.link.line, PATIENCE_S)
        assert device.outbox.depth().messages == 10, "results wait, none is lost"


def test_without_a_certificate_nobody_is_let_in(site: Site) -> None:
    trusting = site.laboratory.settings(None, ca_file=site.folders["lab/scope-1"] / "ca.pem")
    with pytest.raises(BrokerError, match="client certificate"):
        check_broker(trusting, PATIENCE_S)
    with pytest.raises(BrokerError):
        check_broker(BrokerSettings(url=f"mqtt://{HERE}:{site.laboratory.port}"), timeout_s=2.0)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_an_old_tls_is_refused(site: Site, version: ssl.TLSVersion) -> None:
    context = _context(site, "lab/scope-1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match="ALERT_PROTOCOL_VERSION"):
        _shake(site, context)


def test_a_cipher_without_forward_secrecy_is_refused(site: Site) -> None:
    context = _context(site, "lab/scope-1")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA")
    with pytest.raises(ssl.SSLError, match="HANDSHAKE_FAILURE"):
        _shake(site, context)


def test_with_another_device_s_certificate_nothing_is_published(site: Site, tmp_path: Path) -> None:
    """The certificate of scope-2 was carried to scope-1."""
    with (
        Inbox(site.settings("dashboard:ward")) as inbox,
        Device(tmp_path, site.settings("lab/scope-2")) as device,
    ):
        put_frames(device.outbox, device.origin, 10)
        assert wait_until(lambda: "not authorized" in device.publisher.link.line, PATIENCE_S), (
            device.publisher.link.line
        )
        with Device(tmp_path, site.settings("lab/scope-3"), "scope-3") as honest:
            put_frames(honest.outbox, honest.origin, 1)
            assert inbox.wait_for_frames(1, PATIENCE_S), "what came before would have come first"
        assert {frame.device for frame in inbox.of(FrameResult)} == {"scope-3"}
        assert device.outbox.depth().messages == 10


@pytest.mark.parametrize(
    "topic",
    [
        f"{ROOT}/scope-2/status",
        f"{ROOT}/scope-2/slide/S-1/summary",
        f"{ROOT}/scope-2/cmd/status/reply",
        f"{ROOT}/scope-2/cmd/slide-abort",
        f"{ROOT}/scope-2/receipt",
        f"{ROOT}/scope-2/desired",
        f"{ROOT}/scope-1/cmd/slide-abort",
        f"{ROOT}/scope-1/receipt",
        f"{ROOT}/scope-1/desired",
        "leukoedge/v1/ward/scope-1/status",
        "leukoedge/v1/lab",
        "anything",
        "$SYS/broker/version",
    ],
)
def test_a_forged_topic_is_refused_and_nobody_hears_it(site: Site, topic: str) -> None:
    listener, forger = site.voice("dashboard:ward"), site.voice("lab/scope-1")
    listener.link.subscribe("#")
    assert forger.say(topic, b"forged", retain=True) == "not authorized"
    assert forger.say(f"{ROOT}/scope-1/status", b"own") is None
    assert listener.hears(b"own")
    assert b"forged" not in [payload for _, payload in listener.heard]
    newcomer = site.voice("dashboard:desk")
    newcomer.link.subscribe("#")
    assert forger.say(f"{ROOT}/scope-1/status", b"later") is None
    assert newcomer.hears(b"later")
    assert b"forged" not in [payload for _, payload in newcomer.heard]
    for voice in (listener, forger, newcomer):
        voice.close()


def test_a_forged_will_is_not_said(site: Site) -> None:
    listener = site.voice("dashboard:ward")
    listener.link.subscribe("#")
    for who, about in (("lab/scope-1", "scope-2"), ("lab/scope-2", "scope-2")):
        will = Parcel(f"{ROOT}/{about}/status", f"will of {who}".encode(), "", 1, retain=True)
        lost = open_link(site.settings(who), "lost", will=will)
        lost._client.socket().close()  # no goodbye
        if who == "lab/scope-2":
            assert listener.hears(will.payload)
    assert b"will of lab/scope-1" not in [payload for _, payload in listener.heard]
    listener.close()


def test_a_dashboard_says_nothing(site: Site) -> None:
    dashboard = site.voice("dashboard:ward")
    assert send(dashboard, command()) == "not authorized"
    assert dashboard.say(f"{ROOT}/scope-1/status", b"x") == "not authorized"
    dashboard.close()


@pytest.mark.parametrize("topic_filter", ["#", f"{ROOT}/scope-1/#", "$share/g/leukoedge/v1/#"])
def test_what_is_for_another_device_does_not_arrive(site: Site, topic_filter: str) -> None:
    central, spy = site.voice("controller:central"), site.voice("lab/scope-2")
    spy.link.subscribe(topic_filter)
    spy.link.subscribe(f"{ROOT}/scope-2/cmd/+")
    for topic in (f"{ROOT}/scope-1/cmd/status", f"{ROOT}/scope-1/desired"):
        assert central.say(topic, b"for scope-1", retain=topic.endswith("desired")) is None
    assert central.say(f"{ROOT}/scope-2/cmd/status", b"for scope-2") is None
    assert spy.hears(b"for scope-2")
    spy.link.subscribe(f"{ROOT}/scope-1/desired")  # what is retained comes with a subscription
    assert central.say(f"{ROOT}/scope-2/cmd/status", b"and again") is None
    assert spy.hears(b"and again")
    assert b"for scope-1" not in [payload for _, payload in spy.heard]
    owner = site.voice("lab/scope-1")
    owner.link.subscribe(f"{ROOT}/scope-1/desired")
    assert owner.hears(b"for scope-1")
    for voice in (central, spy, owner):
        voice.close()


def test_a_device_in_a_shared_subscription_takes_its_share_and_reads_none_of_it(
    site: Site,
) -> None:
    """Mosquitto asks for rights at delivery: docs/fleet/broker.md says what to do about it."""
    spy, receiver = site.voice("lab/scope-2"), site.voice("receiver:ingest")
    sender, topic = site.voice("lab/scope-1"), f"{ROOT}/scope-1/slide/S-1/frame"
    for member in (receiver, spy):
        member.link.subscribe("$share/group/leukoedge/v1/#")
    receiver.link.subscribe(f"{ROOT}/scope-1/status")
    for number in range(20):
        assert sender.say(topic, b"%d" % number) is None
    assert sender.say(f"{ROOT}/scope-1/status", b"the end") is None
    assert receiver.hears(b"the end")
    shared = [payload for heard_on, payload in receiver.heard if heard_on == topic]
    assert len(shared) < 20, "it asks for rights at subscribing now: shorten docs/fleet/broker.md"
    assert spy.heard == []
    for voice in (spy, receiver, sender):
        voice.close()


def test_a_session_cannot_be_taken_by_its_client_id(site: Site, tmp_path: Path) -> None:
    """Otherwise one device could hold another offline, and read what was queued for it."""
    with Device(tmp_path, site.settings("lab/scope-1")) as device:
        assert device.is_online()
        thief = site.voice("lab/scope-2", client_id=client_id_of(device.origin))
        put_frames(device.outbox, device.origin, 10)
        assert device.publisher.flush(PATIENCE_S) == 0
        assert device.publisher.link.connected
        assert thief.link.lost is None
        thief.close()


def test_a_check_beside_the_running_daemon_interrupts_it_and_loses_nothing(
    site: Site, tmp_path: Path
) -> None:
    """Both are the same client to the broker."""
    with (
        Inbox(site.settings("dashboard:ward")) as inbox,
        Device(tmp_path, site.settings("lab/scope-1")) as device,
    ):
        assert device.is_online()
        put_frames(device.outbox, device.origin, 10)
        assert "answers with MQTT 5" in check_broker(site.settings("lab/scope-1"), PATIENCE_S)
        put_frames(device.outbox, device.origin, 10, first=10)
        assert inbox.wait_for_frames(20, PATIENCE_S)
        assert wait_until(lambda: inbox.states[-1:] == ["online"], PATIENCE_S)
        assert sorted(set(inbox.frames)) == list(range(20))


def test_a_command_is_carried_out_once_however_often_it_is_sent(site: Site, tmp_path: Path) -> None:
    central = site.voice("controller:central")
    with Device(tmp_path, site.settings("lab/scope-1")) as device:
        assert device.is_online()
        sent, last = command(), command()
        for _ in range(3):
            assert send(central, sent) is None
        assert send(central, last) is None
        assert device.carried_out(4)
        assert device.done == [sent.id, last.id]
    central.close()


def test_an_old_command_that_was_retained_is_refused(site: Site, tmp_path: Path) -> None:
    central = site.voice("controller:central")
    old = command()
    assert send(central, old, retain=True) is None
    with Device(tmp_path, site.settings("lab/scope-1")) as device:
        assert device.carried_out(1)
        assert device.done == []
        assert device.desk.refused == 1
    assert central.say(f"{ROOT}/scope-1/cmd/status", b"", retain=True) is None
    central.close()


def test_a_command_recorded_elsewhere_is_refused_by_broker_and_device(
    site: Site, tmp_path: Path
) -> None:
    """Another device cannot send it; a controller that is deceived sends it in vain."""
    recorded = command("scope-2")
    thief, central = site.voice("lab/scope-2"), site.voice("controller:central")
    with Device(tmp_path, site.settings("lab/scope-1")) as device:
        assert device.is_online()
        topic = f"{ROOT}/scope-1/cmd/status"
        assert thief.say(topic, command().to_json()) == "not authorized"
        assert central.say(topic, recorded.to_json()) is None
        assert central.say(topic, command(expires_at=NOW - timedelta(days=1)).to_json()) is None
        assert device.carried_out(2)
        assert device.done == []
        assert device.desk.refused == 2
    thief.close()
    central.close()


def test_what_is_too_large_is_kept_and_reported_and_the_rest_goes_on(
    site: Site, tmp_path: Path
) -> None:
    with (
        Inbox(site.settings("dashboard:ward")) as inbox,
        Device(tmp_path, site.settings("lab/scope-1")) as device,
    ):
        assert device.is_online()
        with device.outbox.transaction() as batch:
            seq = batch.envelope(device.origin)["seq"]
            topic = f"{ROOT}/scope-1/slide/S-1/frame"
            batch.put(Parcel(topic, b"x" * 5_000_000, device.origin.boot_id, seq))
        put_frames(device.outbox, device.origin, 5)
        assert inbox.wait_for_frames(5, PATIENCE_S)
        assert device.publisher.flush(PATIENCE_S) == 1
        assert "over its limit of 4194304 bytes" in device.publisher.link.line
        assert wait_until(lambda: bool(inbox.of(Status)), PATIENCE_S)


def _context(site: Site, who: str) -> ssl.SSLContext:
    folder = site.folders[who]
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "identity.pem", folder / "identity.key")
    return context


def _shake(site: Site, context: ssl.SSLContext) -> None:
    with (
        socket.create_connection((HERE, site.laboratory.port), PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=HERE),
    ):
        pass
