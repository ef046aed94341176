"""The way to the broker, against a real Mosquitto: nothing lost, nothing twice, nothing hidden."""

from __future__ import annotations

import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.contract.messages import Crop, SlideSummary, Status, UpdateReport
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import parcel_of
from edge_daemon.delivery.receiver import wait_until
from edge_daemon.errors import OutboxError
from tests.edge_daemon.contract.samples import SAMPLES
from tests.edge_daemon.delivery.inbox import Inbox, brisk
from tests.edge_daemon.delivery.parcels import origin, put_crop, put_frames, summary
from tests.edge_daemon.delivery.proxy import Proxy
from tests.mosquitto import Mosquitto


def test_each_frame_arrives_once_and_the_outbox_is_empty(mosquitto: Path, tmp_path: Path) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        with Publisher(brisk(broker.url), outbox, sender) as publisher:
            assert wait_until(lambda: publisher.link.connected, 10)  # what waited may come later
            put_frames(outbox, sender, 100)
            assert publisher.flush(10) == 0
        assert inbox.wait_for_frames(100)
        assert wait_until(lambda: inbox.states == ["online", "offline"], 5)
        assert inbox.frames == list(range(100))
        assert inbox.ledger.missing == []


def test_a_broker_that_restarts_in_the_middle_loses_nothing(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(broker.url), outbox, sender) as publisher,
    ):
        put_frames(outbox, sender, 100)
        assert inbox.wait_for_frames(20)
        broker.stop()
        put_frames(outbox, sender, 100, first=100)
        broker.start()
        put_frames(outbox, sender, 100, first=200)
        assert publisher.flush(15) == 0
        assert inbox.wait_for_frames(300)
        assert sorted(inbox.frames) == list(range(300))
        assert inbox.ledger.missing == []


def test_receipts_make_up_for_a_broker_that_forgets(mosquitto: Path, tmp_path: Path) -> None:
    """What the broker had acknowledged is gone with it, and arrives all the same."""
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker", persistent=False) as broker,
        Inbox(brisk(broker.url), send_receipts=True) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(
            brisk(broker.url, await_receipts=True, receipt_timeout_s=0.5), outbox, sender
        ) as publisher,
    ):
        put_frames(outbox, sender, 20)
        assert publisher.flush(10) == 0
        inbox.receiver.stop()
        broker.kill()
        broker.start()
        put_frames(outbox, sender, 50, first=20)
        assert publisher.flush(0.4) == 50, "the broker has them, but nobody else"
        with Inbox(brisk(broker.url), send_receipts=True) as second:
            second.receiver.ledgers.update(inbox.receiver.ledgers)
            assert publisher.flush(15) == 0
            assert sorted({*inbox.frames, *second.frames}) == list(range(70))
            assert second.ledger.missing == []


