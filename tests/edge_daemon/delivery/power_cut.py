"""Disks after a power cut: what a program wrote, less what it had not flushed yet.

``kill -9`` cannot show what a power cut does, for the kernel keeps what was written. So a program's
own system calls are recorded with strace, and the files are made again as a disk could have them at
any moment: everything that was flushed (fsync, fdatasync), and of what was written since then any
part or none.
"""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

_CALLS = "pwrite64,write,fsync,fdatasync,ftruncate,unlink"
_LINE = re.compile(
    r"^\d+ +(?P<call>\w+)\((?P<args>.*)\) += (?P<result>-?\d+)(?P<tail><.*>)?( .*)?$"
)
_FD = re.compile(r"^(\d+)<(.*?)>")
_HEX = re.compile(r"\\x([0-9a-f]{2})")
_SECTOR = 512


@dataclass(frozen=True)
class Event:
    """One system call that matters. ``path`` is None for standard output."""

    kind: str
    path: str | None
    offset: int = 0
    data: bytes = b""


@dataclass
class _File:
    content: bytearray = field(default_factory=bytearray)
    unsynced: list[Event] = field(default_factory=list)


@contextlib.contextmanager
def simulated_disk() -> Iterator[Path]:
    """A folder in memory, where there is one: what is flushed is known from the record."""
    memory = Path("/dev/shm")  # noqa: S108 - only a place; the folder's name is made up
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Path(folder)


def recorded(command: Sequence[str], log: Path, cwd: Path) -> list[Event]:
    """What :func:`record` gives; skips the test where the system cannot let strace look on."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed; on Debian: apt-get install strace")
    try:
        return record(command, log, cwd)
    except PermissionError as error:
        pytest.skip(f"this system does not let strace look on ({error})")


def record(command: Sequence[str], log: Path, cwd: Path) -> list[Event]:
    """Run a program to its end and return what it did, in order.

    Raises :class:`PermissionError` where the system does not let strace look on.
    """
    traced = [
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-xx",
        "-s",
        "1000000",
        "-e",
        f"trace={_CALLS}",
        "-o",
        str(log),
    ]
    done = subprocess.run(
        [*traced, *command], cwd=cwd, capture_output=True, text=True, timeout=600, check=False
    )
    if "Operation not permitted" in done.stderr:
        raise PermissionError(done.stderr.strip())
    return events_of(log.read_text())


def events_of(text: str) -> list[Event]:
    """The events of a log that strace wrote with ``-f -y -xx``."""
    events = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None or int(found["result"]) < 0:
            continue
        call, args = found["call"], found["args"]
        described = _FD.match(args)
        if call in ("pwrite64", "write") and described:
            number, path = int(described[1]), described[2]
            quoted = args.split('"')[1]
            data = bytes(int(pair, 16) for pair in _HEX.findall(quoted))
            data = data[: int(found["result"])]
            if call == "write" and number == 1:
                events.append(Event("said", None, 0, data))
            elif call == "pwrite64":
                events.append(Event("write", _plain(path), int(args.rpartition(", ")[2]), data))
        elif call in ("fsync", "fdatasync") and described:
            events.append(Event("sync", _plain(described[2])))
        elif call == "ftruncate" and described:
            size = int(args.rpartition(", ")[2])
            events.append(Event("truncate", _plain(described[2]), size))
        elif call == "unlink":
            events.append(Event("unlink", _plain(args.strip('"'))))
    return events


def disk_after(events: Sequence[Event], moment: int, chance: random.Random) -> dict[str, bytes]:
    """Path -> content, as a disk could be when the power went after ``moment`` events."""
    files: dict[str, _File] = {}
    for event in events[:moment]:
        if event.path is None:
            continue
        if event.kind == "unlink":  # names are on disk at once: SQLite flushes the folder
            files.pop(event.path, None)
            continue
        file = files.setdefault(event.path, _File())
        if event.kind == "sync":
            for waiting in file.unsynced:
                _apply(file.content, waiting)
            file.unsynced.clear()
        else:
            file.unsynced.append(event)
    for file in files.values():
        for waiting in file.unsynced:
            fate = chance.random()
            if fate < 0.4:
                _apply(file.content, waiting)
            elif fate < 0.6 and waiting.kind == "write":  # torn between two sectors
                length = chance.randrange(0, len(waiting.data) + 1, _SECTOR)
                part = Event("write", waiting.path, waiting.offset, waiting.data[:length])
                _apply(file.content, part)
    return {path: bytes(file.content) for path, file in files.items()}


def said_before(events: Sequence[Event], moment: int) -> str:
    """What the program had printed by then."""
    return b"".join(event.data for event in events[:moment] if event.kind == "said").decode()


def _apply(content: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    if len(content) < event.offset:
        content.extend(bytes(event.offset - len(content)))
    content[event.offset : event.offset + len(event.data)] = event.data


def _plain(path: str) -> str:
    """A path that strace wrote in hexadecimal."""
    if "\\x" not in path:
        return path
    return bytes(int(pair, 16) for pair in _HEX.findall(path)).decode()
