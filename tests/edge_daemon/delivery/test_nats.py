"""The way over a three-node NATS cluster (MQTT 3.1.1): a node may go, no message does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.contract.messages import Command, CommandReply, Crop, FrameResult, SlideSummary
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.link import check_broker, open_link
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Parcel, parcel_of
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.delivery.settings import BrokerSettings
from edge_daemon.errors import BrokerError
from edge_daemon.service.commands import CommandDesk
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import origin, put_crop, put_frames, summary
from tests.nats_cluster import NatsCluster

PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def cluster(nats_server: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsCluster]:
    with NatsCluster(nats_server, tmp_path_factory.mktemp("nats") / "cluster") as running:
        yield running


def nodes(cluster: NatsCluster, first: int, **more: Any) -> BrokerSettings:
    """The cluster, tried from the node ``first`` on."""
    url, *others = cluster.urls[first:] + cluster.urls[:first]
    return brisk(url, other_urls=others, protocol="3.1.1", **more)


def test_a_node_says_that_it_knows_no_mqtt_5_and_is_served_all_the_same(
    cluster: NatsCluster,
) -> None:
    assert "answers with MQTT 3.1.1" in check_broker(brisk(cluster.urls[0]))
    with pytest.raises(BrokerError, match="does not speak MQTT 5"):
        open_link(brisk(cluster.urls[0], protocol="5"), "newer")


def test_what_mqtt_5_carries_beside_a_message_arrives_inside_it(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    sender = origin("scope.1")  # a dot is a separator inside NATS
    jpeg = b"\xff\xd8\xff\xe0 picture of a cell \xff\xd9"
    with Outbox(tmp_path / "outbox.db") as outbox:
        put_frames(outbox, sender, 5)
        crop = put_crop(outbox, sender, jpeg)
        with (
            Inbox(nodes(cluster, 1), send_receipts=True) as inbox,
            Publisher(nodes(cluster, 0, await_receipts=True), outbox, sender) as publisher,
        ):
            assert publisher.flush(PATIENCE_S) == 0, "a crop without a number has no receipt"
            put_frames(outbox, sender, 5, first=5)
            assert publisher.flush(PATIENCE_S) == 0
    assert sorted(inbox.frames) == list(range(10))
    assert sorted(inbox.historical) == list(range(5))
    (received,) = [one for one in inbox.received if one.jpeg]
    assert received.historical
    assert received.jpeg == jpeg
    assert received.message == crop.model_copy(update={"historical": True})
    assert isinstance(received.message, Crop)
    assert inbox.ledger.missing == []


def test_commands_and_replies_pass(cluster: NatsCluster, tmp_path: Path) -> None:
    sender = origin("scope-commands")
    with (
        Inbox(nodes(cluster, 2)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        desk = CommandDesk(sender, outbox)
        publisher = Publisher(nodes(cluster, 1), outbox, sender)
        publisher.on_command = lambda arrival: desk.hand_in(
            arrival.payload, via="mqtt", retained=arrival.retained
        )
        command = Command(
            site="lab",
            device=sender.device,
            id=uuid.uuid4().hex,
            name="status",
            expires_at=datetime.now(timezone.utc) + timedelta(minutes=5),
        )
        with publisher:
            assert wait_until(lambda: "online" in inbox.states, PATIENCE_S)
            central = open_link(nodes(cluster, 0), "central")
            central.publish(Parcel(topic_of(command), command.to_json(), "", 0))
            assert wait_until(
                lambda: central.pump(0.02) and bool(central.take_acknowledgements()), PATIENCE_S
            )
            central.close()

            def replied() -> bool:
                desk.carry_out(lambda _command: {"activity": "idle"})
                return bool(inbox.of(CommandReply))

            assert wait_until(replied, PATIENCE_S)
        (reply,) = inbox.of(CommandReply)
        assert (reply.id, reply.ok) == (command.id, True)


def test_a_newcomer_finds_status_and_summary_and_the_will_of_a_device_that_is_gone(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    sender = origin("scope-retained")
    with Outbox(tmp_path / "outbox.db") as outbox:
        with outbox.transaction() as batch:
            batch.put(parcel_of(summary(batch.envelope(sender), captured=7)))
        status = f"leukoedge/v1/lab/{sender.device}/status"
        will = Parcel(status, b'{"gone": true}', sender.boot_id, 1, retain=True)
        with Publisher(nodes(cluster, 0), outbox, sender) as publisher:
            assert publisher.flush(PATIENCE_S) == 0

    def kept() -> list[str]:
        with Inbox(nodes(cluster, 2)) as newcomer:
            own = f"/{sender.device}/"
            wait_until(
                lambda: any(isinstance(m, SlideSummary) for m in _messages(newcomer, own)), 10
            )
            return sorted(type(m).__name__ for m in _messages(newcomer, own))

    assert wait_until(lambda: kept() == ["SlideSummary", "Status"], PATIENCE_S)
    lost = open_link(nodes(cluster, 1), "lost-device", will=will)
    heard: list[bytes] = []
    listener = open_link(
        nodes(cluster, 0), "listener", on_arrival=lambda arrival: heard.append(arrival.payload)
    )
    listener.subscribe(status)
    lost._client.socket().close()  # no goodbye
    assert wait_until(lambda: listener.pump(0.02) and will.payload in heard, PATIENCE_S)
    listener.close()


def _messages(inbox: Inbox, own: str) -> list[object]:
    return [one.message for one in inbox.received if own in f"/{one.topic.device}/"]


def test_a_node_that_is_killed_while_messages_flow_loses_none_and_comes_back(
    cluster: NatsCluster, tmp_path: Path
) -> None:
    sender = origin("scope-killed")
    with (
        Inbox(nodes(cluster, 2), send_receipts=True) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(
            nodes(cluster, 1, await_receipts=True, receipt_timeout_s=2.0), outbox, sender
        ) as publisher,
    ):

        def arrived() -> set[int]:
            return {m.frame for m in inbox.of(FrameResult) if m.device == sender.device}

        put_frames(outbox, sender, 200)
        assert wait_until(lambda: len(arrived()) > 20, PATIENCE_S)
        assert cluster.urls[1] in publisher.link.line
        cluster.kill(1)
        put_frames(outbox, sender, 200, first=200)
        assert publisher.flush(PATIENCE_S) == 0, publisher.link.line
        assert cluster.urls[1] not in publisher.link.line
        assert arrived() == set(range(400))
        own = [m for m in inbox.of(FrameResult) if m.device == sender.device]
        assert len({(m.device, m.boot_id, m.seq) for m in own}) == len(own) == 400
        cluster.start(1)
        cluster.wait(1)
        publisher.move(nodes(cluster, 1, await_receipts=True))
        assert wait_until(lambda: cluster.urls[1] in publisher.link.line, PATIENCE_S)
        put_frames(outbox, sender, 20, first=400)
        assert publisher.flush(PATIENCE_S) == 0
        assert arrived() == set(range(420))
