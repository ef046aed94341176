"""The library ``harvesters`` without a camera, at the seam ``genicam.Library``.

Names and behaviour are those of harvesters 1.4 as far as they are used: features are attributes of
a node map with a ``value``, ``fetch`` hands out a buffer that is a context manager and goes back to
the producer at its end, an incomplete buffer is thrown away after a callback, and a timeout is an
exception named TimeoutException.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace, TracebackType
from typing import Any

import numpy as np
from typing_extensions import Self

from edge_daemon.sources.genicam import Library

HEIGHT, WIDTH = 48, 64


class TimeoutException(Exception):  # noqa: N818 the library's name
    """As ``genicam.gentl.TimeoutException``."""


class Callback:
    """As ``harvesters.core.Callback``."""

    def emit(self, context: object = None) -> None:
        raise NotImplementedError


class Node:
    """One feature. A number is kept within its range by refusing what lies outside."""

    def __init__(self, value: Any, least: float = 0, most: float = 1e9, step: float = 0) -> None:
        self._value, self._least, self._most, self._step = value, least, most, step

    @property
    def value(self) -> Any:
        return self._value

    @value.setter
    def value(self, value: Any) -> None:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not self._least <= value <= self._most:
                raise RuntimeError(f"OutOfRangeException: {value} not in range")
            if self._step:
                value = self._step * round(value / self._step)
        self._value = value


def features() -> dict[str, Node]:
    """Those of a colour camera as it comes: exposure and gain automatic."""
    return {
        "Width": Node(WIDTH),
        "Height": Node(HEIGHT),
        "PixelFormat": Node("BayerRG8"),
        "AcquisitionFrameRateEnable": Node(False),
        "AcquisitionFrameRate": Node(30.0, 1, 60),
        "ExposureAuto": Node("Continuous"),
        "ExposureTime": Node(10_000.0, 20, 1_000_000, step=10),
        "GainAuto": Node("Continuous"),
        "Gain": Node(0.0, 0, 24),
    }


@dataclass
class FakeGenicam:
    """One camera behind a producer; ``library()`` is what the daemon is given."""

    serial: str = "S-1"
    nodes: dict[str, Node] = field(default_factory=features)
    plugged: bool = True
    silent: bool = False
    incomplete: int = 0
    pixel_format: str = ""
    buffers_out: int = 0
    fetched: int = 0
    opened: int = 0
    destroyed: int = 0
    reset: int = 0

    def library(self) -> Library:
        return Library(lambda: _Harvester(self), Callback)


class _Harvester:
    def __init__(self, world: FakeGenicam) -> None:
        self._world = world
        self.device_info_list: list[Any] = []

    def add_file(self, file_path: str, check_existence: bool, check_validity: bool) -> None:
        assert file_path.endswith(".cti")

    def update(self) -> None:
        info = SimpleNamespace(serial_number=self._world.serial)
        self.device_info_list = [info] if self._world.plugged else []

    def create(self, search_key: Any) -> Any:
        assert search_key == {"serial_number": self._world.serial}
        self._world.opened += 1
        return _Acquirer(self._world)

    def reset(self) -> None:
        self._world.reset += 1


class _Acquirer:
    class Events(IntEnum):
        INCOMPLETE_BUFFER = 2

    def __init__(self, world: FakeGenicam) -> None:
        self._world = world
        self.remote_device = SimpleNamespace(node_map=SimpleNamespace(**world.nodes))
        self._callback: Callback | None = None

    def add_callback(self, event: Events, callback: Callback) -> None:
        assert isinstance(callback, Callback)
        self._callback = callback

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def destroy(self) -> None:
        self._world.destroyed += 1

    def fetch(self, *, timeout: float) -> Any:
        world = self._world
        time.sleep(0.002)
        if world.silent or not world.plugged:
            time.sleep(timeout)
            raise TimeoutException("timed out")
        if world.incomplete:
            world.incomplete -= 1
            assert self._callback is not None
            self._callback.emit(context=self)
        world.fetched += 1
        world.buffers_out += 1
        assert world.buffers_out == 1, "a buffer was not given back"
        return _Buffer(world)


class _Buffer:
    def __init__(self, world: FakeGenicam) -> None:
        self._world = world
        self.timestamp_ns = world.fetched * 33_000_000
        pixel_format = world.pixel_format or world.nodes["PixelFormat"].value
        channels = 3 if pixel_format in ("RGB8", "BGR8") else 1
        noise = np.random.default_rng(world.fetched)
        self._memory = noise.integers(60, 200, HEIGHT * WIDTH * channels, dtype=np.uint8)
        component = SimpleNamespace(
            data=self._memory, width=WIDTH, height=HEIGHT, data_format=pixel_format
        )
        self.payload = SimpleNamespace(components=[component])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._world.buffers_out -= 1
        self._memory[:] = 0  # the producer fills it anew
