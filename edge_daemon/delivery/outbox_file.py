"""Opening the outbox's file so that nothing in it is lost: format, durability, damage.

A damaged file is moved aside, never emptied: the operator is told where it is, and the next start
works. A file of another format, or in use by another daemon, is left exactly where it is.

One process writes it, and others may read it meanwhile (``leuko-edge ledger``). A lock beside the
file keeps a second writer out: SQLite's own exclusive mode would keep readers out too.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path

from edge_daemon.delivery.parcel import Worth
from edge_daemon.errors import OutboxError
from edge_daemon.locks import FileLock

WAITING, SENT, REFUSED = 0, 1, 2
"""States of a row: to be sent; acknowledged by the broker and awaiting a receipt; refused by the
broker."""

_FORMAT = 1
_APPLICATION_ID = 0x4C45_4F42  # "LEOB"
_WAIT_FOR_LOCK_S = 0.5
"""For the process before this one, which may still be about to end."""
_WAIT_FOR_OTHERS_S = 5.0
"""For whoever writes into the file although he should not, from an SQLite shell."""

_IN_USE = "outbox {} is in use by another process: stop it, or configure another path"

_RETAINED_INDEX = "CREATE INDEX IF NOT EXISTS outbox_retained ON outbox (topic) WHERE retain = 1"
_TABLES = f"""
BEGIN;
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    state INTEGER NOT NULL DEFAULT {WAITING},
    worth INTEGER NOT NULL,
    boot_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos INTEGER NOT NULL,
    retain INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    about TEXT,
    expires_s INTEGER,
    size_bytes INTEGER NOT NULL
);
CREATE INDEX outbox_order ON outbox (state, worth = {int(Worth.PREVIEW)}, id);
CREATE INDEX outbox_worth ON outbox (worth, id);
CREATE UNIQUE INDEX outbox_identity ON outbox (boot_id, seq);
CREATE TABLE numbering (boot_id TEXT PRIMARY KEY, seq INTEGER NOT NULL, record INTEGER NOT NULL);
CREATE TABLE evicted (worth INTEGER PRIMARY KEY, messages INTEGER NOT NULL);
{_RETAINED_INDEX};
PRAGMA application_id = {_APPLICATION_ID};
PRAGMA user_version = {_FORMAT};
COMMIT;
"""


_NO_MESSAGE = f"""
SELECT id FROM outbox WHERE NOT (
    state IN ({WAITING}, {SENT}, {REFUSED}) AND worth IN ({", ".join(str(int(w)) for w in Worth)})
    AND typeof(boot_id) = 'text' AND typeof(seq) = 'integer' AND seq >= 0
    AND typeof(topic) = 'text' AND topic GLOB 'leukoedge/*'
    AND instr(topic, '#') = 0 AND instr(topic, '+') = 0
    AND typeof(payload) = 'blob' AND qos IN (0, 1) AND retain IN (0, 1)
    AND typeof(content_type) = 'text' AND (about IS NULL OR typeof(about) = 'text')
    AND (expires_s IS NULL OR typeof(expires_s) = 'integer')
    AND coalesce(expires_s, 0) BETWEEN 0 AND 4294967295
    AND typeof(size_bytes) = 'integer' AND size_bytes >= 0
) LIMIT 1
"""  # noqa: S608 - numbers of this module


def open_outbox_file(path: Path) -> tuple[sqlite3.Connection, FileLock]:
    """Open or create the file, alone, checked, with every row waiting to be sent.

    The lock is to be released when the connection was closed.

    Raises:
        OutboxError: see the module; the message says what to do.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(path.name + ".lock"), within_s=_WAIT_FOR_LOCK_S)
    except BlockingIOError:
        raise OutboxError(_IN_USE.format(path)) from None
    except OSError as error:
        raise OutboxError(f"outbox {path} cannot be opened ({error}): check path and rights") from (
            error
        )
    try:
        return _opened(path), lock
    except BaseException:
        lock.release()
        raise


def _opened(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(
            path, timeout=_WAIT_FOR_OTHERS_S, isolation_level=None, check_same_thread=False
        )
    except sqlite3.OperationalError as error:
        raise OutboxError(f"outbox {path} cannot be opened ({error}): check path and rights") from (
            error
        )
    try:
        _prepare(db, path)
    except sqlite3.OperationalError as error:
        db.close()
        if "locked" in str(error):
            raise OutboxError(_IN_USE.format(path)) from error
        raise OutboxError(f"outbox {path} cannot be used ({error}): check disk and rights") from (
            error
        )
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of SQLite's own words, too
        db.close()
        raise OutboxError(
            f"outbox {path} is damaged ({error}); it was moved to {_move_aside(path)} with all it "
            "holds: start again to go on with an empty outbox"
        ) from error
    except OutboxError:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != _APPLICATION_ID:
        raise OutboxError(f"{path} is a database of something else: configure another outbox path")
    if tables and found != _FORMAT:
        raise OutboxError(
            f"outbox {path} has format {found}, this release reads {_FORMAT}: deliver it with the "
            "release that wrote it, or configure another path"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA journal_size_limit = 8388608")
    if not tables:
        db.executescript(_TABLES)
    db.execute(_RETAINED_INDEX)  # files of the first releases lack it
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict.splitlines()[-1])
    strange = db.execute(_NO_MESSAGE).fetchone()
    if strange is not None:
        raise sqlite3.DatabaseError(f"row {strange[0]} is no message")
    # Sends again whatever the last process had on its way.
    db.execute("UPDATE outbox SET state = ? WHERE state != ?", (WAITING, WAITING))


def _move_aside(path: Path) -> Path:
    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
