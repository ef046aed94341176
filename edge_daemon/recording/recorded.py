"""A recorded session as a source: the same frames, in the same order, of the same moments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.errors import FrameReadError, SourceError
from edge_daemon.recording.session_file import (
    FRAMES,
    PICTURES,
    Captive,
    digest_of,
    picture_name,
    position_of,
    read_captive,
    read_session,
)
from edge_daemon.sources.base import (
    Captured,
    DroppedFrame,
    Frame,
    Pixels,
    Source,
    UnreadableFrame,
)
from edge_daemon.sources.lifecycle import Lifecycle
from edge_daemon.sources.reading import read_picture


class RecordedSource:
    """Hands out what was captured; with ``original`` the pixels come from there.

    A recording of digests holds no pictures: then the frames of its source are needed, and each is
    held against its digest.
    """

    def __init__(self, folder: Path, original: Source | None = None) -> None:
        self.session = read_session(folder)
        self.name = f"recording {folder.name}"
        self.captives: list[Captive] = []
        self._folder = folder
        self._original = original
        self._life = Lifecycle(self.name)
        if self.session.pictures == "digests" and original is None:
            raise SourceError(
                f"{folder} holds digests and no pictures: name its source with --source "
                f"({self.session.source})"
            )

    @property
    def frame_count(self) -> int | None:
        """How many frames were captured."""
        return self.session.frames

    def __enter__(self) -> Self:
        self._life.open()
        if self._original is not None:
            self._original.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.close()
        if self._original is not None:
            self._original.__exit__(exc_type, exc, traceback)

    def __iter__(self) -> Iterator[Captured]:
        """The frames as they were captured.

        Raises:
            DataError: a line was cut off or altered.
            SourceError: a picture is missing or is not the one that was recorded.
        """
        self._life.iterate()
        originals = None if self._original is None else iter(self._original)
        file = self._folder / FRAMES
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                self._life.require_open()
                captive = read_captive(line, file, number)
                self.captives.append(captive)
                other = None if originals is None else next(originals, None)
                yield self._captured(captive, other)

    def _captured(self, captive: Captive, other: Captured | None) -> Captured:
        if captive.kind != "frame":
            kind = DroppedFrame if captive.kind == "dropped" else UnreadableFrame
            return kind(
                captive.index,
                captive.source,
                captive.captured_at,
                captive.reason or "unknown",
                captive.field,
            )
        pixels = self._pixels(captive, other)
        if digest_of(pixels) != captive.sha256:
            raise SourceError(
                f"frame {captive.index} of {self.name} is not the one that was recorded: its "
                "digest is another"
            )
        return Frame(
            captive.index,
            captive.source,
            captive.captured_at,
            pixels,
            captive.field,
            captive.um_per_px,
            position_of(captive),
        )

    def _pixels(self, captive: Captive, other: Captured | None) -> Pixels:
        if self._original is not None:
            if not isinstance(other, Frame):
                raise SourceError(f"{self._original.name} has no frame {captive.index}")
            return other.pixels
        try:
            return read_picture(self._folder / PICTURES / picture_name(captive.index))
        except FrameReadError as error:
            raise SourceError(str(error)) from None
