"""GStreamer and CSI: the pipeline that is built, and what is said where there is no GStreamer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.gstreamer import (
    CsiSettings,
    csi_pipeline,
    has_gstreamer,
    open_csi,
    open_gstreamer,
)
from edge_daemon.sources.open import open_source
from edge_daemon.sources.request import SourceRequest
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.fake_camera import FakeCamera


def request(address: str) -> SourceRequest:
    return SourceRequest(address, address.partition("://")[2])


class Pipelines:
    """Stands where OpenCV opens a pipeline; remembers what it was given."""

    def __init__(self, opens: bool = True) -> None:
        self.given: list[str] = []
        self._opens = opens

    def __call__(self, pipeline: str) -> FakeCamera:
        self.given.append(pipeline)
        return FakeCamera(fake.lives, opens=self._opens)


class TestPipelineKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self) -> Iterator[MakeSource]:
        return lambda: open_gstreamer(request("gst://videotestsrc"), Pipelines())


def test_the_end_of_a_pipeline_is_added() -> None:
    pipelines = Pipelines()
    with open_gstreamer(
        request("gst://videotestsrc is-live=true ! videorate"), pipelines
    ) as source:
        assert source.name == "gst://videotestsrc"
        assert len(list(islice(source, 3))) == 3
    assert pipelines.given == [
        (
            "videotestsrc is-live=true ! videorate ! videoconvert ! video/x-raw,format=BGR ! "
            "appsink drop=true max-buffers=2 sync=false"
        )
    ]


def test_a_pipeline_with_its_own_end_is_left_as_it_is() -> None:
    pipelines = Pipelines()
    with open_gstreamer(request("gst://videotestsrc ! appsink#frame_timeout_s=9"), pipelines):
        pass
    assert pipelines.given == ["videotestsrc ! appsink"]


def test_where_every_frame_counts_gstreamer_drops_none() -> None:
    settings = CsiSettings.model_validate({"back_pressure": "every_frame"})
    assert csi_pipeline(0, settings).endswith("appsink drop=false max-buffers=2 sync=false")


def test_the_pipeline_of_a_jetsons_camera() -> None:
    pipelines = Pipelines()
    address = "csi://1?width=1280&height=720&fps=60&exposure_us=8000&gain=2&white_balance=daylight"
    with open_csi(request(address), pipelines) as source:
        assert "exposure 8000 us, gain 2, white balance daylight" in str(
            getattr(source, "description", "")
        )
    assert pipelines.given == [
        (
            'nvarguscamerasrc sensor-id=1 exposuretimerange="8000000 8000000" gainrange="2 2" '
            'ispdigitalgainrange="1 1" aelock=true wbmode=5 ! '
            "video/x-raw(memory:NVMM),width=1280,height=720,framerate=60/1 ! "
            "nvvidconv flip-method=0 ! "
            "video/x-raw,format=BGRx ! videoconvert ! video/x-raw,format=BGR ! "
            "appsink drop=true max-buffers=2 sync=false"
        )
    ]


def test_without_gstreamer_it_is_said_what_to_do() -> None:
    if has_gstreamer():
        pytest.skip("this OpenCV has GStreamer")
    with (
        pytest.raises(
            SourceError, match=r"built without GStreamer.*--system-site-packages"
        ) as caught,
        open_source("csi://0"),
    ):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "has"),
    [
        ("    GStreamer:                   NO", False),
        ("    GStreamer:                   YES (1.20.3)", True),
        ("    v4l/v4l2:                    YES (linux/videodev2.h)", False),
    ],
)
def test_opencv_says_itself_whether_it_has_gstreamer(line: str, has: bool) -> None:
    assert has_gstreamer(lambda: f"Video I/O:\n{line}\n\n") is has


def test_a_pipeline_that_does_not_run_is_shown_without_its_password() -> None:
    pipeline = "gst://rtspsrc location=rtsp://u:secret1@h/a user-pw=secret2 ! decodebin"
    with (
        pytest.raises(
            SourceError, match="cannot run this pipeline: try it as gst-launch"
        ) as caught,
        open_gstreamer(request(pipeline), Pipelines(opens=False)) as source,
    ):
        assert "secret" not in source.name
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("gst://", "the pipeline is missing"),
        ("gst://videotestsrc#fps=3", "setting 'fps': .*known settings are back_pressure"),
        ("csi://front", "name the sensor by its number, as in csi://0"),
        ("csi://0?gain=0.5", "setting 'gain': .*greater than or equal to 1"),
        ("csi://0?white_balance=green", "setting 'white_balance': .*'daylight'"),
    ],
)
def test_what_is_written_wrongly(address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(address)
