"""A camera that is lost and comes back: told once, opened again, and never replaced by another."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.errors import AbsentSourceError, SourceError
from edge_daemon.sources import live
from edge_daemon.sources.base import Captured, Frame, LiveSource, UnreadableFrame
from edge_daemon.sources.camera import CameraSettings, CameraSource
from edge_daemon.sources.pace import Pace
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.events import PATIENCE_S, Events, read_along
from tests.edge_daemon.sources.fake_camera import FakeCamera
from tests.edge_daemon.sources.plugged import UsbPort

QUICK = CameraSettings(
    open_timeout_s=30,
    first_frame_timeout_s=5,
    frame_timeout_s=0.3,
    frozen_after_s=0.15,
    reopen_min_s=0.02,
    reopen_max_s=0.1,
)


@pytest.fixture
def port(tmp_path: Path) -> Iterator[UsbPort]:
    port = UsbPort(tmp_path)
    yield port
    port.let_all_go()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def stop() -> threading.Event:
    return threading.Event()


class TestLostCameraKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, port: UsbPort) -> MakeSource:
        """Every camera dies after three pictures, and lives again when it is opened again."""
        port.plug()

        def dying(node: str) -> FakeCamera:
            camera = FakeCamera(fake.gives_nothing, script=(fake.lives,) * 5)
            port.cameras.append(camera)
            return camera

        def make() -> LiveSource:
            source = port.source(settings=QUICK)
            source._open_device = _opening(port, dying)  # type: ignore[method-assign]
            return source

        return make


def _opening(port: UsbPort, opened: Callable[[str], FakeCamera]) -> Callable[[], object]:
    from edge_daemon.sources.capture import OpenCvDevice

    return lambda: OpenCvDevice(opened("video0"), "a fake")


def settle(taken: list[Captured], more: int = 5) -> None:
    """Wait for some more frames."""
    wanted, until_s = len(taken) + more, time.monotonic() + PATIENCE_S
    while len(taken) < wanted:
        assert time.monotonic() < until_s, "no more frames"
        time.sleep(0.002)


def losses(taken: list[Captured]) -> list[str]:
    return [
        captured.reason
        for captured in taken
        if isinstance(captured, UnreadableFrame) and "opened again" in captured.reason
    ]


def goes(camera: FakeCamera, moment: fake.Moment) -> None:
    camera.script, camera.afterwards = (), moment


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (fake.gives_nothing, "5 reads in a row gave no picture, the camera has stopped"),
        (fake.blocks, "no frame for 0.3 s, the camera has stopped"),
        (fake.crashes, "the camera's driver failed"),
        (fake.stands_still, "the camera has shown the same picture for"),
        (fake.repeats_the_buffer, "the camera has shown the same picture for"),
        (fake.tears, "no good picture for"),
        (fake.is_not_filled, "no good picture for"),
    ],
)
def test_every_way_to_lose_a_camera_is_one_line_and_its_return_another(
    port: UsbPort, events: Events, stop: threading.Event, fault: fake.Moment, words: str
) -> None:
    first = port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        goes(first, fault)
        lost = events.wait_for("lost")
        assert words in lost.line
        assert source.trouble == lost.line
        port.unplug()
        port.plug(node="video1")
        back = events.wait_for("back")
        assert "the camera is back after" in back.line
        settle(taken)
        assert source.trouble is None
        stop.set()
    assert events.kinds == ["opened", "lost", "back"]
    assert losses(taken) == [lost.line]
    assert [captured.index for captured in taken] == list(range(len(taken)))
    assert isinstance(taken[-1], Frame)


def test_a_bad_picture_gives_a_camera_that_hangs_no_more_time(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """It is lost so long after its last good picture, not after its last one."""

    def is_late_and_not_filled(camera: FakeCamera) -> tuple[bool, object]:
        camera.released.wait(0.1)
        return fake.is_not_filled(camera)

    camera = port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        camera.script = (*(fake.lives,) * (camera.reads + 2), is_late_and_not_filled)
        camera.afterwards = fake.blocks
        line = events.wait_for("lost").line
        stop.set()
    assert "no good picture for 0.3 s (the lower part was not filled (torn)" in line


def test_an_unplugged_camera_is_called_unplugged(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        port.unplug()
        lost = events.wait_for("lost")
        stop.set()
    assert lost.line == (
        "camera://serial/A1: the camera was unplugged: check its cable and power, it is opened "
        "again as soon as it can be"
    )


def test_a_driver_that_hangs_on_a_camera_that_is_gone_is_not_waited_for(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """Nor is one that was opened again just before the plug was pulled."""
    patient = QUICK.model_copy(update={"frame_timeout_s": 60.0, "first_frame_timeout_s": 60.0})
    camera = port.plug()
    with (
        port.source(settings=patient, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        goes(camera, fake.blocks)
        (port.devices.dev / "video0").unlink()
        assert "the camera was unplugged" in events.wait_for("lost").line
        stop.set()


def test_it_is_found_again_by_its_serial_number_under_whatever_name(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    port.plug()
    with port.source("0", QUICK, stop, events) as source, read_along(source) as taken:
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        port.plug(serial="A1", node="video4")
        events.wait_for("back")
        stop.set()
    assert set(port.opened) == {"video0", "video4"}


def test_another_camera_never_takes_its_place(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """It even gets the name under which the lost one was opened."""
    port.plug()
    with port.source("0", QUICK, stop, events) as source, read_along(source) as taken:
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        until_s = time.monotonic() + PATIENCE_S
        while not losses(taken) and time.monotonic() < until_s:
            time.sleep(0.005)  # the frame of the loss follows its line
        intruder = port.plug(serial="B2", node="video0")
        frames = len(taken)
        time.sleep(0.3)  # three attempts or more
        assert intruder.reads == 0
        assert len(taken) == frames
        assert source.trouble is not None
        stop.set()
    assert "back" not in events.kinds


def test_one_without_a_serial_number_is_known_by_its_name(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    port.plug(serial="")
    (port.devices.sysfs / "video0" / "name").write_text("Old camera")
    with port.source("0", QUICK, stop, events) as source, read_along(source) as taken:
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        intruder = port.plug(serial="B2", node="video0")
        time.sleep(0.3)
        assert intruder.reads == 0
        stop.set()


def test_a_camera_that_comes_back_frozen_is_not_back(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    camera = port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        goes(camera, fake.stands_still)
        events.wait_for("lost")
        port.unplug()
        again = FakeCamera(fake.stands_still, last=camera.last)
        port.plug(again, node="video1")
        until_s = time.monotonic() + PATIENCE_S
        while port.opened.count("video1") < 2 and time.monotonic() < until_s:
            again.released.clear()  # a device node may be opened again
            time.sleep(0.01)
        frames = len(taken)
        assert port.opened.count("video1") >= 2
        assert events.kinds == ["opened", "lost"]
        stop.set()
    assert len(taken) == frames


def test_a_camera_of_another_size_is_not_the_one_that_was_lost(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """Its pictures would be cut and scaled as those before: all wrong, and nobody told."""
    port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        port.plug(FakeCamera(fake.lives, width=32))
        until_s = time.monotonic() + PATIENCE_S
        while port.opened.count("video0") < 2 and time.monotonic() < until_s:
            time.sleep(0.01)
        stop.set()
    assert "back" not in events.kinds
    sizes = {captured.pixels.shape for captured in taken if isinstance(captured, Frame)}
    assert sizes == {(48, 64, 3)}


def test_a_camera_may_take_its_time_for_the_first_picture(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """Many stream only a second or two after they were opened, each time."""
    camera = port.plug(FakeCamera(fake.lives, script=(starts_slowly,)))
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        stop.set()
    assert camera.reads >= 5
    assert events.kinds == ["opened"]


def starts_slowly(camera: FakeCamera) -> tuple[bool, object]:
    camera.released.wait(0.6)
    return fake.lives(camera)


def test_a_stop_ends_the_wait_for_a_camera_that_is_away(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        began_s = time.monotonic()
        stop.set()
    assert time.monotonic() - began_s < 5


def test_a_driver_that_never_lets_go_is_not_opened_for_ever(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    """Each attempt would cost a thread, and the camera stays held by the first."""
    quick = QUICK.model_copy(update={"frame_timeout_s": 0.05, "first_frame_timeout_s": 0.05})
    port.plug(FakeCamera(fake.blocks, script=(fake.lives,)))
    source = port.source(settings=quick, events=events)
    with (
        source,
        pytest.raises(SourceError, match="driver hangs and does not let it go: unplug the camera"),
    ):
        for _ in source:
            pass
    assert 5 <= len(port.opened) <= 10


def test_a_camera_that_is_absent_at_the_start_is_refused_and_nothing_else_opened(
    port: UsbPort,
) -> None:
    with pytest.raises(SourceError, match="'A1': it is not connected"), port.source(settings=QUICK):
        pass
    assert port.opened == []


class TestAbsentAtTheStart:
    """Who runs unattended waits for a camera; for what can never come, nobody does."""

    @pytest.fixture
    def waited_for(
        self, port: UsbPort, events: Events, stop: threading.Event
    ) -> Callable[..., LiveSource]:
        def source(which: str = "serial/A1", settings: CameraSettings = QUICK) -> LiveSource:
            return port.source(which, settings, stop, events, may_come_later=True)

        return source

    def test_it_is_waited_for_and_read_once_it_is_there(
        self,
        port: UsbPort,
        events: Events,
        stop: threading.Event,
        waited_for: Callable[..., LiveSource],
    ) -> None:
        port.plug(serial="B2", node="video0")  # another one never takes its place
        with waited_for() as source, read_along(source) as taken:
            line = events.wait_for("lost").line
            assert source.trouble == line
            assert line.startswith(
                "camera://serial/A1: it is not there yet (camera with serial number 'A1': it is "
                "not connected: "
            )
            assert line.endswith(": it is opened as soon as it is")
            assert taken == []
            port.plug(node="video1")
            assert "the camera is back after" in events.wait_for("back").line
            settle(taken)
            assert source.trouble is None
            assert isinstance(source, LiveSource)
            stop.set()
        assert events.kinds == ["lost", "back"]
        assert set(port.opened) == {"video1"}
        assert [captured.index for captured in taken] == list(range(len(taken)))
        assert all(isinstance(captured, Frame) for captured in taken)

    def test_one_that_is_lost_after_that_is_lost_as_any_other(
        self,
        port: UsbPort,
        events: Events,
        stop: threading.Event,
        waited_for: Callable[..., LiveSource],
    ) -> None:
        with waited_for() as source, read_along(source) as taken:
            events.wait_for("lost")
            port.plug()
            events.wait_for("back")
            settle(taken)
            port.unplug()
            assert "the camera was unplugged" in events.wait_for("lost", 2).line
            port.plug()
            events.wait_for("back", 2)
            stop.set()
        assert len(losses(taken)) == 1

    @pytest.mark.parametrize(
        ("which", "told"),
        [("video0", "not an index, a path"), ("serial/A1", "no setting for gain")],
    )
    def test_what_can_never_come_is_refused_at_once(
        self, port: UsbPort, waited_for: Callable[..., LiveSource], which: str, told: str
    ) -> None:
        port.plug()
        settings = QUICK.model_copy(update={"gain": 2.0})
        with pytest.raises(SourceError, match=told), waited_for(which, settings):
            pass

    def test_one_that_comes_and_is_not_as_asked_ends_the_wait(
        self,
        port: UsbPort,
        events: Events,
        waited_for: Callable[..., LiveSource],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Not at once: Linux gives a camera its permissions a moment after it has appeared."""
        monkeypatch.setattr(live, "_REFUSED_FOR_S", 0.2)
        settings = QUICK.model_copy(update={"gain": 2.0})
        with waited_for("serial/A1", settings) as source:
            events.wait_for("lost")
            port.plug()
            with pytest.raises(SourceError, match="the camera has no setting for gain"):
                list(source)
        assert port.opened.count("video0") >= 2

    def test_one_that_hangs_when_it_is_opened_is_absent_too(
        self, port: UsbPort, events: Events, stop: threading.Event
    ) -> None:
        hangs = threading.Event()
        opened: list[str] = []

        def opening(node: str) -> FakeCamera:
            opened.append(node)
            if len(opened) < 3:
                hangs.wait()
            return port.open(node)

        port.plug()
        source = CameraSource(
            "0",
            QUICK.model_copy(update={"open_timeout_s": 0.1}),
            devices=port.devices,
            open_capture=opening,
            stop=stop,
            on_event=events,
            may_come_later=True,
        )
        with source, read_along(source) as taken:
            assert "it did not open within 0.1 s" in events.wait_for("lost").line
            events.wait_for("back")
            settle(taken)
            stop.set()
            hangs.set()

    def test_with_reopen_off_nothing_is_waited_for(
        self, waited_for: Callable[..., LiveSource]
    ) -> None:
        settings = QUICK.model_copy(update={"reopen": False})
        with pytest.raises(AbsentSourceError, match="it is not connected"):
            waited_for(settings=settings).__enter__()


