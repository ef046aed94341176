"""The outbox: results wait here, on disk, until someone else has them.

The queue of an MQTT client lives in memory and dies with the process, so the queue is SQLite and
the client is given a message only while it is connected. Rows are written with WAL and
``synchronous=FULL``: in simulated power cuts ``NORMAL`` lost committed rows in 110 of 120 cuts,
``FULL`` in none. A batch shares one commit, hence one flush to the disk.

Message numbers (``seq``, ``record``) are drawn inside the same transaction that stores the
message, so a crash neither reuses a number nor leaves a hole. What is on its way to the broker is
known in memory only: after a crash it is sent again, and the receiver drops the repeat.

Every method may be called from any thread; one lock guards the one connection, and a batch holds
it from its first to its last line. Only one process may have an outbox open.
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
from edge_daemon.delivery.outbox_file import REFUSED, SENT, open_outbox_file
from edge_daemon.delivery.outbox_rows import Entry, OutboxRows
from edge_daemon.delivery.parcel import Envelope, Origin, Parcel
from edge_daemon.errors import OutboxError

DEFAULT_BUDGET_BYTES = 256 * 1024 * 1024
"""About 20,000 frames of 200 cells (13 kB each): several slides without a broker."""


class Batch:
    """The inside of a transaction: number messages and put them; all are stored, or none."""

    def __init__(self, rows: OutboxRows, busy: set[int]) -> None:
        self._rows = rows
        self._busy = busy
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
        self.stored += self._rows.insert(parcel, busy=self._busy)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> None:
        """Change tables of another room that lie in the same file, under the same commit."""
        self._rows.execute(sql, values)


class Outbox:
    """A durable queue of parcels in one SQLite file."""

    def __init__(self, path: Path, *, budget_bytes: int = DEFAULT_BUDGET_BYTES) -> None:
        """Open or create the outbox at ``path``.

        Over ``budget_bytes`` the oldest previews are given up, then the oldest results, counted
        and reported; never a summary or a frame with a suspicious cell.

        Raises:
            OutboxError: the file is in use, of another format, not writable, or damaged. A damaged
                file is moved aside, so that the next start works and nothing is deleted.
        """
        self.path = path
        self.on_put: Callable[[], None] = lambda: None
        """Called after each commit that stored something; must return at once."""
        self._lock = threading.RLock()
        self._in_flight: set[int] = set()
        self._receipts: dict[str, int] = {}
        self._db = open_outbox_file(path)
        self._rows = OutboxRows(self._db, str(path), budget_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent. Undelivered parcels stay in it."""
        with self._lock:
            self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[Batch]:
        """Number and store several messages under one commit: all are stored, or none."""
        with self._writing():
            batch = Batch(self._rows, self._in_flight)
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
                for boot_id, up_to_seq in self._receipts.items():  # it may have come first
                    self._rows.delete_received(boot_id, up_to_seq)
            else:
                self._rows.delete(ids)
            self._in_flight.difference_update(ids)

    def accept_receipt(self, boot_id: str, up_to_seq: int) -> int:
        """The receiver has committed all records of ``boot_id`` up to ``up_to_seq``: forget them.

        Only parcels the broker acknowledged are forgotten, whatever the receipt claims.
        Returns how many that were.
        """
        with self._writing():
            self._receipts[boot_id] = max(up_to_seq, self._receipts.get(boot_id, -1))
            return self._rows.delete_received(boot_id, up_to_seq)

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

    def depth(self) -> OutboxDepth:
        """How much is stored, sent and unreceipted parcels included, and how much was given up."""
        with self._reading():
            messages, refused = self._rows.count()
            return OutboxDepth(
                messages=messages,
                refused=refused,
                size_bytes=self._rows.size_bytes,
                evicted=self._rows.given_up(),
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                raise OutboxError(
                    f"outbox {self.path} failed ({error}): check the disk, then start again"
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            if self._db.in_transaction:  # this thread is inside a batch already: join it
                yield
                return
            size_before = self._rows.size_bytes
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._rows.size_bytes = size_before
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
