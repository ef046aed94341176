"""What arrived of each start of each device, in the database: which message is news, and receipts.

The count of a start lies in two tables and is changed only while its device is held. A worker keeps
the counts that it read last; ``edition`` says whether another worker has changed one since. So
every worker enters a message once, whoever had it first, and whoever commits can vouch for all
that is in the database.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, tuple_

from deploy.dashboard.database.tables import boots, stretches
from deploy.dashboard.ingest.rows import Row, insert_new, read, some, update_by_id
from edge_daemon.delivery.receiver import BootLedger, Stretch

_MOST_KEPT = 4096
"""Counts that a worker keeps."""
_BOOT = (
    "id", "device_id", "boot_id", "complete_to", "up_to_seq", "highest", "known_from",
    "missing_since", "repeats", "edition",
)  # fmt: skip
_STRETCH = tuple(stretches.c.keys())


@dataclass
class Boot:
    """A start of a daemon while a transaction changes it."""

    id: int
    device_id: int
    boot_id: str
    ledger: BootLedger
    known_from: int
    missing_since: datetime | None
    edition: int
    as_read: dict[int, Stretch] = field(default_factory=dict)
    heard: set[int] = field(default_factory=set)
    """Records that came in this transaction, repeats too: what a receipt has to answer."""


class Boots:
    """Of one worker, from transaction to transaction."""

    def __init__(self) -> None:
        self._kept: OrderedDict[int, tuple[int, BootLedger]] = OrderedDict()

    def forget(self) -> None:
        """A transaction failed: what is kept may say more than the database."""
        self._kept.clear()

    def load(
        self,
        connection: Connection,
        wanted: dict[tuple[int, str], tuple[str, str, int]],
        at: datetime,
    ) -> dict[tuple[int, str], Boot]:
        """Starts by (device, boot_id), begun where they are new.

        ``wanted`` gives site and device, and the record before the first that was heard of it.
        """
        found = self._read(connection, wanted)
        fresh = [key for key in wanted if key not in found]
        if fresh:
            rows: list[Row] = [
                {
                    "device_id": device_id,
                    "boot_id": boot_id,
                    "first_seen_at": at,
                    "seen_at": at,
                    "known_from": wanted[device_id, boot_id][2],
                }
                for device_id, boot_id in fresh
            ]
            insert_new(connection, boots, rows)
            found |= self._read(connection, {key: wanted[key] for key in fresh})
        stale = [(boot.id,) for boot in found.values() if boot.id not in self._kept]
        ahead: dict[int, list[Stretch]] = {}
        for row in read(connection, stretches, _STRETCH, ("boot",), stale):
            stretch = Stretch(row["first"], row["last"], row["first_seq"], row["last_seq"])
            ahead.setdefault(row["boot"], []).append(stretch)
        for boot in found.values():
            boot.ledger.ahead += sorted(ahead.get(boot.id, []), key=lambda one: one.first)
            boot.as_read = {one.first: one for one in boot.ledger.ahead}
        return found

    def _read(
        self, connection: Connection, wanted: dict[tuple[int, str], tuple[str, str, int]]
    ) -> dict[tuple[int, str], Boot]:
        found: dict[tuple[int, str], Boot] = {}
        for row in read(connection, boots, _BOOT, ("device_id", "boot_id"), wanted):
            key = (row["device_id"], row["boot_id"])
            edition, ledger = self._kept.get(row["id"], (-1, None))
            if ledger is None or edition != row["edition"]:
                self._kept.pop(row["id"], None)
                ledger = BootLedger(
                    *wanted[key][:2], key[1], row["complete_to"], row["up_to_seq"], row["highest"],
                    row["repeats"],
                )  # fmt: skip
            found[key] = Boot(
                row["id"], *key, ledger, row["known_from"], row["missing_since"], row["edition"]
            )
        return found

    def save(self, connection: Connection, changed: Iterable[Boot], at: datetime) -> None:
        """Write what changed."""
        rows: list[Row] = []
        gone: list[tuple[int, int]] = []
        added: list[Row] = []
        for boot in changed:
            ledger = boot.ledger
            now = {one.first: one for one in ledger.ahead}
            for first, one in boot.as_read.items():
                if now.get(first) != one:
                    gone.append((boot.id, first))
            for first, one in now.items():
                if boot.as_read.get(first) != one:
                    added.append(
                        {
                            "boot": boot.id,
                            "first": first,
                            "last": one.last,
                            "first_seq": one.first_seq,
                            "last_seq": one.last_seq,
                        }
                    )
            arrived = ledger.complete_to + sum(one.last - one.first + 1 for one in ledger.ahead)
            missing = ledger.highest - arrived
            boot.edition += 1
            rows.append(
                {
                    "id": boot.id,
                    "seen_at": at,
                    "complete_to": ledger.complete_to,
                    "up_to_seq": ledger.up_to_seq,
                    "highest": ledger.highest,
                    "arrived": arrived,
                    "missing": missing,
                    "missing_since": (boot.missing_since or at) if missing else None,
                    "before": _holes_up_to(ledger, boot.known_from),
                    "repeats": ledger.repeats,
                    "edition": boot.edition,
                }
            )
            self._kept[boot.id] = (boot.edition, ledger)
            self._kept.move_to_end(boot.id)
        for keys in some(gone):
            connection.execute(
                delete(stretches).where(tuple_(stretches.c.boot, stretches.c.first).in_(keys))
            )
        insert_new(connection, stretches, added)
        update_by_id(connection, boots, rows)
        while len(self._kept) > _MOST_KEPT:
            self._kept.popitem(last=False)


def _holes_up_to(ledger: BootLedger, record: int) -> int:
    """Records up to this one that are not here."""
    if record <= ledger.complete_to:
        return 0
    here = sum(min(one.last, record) - one.first + 1 for one in ledger.ahead if one.first <= record)
    return record - ledger.complete_to - here
