"""A network camera: FFmpeg inside OpenCV is real, the camera is a small server of ours."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice

import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, Source
from edge_daemon.sources.open import open_source
from edge_daemon.sources.rtsp import without_secrets
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.events import Events, read_along
from tests.edge_daemon.sources.rtsp_camera import HEIGHT, WIDTH, RtspCamera
from tests.edge_daemon.sources.test_live import settle

QUICK = "open_timeout_s=20&reopen_min_s=0.05&reopen_max_s=0.2"


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    with RtspCamera("lab", "pass%word") as camera:
        yield camera


def address(camera: RtspCamera, word: str = "pass%25word") -> str:
    return f"rtsp://lab:{word}@127.0.0.1:{camera.port}/live?channel=1234#{QUICK}"


class TestNetworkCameraKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self) -> Iterator[MakeSource]:
        with RtspCamera() as camera:

            def make() -> Source:
                return open_source(f"rtsp://127.0.0.1:{camera.port}/live#{QUICK}")

            yield make


def test_pictures_come_through(camera: RtspCamera) -> None:
    with open_source(address(camera), um_per_px=0.1) as source:
        frames = [frame for frame in islice(source, 5) if isinstance(frame, Frame)]
        assert "160 x 120" in getattr(source, "description", "")
    assert frames[0].pixels.shape == (HEIGHT, WIDTH, 3)
    assert frames[0].um_per_px == 0.1


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("stalls", "the camera has stopped"),
        ("freezes", "the camera has shown the same picture for"),
        ("goes", "the camera has stopped"),
    ],
)
def test_a_camera_that_is_lost_is_told_and_found_again(fault: str, words: str) -> None:
    events, stop = Events(), threading.Event()
    settings = f"{QUICK}&frame_timeout_s=1&frozen_after_s=0.5"
    with RtspCamera() as camera:
        source = open_source(
            f"rtsp://127.0.0.1:{camera.port}/live#{settings}", stop=stop, on_event=events
        )
        with source, read_along(source) as taken:
            settle(taken)
            with ExitStack() as returned:
                if fault == "goes":
                    camera.go()
                else:
                    wrong = getattr(camera, fault)
                    wrong.set()
                assert words in events.wait_for("lost").line
                if fault == "goes":
                    returned.enter_context(RtspCamera(port=camera.port))
                else:
                    wrong.clear()
                events.wait_for("back")
                settle(taken)
                stop.set()
    assert events.kinds == ["opened", "lost", "back"]


def test_nobody_is_told_the_password(camera: RtspCamera, caplog: pytest.LogCaptureFixture) -> None:
    """Nor the camera's own query, which may hold another: not in a name, a line or a log."""
    events, stop = Events(), threading.Event()
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SourceError, match="does not answer, or refuses: check address") as refused:
        open_source(address(camera, "wrong-one")).__enter__()
    with (
        open_source(address(camera), stop=stop, on_event=events) as source,
        read_along(source) as taken,
    ):
        settle(taken)
        camera.go()
        events.wait_for("lost")
        stop.set()
    said = [str(refused.value), source.name, getattr(source, "description", "")]
    said += [event.line for event in events.told] + [
        record.getMessage() for record in caplog.records
    ]
    said += [captured.source for captured in taken]
    said += [getattr(captured, "reason", "") for captured in taken]
    assert any(str(camera.port) in line for line in said)
    for secret in ("pass%word", "pass%25word", "wrong-one", "channel", "lab:"):
        assert not [line for line in said if secret in line]


def test_a_camera_that_is_not_there() -> None:
    with RtspCamera() as gone:
        port = gone.port
    with pytest.raises(SourceError, match=f"rtsp://127.0.0.1:{port}/a: the camera does not answer"):
        open_source(f"rtsp://127.0.0.1:{port}/a").__enter__()


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://u:p@h/a?b=1", "rtsp://h/a"),
        ("rtsp://h:8554", "rtsp://h:8554"),
        ("rtsps://u@[fe80::1]:554/a", "rtsps://[fe80::1]:554/a"),
    ],
)
def test_an_address_is_shown_without_what_is_secret(address: str, shown: str) -> None:
    assert without_secrets(address)[0] == shown


@pytest.mark.parametrize(
    "address", ["rtsp://", "rtsp://user:half/password@h:x/a", "rtsp://u:p@h:port/a"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(address: str) -> None:
    with pytest.raises(SourceError, match="names no host") as caught:
        open_source(address)
    assert "half" not in str(caught.value)


def test_a_setting_that_is_misspelt_is_not_sent_to_the_camera() -> None:
    with pytest.raises(SourceError, match=r"^rtsp://h/a: setting 'transprot': .*did you mean"):
        open_source("rtsp://u:secret@h/a#transprot=udp")
