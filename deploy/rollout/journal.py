"""The journal of a rollout: lines that are only ever added, each chained to the one before.

A line holds the SHA-256 of the line before it and, at its end, one of itself. So a byte that was
altered, a line that was taken out, put in or moved is found, and named. What a chain cannot tell is
that its end is missing, or that somebody wrote all of it anew: ``status`` shows the hash of the
last line, to be kept elsewhere by whoever needs to know.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.rollout.errors import JournalError
from edge_daemon.whole_files import to_disk

JOURNAL = "journal.jsonl"
NONE_BEFORE = "0" * 64
_LINE = re.compile(rb'(\{.*),"sum":"([0-9a-f]{64})"\}', re.DOTALL)


@dataclass(frozen=True)
class Line:
    """One entry as it stands in the file."""

    number: int
    at: datetime
    entry: dict[str, Any]


@dataclass(frozen=True)
class Chain:
    """A journal that was read and holds."""

    lines: tuple[Line, ...]
    head: str
    """SHA-256 of the last line."""
    bytes: int
    """So much of the file is whole lines."""
    remark: str | None
    """What was found behind them."""


def read_chain(file: Path) -> Chain:
    """Read and verify all of a journal; of none that is there, an empty one.

    A last line that was cut off by a kill is left out, with a remark: it was never acted upon.

    Raises:
        JournalError: it cannot be read, or an entry is not what was written; which one.
    """
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise JournalError(f"cannot read {file}: {error.strerror}") from None
    *whole, torn = content.split(b"\n")
    before, found = NONE_BEFORE, []
    for number, text in enumerate(whole):
        found.append(_line(file, number, text, before))
        before = hashlib.sha256(text).hexdigest()
    remark = None
    if torn:
        remark = (
            f"{file}: the last line was cut off after {len(torn)} bytes and is left out; it was "
            "not acted upon"
        )
    return Chain(tuple(found), before, len(content) - len(torn), remark)


def _line(file: Path, number: int, text: bytes, before: str) -> Line:
    parts = _LINE.fullmatch(text)
    if parts is None or hashlib.sha256(parts[1]).hexdigest().encode() != parts[2]:
        raise JournalError(
            f"{file}: entry {number} is not what was written; trust no entry from there on, and "
            "restore a copy"
        )
    found = json.loads(parts[1] + b"}")
    if found.get("n") != number or found.get("before") != before:
        raise JournalError(
            f"{file}: entry {number} does not follow the one before it: entries were taken out, "
            "put in or moved; restore a copy"
        )
    return Line(number, datetime.fromisoformat(found["at"]), found["entry"])


class Journal:
    """A journal that is written. Only one process at a time may, and holds a lock for it."""

    def __init__(self, file: Path) -> None:
        """Open it, at first to read it; what was cut off at its end is cut off for good.

        Raises:
            JournalError: it cannot be read, written or believed.
        """
        self.file = file
        self._chain = read_chain(file)
        self.lines = self._chain.lines
        self.remark = self._chain.remark
        self._next, self._head = len(self.lines), self._chain.head
        self._broken = False
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            is_new = not file.exists()
            self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            os.ftruncate(self._handle, self._chain.bytes)
            os.lseek(self._handle, 0, os.SEEK_END)
            os.fsync(self._handle)
            if is_new:
                to_disk(file.parent)
        except OSError as error:
            raise JournalError(f"cannot write {file}: {error.strerror}") from None

    @property
    def head(self) -> str:
        """SHA-256 of the last line."""
        return self._head

    def append(self, entry: dict[str, Any], at: datetime) -> Line:
        """Add an entry; it is on the disk when this returns.

        Raises:
            JournalError: it cannot be written; nothing may be done that is not written down.
        """
        if self._broken:
            raise JournalError(f"{self.file} could not be written before; start again")
        place = {"n": self._next, "at": at.isoformat(), "before": self._head, "entry": entry}
        body = json.dumps(place, separators=(",", ":"), ensure_ascii=True)[:-1].encode()
        text = body + b',"sum":"' + hashlib.sha256(body).hexdigest().encode() + b'"}'
        try:
            left = memoryview(text + b"\n")
            while left:
                left = left[os.write(self._handle, left) :]
            os.fsync(self._handle)
        except OSError as error:
            self._broken = True  # half a line may lie there: the next start cuts it off
            raise JournalError(
                f"cannot write {self.file}: {error.strerror}; nothing more is ordered, "
                "`rollout resume` goes on when there is room"
            ) from None
        line = Line(self._next, at, entry)
        self._next += 1
        self._head = hashlib.sha256(text).hexdigest()
        return line

    def close(self) -> None:
        """Close the file."""
        os.close(self._handle)
