"""A video file as a source: every frame that its container announces gets an outcome.

A video that was cut short (a recorder that lost power) announces more frames than it holds. The
missing ones are handed out as UnreadableFrame, so that the result says how much was not seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from typing_extensions import Self

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, UnreadableFrame
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.quiet_opencv import quiet_opencv
from edge_daemon.sources.reading import ReadingRules

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
"""Ends of file names that announce a video, in lower case."""


class VideoSource:
    """The frames of a video file, all of field 0: a video is one passage over the slide.

    ``frame_count`` is what the container announces, None where it announces nothing believable.
    ``captured_at`` is the time of reading.
    """

    def __init__(
        self,
        path: Path,
        *,
        um_per_px: float | None = None,
        rules: ReadingRules | None = None,
        clock: Clock = utc_now,
    ) -> None:
        self._path = path
        self._um_per_px = um_per_px
        self._rules = rules or ReadingRules()
        self._clock = SteadyClock(clock)
        self._life = Lifecycle(str(path))
        self._video: cv2.VideoCapture | None = None
        self._frame_count: int | None = None

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._path)

    @property
    def frame_count(self) -> int | None:
        """How many frames the container announces; None before it is open, or if it does not."""
        return self._frame_count

    def __enter__(self) -> Self:
        """Open the file. Raises SourceError if it is not a video or its frames are too large."""
        self._life.open()
        quiet_opencv()
        video = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        if not video.isOpened():
            video.release()
            raise SourceError(
                f"{self._path}: cannot be opened as a video (damaged, cut short or an unknown "
                "codec): copy it again, or convert it to MP4"
            )
        width = int(video.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if width * height > self._rules.max_pixels:
            video.release()
            raise SourceError(
                f"{self._path}: frames of {width} x {height} pixels are more than the limit of "
                f"{self._rules.max_pixels / 1e6:g} megapixels: make the video smaller"
            )
        video.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # as with EXIF: a stage has no up
        self._frame_count = self._believable_count(video.get(cv2.CAP_PROP_FRAME_COUNT))
        self._video = video
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._life.close()
        if self._video is not None:
            self._video.release()
            self._video = None

    def __iter__(self) -> Iterator[Frame | UnreadableFrame]:
        """The frames in order; those announced but missing at the end as UnreadableFrame."""
        self._life.iterate()
        return self._frames()

    def _frames(self) -> Iterator[Frame | UnreadableFrame]:
        index = 0
        while (captured := self._next(index)) is not None:
            yield captured
            index += 1
        read = index
        announced = self._frame_count or 0
        while index < announced:
            self._life.require_open()
            reason = (
                f"{self._path}: the video ends after {read} of {announced} frames, it is cut short "
                "or damaged: copy it again from where it came"
            )
            yield UnreadableFrame(index, self._path.name, self._clock(), reason)
            index += 1

    def _next(self, index: int) -> Frame | UnreadableFrame | None:
        self._life.require_open()
        assert self._video is not None, "open until closed"  # noqa: S101 the line above says so
        if not self._video.grab():
            return None
        ok, bgr = self._video.retrieve()
        if not ok or bgr is None:
            reason = f"{self._path}: frame {index} cannot be decoded: copy the video again"
            return UnreadableFrame(index, self._path.name, self._clock(), reason)
        code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB
        pixels = np.asarray(cv2.cvtColor(bgr, code), dtype=np.uint8)
        return Frame(index, self._path.name, self._clock(), pixels, um_per_px=self._um_per_px)

    def _believable_count(self, announced: float) -> int | None:
        # Streams without an index announce zero, a negative or an astronomic number.
        # No codec stores a frame in less than one byte.
        if 0 < announced <= self._path.stat().st_size:
            return int(announced)
        return None