def test_a_slow_camera_is_told_once_and_goes_on(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    camera = port.plug(FakeCamera(fake.lives, frame_interval_s=0.4))
    settings = QUICK.model_copy(update={"fps": 20.0, "frame_timeout_s": 20.0})
    with port.source(settings=settings, stop=stop, events=events) as source, read_along(source):
        slow = events.wait_for("slow")
        assert "pictures per second, less than half of what it should" in slow.line
        assert source.trouble == slow.line
        camera.frame_interval_s = 0.001
        events.wait_for("steady")
        assert source.trouble is None
        stop.set()
    assert events.kinds == ["opened", "slow", "steady"]


class TestPace:
    def test_a_slow_analysis_is_no_slow_camera(self) -> None:
        """Its pictures wait in the driver's buffers, and are there at once."""
        pace = Pace(15)
        assert [pace.read(0.001) for _ in range(100)] == [None] * 100

    def test_nobody_knows_how_fast_it_should_be(self) -> None:
        assert Pace(None).read(10.0) is None

    def test_slow_is_noticed_within_two_seconds(self) -> None:
        pace = Pace(15)
        for _ in range(60):
            assert pace.read(1 / 15) is None
        waited_s, answers = 0.0, []
        while waited_s < 2.0:
            answers.append(pace.read(0.25))
            waited_s += 0.25
        assert [answer for answer in answers if answer] == [(True, pytest.approx(4, abs=3.5))]


def test_pictures_before_and_after_an_outage_are_not_mixed_up(
    port: UsbPort, events: Events, stop: threading.Event
) -> None:
    port.plug()
    with (
        port.source(settings=QUICK, stop=stop, events=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        port.unplug()
        events.wait_for("lost")
        port.plug()
        events.wait_for("back")
        settle(taken)
        stop.set()
    frames = [captured.pixels for captured in taken if isinstance(captured, Frame)]
    assert not any(np.shares_memory(a, b) for a, b in pairwise(frames))
