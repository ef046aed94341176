"""Deleting what is old: one transaction, whose entry in the audit says what is gone.

Frames and crops go by whole slides: of a slide that ended, that nothing came in of since the limit,
and that is signed (or is a control). What nobody has signed stays, unless that is asked for. In
PostgreSQL a month of frames of which nothing stays is dropped as a whole.

For each kind the entry holds how many rows and bytes went, and the SHA-256 over one line a row (its
key and the SHA-256 of its content) in the order of the keys: whoever has a copy can show that it is
of what was deleted, and nobody can delete more and say it was this.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Table,
    delete,
    func,
    or_,
    select,
    text,
    update,
)

from deploy.dashboard.access import users
from deploy.dashboard.changes import EVERYTHING, announce
from deploy.dashboard.database.opening import Database
from deploy.dashboard.database.tables import crops, devices, frames, health, slides
from deploy.dashboard.exports.errors import ExportError
from deploy.dashboard.retention.limits import KINDS, Kind, Limits
from deploy.dashboard.review.records import record

_TABLES: dict[Kind, Table] = {"frames": frames, "crops": crops, "health": health}
_MONTH = re.compile(r"frames_(\d{4})_(\d{2})")
_AT_ONCE = 500


@dataclass(frozen=True)
class Gone:
    """What went of one kind, or would go."""

    rows: int
    bytes: int
    """Of pictures and messages, as they were stored."""
    slides: int
    sha256: str


@dataclass(frozen=True)
class Purge:
    """What was deleted, or would be."""

    limits: Limits
    gone: dict[Kind, Gone]
    unsigned: int
    """Slides old enough whose frames or crops stay, because nobody signed them."""
    months: tuple[str, ...]
    """Partitions that were dropped as a whole."""
    number: int | None
    """Of the entry in the audit; None: nothing was deleted."""

    @property
    def rows(self) -> int:
        """Of all kinds."""
        return sum(one.rows for one in self.gone.values())


def purge(
    database: Database,
    limits: Limits,
    by: str,
    reason: str,
    now: datetime,
    *,
    unsigned: bool = False,
    dry_run: bool = False,
) -> Purge:
    """Delete what is older than ``limits``, all of it or nothing.

    Args:
        database: of the dashboard; nothing else is entered meanwhile.
        limits: for each kind.
        now: of whoever asks.
        by: who asks for it, a lead or admin of the dashboard.
        reason: why; it stands in the audit.
        unsigned: slides that nobody signed, too.
        dry_run: only say what would go.

    Raises:
        ExportError: nothing is asked for, a limit lies ahead, or there is no reason.
        AccessError: there is no such user.
    """
    said = limits.said()
    if not said:
        raise ExportError("nothing is asked for: say --before, or name days in [retention]")
    if any(limit > now for limit in _limits_of(limits).values()):
        raise ExportError("a limit lies ahead: what comes in tomorrow cannot be old")
    if not reason.strip():
        raise ExportError("say why with --reason: it stands in the audit")
    opened = database.reading() if dry_run else database.writing()
    with opened as connection:
        if not users.find(connection, by).may("lead"):
            raise ExportError(f"{by} may not ask for this: it takes a lead")
        if not dry_run:
            _hold_devices(connection)
        which = {kind: _which(kind, limit, unsigned) for kind, limit in _limits_of(limits).items()}
        gone = {kind: _counted(connection, kind, rows) for kind, rows in which.items()}
        stay = 0 if unsigned else _unsigned(connection, limits)
        plan = Purge(limits, gone, stay, _months(connection, limits, which), None)
        if dry_run or not plan.rows:
            return plan
        for kind, rows in which.items():
            _delete(connection, kind, rows, plan.months, now)
        number = record(
            connection,
            by,
            "purge",
            ", ".join(f"{kind} before {limit}" for kind, limit in said.items()),
            reason=reason.strip(),
            before=said,
            gone={kind: vars(one) for kind, one in gone.items()},
            unsigned_too=unsigned,
            unsigned_kept=stay,
            months=list(plan.months),
        )
        announce(connection, [EVERYTHING])
    return Purge(limits, gone, stay, plan.months, number)


def _limits_of(limits: Limits) -> dict[Kind, datetime]:
    every = {kind: getattr(limits, kind) for kind in KINDS}
    return {kind: limit for kind, limit in every.items() if limit is not None}


def _hold_devices(connection: Connection) -> None:
    """Have the ingest wait: whoever changes anything of a device holds its row."""
    connection.execute(select(devices.c.id).order_by(devices.c.id).with_for_update()).all()


def _old(limit: datetime) -> tuple[ColumnElement[bool], ...]:
    return (slides.c.newest_at < limit, slides.c.state.in_(("complete", "cut short")))


def _settled() -> ColumnElement[bool]:
    return or_(slides.c.review == "signed", slides.c.control)


def _which(kind: Kind, limit: datetime, unsigned: bool) -> ColumnElement[bool]:
    """The rows of a kind that go."""
    if kind == "health":
        return health.c.at < limit
    conditions = (*_old(limit), *(() if unsigned else (_settled(),)))
    return _TABLES[kind].c.slide_id.in_(select(slides.c.id).where(*conditions))


def _unsigned(connection: Connection, limits: Limits) -> int:
    newest = max((one for one in (limits.frames, limits.crops) if one is not None), default=None)
    if newest is None:
        return 0
    query = select(func.count()).select_from(slides).where(*_old(newest), ~_settled())
    return connection.scalar(query) or 0


def _counted(connection: Connection, kind: Kind, which: ColumnElement[bool]) -> Gone:
    table = _TABLES[kind]
    keys = list(table.primary_key.columns)
    digest, rows, size = hashlib.sha256(), 0, 0
    whose: set[int] = set()
    query = select(table).where(which).order_by(*keys).execution_options(yield_per=_AT_ONCE)
    for row in connection.execute(query).mappings():
        content = hashlib.sha256()
        for column in table.columns:
            value = row[column.name]
            if isinstance(column.type, LargeBinary):
                size += len(value)
            content.update(_bytes_of(value) + b"\n")
        key = " ".join(str(_plain(row[one.name])) for one in keys)
        digest.update(f"{key} {content.hexdigest()}\n".encode())
        whose.add(row[keys[0].name])
        rows += 1
    return Gone(rows, size, 0 if kind == "health" else len(whose), digest.hexdigest())


def _delete(
    connection: Connection,
    kind: Kind,
    which: ColumnElement[bool],
    months: Sequence[str],
    now: datetime,
) -> None:
    if kind == "frames":
        numbers = connection.scalars(select(frames.c.slide_id).where(which).distinct()).all()
        for some in _in_parts(numbers):
            at = update(slides).where(slides.c.id.in_(some))
            connection.execute(at.values(purged_at=now))
        for month in months:  # names of our own pattern, read from the catalogue
            connection.execute(text(f"DROP TABLE {month}"))
    connection.execute(delete(_TABLES[kind]).where(which))


def _months(
    connection: Connection, limits: Limits, which: dict[Kind, ColumnElement[bool]]
) -> tuple[str, ...]:
    """Partitions that end before the limit and of which nothing stays."""
    if connection.dialect.name != "postgresql" or limits.frames is None:
        return ()
    names = connection.scalars(
        text(
            "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
            "WHERE i.inhparent = 'frames'::regclass ORDER BY c.relname"
        )
    ).all()
    over = [name for name in names if _ends(name) is not None and _ends(name) <= limits.frames]  # type: ignore[operator]
    found = []
    for name in over:
        of_month = frames.c.received_at.between(_begins(name), _ends(name))
        stays = select(func.count()).select_from(frames).where(of_month, ~which["frames"])
        if not connection.scalar(stays):
            found.append(name)
    return tuple(found)


def _begins(month: str) -> datetime:
    found = _MONTH.fullmatch(month)
    assert found is not None  # noqa: S101 - asked of names that end
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=timezone.utc)


def _ends(name: str) -> datetime | None:
    found = _MONTH.fullmatch(name)
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    return datetime(year + month // 12, month % 12 + 1, 1, tzinfo=timezone.utc)


def _in_parts(numbers: Sequence[int]) -> Iterator[Iterable[int]]:
    for at in range(0, len(numbers), _AT_ONCE):
        yield numbers[at : at + _AT_ONCE]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).isoformat(timespec="microseconds")
    return value


def _bytes_of(value: Any) -> bytes:
    return bytes(value) if isinstance(value, bytes | memoryview) else repr(_plain(value)).encode()
