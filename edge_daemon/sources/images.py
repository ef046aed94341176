"""Picture files as a source: one file, or a folder of them in natural order.

Every file that looks like a picture is announced and gets its outcome, also one of a kind that is
not read (a GIF): a picture that is passed over in silence would be missing from the denominators.
Files that are no pictures (annotations, notes) and hidden files are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from edge_daemon.errors import FrameReadError, SourceError
from edge_daemon.sources.base import Frame, UnreadableFrame
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.reading import ReadingRules, read_picture

READ_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"})
"""Ends of file names of the formats that are read, in lower case."""

PICTURE_SUFFIXES = READ_SUFFIXES | {
    *(".avif", ".dib", ".gif", ".heic", ".heif", ".j2k", ".jfif", ".jp2", ".jpe", ".jxl", ".pbm"),
    *(".pgm", ".pnm", ".ppm"),
}
"""Ends of file names that announce a picture, whether its format is read or not."""


class ImageSource:
    """Picture files, one frame each.

    A picture that cannot be read is handed out as an UnreadableFrame and the next one follows.
    ``captured_at`` is the time of reading: the dates of copied files say nothing about capture.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        name: str,
        *,
        relative_to: Path | None = None,
        scan: bool = False,
        um_per_px: float | None = None,
        rules: ReadingRules | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Prepare to read ``paths`` in this order; nothing is read yet.

        Args:
            paths: the files, in the order of the frames.
            name: what the source is, for logs and messages.
            relative_to: folder against which frames are named; without it by file name alone.
            scan: the pictures overlap and show one field (all get field 0); otherwise each is a
                field of its own.
            um_per_px: scale of the pictures, if known.
            rules: limits and conversions of reading.
            clock: tells the present time in UTC.
        """
        self._paths = tuple(paths)
        self._name = name
        self._relative_to = relative_to
        self._scan = scan
        self._um_per_px = um_per_px
        self._rules = rules or ReadingRules()
        self._clock = SteadyClock(clock)
        self._life = Lifecycle(name)

    @property
    def name(self) -> str:
        """The file or folder."""
        return self._name

    @property
    def frame_count(self) -> int:
        """How many files there are, readable or not."""
        return len(self._paths)

    def __enter__(self) -> Self:
        self._life.open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.close()

    def __iter__(self) -> Iterator[Frame | UnreadableFrame]:
        """One Frame or UnreadableFrame for each file, in order."""
        self._life.iterate()
        return self._frames()

    def _frames(self) -> Iterator[Frame | UnreadableFrame]:
        for index, path in enumerate(self._paths):
            self._life.require_open()
            yield self._read(index, path)

    def _read(self, index: int, path: Path) -> Frame | UnreadableFrame:
        field = 0 if self._scan else index
        source = str(path.relative_to(self._relative_to)) if self._relative_to else path.name
        try:
            pixels = read_picture(path, self._rules)
        except FrameReadError as error:
            return UnreadableFrame(index, source, self._clock(), str(error), field)
        return Frame(index, source, self._clock(), pixels, field, self._um_per_px)


def list_pictures(folder: Path, *, recursive: bool = True) -> list[Path]:
    """Files of the folder that announce a picture by their name, in natural order.

    Raises:
        SourceError: the folder cannot be listed, or holds no picture.
    """
    try:
        entries = list(folder.rglob("*") if recursive else folder.iterdir())
    except OSError as error:
        raise SourceError(
            f"{folder}: the folder cannot be listed ({error.strerror}): check its permissions"
        ) from None
    found = [path for path in entries if _announces_picture(path, folder)]
    if not found:
        where = "neither here nor in its folders" if recursive else "folders in it not searched"
        kinds = ", ".join(sorted(suffix[1:] for suffix in READ_SUFFIXES))
        raise SourceError(
            f"{folder}: the folder holds no picture ({where}): put pictures there ({kinds}) "
            "or give another folder"
        )
    return sorted(found, key=lambda path: natural_order(str(path.relative_to(folder))))


def natural_order(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which ``field_2`` stands before ``field_10``, and case does not matter.

    The name itself comes last, so that two different names never compare as equal.
    """
    pieces = re.split(r"([0-9]+)", name)
    key = [
        (0, int(piece), "") if piece.isdecimal() else (1, 0, piece.casefold())
        for piece in pieces
        if piece
    ]
    return (*key, (2, 0, name))


def _announces_picture(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    return not hidden and path.suffix.lower() in PICTURE_SUFFIXES and not path.is_dir()
