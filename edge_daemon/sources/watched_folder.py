"""A folder that pictures are being written into: ``watch:///slides/today``.

Every picture once, in the order in which they were finished. A file is taken when its size and time
have stood still for ``settle_s``; one that is then still not whole (a slow network copy) is waited
for ``patience_s`` and handed out as unreadable after that. What was written anew under its old name
is a new picture if its bytes are new. The folder is looked at, not listened to, so that shares of a
network work as well; it never ends until it is told to stop.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from edge_daemon.errors import AbsentSourceError, FrameReadError, SourceError
from edge_daemon.sources.address import settings_from
from edge_daemon.sources.base import EventKind, Frame, OnEvent, SourceEvent, UnreadableFrame
from edge_daemon.sources.images import PICTURE_SUFFIXES, natural_order
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.reading import ReadingRules, decode_picture, read_file
from edge_daemon.sources.request import SourceRequest

_LOOK_SHARE = 0.2
"""Of the time may go into looking: a folder of 100,000 files is looked at less often."""

log = logging.getLogger(__name__)


class WatchSettings(BaseModel):
    """How to watch a folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_s: float = Field(default=0.25, gt=0, description="between two looks")
    settle_s: float = Field(default=0.5, ge=0, description="a file must have stood still so long")
    patience_s: float = Field(default=10.0, ge=0, description="for a file that is not whole")
    existing: bool = Field(default=True, description="take what lies there already")
    recursive: bool = Field(default=True, description="folders in it are watched, too")


def open_watched(request: SourceRequest) -> WatchedFolder:
    """The source of ``watch:///FOLDER?settings``.

    Raises:
        SourceError: no folder is named, or a setting is unknown.
    """
    folder, _, query = request.rest.partition("?")
    if not folder.strip():
        raise SourceError("watch://: name a folder, as in watch:///slides/today")
    return WatchedFolder(
        Path(unquote(folder)).expanduser(),
        settings_from(WatchSettings, query, f"watch://{folder}"),
        scan=request.scan,
        um_per_px=request.um_per_px,
        rules=request.rules,
        stop=request.stop,
        on_event=request.on_event,
        may_come_later=request.may_come_later,
    )


@dataclass(frozen=True)
class _State:
    """What a look at a file tells without reading it."""

    size: int
    modified_ns: int
    inode: int


@dataclass
class _Known:
    """A file that was seen: since when it stands still, and what was taken of it."""

    state: _State
    still_since_s: float
    taken: bool = False
    digest: bytes = b""


