"""The outbox: results wait here, on disk, until someone else has them.

The queue of an MQTT client lives in memory and dies with the process, so the queue is SQLite and
the client is given a message only while it is connected. Rows are written with WAL and
``synchronous=FULL``: in simulated power cuts ``NORMAL`` lost committed rows in 110 of 120 cuts,
``FULL`` in none. A batch shares one commit, hence one flush to the disk. Only what is stored is
flushed: an acknowledgement that a power cut takes back is a message that is sent once more, and the
receiver drops the repeat.

Message numbers (``seq``, ``record``) are drawn inside the same transaction that stores the
message, so a crash neither reuses a number nor leaves a hole. What is on its way to the broker is
known in memory only: after a crash it is sent again, and the receiver drops the repeat.

Every method may be called from any thread; one lock guards the one connection, and a batch holds
it from its first to its last line. Only one process may have an outbox open; others may read the
file (:mod:`edge_daemon.ledger.reading`).
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from typing_extensions import Self

from edge_daemon.contract.findings import OutboxDepth
from edge_daemon.contract.messages import Receipt
from edge_daemon.delivery.outbox_file import REFUSED, SENT, open_outbox_file
from edge_daemon.delivery.outbox_rows import Entry, OutboxRows
from edge_daemon.delivery.parcel import Envelope, Origin, Parcel
from edge_daemon.delivery.room import KEEP_FREE_BYTES, Room
from edge_daemon.errors import DiskFullError, OutboxError

DEFAULT_BUDGET_BYTES = 256 * 1024 * 1024
"""About 20,000 frames of 200 cells (13 kB each): several slides without a broker."""

_NEARLY_FULL, _STILL_FULL = 0.8, 0.7
"""Shares of the budget: above the one it is said, below the other it is over."""


class Batch:
    """The inside of a transaction: number messages and put them; all are stored, or none."""

    def __init__(self, rows: OutboxRows, busy: set[int], disk_short: bool) -> None:
        self._rows = rows
        self._busy = busy
        self._disk_short = disk_short
        self.stored = 0

    def envelope(self, origin: Origin) -> Envelope:
        """Number the next message that must arrive; put it in the same batch."""
        return self._rows.number(origin, lasting=True)

    def put(self, parcel: Parcel) -> None:
        """Store a parcel.

        Raises:
            OutboxError: it cannot be written, or it is vital and the outbox is full of messages
                that must not be given up either. Nothing of the batch is stored then.
        """
        self.stored += self._rows.insert(parcel, busy=self._busy, disk_short=self._disk_short)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Change tables of another room that lie in the same file, under the same commit."""
        self._rows.execute(sql, values)


