"""How soon is a fault noticed? python -m tests.edge_daemon.sources.outage_table [TRIALS].

Everything is as delivered but the camera: a fake at OpenCV's seam (640 x 480, 15 pictures a
second, plugged in and out of a fake port), and a network camera that FFmpeg inside OpenCV reads
over TCP. Each fault lasts 2 to 4 s, so that its end falls anywhere between two attempts.
"""

from __future__ import annotations

import logging
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from edge_daemon.sources.base import UnreadableFrame
from edge_daemon.sources.camera import CameraSettings
from edge_daemon.sources.open import open_source
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.events import Events, read_along
from tests.edge_daemon.sources.fake_camera import FakeCamera
from tests.edge_daemon.sources.plugged import UsbPort
from tests.edge_daemon.sources.rtsp_camera import RtspCamera
from tests.edge_daemon.sources.still_stream import WHOLE_EVERY
from tests.edge_daemon.sources.test_live import settle


@cache
def pictures() -> list[np.ndarray]:
    """Made before: on a busy machine it takes longer than a camera's interval."""
    noise = np.random.default_rng(1)
    return [noise.integers(60, 200, (480, 640, 3), dtype=np.uint8) for _ in range(40)]


def plays(camera: FakeCamera) -> tuple[bool, np.ndarray]:
    camera.driver_ms += 66.0
    return True, pictures()[camera.reads % 40].copy()


def tears(camera: FakeCamera) -> tuple[bool, np.ndarray]:
    """The lower half is left over from the picture before."""
    _, picture = plays(camera)
    picture[240:] = camera.last[240:]
    return True, picture


def is_not_filled(camera: FakeCamera) -> tuple[bool, np.ndarray]:
    """The lower quarter is the green of a YUV buffer in which nothing has arrived."""
    _, picture = plays(camera)
    picture[360:] = (0, 135, 0)
    return True, picture


def camera() -> FakeCamera:
    pictures()
    return FakeCamera(plays, width=640, height=480, frame_interval_s=1 / 15)


_FAULTS: dict[str, fake.Moment | None] = {
    "unplugged, reads fail": None,
    "unplugged, the read hangs": fake.blocks,
    "frozen, new time stamps": fake.stands_still,
    "frozen, the same buffer": fake.repeats_the_buffer,
    "torn, every picture": tears,
    "not filled, every picture": is_not_filled,
    "the driver fails": fake.crashes,
}


def on_the_port(fault: fake.Moment | None, away_s: float) -> tuple[float, float]:
    """Seconds until the fault was told, and from the camera's return until that was told."""
    events, stop = Events(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        port = UsbPort(Path(folder))
        first = port.plug(camera())
        source = port.source(settings=CameraSettings(fps=15), stop=stop, events=events)
        with source, read_along(source) as taken:
            settle(taken, 20)
            began_s = time.monotonic()
            if fault is None:
                port.unplug()
            else:
                first.script, first.afterwards = (), fault
            events.wait_for("lost")
            time.sleep(max(0.0, began_s + away_s - time.monotonic()))
            if fault is not None:
                port.unplug()
            returned_s = time.monotonic()
            port.plug(camera(), node="video1")
            events.wait_for("back")
            stop.set()
        port.let_all_go()
    return events.when("lost") - began_s, events.when("back") - returned_s


def torn_once() -> tuple[float, float]:
    """Seconds until one torn picture was handed out as unreadable, and until the next good one."""
    events, stop = Events(), threading.Event()
    at_s: list[float] = []

    def note(captured: object) -> None:
        if isinstance(captured, UnreadableFrame) or (at_s and len(at_s) < 2):
            at_s.append(time.monotonic())

    with tempfile.TemporaryDirectory() as folder:
        port = UsbPort(Path(folder))
        one = port.plug(camera())
        source = port.source(settings=CameraSettings(fps=15), stop=stop, events=events)
        with source, read_along(source, note) as taken:
            settle(taken, 20)
            began_s = time.monotonic()
            one.script = (*one.script, *(one.afterwards,) * (one.reads + 1), tears)
            while len(at_s) < 2:
                time.sleep(0.005)
            stop.set()
    assert "lost" not in events.kinds
    return at_s[0] - began_s, at_s[1] - began_s


def slow() -> tuple[float, float]:
    """Seconds until a camera that gives 2 of 10 pictures a second was told, and its recovery."""
    events, stop = Events(), threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        port = UsbPort(Path(folder))
        one = port.plug(camera())
        source = port.source(settings=CameraSettings(fps=10), stop=stop, events=events)
        with source, read_along(source) as taken:
            settle(taken, 30)
            began_s = time.monotonic()
            one.frame_interval_s = 1 / 2
            events.wait_for("slow")
            returned_s = time.monotonic()
            one.frame_interval_s = 1 / 15
            events.wait_for("steady")
            stop.set()
    return events.when("slow") - began_s, events.when("steady") - returned_s


def on_the_network(fault: str, away_s: float, *, still: bool = False) -> tuple[float, float]:
    """The same; ``still``: a still scene in MPEG-4, with a whole picture a second."""
    events, stop = Events(), threading.Event()
    fps = WHOLE_EVERY if still else 60
    with RtspCamera(still=still, fps=fps) as first:
        address = f"rtsp://127.0.0.1:{first.port}/live"
        source = open_source(address, stop=stop, on_event=events)
        with source, read_along(source) as taken:
            settle(taken, 30)
            assert events.kinds == ["opened"]
            began_s = time.monotonic()
            if fault == "gone":
                first.go()
            else:
                getattr(first, fault).set()
            events.wait_for("lost")
            time.sleep(max(0.0, began_s + away_s - time.monotonic()))
            returned_s = time.monotonic()
            again = RtspCamera(port=first.port, still=still, fps=fps) if fault == "gone" else None
            if again is not None:
                again.__enter__()
            else:
                getattr(first, fault).clear()
            events.wait_for("back")
            stop.set()
            if again is not None:
                again.go()
    return events.when("lost") - began_s, events.when("back") - returned_s


def _row(name: str, trials: int, one: Callable[[float], tuple[float, float]]) -> None:
    chance = random.Random(7)
    found = [one(chance.uniform(2.0, 4.0)) for _ in range(trials)]
    noticed, recovered = (max(times) for times in zip(*found, strict=True))
    print(
        f"{name:<34} noticed within {noticed:4.2f} s   over within {recovered:4.2f} s", flush=True
    )


def main() -> None:
    logging.disable(logging.WARNING)
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print(f"the longest of {trials} trials each")
    for name, fault in _FAULTS.items():
        _row(name, trials, lambda away_s, fault=fault: on_the_port(fault, away_s))  # type: ignore[misc]
    _row("torn, one picture", trials, lambda _: torn_once())
    _row("slow, 2 instead of 10 a second", trials, lambda _: slow())
    for name, fault in (("silent", "stalls"), ("frozen", "freezes"), ("gone", "gone")):
        for still in (False, True):
            _row(
                f"network camera {name}{', still scene' * still}",
                trials,
                lambda away_s, f=fault, s=still: on_the_network(f, away_s, still=s),  # type: ignore[misc]
            )


if __name__ == "__main__":
    main()
