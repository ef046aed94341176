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
    RecordedFrame,
    digest_of,
    picture_name,
    position_of,
    read_recorded_frame,
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
        self.frames: list[RecordedFrame] = []
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
                recorded = read_recorded_frame(line, file, number)
                self.frames.append(recorded)
                other = None if originals is None else next(originals, None)
                yield self._captured(recorded, other)

    def _captured(self, recorded: RecordedFrame, other: Captured | None) -> Captured:
        if recorded.kind != "frame":
            kind = DroppedFrame if recorded.kind == "dropped" else UnreadableFrame
            return kind(
                recorded.index,
                recorded.source,
                recorded.captured_at,
                recorded.reason or "unknown",
                recorded.field,
            )
        pixels = self._pixels(recorded, other)
        if digest_of(pixels) != recorded.sha256:
            raise SourceError(
                f"frame {recorded.index} of {self.name} is not the one that was recorded: its "
                "digest is another"
            )
        return Frame(
            recorded.index,
            recorded.source,
            recorded.captured_at,
            pixels,
            recorded.field,
            recorded.um_per_px,
            position_of(recorded),
        )

    def _pixels(self, recorded: RecordedFrame, other: Captured | None) -> Pixels:
        if self._original is not None:
            if not isinstance(other, Frame):
                raise SourceError(f"{self._original.name} has no frame {recorded.index}")
            return other.pixels
        try:
            return read_picture(self._folder / PICTURES / picture_name(recorded.index))
        except FrameReadError as error:
            raise SourceError(str(error)) from None
