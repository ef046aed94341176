"""A camera that lives, and every way in which it was seen to die."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.backpressure import BackPressure
from edge_daemon.sources.base import DroppedFrame, Frame, UnreadableFrame
from edge_daemon.sources.camera import CameraSettings, CameraSource
from edge_daemon.sources.v4l import VideoDevices
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.fake_camera import FakeCamera

QUICK = CameraSettings(
    open_timeout_s=30,
    first_frame_timeout_s=0.3,
    frame_timeout_s=0.3,
    frozen_after_s=0.1,
    reopen=False,
)
"""Ends at the first trouble; how a camera is opened again is in test_live."""


@pytest.fixture
def devices(tmp_path: Path) -> VideoDevices:
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev" / "video0").touch()
    return VideoDevices(dev=tmp_path / "dev", sysfs=tmp_path / "sysfs")


@pytest.fixture
def connect(devices: VideoDevices) -> Iterator[Callable[..., CameraSource]]:
    """A CameraSource on the given fake; its plug is pulled at the end of the test."""
    cameras: list[FakeCamera] = []

    def connected(camera: FakeCamera, settings: CameraSettings = QUICK) -> CameraSource:
        cameras.append(camera)
        return CameraSource("0", settings, devices=devices, open_capture=lambda node: camera)

    yield connected
    for camera in cameras:
        camera.unplugged.set()


class TestCameraKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, connect: Callable[..., CameraSource]) -> MakeSource:
        return lambda: connect(FakeCamera(fake.lives))


class TestFaultyCameraKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, connect: Callable[..., CameraSource]) -> MakeSource:
        faults = (fake.lives, fake.gives_nothing, fake.tears, fake.halves)
        return lambda: connect(FakeCamera(fake.lives, script=faults))


Connect = Callable[..., CameraSource]


def until_it_stops(source: CameraSource) -> tuple[list[object], str]:
    """What the camera gave before it stopped, and the line in which it said so."""
    given: list[object] = []
    with source, pytest.raises(SourceError) as caught:  # noqa: PT012 the frames before it count too
        for captured in source:
            given.append(captured)  # noqa: PERF402 they must survive the error
    assert "\n" not in str(caught.value)
    return given, str(caught.value)


class TestLivingCamera:
    def test_pictures_arrive_as_rgb(self, connect: Connect) -> None:
        with connect(FakeCamera(fake.lives)) as source:
            frame = next(captured for captured in source if isinstance(captured, Frame))
        assert np.all(frame.pixels[..., 2] == 10)

    def test_the_device_is_opened_read_and_released_by_one_thread(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives)
        with connect(camera) as source:
            list(islice(source, 5))
        assert camera.released.is_set()
        assert len(camera.threads) == 1
        assert threading.get_ident() not in camera.threads

    def test_size_rate_and_format_are_asked_for(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives, width=1280, height=720)
        with connect(camera, CameraSettings(width=1280, height=720, fps=30, fourcc="MJPG")):
            pass
        assert camera.properties[cv2.CAP_PROP_FRAME_WIDTH] == 1280
        assert camera.properties[cv2.CAP_PROP_FRAME_HEIGHT] == 720
        assert camera.properties[cv2.CAP_PROP_FPS] == 30
        assert camera.properties[cv2.CAP_PROP_FOURCC] == cv2.VideoWriter.fourcc(*"MJPG")

    def test_a_size_that_the_camera_does_not_have_is_refused(self, connect: Connect) -> None:
        with (
            pytest.raises(SourceError, match="gives pictures 64 pixels wide, not the 1280"),
            connect(FakeCamera(fake.lives), CameraSettings(width=1280)),
        ):
            pass


UVC = {
    cv2.CAP_PROP_AUTO_EXPOSURE: (3.0, 0, 3),  # aperture priority
    cv2.CAP_PROP_EXPOSURE: (156.0, 1, 5000),
    cv2.CAP_PROP_AUTO_WB: (1.0, 0, 1),
    cv2.CAP_PROP_WB_TEMPERATURE: (4000.0, 2800, 6500),
    cv2.CAP_PROP_GAIN: (64.0, 0, 100),
}
"""What a UVC camera starts with: it chooses exposure and white balance itself."""


class TestFixedSettings:
    def test_exposure_gain_and_white_balance_are_fixed_and_recorded(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives, controls=dict(UVC))
        wanted = CameraSettings(exposure_us=8000, gain=20, white_balance_k=5200, fps=15)
        with connect(camera, wanted) as source:
            assert source.description == (
                "camera://0: 64 x 48, 15 fps, exposure 8000 us, gain 20, white balance 5200 K, "
                f"{source.description.rpartition(', ')[2]}"
            )
        assert camera.controls[cv2.CAP_PROP_AUTO_EXPOSURE][0] == 1
        assert camera.controls[cv2.CAP_PROP_EXPOSURE][0] == 80, "V4L2 counts in 100 us"
        assert camera.controls[cv2.CAP_PROP_AUTO_WB][0] == 0

    def test_what_was_not_asked_for_is_left_and_told(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives, controls=dict(UVC))
        with connect(camera) as source:
            assert "exposure automatic, gain 64, white balance automatic" in source.description
        assert camera.controls == UVC

    def test_what_the_driver_rounded_is_told_as_it_took_it(self, connect: Connect) -> None:
        wanted = CameraSettings(gain=1.5, exposure_us=8030)
        with connect(FakeCamera(fake.lives, controls=dict(UVC)), wanted) as source:
            assert "exposure 8000 us (8030 asked for), gain 2 (1.5 asked for)" in source.description

    @pytest.mark.parametrize(
        ("wanted", "lacking", "words"),
        [
            ({"gain": 3}, cv2.CAP_PROP_GAIN, "has no setting for gain: leave gain out"),
            (
                {"exposure_us": 3},
                cv2.CAP_PROP_EXPOSURE,
                "no setting for exposure: leave exposure_us",
            ),
            ({"white_balance_k": 1}, cv2.CAP_PROP_WB_TEMPERATURE, "no setting for white balance"),
            ({"white_balance_k": 9000}, None, "took white_balance_k=6500, not the 9000 asked for"),
        ],
    )
    def test_what_the_camera_does_not_have_is_one_clear_line(
        self, connect: Connect, wanted: dict[str, float], lacking: int | None, words: str
    ) -> None:
        controls = {prop: value for prop, value in UVC.items() if prop != lacking}
        camera = FakeCamera(fake.lives, controls=controls)
        with (
            pytest.raises(SourceError, match=words) as caught,
            connect(camera, CameraSettings.model_validate(wanted)),
        ):
            pass
        assert "\n" not in str(caught.value)
        assert camera.released.is_set()

    def test_an_automatic_that_cannot_be_switched_off(self, connect: Connect) -> None:
        stuck = UVC | {cv2.CAP_PROP_AUTO_EXPOSURE: (3.0, 3, 3)}
        with (
            pytest.raises(SourceError, match="automatic exposure cannot be switched off"),
            connect(FakeCamera(fake.lives, controls=stuck), CameraSettings(exposure_us=8000)),
        ):
            pass


class TestStoppedCamera:
    def test_one_that_blocks_for_ever(self, connect: Connect) -> None:
        camera = FakeCamera(fake.blocks, script=(fake.lives,) * 3)
        given, line = until_it_stops(connect(camera))
        assert len(given) == 3
        assert line == (
            "camera://0: no frame for 0.3 s, the camera has stopped: "
            "check its cable and power, then start again"
        )

    def test_one_that_blocks_releases_its_device_when_it_comes_back(self, connect: Connect) -> None:
        camera = FakeCamera(fake.blocks)
        until_it_stops(connect(camera))
        assert not camera.released.is_set()
        camera.unplugged.set()
        assert camera.released.wait(5)

    def test_one_that_gives_nothing(self, connect: Connect) -> None:
        camera = FakeCamera(fake.gives_nothing, script=(fake.lives,) * 2)
        given, line = until_it_stops(connect(camera))
        assert [type(captured) for captured in given] == [Frame] * 2 + [UnreadableFrame] * 5
        assert "5 reads in a row gave no picture, the camera has stopped: check its cable" in line

    @pytest.mark.parametrize("way", [fake.stands_still, fake.repeats_the_buffer])
    def test_one_that_is_frozen(self, connect: Connect, way: fake.Moment) -> None:
        given, line = until_it_stops(connect(FakeCamera(way, script=(fake.lives,) * 3)))
        assert len(given) >= 3
        assert "has shown the same picture for" in line
        assert "it is frozen: check its cable and power" in line

    def test_one_that_is_frozen_on_a_dark_picture(self, connect: Connect) -> None:
        camera = FakeCamera(fake.repeats_the_buffer, script=(fake.is_dark,) * 2)
        assert "it is frozen" in until_it_stops(connect(camera))[1]

    def test_one_whose_driver_fails(self, connect: Connect) -> None:
        _, line = until_it_stops(connect(FakeCamera(fake.crashes, script=(fake.lives,))))
        assert "the camera's driver failed" in line
        assert "select() failed" in line

    def test_one_that_cannot_be_opened(self, connect: Connect) -> None:
        with (
            pytest.raises(SourceError, match="video0 cannot be opened: close other programs"),
            connect(FakeCamera(fake.lives, opens=False)),
        ):
            pass

    def test_one_whose_opening_blocks(self, devices: VideoDevices) -> None:
        plug = threading.Event()

        def opening(node: str) -> FakeCamera:
            plug.wait()
            return FakeCamera(fake.lives, opens=False)

        slow = CameraSettings(open_timeout_s=0.05)
        began = time.monotonic()
        with (
            pytest.raises(SourceError, match=r"did not open within 0\.05 s: check its cable"),
            CameraSource("0", slow, devices=devices, open_capture=opening),
        ):
            pass
        assert time.monotonic() - began < 4
        plug.set()


class TestLivingAfterAll:
    def test_a_lamp_that_is_off_is_not_a_frozen_camera(self, connect: Connect) -> None:
        """The quality gate tells the operator that it is dark; the camera lives."""
        camera = FakeCamera(fake.is_dark, frame_interval_s=0.01)
        with connect(camera) as source:
            assert len(list(islice(source, 25))) == 25

    def test_a_short_stillness_is_forgiven(self, connect: Connect) -> None:
        script = (fake.lives, fake.stands_still, fake.stands_still, fake.lives) * 4
        with connect(FakeCamera(fake.lives, script=script)) as source:
            assert not any(isinstance(frame, UnreadableFrame) for frame in islice(source, 20))

    def test_the_watch_can_be_switched_off(self, connect: Connect) -> None:
        camera = FakeCamera(fake.stands_still, script=(fake.lives,), frame_interval_s=0.01)
        with connect(camera, CameraSettings(frozen_after_s=None)) as source:
            assert len(list(islice(source, 20))) == 20

    def test_a_driver_without_timestamps_is_no_frozen_camera(self, connect: Connect) -> None:
        with connect(FakeCamera(fake.lives, stamps=False, frame_interval_s=0.01)) as source:
            assert len(list(islice(source, 20))) == 20


class TestFlawedPicture:
    @pytest.mark.parametrize(
        ("flaw", "words"),
        [
            (fake.tears, "a part is left over from a frame before (torn)"),
            (fake.is_not_filled, "the lower part was not filled (torn)"),
            (fake.halves, "the picture is 64 x 24 pixels, the ones before 64 x 48 (torn)"),
            (fake.gives_nothing, "the camera gave no picture"),
            (lambda camera: (True, np.zeros((48, 64), np.uint16)), "no 8-bit picture"),
            (lambda camera: (True, np.zeros((0, 0, 3), np.uint8)), "no 8-bit picture"),
        ],
    )
    def test_it_is_one_unreadable_frame_and_the_camera_goes_on(
        self, connect: Connect, flaw: fake.Moment, words: str
    ) -> None:
        camera = FakeCamera(fake.lives, script=(fake.lives, flaw, fake.lives))
        every = QUICK.model_copy(update={"back_pressure": BackPressure.EVERY_FRAME})
        with connect(camera, every) as source:
            given = list(islice(source, 4))
        assert [type(captured) for captured in given] == [Frame, UnreadableFrame, Frame, Frame]
        assert isinstance(given[1], UnreadableFrame)
        assert words in given[1].reason


class TestBackPressure:
    def test_latest_hands_out_the_newest_and_every_drop(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives)
        settings = QUICK.model_copy(update={"back_pressure": BackPressure.LATEST})
        with connect(camera, settings) as source:
            frames = iter(source)
            first = next(frames)
            reads = camera.reads
            deadline = time.monotonic() + 10
            while camera.reads < reads + 30 and time.monotonic() < deadline:
                time.sleep(0.001)
            given = [first, *islice(frames, 30)]
        assert [captured.index for captured in given] == list(range(31))
        dropped = [captured for captured in given if isinstance(captured, DroppedFrame)]
        assert len(dropped) >= 20
        assert "slower than the camera" in dropped[0].reason

    def test_every_frame_makes_the_camera_wait_and_drops_none(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives)
        settings = QUICK.model_copy(
            update={"back_pressure": BackPressure.EVERY_FRAME, "waiting_frames": 2}
        )
        with connect(camera, settings) as source:
            frames = iter(source)
            next(frames)
            time.sleep(0.1)
            assert camera.reads <= 5
            given = list(islice(frames, 20))
        assert all(isinstance(captured, Frame) for captured in given)

    def test_a_waiting_camera_is_released_on_closing(self, connect: Connect) -> None:
        camera = FakeCamera(fake.lives)
        settings = QUICK.model_copy(update={"back_pressure": BackPressure.EVERY_FRAME})
        with connect(camera, settings) as source:
            next(iter(source))
        assert camera.released.is_set()

    def test_frames_captured_before_the_camera_died_are_still_handed_out(
        self, connect: Connect
    ) -> None:
        camera = FakeCamera(fake.crashes, script=(fake.lives,) * 2)
        with connect(camera) as source:
            assert camera.released.wait(5)
            frames = iter(source)
            assert [next(frames).index, next(frames).index] == [0, 1]
            with pytest.raises(SourceError, match="driver failed"):
                next(frames)
