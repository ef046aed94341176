"""What is done to the rows of the outbox, one question or change each; no locks, no commits.

The number and size of the rows are kept beside the database (a sum over all rows at each message
would cost more than the message), so a rollback must restore :attr:`OutboxRows.held` too.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from edge_daemon.delivery.outbox_file import SENT, WAITING
from edge_daemon.delivery.parcel import Envelope, Origin, Parcel, Worth
from edge_daemon.errors import OutboxError

_ROW_OVERHEAD_BYTES = 200  # per small row, measured: 257 bytes a row in the file for 100 of payload

_LAST_ROW = (1 << 63) - 1

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """How many rows there are, in any state, and their size."""

    messages: int
    size_bytes: int

    def plus(self, messages: int, size_bytes: int) -> Held:
        """So many more, or less."""
        return Held(self.messages + messages, self.size_bytes + size_bytes)


@dataclass(frozen=True)
class Entry:
    """A stored parcel; ``id`` orders the outbox and names the row."""

    id: int
    parcel: Parcel


class OutboxRows:
    """The rows of one open outbox file; every method runs inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection, name: str, budget_bytes: int) -> None:
        self._db = db
        self._name = name
        self._budget_bytes = budget_bytes
        self._warned = False
        (self._page_bytes,) = db.execute("PRAGMA page_size").fetchone()
        self.held = Held(
            *db.execute("SELECT count(*), coalesce(sum(size_bytes), 0) FROM outbox").fetchone()
        )

    def execute(self, sql: str, values: Sequence[Any]) -> None:
        """Whatever another room keeps in this file."""
        self._db.execute(sql, values)

    def number(self, origin: Origin, *, lasting: bool) -> Envelope:
        """Draw the next ``seq`` of a boot, and the next ``record`` if the message must arrive."""
        self._db.execute(
            "INSERT INTO numbering VALUES (?, 1, ?) ON CONFLICT (boot_id)"
            " DO UPDATE SET seq = seq + 1, record = record + excluded.record",
            (origin.boot_id, int(lasting)),
        )
        seq, record = self._db.execute(
            "SELECT seq, record FROM numbering WHERE boot_id = ?", (origin.boot_id,)
        ).fetchone()
        return Envelope(
            site=origin.site,
            device=origin.device,
            boot_id=origin.boot_id,
            bundle=origin.bundle,
            seq=seq,
            record=record,
        )

    def insert(self, parcel: Parcel, *, busy: Collection[int], disk_short: bool = False) -> bool:
        """Store a parcel, giving up others but the ``busy`` if there is no room.

        ``disk_short``: nothing may grow that can be given up. False when the parcel itself was
        given up.

        Raises:
            OutboxError: a vital parcel finds the outbox full of vital parcels.
        """
        size_bytes = len(parcel.payload) + len(parcel.topic) + len(parcel.about or "")
        size_bytes += _ROW_OVERHEAD_BYTES
        if not self._make_room(size_bytes, parcel.worth, busy, disk_short):
            self._count_given_up(parcel.worth)
            return False
        if parcel.retain:
            # What the broker keeps is the newest; an older one may arrive after it.
            self._db.execute(
                "UPDATE outbox SET retain = 0 WHERE topic = ? AND retain = 1", (parcel.topic,)
            )
        self._db.execute(
            "INSERT INTO outbox (worth, boot_id, seq, topic, payload, qos, retain, content_type,"
            " about, expires_s, size_bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                int(parcel.worth),
                parcel.boot_id,
                parcel.seq,
                parcel.topic,
                parcel.payload,
                parcel.qos,
                int(parcel.retain),
                parcel.content_type,
                parcel.about,
                parcel.expires_s,
                size_bytes,
            ),
        )
        self.held = self.held.plus(1, size_bytes)
        return True

    def waiting(
        self, limit: int, *, busy: Collection[int], after: int = 0, up_to: int | None = None
    ) -> list[Entry]:
        """The next parcels to send but the ``busy``: oldest first, previews after all else.

        Only those stored after the row ``after``, and up to the row ``up_to``.
        """
        last = _LAST_ROW if up_to is None else up_to
        entries: list[Entry] = []
        for previews in (False, True):  # each a range of the index, however much lies before it
            rows = self._db.execute(
                "SELECT id, topic, payload, boot_id, seq, qos, retain, worth, content_type, about,"
                " expires_s FROM outbox WHERE state = ? AND (worth = 0) = ? AND id > ? AND id <= ?"
                " ORDER BY id LIMIT ?",
                (WAITING, previews, after, last, limit - len(entries) + len(busy)),
            )
            entries += [_entry(row) for row in rows if row[0] not in busy]
            if len(entries) >= limit:
                break
        return entries[:limit]

    def newest(self) -> int:
        """The row that was stored last and is still there; 0 when there is none."""
        (newest,) = self._db.execute("SELECT coalesce(max(id), 0) FROM outbox").fetchone()
        return int(newest)

    def set_state(self, entry_ids: Iterable[int], state: int) -> None:
        """Move rows to another state."""
        self._db.executemany(
            "UPDATE outbox SET state = ? WHERE id = ?", [(state, i) for i in entry_ids]
        )

    def wait_again(self, state: int) -> int:
        """Every row in ``state`` waits to be sent again; returns how many."""
        return self._db.execute(
            "UPDATE outbox SET state = ? WHERE state = ?", (WAITING, state)
        ).rowcount

    def delete(self, entry_ids: Iterable[int]) -> None:
        """Forget rows; ids that are gone already are passed over."""
        for entry_id in entry_ids:
            row = self._db.execute(
                "SELECT size_bytes FROM outbox WHERE id = ?", (entry_id,)
            ).fetchone()
            if row is not None:
                self._db.execute("DELETE FROM outbox WHERE id = ?", (entry_id,))
                self.held = self.held.plus(-1, -row[0])

    def delete_received(self, boot_id: str, first_seq: int, last_seq: int) -> int:
        """Forget the rows of a boot that the broker acknowledged and a receipt covers."""
        rows = self._db.execute(
            "SELECT id FROM outbox WHERE state = ? AND boot_id = ? AND seq BETWEEN ? AND ?",
            (SENT, boot_id, first_seq, last_seq),
        ).fetchall()
        self.delete(row[0] for row in rows)
        return len(rows)

    def reusable_bytes(self) -> int:
        """What the file holds and nothing uses: a file of SQLite does not shrink by itself."""
        (pages,) = self._db.execute("PRAGMA freelist_count").fetchone()
        return int(pages * self._page_bytes)

    def count(self, state: int) -> int:
        """How many rows are in a state."""
        (rows,) = self._db.execute(
            "SELECT count(*) FROM outbox WHERE state = ?", (state,)
        ).fetchone()
        return int(rows)

    def given_up(self) -> int:
        """How many parcels were given up since the file was made."""
        (messages,) = self._db.execute("SELECT coalesce(sum(messages), 0) FROM evicted").fetchone()
        return int(messages)

    def _make_room(
        self, needed_bytes: int, worth: Worth, busy: Collection[int], disk_short: bool
    ) -> bool:
        """Give up rows, least worth first, oldest first, never worthier than ``worth``.

        False when that makes no room and the newcomer is not vital.
        """
        allowed = self._budget_bytes
        if disk_short:
            allowed = min(allowed, self.held.size_bytes)
        while self.held.size_bytes + needed_bytes > allowed:
            rows = self._db.execute(
                "SELECT id, worth FROM outbox WHERE worth <= ? ORDER BY worth, id LIMIT ?",
                (min(worth, Worth.RESULT), len(busy) + 1),
            ).fetchall()
            victim = next((row for row in rows if row[0] not in busy), None)
            if victim is None and worth is not Worth.VITAL:
                return False
            if victim is None and self.held.size_bytes + needed_bytes <= self._budget_bytes:
                return True  # what is kept free of the disk is kept for this
            if victim is None:
                raise OutboxError(
                    f"outbox {self._name} is full: {self.held.size_bytes} bytes wait that must not "
                    f"be lost, the budget is {self._budget_bytes}; connect the broker or raise the "
                    "budget"
                )
            self.delete([victim[0]])
            self._count_given_up(Worth(victim[1]))
        return True

    def _count_given_up(self, worth: Worth) -> None:
        if not self._warned:  # once: the count is in every health message
            self._warned = True
            _log.warning(
                "outbox %s has no room (budget %d bytes, or the disk): giving up the oldest %s, "
                "and more as needed; connect the broker",
                self._name,
                self._budget_bytes,
                worth.name.lower(),
            )
        self._db.execute(
            "INSERT INTO evicted VALUES (?, 1) ON CONFLICT (worth)"
            " DO UPDATE SET messages = messages + 1",
            (int(worth),),
        )


def _entry(row: tuple[Any, ...]) -> Entry:
    entry_id, topic, payload, boot_id, seq, qos, retain, worth, content_type, about, expires = row
    parcel = Parcel(
        topic=topic,
        payload=payload,
        boot_id=boot_id,
        seq=seq,
        qos=qos,
        retain=bool(retain),
        worth=Worth(worth),
        content_type=content_type,
        about=about,
        expires_s=expires,
    )
    return Entry(entry_id, parcel)