class WatchedFolder:
    """The pictures of a folder as they are written, without an end."""

    def __init__(
        self,
        folder: Path,
        settings: WatchSettings | None = None,
        *,
        scan: bool = False,
        um_per_px: float | None = None,
        rules: ReadingRules | None = None,
        stop: threading.Event | None = None,
        on_event: OnEvent | None = None,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        may_come_later: bool = False,
    ) -> None:
        self.settings = settings or WatchSettings()
        self._folder = folder
        self._scan = scan
        self._um_per_px = um_per_px
        self._rules = rules or ReadingRules()
        self._stop = stop or threading.Event()
        self._on_event = on_event
        self._clock = SteadyClock(clock)
        self._now_s = monotonic
        self._life = Lifecycle(self.name)
        self._known: dict[Path, _Known] = {}
        self._trouble: str | None = None
        self._index = 0
        self._may_come_later = may_come_later
        self._looked = False

    @property
    def name(self) -> str:
        """``watch://`` and the folder."""
        return f"watch://{self._folder}"

    @property
    def frame_count(self) -> int | None:
        """Nobody knows."""
        return None

    @property
    def description(self) -> str:
        """The folder that is watched."""
        return self.name

    @property
    def trouble(self) -> str | None:
        """Why the folder cannot be listed at the moment, or None."""
        return self._trouble

    def __enter__(self) -> Self:
        """Begin to watch. Raises SourceError if the folder is not there or cannot be listed."""
        self._life.open()
        try:
            self._begin(self._look())
        except OSError as error:
            what = f"{self.name}: the folder cannot be listed ({error.strerror}): "
            if not self._may_come_later:
                self._life.close()
                raise AbsentSourceError(f"{what}create it, or check path and permissions") from None
            self._lose(f"{what}create it, or mount its disk; it is watched as soon as it is there")
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.close()

    def __iter__(self) -> Iterator[Frame | UnreadableFrame]:
        """A Frame or UnreadableFrame for each picture, until it is told to stop."""
        self._life.iterate()
        return self._frames()

    def _frames(self) -> Iterator[Frame | UnreadableFrame]:
        while not self._stop.is_set():
            self._life.require_open()
            began_s = self._now_s()
            try:
                found = self._look()
            except OSError as error:
                self._lose(
                    f"{self.name}: the folder cannot be listed any more ({error.strerror}): check "
                    "the disk or share; it is watched again as soon as it is there"
                )
                found = None
            if found is not None:
                self._begin(found)
                self._come_back()
                gone, due = self._note(found)
                for path in (*gone, *due):
                    captured = self._missed(path) if path in gone else self._take(path)
                    if captured is not None:
                        yield captured
                        self._life.require_open()
                        if self._stop.is_set():
                            return
            looked_s = self._now_s() - began_s
            self._stop.wait(max(self.settings.poll_s, looked_s / _LOOK_SHARE - looked_s))

    def _begin(self, found: dict[Path, _State]) -> None:
        """Note what lies there at the first look, if that is not wanted."""
        if not self._looked and not self.settings.existing:
            self._known = {path: _Known(state, 0.0, taken=True) for path, state in found.items()}
        self._looked = True

    def _look(self) -> dict[Path, _State]:
        """All pictures of the folder. Raises OSError if it cannot be listed."""
        found: dict[Path, _State] = {}
        folders = [self._folder]
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError:
                if folder == self._folder:
                    raise
                continue  # a folder below that was deleted meanwhile
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if self.settings.recursive:
                            folders.append(Path(entry.path))
                    elif Path(entry.name).suffix.lower() in PICTURE_SUFFIXES:
                        stat = entry.stat()
                        found[Path(entry.path)] = _State(
                            stat.st_size, stat.st_mtime_ns, stat.st_ino
                        )
                except FileNotFoundError:
                    continue  # deleted between the two looks: it was never announced
        return found

    def _note(self, found: dict[Path, _State]) -> tuple[list[Path], list[Path]]:
        """Take note of a look.

        Returns:
            Pictures that went before they could be read, and those that are due, in the order they
            were finished in.
        """
        now_s = self._now_s()
        inodes = {state.inode for state in found.values()}
        gone = []
        for path in [path for path in self._known if path not in found]:
            known = self._known.pop(path)
            # One that was renamed is there under its new name.
            if not known.taken and known.state.inode not in inodes:
                gone.append(path)
        for path, state in found.items():
            seen = self._known.setdefault(path, _Known(state, now_s))
            if seen.state != state:
                seen.state, seen.still_since_s, seen.taken = state, now_s, False
        due = [
            path
            for path, known in self._known.items()
            if not known.taken and now_s - known.still_since_s >= self.settings.settle_s
        ]
        due.sort(
            key=lambda path: (
                self._known[path].state.modified_ns,
                natural_order(str(path.relative_to(self._folder))),
            )
        )
        return gone, due

    def _missed(self, path: Path) -> UnreadableFrame:
        return self._unreadable(path, f"{path}: it was deleted before it was read: keep it longer")

    def _take(self, path: Path) -> Frame | UnreadableFrame | None:
        known = self._known[path]
        try:
            data = read_file(path, self._rules)
            digest = hashlib.blake2b(data, digest_size=16).digest()
            if digest == known.digest:  # touched, not written anew
                known.taken = True
                return None
            if path.stat().st_mtime_ns != known.state.modified_ns:
                return None  # it is being written anew: the next look finds it so
            pixels = decode_picture(data, str(path), self._rules)
        except (FrameReadError, FileNotFoundError) as error:
            if not path.exists():
                del self._known[path]
                return self._missed(path)
            if self._now_s() - known.still_since_s < self.settings.patience_s:
                return None  # perhaps it is still being written
            known.taken = True
            return self._unreadable(path, str(error))
        known.taken, known.digest = True, digest
        index = self._next_index()
        return Frame(
            index,
            self._source(path),
            self._clock(),
            pixels,
            0 if self._scan else index,
            self._um_per_px,
        )

    def _unreadable(self, path: Path, reason: str) -> UnreadableFrame:
        index = self._next_index()
        field = 0 if self._scan else index
        return UnreadableFrame(index, self._source(path), self._clock(), reason, field)

    def _source(self, path: Path) -> str:
        return str(path.relative_to(self._folder))

    def _next_index(self) -> int:
        self._index += 1
        return self._index - 1

    def _lose(self, line: str) -> None:
        if self._trouble is None:
            self._trouble = line
            self._tell("lost", line)

    def _come_back(self) -> None:
        if self._trouble is not None:
            self._trouble = None
            self._tell("back", f"{self.name}: the folder is there")

    def _tell(self, kind: EventKind, line: str) -> None:
        log.warning("%s", line)
        if self._on_event is not None:
            self._on_event(SourceEvent(self._clock(), kind, line))
