"""The same attacks against a real cluster of three NATS servers that was written here."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from deploy.broker.cluster import check_cluster, write_cluster
from deploy.broker.nats import NatsProfile, subject
from deploy.broker.settings import load_settings
from deploy.identity.authority import look_at
from edge_daemon.delivery.link import check_broker
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.errors import BrokerError, ConfigError
from tests.deploy.broker.device import Device, Voice, command, send
from tests.deploy.broker.nats import HardenedNats
from tests.deploy.laboratory import HERE, NOW, Laboratory
from tests.edge_daemon.delivery.inbox import Inbox
from tests.edge_daemon.delivery.parcels import put_frames

PATIENCE_S = 60.0
ROOT = "leukoedge/v1/lab"
CLIENTS = ["lab/scope.1", "lab/scope-2", "dashboard:ward", "receiver:ingest", "controller:central"]


class Site:
    def __init__(self, laboratory: Laboratory, cluster: HardenedNats, folders: dict[str, Path]):
        self.laboratory, self.cluster, self.folders = laboratory, cluster, folders

    def voice(self, who: str, node: int = 0) -> Voice:
        client_id = who.replace(".", "~").replace("/", "-")
        return Voice(self.cluster.settings(self.folders[who], node), client_id)


@pytest.fixture(scope="module")
def site(nats_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    laboratory = Laboratory(tmp_path_factory.mktemp("lab"))
    folders = {who: laboratory.enrol(who) for who in CLIENTS}
    folders["lab/lost"] = laboratory.enrol("lab/lost")
    folders["stolen"] = laboratory.enrol("lab/scope-3")
    for who in ("lab/lost", "lab/scope-3"):
        laboratory.revoke(who)
    folders["lab/scope-3"] = laboratory.enrol("lab/scope-3")
    folders["lab/old"] = laboratory.enrol(
        "lab/old", when=NOW - timedelta(days=9), lasts=timedelta(days=8)
    )
    foreign = Laboratory(laboratory.folder / "foreign").enrol("lab/scope-2")
    (foreign / "ca.pem").write_bytes((laboratory.pki / "ca.pem").read_bytes())
    folders["foreign"] = foreign
    cluster = HardenedNats(nats_server, laboratory, folders["controller:central"])
    with cluster:
        yield Site(laboratory, cluster, folders)


def test_a_device_delivers_through_any_node_and_hears_receipts(site: Site, tmp_path: Path) -> None:
    """A dot in a name is a separator inside NATS, and must not open another topic."""
    patient = site.cluster.settings(site.folders["lab/scope.1"], 0, await_receipts=True)
    with (
        Inbox(site.cluster.settings(site.folders["receiver:ingest"], 1), send_receipts=True) as box,
        Device(tmp_path, patient, "scope.1") as device,
    ):
        put_frames(device.outbox, device.origin, 50)
        assert device.publisher.flush(PATIENCE_S) == 0, device.publisher.link.line
        assert box.wait_for_frames(50, PATIENCE_S)
        assert wait_until(lambda: "online" in box.states, PATIENCE_S)


@pytest.mark.parametrize("who", ["lab/old", "lab/lost", "stolen", "foreign", None])
def test_who_is_not_let_in(site: Site, who: str | None) -> None:
    """``stolen``: its name counts again, with another key."""
    if who is None:
        settings = site.cluster.settings(None, ca_file=site.folders["lab/old"] / "ca.pem")
    else:
        settings = site.cluster.settings(site.folders[who])
    with pytest.raises(BrokerError, match=r"client certificate\?|has expired: renew it"):
        check_broker(settings, timeout_s=PATIENCE_S)
    assert "answers" in check_broker(site.cluster.settings(site.folders["lab/scope-3"]), PATIENCE_S)


@pytest.mark.parametrize(
    "topic",
    [f"{ROOT}/scope.1/status", f"{ROOT}/scope-2/cmd/status", f"{ROOT}/scope-2/receipt", "anything"],
)
def test_a_forged_topic_is_heard_by_nobody(site: Site, topic: str) -> None:
    """MQTT 3.1.1 has no refusal: the forger is told that all is well."""
    listener, forger = site.voice("dashboard:ward", 1), site.voice("lab/scope-2")
    listener.link.subscribe("leukoedge/v1/#")
    assert forger.say(topic, b"forged", retain=True) is None
    assert forger.say(f"{ROOT}/scope-2/status", b"own") is None
    assert listener.hears(b"own")
    assert b"forged" not in [payload for _, payload in listener.heard]
    listener.close()
    newcomer = site.voice("dashboard:ward", 2)
    newcomer.link.subscribe("leukoedge/v1/#")
    assert forger.say(f"{ROOT}/scope-2/status", b"later") is None
    assert newcomer.hears(b"later")
    assert b"forged" not in [payload for _, payload in newcomer.heard]
    forger.close()
    newcomer.close()


@pytest.mark.parametrize("topic_filter", ["#", f"{ROOT}/scope.1/cmd/+", "leukoedge/v1/#"])
def test_subscribing_to_what_is_another_s_is_refused(site: Site, topic_filter: str) -> None:
    spy = site.voice("lab/scope-2")
    with pytest.raises(BrokerError, match="check the rights of this client"):
        spy.link.subscribe(topic_filter)
    spy.close()


def test_a_command_is_carried_out_once_and_only_a_controller_s(site: Site, tmp_path: Path) -> None:
    central, thief = site.voice("controller:central", 1), site.voice("lab/scope-2")
    settings = site.cluster.settings(site.folders["lab/scope.1"], 2)
    with Device(tmp_path, settings, "scope.1") as device:
        assert device.is_online()
        forged, sent = command("scope.1"), command("scope.1")
        send(thief, forged)
        for _ in range(2):
            send(central, sent)
        assert device.carried_out(2)
        assert device.done == [sent.id]
    central.close()
    thief.close()


def comes_in(folder: Path, port: int, *, greeted: bool) -> bool:
    """Whether NATS talks to whoever shows this certificate; it greets clients before TLS."""
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    context.load_cert_chain(folder / "identity.pem", folder / "identity.key")
    with socket.create_connection((HERE, port), PATIENCE_S) as plain:
        if greeted:
            plain.recv(4096)
        try:
            with context.wrap_socket(plain, server_hostname=HERE) as wrapped:
                wrapped.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
                return bool(wrapped.recv(4096))
        except (ssl.SSLError, ConnectionError):
            return False


def test_no_device_can_join_as_a_node(site: Site) -> None:
    """A node sees everything, and says anything."""
    port = site.cluster.profile.nodes[0].route_port
    assert comes_in(site.cluster.servers[1], port, greeted=False)
    for who in ("lab/scope-2", "controller:central", "lab/lost", "foreign"):
        assert not comes_in(site.folders[who], port, greeted=False), who


def test_the_listener_of_nats_s_own_protocol_is_no_other_way_in(site: Site) -> None:
    port = site.cluster.profile.nodes[0].local_port
    assert comes_in(site.folders["lab/scope-2"], port, greeted=True)
    for folder in (site.folders["lab/lost"], site.folders["stolen"], site.cluster.servers[1]):
        assert not comes_in(folder, port, greeted=True)


def test_a_node_that_is_killed_loses_nothing(site: Site, tmp_path: Path) -> None:
    patient = site.cluster.settings(
        site.folders["lab/scope-3"], 1, await_receipts=True, receipt_timeout_s=2.0
    )
    receiver = site.cluster.settings(site.folders["receiver:ingest"], 2)
    with (
        Inbox(receiver, send_receipts=True) as inbox,
        Device(tmp_path, patient, "scope-3") as device,
    ):
        put_frames(device.outbox, device.origin, 100)
        assert wait_until(lambda: len(inbox.frames) > 10, PATIENCE_S)
        site.cluster.kill(1)
        put_frames(device.outbox, device.origin, 100, first=100)
        assert device.publisher.flush(PATIENCE_S) == 0, device.publisher.link.line
        assert sorted(set(inbox.frames)) == list(range(200))


def test_a_subject_is_the_topic_as_nats_calls_it() -> None:
    assert subject("leukoedge/v1/lab/+/slide/#") == "leukoedge.v1.lab.*.slide.>"
    assert subject("a.b/c") == "a//b.c"


NODE = '[[nodes]]\nname = "n{}"\naddress = "10.0.0.{}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "nodes: Field required"),
        (NODE.format(1, 1), "nodes: Tuple should have at least 3"),
        ("".join(NODE.format(n, n) for n in range(4)), "a cluster has three nodes or five"),
        (NODE.format(1, 1) * 3, "two nodes have the same name"),
        (NODE.format(1, '1"\nx = "1') * 3, "nodes.0.x: Extra inputs"),
    ],
)
def test_settings_of_a_cluster_are_read_strictly(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_settings(NatsProfile, file, {})


def test_a_cluster_s_folder_is_held_to_what_it_was_written_from(
    nats_server: Path, tmp_path: Path
) -> None:
    laboratory = Laboratory(tmp_path / "lab")
    cluster = HardenedNats(nats_server, laboratory, laboratory.enrol("lab/scope-1"))
    assert check_cluster(cluster.folder, NOW) == []
    with pytest.raises(ConfigError, match="node:n0 expired on"):
        check_cluster(cluster.folder, NOW + timedelta(days=400))
    with pytest.raises(ConfigError, match="no --server is the enrolment of node:n0"):
        write_cluster(
            tmp_path / "other",
            cluster.profile,
            [laboratory.enrol("server:x")],
            [look_at(laboratory.pki)],
            NOW,
        )
    laboratory.revoke("node:n2")
    with pytest.raises(ConfigError, match="does not count any more: enrol it again"):
        cluster.write()
    with (cluster.folder / "n1" / "nats.conf").open("a") as file:
        file.write("port: 4333\n")
    with pytest.raises(ConfigError, match=r"n1/nats.conf, line .* is not as it was written"):
        check_cluster(cluster.folder, NOW)
