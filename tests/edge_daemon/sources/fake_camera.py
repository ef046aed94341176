"""A camera without hardware, at the seam where ``cv2.VideoCapture`` stands.

It plays a script of moments, one for each read, and then goes on as its last moment says. It can
do what real cameras were seen to do: freeze, block for ever, give nothing, tear, change its size.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np

CONTROLS = {
    *(cv2.CAP_PROP_EXPOSURE, cv2.CAP_PROP_AUTO_EXPOSURE, cv2.CAP_PROP_GAIN),
    *(cv2.CAP_PROP_WB_TEMPERATURE, cv2.CAP_PROP_AUTO_WB),
}
"""What OpenCV hands to V4L2 as a control; -1 is what it reads where there is none."""

Moment: TypeAlias = Callable[["FakeCamera"], tuple[bool, Any]]


@dataclass
class FakeCamera:
    """``script`` is played once, then ``afterwards`` for ever."""

    afterwards: Moment
    script: tuple[Moment, ...] = ()
    opens: bool = True
    frame_interval_s: float = 0.001
    width: int = 64
    height: int = 48
    stamps: bool = True
    reads: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    unplugged: threading.Event = field(default_factory=threading.Event)
    properties: dict[int, float] = field(default_factory=dict)
    controls: dict[int, tuple[float, float, float]] = field(default_factory=dict)
    """V4L2 controls that it has: property -> (value, least, most), in the camera's whole steps."""
    threads: set[int] = field(default_factory=set)
    last: Any = None
    driver_ms: float = 0.0

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return self.opens

    def read(self) -> tuple[bool, Any]:
        assert not self.released.is_set(), "read after release"
        self.threads.add(threading.get_ident())
        self.released.wait(self.frame_interval_s)
        moment = self.script[self.reads] if self.reads < len(self.script) else self.afterwards
        self.reads += 1
        ok, picture = moment(self)
        self.last = picture if ok else self.last
        return ok, picture

    def get(self, prop: int) -> float:
        if prop == cv2.CAP_PROP_FRAME_WIDTH:
            return self.width
        if prop == cv2.CAP_PROP_FRAME_HEIGHT:
            return self.height
        if prop == cv2.CAP_PROP_POS_MSEC:
            return self.driver_ms if self.stamps else 0.0
        if prop in CONTROLS:
            return self.controls[prop][0] if prop in self.controls else -1.0
        return self.properties.get(prop, 0.0)

    def set(self, prop: int, value: float) -> bool:
        if prop not in CONTROLS:
            self.properties[prop] = value
            return True
        if prop not in self.controls or self._is_automatic(prop):
            return False
        _, least, most = self.controls[prop]
        self.controls[prop] = (min(max(int(value), least), most), least, most)
        return True

    def _is_automatic(self, prop: int) -> bool:
        """Drivers refuse a value that the camera chooses itself."""
        if prop == cv2.CAP_PROP_EXPOSURE:
            return self.controls.get(cv2.CAP_PROP_AUTO_EXPOSURE, (1,))[0] != 1
        if prop == cv2.CAP_PROP_WB_TEMPERATURE:
            return self.controls.get(cv2.CAP_PROP_AUTO_WB, (0,))[0] != 0
        return False

    def release(self) -> None:
        self.threads.add(threading.get_ident())
        self.released.set()


def lives(camera: FakeCamera) -> tuple[bool, Any]:
    """A new picture, with a sensor's noise. Its blue channel is 10 everywhere."""
    camera.driver_ms += 33.0
    noise = np.random.default_rng(camera.reads)
    picture = noise.integers(60, 200, (camera.height, camera.width, 3), dtype=np.uint8)
    picture[..., 0] = 10
    return True, picture


def stands_still(camera: FakeCamera) -> tuple[bool, Any]:
    """The same picture again, as a new capture."""
    camera.driver_ms += 33.0
    return True, camera.last


def repeats_the_buffer(camera: FakeCamera) -> tuple[bool, Any]:
    """The same capture again, by the driver's own time."""
    return True, camera.last


def is_dark(camera: FakeCamera) -> tuple[bool, Any]:
    """The lamp is off: one value everywhere, without noise."""
    camera.driver_ms += 33.0
    return True, np.zeros((camera.height, camera.width, 3), np.uint8)


def gives_nothing(camera: FakeCamera) -> tuple[bool, Any]:
    return False, None


def tears(camera: FakeCamera) -> tuple[bool, Any]:
    """The upper half is new, the lower half is left over from the picture before."""
    ok, picture = lives(camera)
    half = camera.height // 2
    picture[half:] = camera.last[half:]
    return ok, picture


def is_not_filled(camera: FakeCamera) -> tuple[bool, Any]:
    """The lower quarter is the green of a YUV buffer in which nothing has arrived."""
    ok, picture = lives(camera)
    picture[camera.height * 3 // 4 :] = (0, 135, 0)
    return ok, picture


def halves(camera: FakeCamera) -> tuple[bool, Any]:
    ok, picture = lives(camera)
    return ok, picture[: camera.height // 2]


def blocks(camera: FakeCamera) -> tuple[bool, Any]:
    """For ever, or until the test pulls the plug."""
    camera.unplugged.wait()
    return False, None


def crashes(camera: FakeCamera) -> tuple[bool, Any]:
    raise cv2.error("V4L2: select() failed\nin function 'read'")