class Outbox:
    """A durable queue of parcels in one SQLite file."""

    def __init__(
        self,
        path: Path,
        *,
        budget_bytes: int = DEFAULT_BUDGET_BYTES,
        keep_free_bytes: int = KEEP_FREE_BYTES,
    ) -> None:
        """Open or create the outbox at ``path``.

        Over ``budget_bytes``, or where the disk has less than ``keep_free_bytes`` left, the oldest
        previews are given up, then the oldest results, counted and reported; never a summary or a
        frame with a suspicious cell.

        Raises:
            OutboxError: the file is in use, of another format, not writable, or damaged. A damaged
                file is moved aside, so that the next start works and nothing is deleted.
        """
        self.path = path
        self.on_put: Callable[[], None] = lambda: None
        """Called after each commit that stored something; must return at once."""
        self._lock = threading.RLock()
        self._in_flight: set[int] = set()
        self._receipts: dict[str, Receipt] = {}
        """The newest of each boot: a later one covers all that an earlier one did."""
        self._db, self._alone = open_outbox_file(path)
        self._rows = OutboxRows(self._db, str(path), budget_bytes)
        self._room = Room(path, keep_free_bytes)
        self._budget_bytes = budget_bytes
        self._nearly_full = False
        self._flushes = True  # as the file was opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def trouble(self) -> str | None:
        """Why something may soon be given up, or None; said before anything is."""
        share = self._rows.held.size_bytes / self._budget_bytes
        self._nearly_full = share > (_STILL_FULL if self._nearly_full else _NEARLY_FULL)
        if self._room.getting_short:
            return (
                "the disk of the outbox is nearly full: soon pictures of cells, then results "
                "without suspicious cells, are given up; free some space"
            )
        if self._nearly_full:
            return (
                "the outbox is nearly full: soon pictures of cells, then results without "
                "suspicious cells, are given up; see to the broker and its receiver"
            )
        return None

    def close(self) -> None:
        """Close the file; idempotent. Undelivered parcels stay in it."""
        with self._lock:
            self._db.close()
            self._alone.release()

    @contextmanager
    def transaction(self) -> Iterator[Batch]:
        """Number and store several messages under one commit: all are stored, or none."""
        with self._writing(flushed=True):
            self._room.look(self._rows.reusable_bytes())
            batch = Batch(self._rows, self._in_flight, self._room.short)
            yield batch
        if batch.stored:
            self.on_put()

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Read tables of another room that lie in the same file."""
        with self._reading():
            return self._db.execute(sql, values).fetchall()

    def put(self, parcel: Parcel) -> None:
        """Store one parcel; see :meth:`Batch.put`."""
        with self.transaction() as batch:
            batch.put(parcel)

    def passing_envelope(self, origin: Origin) -> Envelope:
        """Number a message that may be missed (status, health) and is not stored here."""
        with self._writing():
            return self._rows.number(origin, lasting=False)

    def pending(self, limit: int, *, after: int = 0, up_to: int | None = None) -> list[Entry]:
        """The next parcels to send, oldest first, previews after everything else.

        Only those stored after the entry ``after``, and up to the entry ``up_to``.
        """
        with self._reading():
            return self._rows.waiting(limit, busy=self._in_flight, after=after, up_to=up_to)

    def newest(self) -> int:
        """Id of the entry that was stored last and is still there; 0 when there is none."""
        with self._reading():
            return self._rows.newest()

    def mark_in_flight(self, entry_id: int) -> None:
        """The parcel was handed to the broker; it is neither sent twice nor given up meanwhile."""
        with self._lock:
            self._in_flight.add(entry_id)

    def release_in_flight(self) -> None:
        """The connection is gone: whatever was on its way goes again."""
        with self._lock:
            self._in_flight.clear()

    def acknowledge(self, entry_ids: Iterable[int], *, await_receipt: bool = False) -> None:
        """The broker has these parcels: forget them, or keep them until the receipt."""
        ids = list(entry_ids)
        with self._writing():
            if await_receipt:
                self._rows.set_state(ids, SENT)
                for receipt in self._receipts.values():  # it may have come first
                    self._delete_received(receipt)
            else:
                self._rows.delete(ids)
            self._in_flight.difference_update(ids)

    def accept_receipt(self, receipt: Receipt) -> int:
        """The receiver has committed what the receipt says: forget it.

        Only parcels the broker acknowledged are forgotten, whatever the receipt claims.
        Returns how many that were.
        """
        with self._writing():
            known = self._receipts.get(receipt.boot_id)
            if known is None or known.up_to_seq <= receipt.up_to_seq:
                self._receipts[receipt.boot_id] = receipt
            return self._delete_received(receipt)

    def _delete_received(self, receipt: Receipt) -> int:
        spans = ((0, receipt.up_to_seq), *receipt.beyond)
        return sum(
            self._rows.delete_received(receipt.boot_id, first, last) for first, last in spans
        )

    def refuse(self, entry_ids: Iterable[int]) -> None:
        """The broker will not take these parcels: keep them, and let the others pass."""
        ids = list(entry_ids)
        if ids:
            with self._writing():
                self._rows.set_state(ids, REFUSED)
                self._in_flight.difference_update(ids)

    def retry_sent(self) -> int:
        """Send again what no receipt has come for; returns how many."""
        with self._writing():
            return self._rows.wait_again(SENT)

    def retry_refused(self) -> int:
        """Offer refused parcels again (the broker's rules may have changed); returns how many."""
        with self._writing():
            return self._rows.wait_again(REFUSED)

    def unreceipted(self) -> int:
        """How many parcels the broker has and no receipt came for yet."""
        with self._reading():
            return self._rows.count(SENT)

    def depth(self) -> OutboxDepth:
        """How much is stored, sent and unreceipted parcels included, and how much was given up."""
        with self._reading():
            return OutboxDepth(
                messages=self._rows.held.messages,
                refused=self._rows.count(REFUSED),
                size_bytes=self._rows.held.size_bytes,
                evicted=self._rows.given_up(),
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if "is full" in str(error):
                    self._room.run_out()
                    raise DiskFullError(
                        f"outbox {self.path}: its disk is full: free some space, then start again"
                    ) from error
                raise OutboxError(
                    f"outbox {self.path} failed ({error}): check the disk, then start again"
                ) from error

    @contextmanager
    def _writing(self, *, flushed: bool = False) -> Iterator[None]:
        """A transaction; ``flushed`` to the disk at its end, or with the next one that is."""
        with self._reading():
            if self._db.in_transaction:  # this thread is inside a batch already: join it
                yield
                return
            held_before = self._rows.held
            if flushed is not self._flushes:
                self._db.execute(f"PRAGMA synchronous = {'FULL' if flushed else 'NORMAL'}")
                self._flushes = flushed
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._rows.held = held_before
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
