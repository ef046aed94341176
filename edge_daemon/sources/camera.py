"""A camera of Linux (V4L2, UVC) through OpenCV, found by its serial number each time it is opened.

``camera://serial/ABC?width=1920&height=1080&exposure_us=8000&gain=2&white_balance_k=5200&fps=15``.
What is not given is left as the camera has it; what is given and not taken is refused.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
from pydantic import Field

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources.base import OnEvent
from edge_daemon.sources.capture import Capture, OpenCapture, OpenCvDevice, size_and_rate
from edge_daemon.sources.controls import fix_controls
from edge_daemon.sources.device import Device, LiveSettings
from edge_daemon.sources.lifecycle import Clock, utc_now
from edge_daemon.sources.live import LiveCamera
from edge_daemon.sources.quiet_opencv import quiet_opencv
from edge_daemon.sources.v4l import VideoDevices


class CameraSettings(LiveSettings):
    """How to run a camera. What is None is left as the camera has it."""

    width: int | None = Field(default=None, ge=16, description="pixels")
    height: int | None = Field(default=None, ge=16, description="pixels")
    fps: float | None = Field(default=None, gt=0, description="frames per second to ask for")
    fourcc: str | None = Field(
        default=None, pattern=r"^[A-Z0-9 ]{4}$", description="such as MJPG, YUYV"
    )
    exposure_us: float | None = Field(default=None, gt=0, description="fixed, in microseconds")
    gain: float | None = Field(default=None, ge=0, description="fixed, in the camera's own steps")
    white_balance_k: float | None = Field(default=None, gt=0, description="fixed, in kelvin")


class CameraSource(LiveCamera):
    """The frames of one V4L2 camera."""

    def __init__(
        self,
        which: str,
        settings: CameraSettings | None = None,
        *,
        um_per_px: float | None = None,
        devices: VideoDevices | None = None,
        open_capture: OpenCapture | None = None,
        stop: threading.Event | None = None,
        on_event: OnEvent | None = None,
        clock: Clock = utc_now,
        may_come_later: bool = False,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            which: ``0``, ``/dev/video0``, a path under ``/dev/v4l/by-id``, or ``serial/ABC``.
            settings: resolution, deadlines and back-pressure.
            um_per_px: scale of the pictures, if known.
            devices: where the system shows its video devices.
            open_capture: opens a device node; by default OpenCV through V4L2.
            stop: ends the iteration when it is set from elsewhere.
            on_event: told what the operator must know.
            clock: tells the present time in UTC.
            may_come_later: one that is absent at the start is waited for.
        """
        self.settings = settings or CameraSettings()
        finder = _Finder(which, devices or VideoDevices())
        opening = open_capture or _open_v4l2(self.settings.frame_timeout_s)
        name = f"camera://{which}"
        super().__init__(
            name,
            lambda: _open(name, finder, opening, self.settings),
            self.settings,
            um_per_px=um_per_px,
            stop=stop,
            on_event=on_event,
            clock=clock,
            may_come_later=may_come_later,
        )


class _Finder:
    """Finds the same camera again, whatever it is called after it was plugged in anew.

    An index or a path is given to whichever camera comes first: another one must not take the
    place of the one that was lost.
    """

    def __init__(self, which: str, devices: VideoDevices) -> None:
        self._which = which
        self._devices = devices
        self._found = False
        self._serial: str | None = None
        self._name: str | None = None

    def find(self) -> str:
        if self._serial is not None:
            return self._by_serial(self._serial)
        node = self._devices.resolve(self._which)
        name = self._devices.name_of(node)
        if self._found and name != self._name:
            raise SourceError(
                f"camera {node}: it is {name or 'another camera'} now, and was {self._name}: plug "
                "that one in again, or start again"
            )
        self._found, self._name, self._serial = True, name, self._devices.serial_of(node)
        return node

    def _by_serial(self, serial: str) -> str:
        nodes = self._devices.with_serial(serial)
        if len(nodes) > 1:  # makers give one number to many cameras: then it must be at its place
            node = self._devices.resolve(self._which)
            if Path(node).resolve() in nodes:
                return node
        return self._devices.resolve(f"serial/{serial}")


def _open(
    name: str, finder: _Finder, open_capture: OpenCapture, settings: CameraSettings
) -> Device:
    quiet_opencv()
    node = finder.find()
    capture = open_capture(node)
    try:
        if not capture.isOpened():
            raise AbsentSourceError(
                f"{name}: {node} cannot be opened: close other programs that use the camera, and "
                "check that it is one"
            )
        _set_format(capture, name, settings)
        words = fix_controls(
            capture, name, settings.exposure_us, settings.gain, settings.white_balance_k
        )
        told_fps = capture.get(cv2.CAP_PROP_FPS)
        return OpenCvDevice(
            capture,
            ", ".join([*size_and_rate(capture), *words, node]),
            fps=settings.fps or (told_fps if 0 < told_fps < 1000 else None),
            is_plugged_in=Path(node).exists,
        )
    except BaseException:
        capture.release()
        raise


def _set_format(capture: Capture, name: str, wanted: CameraSettings) -> None:
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
                f"{name}: the camera gives pictures {got} pixels {what}, not the {asked} "
                "asked for: set a size that it has (v4l2-ctl --list-formats-ext)"
            )


def _open_v4l2(frame_timeout_s: float) -> Callable[[str], Capture]:
    def opened(node: str) -> Capture:
        # By itself OpenCV waits 10 s for a picture, and holds the camera meanwhile: one that was
        # plugged in again could not be opened. Read by OpenCV once, before its first picture.
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(math.ceil(frame_timeout_s)))
        return cv2.VideoCapture(node, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)

    return opened
