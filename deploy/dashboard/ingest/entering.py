"""One transaction: messages of many devices, each entered once, in one commit.

Every device of the batch is held first, in the order of their numbers. Below a held device nothing
changes meanwhile, so what is read there is true until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from deploy.dashboard.changes import Change, announce
from deploy.dashboard.database import tables
from deploy.dashboard.database.opening import Database
from deploy.dashboard.ingest.arrived import MOST_ASIDE_BYTES, Arrived, Aside, plain
from deploy.dashboard.ingest.boots import Boot, Boots
from deploy.dashboard.ingest.device_book import DeviceBook, Names
from deploy.dashboard.ingest.rows import Row, insert_or_update
from deploy.dashboard.ingest.slide_book import SlideBook
from edge_daemon.contract.topics import channel_of

MOST_ASIDE = 10_000
"""Messages that are kept aside; the oldest go first."""


@dataclass(frozen=True)
class Due:
    """What a receipt may claim of one start."""

    site: str
    device: str
    boot_id: str
    up_to_seq: int
    beyond: tuple[tuple[int, int], ...]
    records: int
    """How many came, repeats too, since the transaction before."""


@dataclass
class Entered:
    """What one transaction did."""

    news: int = 0
    repeats: int = 0
    aside: int = 0
    due: list[Due] = field(default_factory=list)


class Entering:
    """Of one worker; used by one thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._boots = Boots()
        self._names = Names()

    def enter(
        self, batch: Sequence[Arrived | Aside], at: datetime, worker: Row | None = None
    ) -> Entered:
        """Enter messages in the order given; ``worker``: a row that says who still listens.

        Raises:
            SQLAlchemyError: nothing was entered, or all of it and the answer was lost: entering
                the same again is right in both cases.
        """
        try:
            with self._database.transaction() as connection:
                return self._enter(connection, batch, at, worker)
        except BaseException:
            self._boots.forget()
            self._names.forget()
            raise

    def _enter(
        self,
        connection: Connection,
        batch: Sequence[Arrived | Aside],
        at: datetime,
        worker: Row | None,
    ) -> Entered:
        entered = Entered()
        changes: set[Change] = set()
        arrived = [one for one in batch if isinstance(one, Arrived)]
        if arrived:
            self._messages(connection, arrived, at, entered, changes)
        asides = [one for one in batch if isinstance(one, Aside)]
        if asides:
            _keep_aside(connection, asides)
            entered.aside = len(asides)
            changes.add(Change("aside"))
        if worker is not None:
            _say(connection, worker)
            changes.add(Change("worker"))
        announce(connection, changes)
        return entered

    def _messages(
        self,
        connection: Connection,
        batch: list[Arrived],
        at: datetime,
        entered: Entered,
        changes: set[Change],
    ) -> None:
        devices = DeviceBook(
            connection, self._names, {(one.message.site, one.message.device) for one in batch}, at
        )
        wanted: dict[tuple[int, str], tuple[str, str, int]] = {}
        for one in batch:
            said = one.message
            key = (devices.ids[said.site, said.device], said.boot_id)
            before = said.record - channel_of(said).stored
            wanted.setdefault(key, (said.site, said.device, before))
        boots = self._boots.load(connection, wanted, at)
        news = [(one, boot) for one in batch if (boot := _news(one, boots, devices.ids))]
        entered.news, entered.repeats = len(news), len(batch) - len(news)
        slides = SlideBook(
            connection,
            {
                (boot.device_id, one.topic.slide): one.message.site
                for one, boot in news
                if one.topic.slide is not None
            },
            at,
        )
        for one, boot in news:
            devices.take(boot, one)
            if one.topic.slide is not None:
                slides.take(boot.device_id, boot.id, one)
        slides.write()
        self._boots.save(connection, boots.values(), at)
        devices.write()
        entered.due = [_due(boot) for boot in boots.values() if boot.heard]
        changes |= {Change("device", boot.device_id) for _, boot in news}
        changes |= {Change("slide", slide["id"]) for slide in slides.slides.values()}


def _news(
    one: Arrived, boots: dict[tuple[int, str], Boot], ids: dict[tuple[str, str], int]
) -> Boot | None:
    """The start of a message that was not here; what was here is noted for the receipt."""
    said = one.message
    boot = boots[ids[said.site, said.device], said.boot_id]
    if not channel_of(said).stored:  # not of what must arrive
        boot.ledger.highest = max(boot.ledger.highest, said.record)
        return boot
    if not one.retained:  # a copy of the broker's: whoever sent it waits for nothing
        boot.heard.add(said.record)
    return boot if boot.ledger.add(said.record, said.seq) else None


def _due(boot: Boot) -> Due:
    ledger = boot.ledger
    return Due(
        ledger.site,
        ledger.device,
        ledger.boot_id,
        ledger.up_to_seq,
        tuple(ledger.beyond(boot.heard)),
        len(boot.heard),
    )


def _keep_aside(connection: Connection, found: list[Aside]) -> None:
    aside = tables.aside
    rows: dict[str, Row] = {}
    for one in found:
        row = rows.setdefault(
            one.digest,
            {
                "digest": one.digest,
                "site": one.site,
                "device": one.device,
                "topic": one.topic,
                "why": one.why,
                "schema": plain(one.schema),
                "line": plain(one.line),
                "payload": one.payload[:MOST_ASIDE_BYTES],
                "size": len(one.payload),
                "first_at": one.at,
                "count": 0,
            },
        )
        row["last_at"] = one.at
        row["count"] += 1
    insert_or_update(
        connection,
        aside,
        [rows[digest] for digest in sorted(rows)],
        key=("digest",),
        added=("count",),
        keep=("site", "device", "topic", "why", "schema", "payload", "size", "first_at"),
    )
    too_many = (connection.scalar(select(func.count()).select_from(aside)) or 0) - MOST_ASIDE
    if too_many > 0:
        oldest = select(aside.c.id).order_by(aside.c.last_at).limit(too_many)
        connection.execute(delete(aside).where(aside.c.id.in_(oldest)))


def _say(connection: Connection, worker: Row) -> None:
    insert_or_update(connection, tables.workers, [worker])
