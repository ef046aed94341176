"""The other end: each message once, every loss named, nothing believed that breaks the contract."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.contract.messages import FrameResult, Status
from edge_daemon.contract.topics import topic_of
from edge_daemon.delivery.link import Link, open_link
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Envelope, Origin, Parcel, parcel_of
from edge_daemon.delivery.receiver import BootLedger, Received, Receiver, wait_until
from edge_daemon.errors import BrokerError
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import frame, origin
from tests.mosquitto import Mosquitto

pytestmark = pytest.mark.soak


def envelope(sender: Origin, record: int) -> Envelope:
    return Envelope(
        site=sender.site,
        device=sender.device,
        boot_id=sender.boot_id,
        bundle=None,
        seq=record + 10,
        record=record,
    )


@given(st.lists(st.integers(1, 30), max_size=80))
def test_a_ledger_counts_each_record_once_and_names_what_is_missing(arrivals: list[int]) -> None:
    ledger = BootLedger("lab", "scope-1", "0" * 32)
    news = [record for record in arrivals if ledger.add(record, record + 10)]
    assert sorted(news) == sorted(set(arrivals))
    assert ledger.repeats == len(arrivals) - len(news)
    whole = set(range(1, max(arrivals, default=0) + 1))
    assert ledger.missing == sorted(whole - set(arrivals))
    first_missing = min(ledger.missing, default=len(whole) + 1)
    assert ledger.complete_to == first_missing - 1
    assert ledger.up_to_seq == (ledger.complete_to + 10 if ledger.complete_to else 0)
    beyond = [
        record for first, last in ledger.beyond(arrivals) for record in range(first - 10, last - 9)
    ]
    assert beyond == sorted(record for record in set(arrivals) if record > ledger.complete_to)


def publish(link: Link, parcel: Parcel) -> None:
    link.publish(parcel)
    assert wait_until(lambda: link.pump(0.02) and bool(link.take_acknowledgements()), 5)


def test_repeats_are_dropped_and_holes_are_seen(mosquitto: Path, tmp_path: Path) -> None:
    sender = origin()
    with Mosquitto(mosquitto, tmp_path) as broker, Inbox(brisk(broker.url)) as inbox:
        link = open_link(brisk(broker.url), "device")
        for record in (1, 2, 2, 5, 1, 4):
            publish(link, parcel_of(frame(envelope(sender, record), record)))
        assert inbox.wait_for_frames(4)
        assert inbox.frames == [1, 2, 5, 4]
        assert inbox.ledger.missing == [3]
        assert wait_until(lambda: inbox.ledger.repeats == 2, 5)
        status = Status(
            **{**envelope(sender, 7), "seq": 99}, state="offline", reason="lost", version="1"
        )
        publish(link, parcel_of(status))
        assert wait_until(lambda: inbox.ledger.missing == [3, 6, 7], 5), "a lost end is seen too"
        link.close()


def test_messages_that_break_the_contract_are_refused_and_counted(
    mosquitto: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = origin()
    good = frame(envelope(sender, 1), 1)
    other = FrameResult(**{**vars(good), "device": "scope-2"})
    topic = topic_of(good)
    with Mosquitto(mosquitto, tmp_path) as broker, Inbox(brisk(broker.url)) as inbox:
        link = open_link(brisk(broker.url), "device")
        for payload in (b"", b"{}", good.to_json()[:-10], other.to_json()):
            publish(link, Parcel(topic, payload, sender.boot_id, 1))
        publish(link, Parcel("leukoedge/v1/lab/scope-1/gossip", b"{}", sender.boot_id, 1))
        publish(link, Parcel(topic, good.to_json(), sender.boot_id, 1))
        assert inbox.wait_for_frames(1)
        link.close()
        assert inbox.receiver.refused == 5
        assert len(inbox.received) == 1
        assert "it belongs on leukoedge/v1/lab/scope-2" in caplog.text


def test_a_receiver_without_a_broker_says_so() -> None:
    receiver = Receiver(brisk("mqtt://127.0.0.1:1"), lambda _received: None)
    with pytest.raises(BrokerError, match="nothing listens there"):
        receiver.start(timeout_s=0.3)


def test_receipts_reach_back_to_the_outbox(mosquitto: Path, tmp_path: Path) -> None:
    """A device whose receipt was lost asks again by sending again, and is told again."""
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url), send_receipts=True) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        arrivals: list[bytes] = []
        link = open_link(
            brisk(broker.url), "device", on_arrival=lambda arrival: arrivals.append(arrival.payload)
        )
        link.subscribe("leukoedge/v1/lab/scope-1/receipt")
        with outbox.transaction() as batch:
            parcel = parcel_of(frame(batch.envelope(sender), 0))
            batch.put(parcel)
        for count in (1, 2):
            link.publish(parcel)
            assert wait_until(lambda n=count: link.pump(0.02) and len(arrivals) >= n, 5)
        link.close()
        assert b'"up_to_seq":1' in arrivals[0]
        assert arrivals[1].split(b'"boot_id"')[1] == arrivals[0].split(b'"boot_id"')[1]
        assert inbox.frames == [0]


def test_a_reader_that_fails_misses_one_message_and_not_the_next(
    mosquitto: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = origin()
    read: list[int] = []

    def reader(received: Received) -> None:
        assert isinstance(received.message, FrameResult)
        read.append(received.message.frame)
        if received.message.frame == 1:
            raise ZeroDivisionError

    with Mosquitto(mosquitto, tmp_path) as broker:
        receiver = Receiver(brisk(broker.url), reader)
        receiver.start()
        link = open_link(brisk(broker.url), "device")
        for record in (1, 2):
            publish(link, parcel_of(frame(envelope(sender, record), record)))
        assert wait_until(lambda: read == [1, 2], 5)
        link.close()
        receiver.stop()
    assert "its reader failed" in caplog.text