def test_without_a_broker_the_daemon_goes_on_and_delivers_later(
    mosquitto: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        broker.stop()
        caplog.clear()
        with (
            caplog.at_level(logging.WARNING, "edge_daemon.delivery.mqtt"),
            Publisher(brisk(broker.url), outbox, sender) as publisher,
        ):
            put_frames(outbox, sender, 30)
            assert publisher.flush(0.5) == 30
            assert not publisher.link.connected
            assert "nothing listens there: start the broker" in publisher.link.line
            said = [r for r in caplog.records if r.name == "edge_daemon.delivery.mqtt"]
            assert len(said) == 1, "one line for one cause, not one for each attempt"
            broker.start()
            assert publisher.flush(10) == 0
            assert publisher.link.connected
            assert inbox.wait_for_frames(30)


RULES = """\
user scope-1
topic read leukoedge/#
topic write leukoedge/v1/lab/scope-1/status
topic write leukoedge/v1/lab/scope-1/slide/slide-7/summary
{more}
user reader
topic readwrite #
"""


def test_what_the_broker_forbids_is_kept_reported_and_sent_once_it_is_allowed(
    mosquitto: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Mosquitto 2.0 answers a forbidden publish and then closes the connection."""
    rules = tmp_path / "rules"
    rules.write_text(RULES.format(more=""))
    sender = origin()
    device = {"username": "scope-1", "refused_retry_s": 0.3}
    with (
        Mosquitto(mosquitto, tmp_path / "broker", extra=f"acl_file {rules}") as broker,
        Inbox(brisk(broker.url, username="reader")) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(broker.url, **device), outbox, sender) as publisher,
    ):
        put_frames(outbox, sender, 5)
        with outbox.transaction() as batch:
            batch.put(parcel_of(summary(batch.envelope(sender), captured=5)))
        assert publisher.flush(5) == 5, "flush does not wait for what the broker refuses"
        assert wait_until(lambda: "degraded" in inbox.states, 5)
        refusal = "it refuses leukoedge/v1/lab/scope-1/slide/slide-7/frame (not authorized)"
        assert refusal in publisher.link.line
        assert [r.levelname for r in caplog.records].count("ERROR") == 1
        assert inbox.frames == []
        assert [r.topic.leaf for r in inbox.received].count("summary") == 1, "the rest passes"

        rules.write_text(RULES.format(more="topic write leukoedge/v1/lab/scope-1/slide/+/frame"))
        broker.reload()
        assert inbox.wait_for_frames(5)
        assert wait_until(lambda: inbox.states[-1] == "online", 5)
        assert publisher.flush(5) == 0
        assert refusal not in publisher.link.line


def test_a_message_over_the_brokers_limit_is_kept_and_the_rest_passes(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker", extra="max_packet_size 20000") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(broker.url), outbox, sender) as publisher,
    ):
        put_crop(outbox, sender, jpeg=b"\xff\xd8" + bytes(30_000))
        put_frames(outbox, sender, 3)
        assert publisher.flush(5) == 1
        assert "over its limit of 20000 bytes" in publisher.link.line
        assert inbox.wait_for_frames(3)


DAEMON = """
import sys
from pathlib import Path
from edge_daemon.delivery.mqtt import Publisher
from edge_daemon.delivery.outbox import Outbox
from edge_daemon.delivery.parcel import Origin
from tests.edge_daemon.delivery.inbox import brisk
from tests.edge_daemon.delivery.parcels import put_frames

path, url, window, first, count = sys.argv[1:]
sender = Origin("lab", "scope-1", "0" * 32)
outbox = Outbox(Path(path))
publisher = Publisher(brisk(url, max_in_flight=int(window)), outbox, sender)
publisher.start()
put_frames(outbox, sender, int(count), int(first))
print("put", flush=True)
print("left", publisher.flush(20), flush=True)
"""


def test_a_killed_daemon_sends_the_rest_after_its_restart_and_its_will_is_heard(
    mosquitto: Path, tmp_path: Path, repository: Path
) -> None:
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
    ):

        def daemon(*, window: int, first: int, count: int) -> subprocess.Popen[str]:
            numbers = [str(number) for number in (window, first, count)]
            return subprocess.Popen(
                [sys.executable, "-c", DAEMON, str(tmp_path / "outbox.db"), broker.url, *numbers],
                cwd=repository,
                stdout=subprocess.PIPE,
                text=True,
            )

        killed = daemon(window=1, first=0, count=300)  # so slowly that much is left
        assert killed.stdout is not None
        assert killed.stdout.readline() == "put\n"
        killed.kill()
        killed.communicate()
        assert wait_until(lambda: "offline" in inbox.states, 5), "the last will"
        arrived_before = len(inbox.frames)
        restarted = daemon(window=50, first=300, count=10)
        assert restarted.communicate(timeout=30)[0] == "put\nleft 0\n"
        assert inbox.wait_for_frames(310)
        assert sorted(inbox.frames) == list(range(310))
        assert inbox.ledger.missing == []
        assert arrived_before < 300, "killed too late to show anything"


def test_a_newcomer_finds_the_last_state_and_summary_at_once(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with Mosquitto(mosquitto, tmp_path / "broker") as broker:
        with Outbox(tmp_path / "outbox.db") as outbox:
            with outbox.transaction() as batch:
                batch.put(parcel_of(summary(batch.envelope(sender), captured=0)))
            with Publisher(brisk(broker.url), outbox, sender) as publisher:
                publisher.flush(5)
        broker.restart()
        with Inbox(brisk(broker.url)) as inbox:
            assert wait_until(lambda: len(inbox.received) == 2, 5)
    assert all(received.retained for received in inbox.received)
    assert inbox.states == ["offline"]
    assert any(isinstance(received.message, SlideSummary) for received in inbox.received)
    assert inbox.receiver.ledgers == {}, "old copies say nothing about losses now"


def test_a_crop_arrives_with_what_it_shows(mosquitto: Path, tmp_path: Path) -> None:
    sender = origin()
    jpeg = b"\xff\xd8 picture of a cell \xff\xd9"
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(broker.url), outbox, sender),
    ):
        crop = put_crop(outbox, sender, jpeg)
        assert wait_until(lambda: any(r.jpeg for r in inbox.received), 5)
    (received,) = [r for r in inbox.received if r.jpeg]
    assert isinstance(received.message, Crop)
    assert (received.message, received.jpeg) == (crop, jpeg)
    assert (received.topic.slide, received.topic.item) == ("slide-7", "12")


def test_an_outbox_that_fails_is_said_to_whoever_waits(tmp_path: Path) -> None:
    sender = origin()
    outbox = Outbox(tmp_path / "outbox.db")
    with Publisher(brisk("mqtt://127.0.0.1:1"), outbox, sender) as publisher:
        outbox.close()
        assert wait_until(lambda: publisher.failure is not None, 5)
        with pytest.raises(OutboxError, match=r"outbox .* failed .*check the disk"):
            publisher.flush(1)
        assert not publisher.link.connected


def test_what_happens_now_goes_before_what_waited(mosquitto: Path, tmp_path: Path) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        put_frames(outbox, sender, 1500)
        with Publisher(brisk(broker.url, backlog_per_s=300), outbox, sender) as publisher:
            assert wait_until(lambda: publisher.link.connected, 10)
            assert inbox.wait_for_frames(20)
            put_frames(outbox, sender, 1, first=1500)
            assert wait_until(lambda: 1500 in inbox.frames, 10)
            assert len(inbox.frames) < 1500, "the rest of the backlog is still to come"
            assert publisher.flush(60) == 0
        assert inbox.wait_for_frames(1501)
        assert sorted(inbox.frames) == list(range(1501))
        assert inbox.ledger.missing == []
        assert set(inbox.historical) == set(range(1500))


def test_an_older_summary_that_comes_later_does_not_take_the_place_of_a_newer_one(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        put_frames(outbox, sender, 400)
        with outbox.transaction() as batch:
            batch.put(parcel_of(summary(batch.envelope(sender), captured=1)))
        with Publisher(brisk(broker.url, backlog_per_s=200), outbox, sender) as publisher:
            assert wait_until(lambda: publisher.link.connected, 10)
            with outbox.transaction() as batch:
                batch.put(parcel_of(summary(batch.envelope(sender), captured=2)))
            assert publisher.flush(60) == 0
        with Inbox(brisk(broker.url)) as newcomer:
            assert wait_until(lambda: bool(newcomer.of(SlideSummary)), 10)
            (kept,) = newcomer.of(SlideSummary)
            assert kept.frames.captured == 2


def test_another_bundle_is_said_at_once_and_by_the_last_will_too(
    mosquitto: Path, tmp_path: Path
) -> None:
    """What is retained of a device names the bundle at work, also once it is gone."""
    before = origin()
    after = replace(before, bundle="sha256:" + "cd" * 32)
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        with (
            Proxy(broker.port, lambda _sent: None) as way,
            Publisher(brisk(way.url), outbox, before) as publisher,
        ):
            put_frames(outbox, before, 10)
            assert inbox.wait_for_frames(10)
            publisher.speak_as(after)
            put_frames(outbox, after, 10, first=10)
            assert inbox.wait_for_frames(20)
            assert wait_until(lambda: inbox.of(Status)[-1].bundle == after.bundle, 10)
            assert inbox.states == ["online", "online"], "it was never gone"
            way.cut()
            assert wait_until(lambda: "offline" in inbox.states, 10)
            gone = next(said for said in inbox.of(Status) if said.state == "offline")
            assert gone.bundle == after.bundle
        assert sorted(set(inbox.frames)) == list(range(20))
        assert inbox.ledger.missing == []


def test_how_updates_stand_is_kept_for_who_comes_later_and_told_when_it_changes(
    mosquitto: Path, tmp_path: Path
) -> None:
    (sample,) = [one for one in SAMPLES if isinstance(one, UpdateReport)]
    standings = [None, sample.standing, sample.standing.model_copy(update={"step": "active"})]
    with (
        Mosquitto(mosquitto, tmp_path / "broker") as broker,
        Inbox(brisk(broker.url)) as inbox,
        Outbox(tmp_path / "outbox.db") as outbox,
    ):
        sender = origin()
        publisher = Publisher(brisk(broker.url), outbox, sender)
        now = [standings[0]]
        publisher.updates = lambda: now[0]
        with publisher:
            assert wait_until(lambda: bool(inbox.of(Status)), 30)
            assert inbox.of(UpdateReport) == [], "no updater has looked yet"
            for count, standing in enumerate(standings[1:], start=1):
                now[0] = standing
                assert wait_until(lambda n=count: len(inbox.of(UpdateReport)) == n, 30)
                assert inbox.of(UpdateReport)[-1].standing == standing
            with Inbox(brisk(broker.url)) as newcomer:
                assert wait_until(lambda: bool(newcomer.of(UpdateReport)), 30)
                (kept,) = newcomer.of(UpdateReport)
                assert kept.standing == standings[-1]
            put_frames(outbox, sender, 3)
            assert inbox.wait_for_frames(3)
        assert inbox.ledger.missing == [], "it takes no number of what must arrive"


def test_the_device_goes_to_another_broker_without_a_new_start(
    mosquitto: Path, tmp_path: Path
) -> None:
    sender = origin()
    with (
        Mosquitto(mosquitto, tmp_path / "one") as one,
        Mosquitto(mosquitto, tmp_path / "two") as two,
        Inbox(brisk(one.url)) as first,
        Inbox(brisk(two.url)) as second,
        Outbox(tmp_path / "outbox.db") as outbox,
        Publisher(brisk(one.url), outbox, sender) as publisher,
    ):
        put_frames(outbox, sender, 10)
        assert first.wait_for_frames(10)
        publisher.move(brisk(two.url))
        assert wait_until(lambda: first.states[-1:] == ["offline"], 10)
        put_frames(outbox, sender, 10, first=10)
        assert second.wait_for_frames(10)
        assert second.states[:1] == ["online"]
        assert sorted(first.frames + second.frames) == list(range(20))
