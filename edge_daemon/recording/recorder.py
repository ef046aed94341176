"""Writes a session down beside the frame loop, which waits for nothing.

Pictures are compressed and written in a thread of their own. Where the disk does not keep up, or is
full, the recording ends and says so: a recording with a hole would be taken for the session.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import cv2
from typing_extensions import Self

from edge_daemon.calibration.document import MicroscopeCalibration
from edge_daemon.calibration.file import write_calibration
from edge_daemon.contract.messages import FrameResult, SlideSummary
from edge_daemon.errors import CalibrationError
from edge_daemon.recording.session_file import (
    CALIBRATION,
    FRAMES,
    PICTURES,
    SESSION,
    Session,
    digest_of,
    picture_name,
    recorded_frame,
)
from edge_daemon.sources.base import Captured, Frame
from edge_daemon.whole_files import write_whole

MOST_WAITING = 64
"""Frames between the loop and the disk: 60 MB of 640 x 480 pictures."""

log = logging.getLogger(__name__)


class SessionRecorder:
    """One recorded slide. A context manager; :meth:`frame` is for the frame loop."""

    def __init__(
        self,
        folder: Path,
        session: Session,
        *,
        calibration: MicroscopeCalibration | None = None,
        camera: Callable[[], str | None] = lambda: None,
        most_waiting: int = MOST_WAITING,
        on_fault: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Record into ``folder``, which must not exist; ``on_fault`` is told when it must end.

        ``calibration`` is what the frames are judged through; the frames come without it.
        ``camera`` tells what took them, and how it is set; asked at the beginning and at the end.
        """
        self._camera = camera
        self._folder = folder
        self._calibration = calibration
        named = None if calibration is None else calibration.digest
        self._session = session.model_copy(update={"calibration": named})
        self._on_fault = on_fault
        self._waiting: queue.Queue[tuple[Captured, FrameResult] | None] = queue.Queue(most_waiting)
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._summary: SlideSummary | None = None
        self.fault: str | None = None
        """Why the recording has ended before its slide; None while all is written."""

    def __enter__(self) -> Self:
        """Make the folder. Raises nothing: a device that cannot record screens all the same."""
        try:
            (self._folder / PICTURES).mkdir(parents=True)
            if self._calibration is not None:
                write_calibration(self._folder / CALIBRATION, self._calibration)
            self._write_session(self._session)
        except CalibrationError as error:
            self._give_up(str(error).partition(";")[0])
        except OSError as error:
            self._give_up(f"cannot write {self._folder}: {error.strerror}")
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._waiting.put(None)
        self._thread.join()

    def frame(self, result: FrameResult, captured: Captured) -> None:
        """Write down what became of a frame; returns at once."""
        if self.fault is not None:
            return
        try:
            self._waiting.put_nowait((captured, result))
        except queue.Full:
            self._give_up("the disk does not keep up with the frames")

    def end(self, summary: SlideSummary) -> None:
        """The slide has ended with this: what is written when this is closed is all of it."""
        self._summary = summary

    def _work(self) -> None:
        count = 0
        try:
            with (self._folder / FRAMES).open("w", encoding="utf-8") as lines:
                while (waiting := self._waiting.get()) is not None:
                    if self.fault is None:
                        lines.write(self._written(*waiting) + "\n")
                        count += 1
            if self.fault is None:
                ended = self._summary is not None
                done = {"frames": count, "complete": ended, "summary": self._summary}
                self._write_session(self._session.model_copy(update=done))
                return
        except OSError as error:
            self._give_up(f"cannot write {self._folder}: {error.strerror}")
            self._drain()
        self._write_fault(count)

    def _written(self, captured: Captured, result: FrameResult) -> str:
        recorded = recorded_frame(captured, result)
        if isinstance(captured, Frame):
            recorded = recorded.model_copy(update={"sha256": digest_of(captured.pixels)})
            if self._session.pictures == "png":
                file = self._folder / PICTURES / picture_name(captured.index)
                picture = cv2.cvtColor(captured.pixels, cv2.COLOR_RGB2BGR)
                fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
                file.write_bytes(cv2.imencode(".png", picture, fast)[1].tobytes())
        return recorded.model_dump_json(by_alias=True)

    def _give_up(self, fault: str) -> None:
        if self.fault is None:
            self.fault = fault
            log.error("the recording of %s has ended: %s", self._session.slide, fault)
            self._on_fault(fault)

    def _drain(self) -> None:
        while self._waiting.get() is not None:
            pass

    def _write_fault(self, count: int) -> None:
        try:
            self._write_session(
                self._session.model_copy(update={"frames": count, "fault": self.fault})
            )
        except OSError:  # the fault is in the log; the session there says that it is not complete
            log.debug("no room even for the fault", exc_info=True)

    def _write_session(self, session: Session) -> None:
        told = session.model_copy(update={"camera": self._camera()})
        content = told.model_dump_json(indent=1, by_alias=True) + "\n"
        write_whole(self._folder / SESSION, content.encode())
