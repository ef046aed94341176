"""A camera, pipeline or stream through OpenCV: the seam to ``cv2.VideoCapture``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from edge_daemon.sources.base import Pixels
from edge_daemon.sources.device import Shot


class Capture(Protocol):
    """The part of ``cv2.VideoCapture`` that is used."""

    def isOpened(self) -> bool: ...  # noqa: N802, D102 OpenCV's name

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def get(self, propId: int, /) -> float: ...  # noqa: N803, D102

    def set(self, propId: int, value: float, /) -> bool: ...  # noqa: N803, D102

    def release(self) -> None: ...  # noqa: D102


OpenCapture: TypeAlias = Callable[[str], Capture]
"""Opens a device node, a pipeline or an address."""


class OpenCvDevice:
    """An opened capture as a :class:`edge_daemon.sources.device.Device`."""

    def __init__(
        self,
        capture: Capture,
        description: str,
        *,
        fps: float | None = None,
        is_plugged_in: Callable[[], bool] = lambda: True,
        is_predicted: Callable[[Capture], bool] = lambda _: False,
    ) -> None:
        self._capture = capture
        self._is_predicted = is_predicted
        self._is_plugged_in = is_plugged_in
        self.description = description
        self.fps = fps

    def read(self) -> Shot:
        """The next picture, or what is wrong with it. May wait for ever."""
        ok, bgr = self._capture.read()
        flaw = _flaw(ok, bgr)
        if flaw is not None:
            return Shot(None, flaw)
        return Shot(
            _rgb(bgr),
            driver_ms=self._capture.get(cv2.CAP_PROP_POS_MSEC),
            predicted=self._is_predicted(self._capture),
        )

    def is_plugged_in(self) -> bool:
        """Whether the device is still there, where that can be told."""
        return self._is_plugged_in()

    def close(self) -> None:
        """Release it."""
        self._capture.release()


def size_and_rate(capture: Capture) -> list[str]:
    """``1920 x 1080``, ``15 fps`` and ``MJPG``, as far as the capture tells."""
    width, height = (
        int(capture.get(prop)) for prop in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
    )
    words = [f"{width} x {height}"]
    fps = capture.get(cv2.CAP_PROP_FPS)
    if 0 < fps < 1000:
        words.append(f"{fps:g} fps")
    letters = fourcc(capture)
    return [*words, letters] if letters else words


def fourcc(capture: Capture) -> str:
    """The four letters of the format, such as ``MJPG``; empty if the capture tells none."""
    code = int(capture.get(cv2.CAP_PROP_FOURCC))
    letters = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24)).strip()
    return letters if letters.isascii() and letters.isprintable() else ""


def _flaw(ok: bool, picture: Any) -> str | None:
    """What is wrong with what the driver gave, or None."""
    if not ok or picture is None:
        return "the camera gave no picture: check its cable"
    if not isinstance(picture, np.ndarray) or picture.dtype != np.uint8 or picture.size == 0:
        return "the camera gave something that is no 8-bit picture: set fourcc to MJPG or YUYV"
    if picture.ndim not in (2, 3):
        return f"the camera gave a picture of {picture.ndim} dimensions: set fourcc to MJPG or YUYV"
    return None


def _rgb(bgr: npt.NDArray[np.uint8]) -> Pixels:
    code = cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB
    return np.ascontiguousarray(cv2.cvtColor(bgr, code), dtype=np.uint8)
