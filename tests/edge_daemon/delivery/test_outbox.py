"""The outbox keeps what it took: across restarts, damage and a budget that is too small."""

from __future__ import annotations

import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from edge_daemon.delivery.outbox import Batch, Outbox
from edge_daemon.delivery.parcel import Worth, parcel_of
from edge_daemon.errors import OutboxError
from tests.edge_daemon.delivery.parcels import (
    frame,
    origin,
    put_frames,
    put_plain,
    receipt,
    summary,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


def seqs(outbox: Outbox) -> list[int]:
    return [entry.parcel.seq for entry in outbox.pending(10_000)]


def ids(outbox: Outbox) -> list[int]:
    return [entry.id for entry in outbox.pending(10_000)]


def test_parcels_come_out_whole_and_in_order_after_a_restart(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox, outbox.transaction() as batch:
        put = [parcel_of(frame(batch.envelope(sender), index)) for index in range(3)]
        put.append(parcel_of(summary(batch.envelope(sender), captured=3)))
        for parcel in put:
            batch.put(parcel)
    with Outbox(path) as reopened:
        assert [entry.parcel for entry in reopened.pending(10)] == put


def test_a_batch_that_fails_stores_nothing_and_uses_no_number(path: Path) -> None:
    sender = origin()

    def put_and_fail(batch: Batch) -> None:
        put_plain(batch, sender, Worth.RESULT)
        raise ZeroDivisionError

    with Outbox(path) as outbox:
        with pytest.raises(ZeroDivisionError), outbox.transaction() as batch:
            put_and_fail(batch)
        assert outbox.depth().messages == 0
        assert outbox.depth().size_bytes == 0
        put_frames(outbox, sender, 1)
        assert seqs(outbox) == [1]


def test_numbers_go_on_after_a_restart_and_begin_anew_with_a_new_boot(path: Path) -> None:
    first_boot, second_boot = origin(), origin()
    with Outbox(path) as outbox:
        put_frames(outbox, first_boot, 2)
        assert outbox.passing_envelope(first_boot)["seq"] == 3
    with Outbox(path) as outbox, outbox.transaction() as batch:
        envelope = batch.envelope(first_boot)
        assert (envelope["seq"], envelope["record"]) == (4, 3)
        assert batch.envelope(second_boot)["seq"] == 1


def test_previews_wait_for_everything_else(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        with outbox.transaction() as batch:
            for worth in (Worth.PREVIEW, Worth.RESULT, Worth.VITAL, Worth.PREVIEW):
                put_plain(batch, sender, worth)
        assert seqs(outbox) == [2, 3, 1, 4]


def test_what_is_in_flight_is_not_sent_twice_unless_the_connection_is_lost(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        put_frames(outbox, sender, 3)
        first = outbox.pending(1)[0]
        outbox.mark_in_flight(first.id)
        assert seqs(outbox) == [2, 3]
        outbox.release_in_flight()
        assert seqs(outbox) == [1, 2, 3]


def test_without_a_receiver_the_brokers_word_is_enough(path: Path) -> None:
    with Outbox(path) as outbox:
        put_frames(outbox, origin(), 3)
        outbox.acknowledge(ids(outbox)[:2])
        assert seqs(outbox) == [3]
        assert outbox.depth().messages == 1


def test_with_a_receiver_parcels_stay_until_its_receipt(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        put_frames(outbox, sender, 4)
        outbox.acknowledge(ids(outbox)[:3], await_receipt=True)
        assert seqs(outbox) == [4]
        assert outbox.depth().messages == 4
        outbox.accept_receipt(receipt(sender.boot_id, 2))
        assert outbox.depth().messages == 2
        assert outbox.retry_sent() == 1
        assert seqs(outbox) == [3, 4]


def test_what_came_beyond_a_hole_is_forgotten_too(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        put_frames(outbox, sender, 9)
        outbox.acknowledge(ids(outbox), await_receipt=True)
        outbox.accept_receipt(receipt(sender.boot_id, 2, (4, 5), (8, 8)))
        outbox.retry_sent()
        assert seqs(outbox) == [3, 6, 7, 9]


def test_a_receipt_deletes_nothing_that_was_not_sent(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        put_frames(outbox, sender, 3)
        outbox.accept_receipt(receipt(sender.boot_id, 1_000_000))
        outbox.accept_receipt(receipt(origin().boot_id, 1_000_000))
        assert seqs(outbox) == [1, 2, 3]


def test_a_receipt_that_overtakes_the_acknowledgement_counts(path: Path) -> None:
    sender = origin()
    with Outbox(path) as outbox:
        put_frames(outbox, sender, 1)
        entry = outbox.pending(1)[0]
        outbox.mark_in_flight(entry.id)
        outbox.accept_receipt(receipt(sender.boot_id, 1))
        outbox.acknowledge([entry.id], await_receipt=True)
        assert outbox.depth().messages == 0


def test_a_refused_parcel_is_kept_and_lets_the_others_pass(path: Path) -> None:
    with Outbox(path) as outbox:
        put_frames(outbox, origin(), 3)
        outbox.refuse(ids(outbox)[:1])
        assert seqs(outbox) == [2, 3]
        assert outbox.depth().messages == 3
        assert outbox.retry_refused() == 1
        assert seqs(outbox) == [1, 2, 3]


def test_over_budget_previews_go_first_then_results_and_it_is_said(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = origin()
    order = (Worth.RESULT, Worth.PREVIEW, Worth.VITAL, Worth.PREVIEW, Worth.RESULT)
    with Outbox(path, budget_bytes=6000) as outbox, caplog.at_level(logging.WARNING):
        for worth in order:
            with outbox.transaction() as batch:
                put_plain(batch, sender, worth, size_bytes=900)  # about 1,150 with its overhead
        assert caplog.records == []
        for kept in ([1, 3, 4, 5, 6], [1, 3, 5, 6, 7], [3, 5, 6, 7, 8], [3, 6, 7, 8, 9]):
            with outbox.transaction() as batch:
                put_plain(batch, sender, Worth.VITAL, size_bytes=900)
            assert sorted(seqs(outbox)) == kept
        assert outbox.depth().evicted == 4
    assert len(caplog.records) == 1
    assert "has no room (budget 6000 bytes" in caplog.records[0].message


def test_what_must_not_be_lost_is_never_given_up_but_refused(path: Path) -> None:
    sender = origin()
    with Outbox(path, budget_bytes=3000) as outbox:
        for _ in range(2):
            with outbox.transaction() as batch:
                put_plain(batch, sender, Worth.VITAL, size_bytes=1000)
        with (
            pytest.raises(OutboxError, match=r"full.*connect the broker or raise the budget"),
            outbox.transaction() as batch,
        ):
            put_plain(batch, sender, Worth.VITAL, size_bytes=1000)
        assert outbox.depth().evicted == 0
        with outbox.transaction() as batch:  # of less worth: given up itself, and counted
            put_plain(batch, sender, Worth.RESULT, size_bytes=1000)
        assert outbox.depth().evicted == 1
        assert seqs(outbox) == [1, 2]
    with Outbox(path) as reopened:
        assert reopened.depth().evicted == 1


def test_what_is_in_flight_is_not_given_up(path: Path) -> None:
    sender = origin()
    with Outbox(path, budget_bytes=3000) as outbox:
        for _ in range(2):
            with outbox.transaction() as batch:
                put_plain(batch, sender, Worth.PREVIEW, size_bytes=1000)
        outbox.mark_in_flight(ids(outbox)[0])
        with outbox.transaction() as batch:
            put_plain(batch, sender, Worth.RESULT, size_bytes=1000)
        outbox.release_in_flight()
        assert sorted(seqs(outbox)) == [1, 3]


def test_a_second_process_is_kept_out(path: Path) -> None:
    with Outbox(path), pytest.raises(OutboxError, match="in use by another process"):
        Outbox(path)


@pytest.mark.parametrize("damage", ["middle", "start", "cut", "schema", "row"])
def test_a_damaged_file_is_moved_aside_and_never_emptied(path: Path, damage: str) -> None:
    with Outbox(path) as outbox:
        put_frames(outbox, origin(), 50)
    whole = path.read_bytes()
    broken = {
        "start": b"\x00" * 100 + whole[100:],
        "middle": whole[:5000] + b"\x55" * 8000 + whole[13000:],
        "cut": whole[: len(whole) // 2],
        "schema": whole.replace(b"AUTOINCREMENT", b"AUTOINC\xb3EMENT"),
        "row": whole.replace(b"leukoedge/v1/lab", b"leukoedge/v1/l#b", 1),
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(OutboxError, match=r"is damaged.*was moved to.*start again"):
        Outbox(path)
    (aside,) = path.parent.glob("outbox.db.damaged-*")
    assert aside.read_bytes() == broken
    with Outbox(path) as fresh:
        assert fresh.depth().messages == 0


def test_a_file_of_another_format_is_left_alone(path: Path) -> None:
    Outbox(path).close()
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 2")
    other.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="has format 2, this release reads 1"):
        Outbox(path)
    assert path.read_bytes() == before


def test_somebody_elses_database_is_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE contacts (name)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(OutboxError, match="database of something else"):
        Outbox(path)
    assert path.read_bytes() == before


def test_an_impossible_place_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path, tmp_path / "file" / "outbox.db"):
        with pytest.raises(OutboxError, match="cannot be opened") as caught:
            Outbox(place)
        assert "\n" not in str(caught.value)


def test_two_threads_may_put_and_take_at_once(path: Path) -> None:
    sender = origin()
    taken: list[int] = []
    with Outbox(path) as outbox:
        news = threading.Event()
        outbox.on_put = news.set

        def take() -> None:
            while len(taken) < 300 and news.wait(10):
                news.clear()
                entries = outbox.pending(1000)
                outbox.acknowledge([entry.id for entry in entries])
                taken.extend(entry.parcel.seq for entry in entries)

        taker = threading.Thread(target=take)
        taker.start()
        put_frames(outbox, sender, 300)
        taker.join(20)
    assert taken == list(range(1, 301))
