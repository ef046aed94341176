"""The ledger read from its file, by whoever may read it, whether a daemon writes it or not.

Nothing is written, made or locked: SQLite's readers do not hold up its writer (WAL), and each
question here is answered within milliseconds. Beside a file that was closed in good order there is
no WAL, and SQLite would make one even to read; such a file is read as it lies, and read again if a
daemon began to write it meanwhile.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from urllib.parse import quote

from edge_daemon.contract.terms import OUTCOMES
from edge_daemon.errors import OutboxError
from edge_daemon.ledger.boots import NEWEST_ROWS
from edge_daemon.ledger.reasons import count
from edge_daemon.ledger.tables import columns_of

_WAIT_S = 5.0
_TRIES = 5

Found = TypeVar("Found")


@dataclass(frozen=True)
class Sums:
    """How frames ended, as they were counted: each sum by itself."""

    captured: int
    ended: dict[str, int]

    @property
    def hold(self) -> bool:
        """Whether every captured frame has exactly one outcome."""
        return self.captured == sum(self.ended.values())

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"captured": self.captured, **self.ended, "sum_holds": self.hold}


@dataclass(frozen=True)
class SlideEntry:
    """One slide as it stands on disk."""

    name: str
    started_at: str
    setup: dict[str, Any]
    bundle: str | None
    """Digest."""
    completion: str | None
    """None while it is under way."""
    frames: Sums
    standing: dict[str, Any]
    """The last summary that was reported; empty before the first."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why frames were not analysed; slides of the first releases say nothing of it."""


@dataclass(frozen=True)
class BootEntry:
    """All frames since a daemon was started."""

    boot_id: str
    started_at: str
    frames: Sums


class LedgerFile:
    """An open ledger; it answers from one moment."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def query(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows that answer."""
        return self._db.execute(sql, values).fetchall()

    def slides(self, limit: int = 50, *, day: date | None = None) -> list[SlideEntry]:
        """The newest slides, newest first; only those that began on ``day`` (UTC) if given."""
        where, values = "1", []
        if day is not None:
            where, values = "substr(started_at, 1, 10) = ?", [day.isoformat()]
        return self._slides(f"{where} ORDER BY began DESC LIMIT ?", [*values, limit])

    def slide(self, name: str) -> SlideEntry | None:
        """One slide; None when there is none of that name."""
        return next(iter(self._slides("slide = ?", [name])), None)

    def boot(self) -> BootEntry | None:
        """The newest start of a daemon; None where none was written down."""
        if not columns_of(self, "boots"):
            return None
        rows = self.query(
            "SELECT boot, boot_id, started_at, frames FROM boots ORDER BY boot DESC LIMIT 1"
        )
        if not rows:
            return None
        number, boot_id, started_at, text = rows[0]
        frames = json.loads(text)
        for (about,) in self.query(NEWEST_ROWS):
            boot, passing = json.loads(about).get("boot") or (None, frames)
            if boot == number and passing["captured"] > frames.get("captured", 0):
                frames = passing
        return BootEntry(boot_id, started_at, _sums(frames.get("captured", 0), frames))

    def _slides(self, where: str, values: list[Any]) -> list[SlideEntry]:
        if not columns_of(self, "slides"):
            return []
        rows = self.query(
            "SELECT slide, setup, bundle, started_at, completion, standing, tally"  # noqa: S608
            f" FROM slides WHERE {where}",
            values,
        )
        return [self._entry(*row) for row in rows]

    def _entry(
        self,
        name: str,
        setup: str,
        bundle: str | None,
        started_at: str,
        completion: str | None,
        standing: bytes | None,
        progress: str | None,
    ) -> SlideEntry:
        last = {} if standing is None else json.loads(standing)
        written = {} if progress is None else json.loads(progress)
        reasons = Counter(written.get("reasons", {}))
        if completion is not None:
            frames = last.get("frames", {})
            sums = _sums(frames.get("captured", 0), frames)
        else:
            sums = self._under_way(name, written, reasons)
        return SlideEntry(
            name=name,
            started_at=started_at,
            setup=json.loads(setup),
            bundle=bundle,
            completion=completion,
            frames=sums,
            standing=last,
            reasons=dict(reasons.most_common()),
        )

    def _under_way(self, name: str, written: dict[str, Any], reasons: Counter[str]) -> Sums:
        """Up to the last frame that was committed, which the last summary may not have seen."""
        ended = Counter(written.get("tally", {}).get("outcomes", {}))
        captured = sum(ended.values())
        for number, text in self.query(
            "SELECT number, about FROM slide_frames WHERE slide = ? ORDER BY number", (name,)
        ):
            about = json.loads(text)
            captured = number + 1  # its place among the captured, which is not its outcome
            ended[about["outcome"]] += 1
            if about.get("reason") is not None:
                count(reasons, about["reason"])
        return _sums(captured, ended)


def read_ledger(path: Path, question: Callable[[LedgerFile], Found]) -> Found:
    """The answer of the ledger at ``path``; ``question`` may be asked more than once.

    Raises:
        OutboxError: there is none, this user may not read it, or it is damaged.
    """
    try:
        for _ in range(_TRIES):
            before = _found(path)
            closed_well = not _beside(path, "-wal").exists()
            if not closed_well and not _beside(path, "-shm").exists():
                return _copied(path, question)
            try:
                answer = _asked(path, question, as_it_lies=closed_well)
            except sqlite3.DatabaseError:
                if not closed_well or _found(path) == before:
                    raise
                continue
            if not closed_well or _found(path) == before:
                return answer
    except FileNotFoundError:
        raise OutboxError(
            f"there is no ledger at {path}: name the daemon's configuration (--config) or outbox "
            "(--outbox)"
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise OutboxError(
            f"the ledger {path} cannot be read ({error}); it is for the daemon's own user: "
            "sudo -u leuko-edge leuko-edge ledger"
        ) from None
    raise OutboxError(f"a daemon opens and closes {path} all the time; try again")


def _asked(path: Path, question: Callable[[LedgerFile], Found], *, as_it_lies: bool) -> Found:
    # Without readonly_shm SQLite may make a new index of the WAL where a killed daemon left one.
    return _answered(path, question, "immutable=1" if as_it_lies else "mode=ro&readonly_shm=1")


def _copied(path: Path, question: Callable[[LedgerFile], Found]) -> Found:
    """A WAL without its index, as in a backup: SQLite would make one, and does beside a copy."""
    with TemporaryDirectory(prefix="leuko-edge-ledger-") as folder:
        copy = Path(folder) / path.name
        for file in (path, _beside(path, "-wal")):
            shutil.copyfile(file, copy.with_name(file.name))
        return _answered(copy, question, "mode=rw")


def _answered(path: Path, question: Callable[[LedgerFile], Found], how: str) -> Found:
    with closing(
        sqlite3.connect(
            f"file:{quote(str(path))}?{how}", uri=True, timeout=_WAIT_S, isolation_level=None
        )
    ) as db:
        db.execute("BEGIN")  # all answers of one moment
        return question(LedgerFile(db))


def _found(path: Path) -> tuple[bool, int, int]:
    """What changes when a daemon writes."""
    about = path.stat()
    if not os.access(path, os.R_OK):  # SQLite's own message does not say
        raise PermissionError(f"{path}: permission denied")
    return _beside(path, "-wal").exists(), about.st_mtime_ns, about.st_size


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _sums(captured: int, ended: dict[str, int]) -> Sums:
    return Sums(captured, {outcome: ended.get(outcome, 0) for outcome in OUTCOMES})
