"""A camera through OpenCV (V4L2), read in a thread of its own with a deadline.

An unplugged camera may block its reader for ever, return nothing, or hand out its last picture
again and again. The reader therefore lives in a thread, which alone opens, reads and releases the
device; the pipeline waits for it no longer than ``frame_timeout_s``, and pictures that stay equal
to the byte for ``frozen_after_s`` end the source. To go on, open a new source: a camera named by
its serial number is then found again under whatever device path it got.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import Self

from edge_daemon.errors import SourceError
from edge_daemon.sources.backpressure import BackPressure, WaitingFrames
from edge_daemon.sources.base import Captured, Frame, UnreadableFrame
from edge_daemon.sources.lifecycle import Clock, Lifecycle, SteadyClock, utc_now
from edge_daemon.sources.liveness import LivenessWatch
from edge_daemon.sources.quiet_opencv import quiet_opencv
from edge_daemon.sources.v4l import VideoDevices

_RECONNECT = "check its cable and power, then start again"


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used: the seam to the hardware."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102 OpenCV's name

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def get(self, propId: int, /) -> float: ...  # noqa: N803, D102

    def set(self, propId: int, value: float, /) -> bool: ...  # noqa: N803, D102

    def release(self) -> None: ...  # noqa: D102


OpenCapture: TypeAlias = Callable[[str], Capture]
"""Opens the device node of the given path."""


class CameraSettings(BaseModel):
    """How to run a camera. What is None is left as the camera has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int | None = Field(default=None, ge=16, description="pixels")
    height: int | None = Field(default=None, ge=16, description="pixels")
    fps: float | None = Field(default=None, gt=0, description="frames per second to ask for")
    fourcc: str | None = Field(
        default=None, pattern=r"^[A-Z0-9 ]{4}$", description="such as MJPG, YUYV"
    )
    back_pressure: BackPressure = BackPressure.LATEST
    waiting_frames: int = Field(default=2, ge=1, le=64, description="frames kept for the pipeline")
    open_timeout_s: float = Field(default=10.0, gt=0)
    frame_timeout_s: float = Field(default=5.0, gt=0, description="then it has stopped")
    frozen_after_s: float | None = Field(default=2.0, gt=0, description="None: never")
    refuse_torn: bool = True
    failed_reads: int = Field(default=5, ge=1, description="so many in a row: it has stopped")


class CameraSource:
    """The frames of one camera, all of field 0: it shows one continuous passage over the slide.

    With back-pressure ``every_frame`` the reader waits for the pipeline; the driver's own few
    buffers may then age or overflow, which no driver reports. Drops by ``latest`` are handed out.
    """

    def __init__(
        self,
        which: str,
        settings: CameraSettings | None = None,
        *,
        um_per_px: float | None = None,
        devices: VideoDevices | None = None,
        open_capture: OpenCapture | None = None,
        clock: Clock = utc_now,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            which: ``0``, ``/dev/video0``, a path under ``/dev/v4l/by-id``, or ``serial/ABC``.
            settings: resolution, deadlines and back-pressure.
            um_per_px: scale of the pictures, if known.
            devices: where the system shows its video devices.
            open_capture: opens a device node; by default OpenCV through V4L2.
            clock: tells the present time in UTC.
        """
        self.settings = settings or CameraSettings()
        self._which = which
        self._um_per_px = um_per_px
        self._devices = devices or VideoDevices()
        self._open_capture = open_capture or _open_v4l2
        self._clock = SteadyClock(clock)
        self._life = Lifecycle(self.name)
        self._waiting = WaitingFrames(self.settings.back_pressure, self.settings.waiting_frames)
        self._opened = threading.Event()
        self._stop = threading.Event()
        self._reader: threading.Thread | None = None

    @property
    def name(self) -> str:
        """``camera://`` and which one."""
        return f"camera://{self._which}"

    @property
    def frame_count(self) -> None:
        """Nobody knows: a camera has no end."""
        return

    def __enter__(self) -> Self:
        """Open the camera. Raises SourceError if it is absent, busy, or does not answer in time."""
        self._life.open()
        quiet_opencv()
        node = self._devices.resolve(self._which)
        self._reader = threading.Thread(
            target=self._read_until_stopped, args=(node,), name=f"camera {node}", daemon=True
        )
        self._reader.start()
        answered = self._opened.wait(self.settings.open_timeout_s)
        if not answered:
            self._close()
            raise SourceError(
                f"{self.name}: it did not open within {self.settings.open_timeout_s:g} s: "
                f"{_RECONNECT}"
            )
        if not self._reader.is_alive() and self._waiting.is_empty:
            self._close()
            self._waiting.raise_end()  # frames that came before are handed out, and then this
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

    def __iter__(self) -> Iterator[Captured]:
        """Frames as they come, until the camera stops (SourceError) or the source is closed."""
        self._life.iterate()
        return self._frames()

    def _frames(self) -> Iterator[Captured]:
        while True:
            self._life.require_open()
            captured = self._waiting.take(self.settings.frame_timeout_s)
            self._life.require_open()
            if captured is None:
                raise SourceError(
                    f"{self.name}: no frame for {self.settings.frame_timeout_s:g} s, the camera "
                    f"has stopped: {_RECONNECT}"
                )
            yield captured

    def _close(self) -> None:
        self._life.close()
        self._stop.set()
        self._waiting.close()
        if self._reader is not None:
            # A reader that the driver blocks for ever cannot be ended; it is a daemon thread and
            # releases the device itself if it ever comes back.
            self._reader.join(timeout=1.0)

    # What follows runs in the reader's thread.

    def _read_until_stopped(self, node: str) -> None:
        capture: Capture | None = None
        try:
            capture = self._open_capture(node)
            if not capture.isOpened():
                raise SourceError(
                    f"{self.name}: {node} cannot be opened: close other programs that use the "
                    "camera, and check that it is one"
                )
            self._configure(capture)
            self._opened.set()
            self._read(capture)
        except Exception as error:  # noqa: BLE001 it would die with the thread: the taker gets it
            reason = error if isinstance(error, SourceError) else self._driver_error(error)
            self._waiting.end(reason)
        finally:
            if capture is not None:
                capture.release()
            self._opened.set()

    def _driver_error(self, error: Exception) -> SourceError:
        text = " ".join(str(error).split()) or type(error).__name__
        return SourceError(f"{self.name}: the camera's driver failed ({text}): {_RECONNECT}")

    def _configure(self, capture: Capture) -> None:
        wanted = self.settings
        if wanted.fourcc is not None:  # first: it decides which sizes there are
            capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*wanted.fourcc))
        for prop, value in (
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
        ):
            if value is not None:
                capture.set(prop, value)
        for prop, asked, what in (
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width, "wide"),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height, "high"),
        ):
            got = int(capture.get(prop))
            if asked is not None and got != asked:
                raise SourceError(
                    f"{self.name}: the camera gives pictures {got} pixels {what}, not the {asked} "
                    "asked for: set a size that it has (v4l2-ctl --list-formats-ext)"
                )

    def _read(self, capture: Capture) -> None:
        watch = LivenessWatch(self.settings.frozen_after_s)
        shape: tuple[int, ...] | None = None
        index = failed = 0
        while not self._stop.is_set():
            ok, bgr = capture.read()
            now_s, at = time.monotonic(), self._clock()
            if self._stop.is_set():
                return
            flaw = _flaw(ok, bgr, shape)
            if flaw is None:
                torn = watch.look(bgr, capture.get(cv2.CAP_PROP_POS_MSEC), now_s)
                flaw = torn if self.settings.refuse_torn else None
                shape = bgr.shape
                failed = 0
            else:
                failed += 1
            frozen_s = watch.frozen_for_s(now_s)
            if frozen_s is not None:
                raise SourceError(
                    f"{self.name}: the camera has shown the same picture for {frozen_s:.1f} s, "
                    f"it is frozen: {_RECONNECT}"
                )
            captured: Captured
            if flaw is None:
                pixels = _rgb(bgr)
                captured = Frame(index, self.name, at, pixels, um_per_px=self._um_per_px)
            else:
                captured = UnreadableFrame(index, self.name, at, f"{self.name}: {flaw}")
            if not self._waiting.put(captured):
                return
            index += 1
            if failed >= self.settings.failed_reads:
                raise SourceError(
                    f"{self.name}: {failed} reads in a row gave no picture, the camera has "
                    f"stopped: {_RECONNECT}"
                )


def _flaw(ok: bool, picture: Any, shape: tuple[int, ...] | None) -> str | None:
    """What is wrong with what the driver gave, or None."""
    if not ok or picture is None:
        return "the camera gave no picture: check its cable"
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.size == 0:
        return "the camera gave something that is no 8-bit picture: set fourcc to MJPG or YUYV"
    if picture.ndim not in (2, 3):
        return f"the camera gave a picture of {picture.ndim} dimensions: set fourcc to MJPG or YUYV"
    if shape is not None and picture.shape != shape:
        had, got = (f"{s[1]} x {s[0]}" for s in (shape, picture.shape))
        return f"the picture is {got} pixels, the ones before {had} (torn): check the USB cable"
    return None


def _rgb(bgr: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.ascontiguousarray(cv2.cvtColor(bgr, code), dtype=np.uint8)


def _open_v4l2(node: str) -> Capture:
    backend = cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY
    return cv2.VideoCapture(node, backend)
