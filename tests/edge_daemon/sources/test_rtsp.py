"""A network camera: FFmpeg inside OpenCV is real, the camera is a small server of ours."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, Source
from edge_daemon.sources.open import open_source
from edge_daemon.sources.rtsp import is_predicted, without_secrets
from tests.edge_daemon.sources import fake_camera as fake
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.events import PATIENCE_S, Events, read_along
from tests.edge_daemon.sources.fake_camera import FakeCamera
from tests.edge_daemon.sources.rtsp_camera import HEIGHT, WIDTH, RtspCamera
from tests.edge_daemon.sources.still_stream import WHOLE_EVERY
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


class TestAStillSceneStronglyCompressed:
    """Twelve pictures that are equal to the byte, twice a second, and the camera lives."""

    SETTINGS = f"{QUICK}&frame_timeout_s=5&frozen_after_s=0.3"

    def test_it_is_not_called_frozen_nor_torn(self) -> None:
        events, stop = Events(), threading.Event()
        with RtspCamera(still=True, fps=24) as camera:
            source = open_source(
                f"rtsp://127.0.0.1:{camera.port}/live#{self.SETTINGS}&back_pressure=every_frame",
                stop=stop,
                on_event=events,
            )
            with source, read_along(source) as taken:
                settle(taken, 5 * WHOLE_EVERY)
                stop.set()
        assert events.kinds == ["opened"]
        frames = [captured.pixels for captured in taken if isinstance(captured, Frame)]
        assert len(frames) == len(taken)
        equal = [np.array_equal(one, other) for one, other in pairwise(frames)]
        assert sum(equal) > len(equal) / 2  # or the test would say nothing

    def test_when_it_falls_silent_what_the_decoder_kept_back_is_no_sign_of_life(self) -> None:
        events, stop = Events(), threading.Event()
        with RtspCamera(still=True, fps=24) as camera:
            address = f"rtsp://127.0.0.1:{camera.port}/live#{QUICK}&frame_timeout_s=1"
            source = open_source(address, stop=stop, on_event=events)
            with source, read_along(source) as taken:
                settle(taken, 2 * WHOLE_EVERY)
                camera.stalls.set()
                assert "no frame for 1 s" in events.wait_for("lost").line
                stop.set()
        at = [captured.captured_at for captured in taken if isinstance(captured, Frame)]
        assert max((later - one).total_seconds() for one, later in pairwise(at)) < 1

    def test_it_is_told_when_it_is_and_believed_when_it_has_shown_another(self) -> None:
        events, stop = Events(), threading.Event()
        with RtspCamera(still=True, fps=24) as camera:
            source = open_source(
                f"rtsp://127.0.0.1:{camera.port}/live#{self.SETTINGS}", stop=stop, on_event=events
            )
            with source, read_along(source) as taken:
                settle(taken)
                camera.freezes.set()
                assert "the camera has shown the same picture for" in events.wait_for("lost").line
                frames = len(taken)
                until_s = time.monotonic() + PATIENCE_S
                while camera.players < 4 and time.monotonic() < until_s:
                    time.sleep(0.01)
                assert camera.players >= 4  # opened again, and frozen still
                assert events.kinds == ["opened", "lost"]
                assert len(taken) <= frames + 1  # the frame of the loss
                camera.freezes.clear()
                events.wait_for("back")
                settle(taken)
                stop.set()
        assert events.kinds == ["opened", "lost", "back"]


def test_a_camera_that_is_switched_on_later_is_waited_for() -> None:
    events, stop = Events(), threading.Event()
    with RtspCamera() as gone:
        port = gone.port
    source = open_source(
        f"rtsp://127.0.0.1:{port}/live#{QUICK}", stop=stop, on_event=events, may_come_later=True
    )
    with source, read_along(source) as taken:
        line = events.wait_for("lost").line
        assert f"rtsp://127.0.0.1:{port}/live: it is not there yet (the camera does not" in line
        with RtspCamera(port=port):
            events.wait_for("back")
            settle(taken)
            stop.set()
    assert events.kinds == ["lost", "back"]


@pytest.mark.parametrize(
    ("kind", "code", "predicted"),
    [
        ("I", "h264", False),
        ("P", "h264", True),
        ("B", "hevc", True),
        ("\0", "h264", True),  # an older OpenCV does not tell: nothing is taken for evidence
        ("?", "MJPG", False),
    ],
)
def test_what_was_predicted_is_told_by_the_type_of_the_picture(
    kind: str, code: str, predicted: bool
) -> None:
    capture = FakeCamera(fake.lives)
    capture.properties = {
        cv2.CAP_PROP_FRAME_TYPE: ord(kind),
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*code),
    }
    assert is_predicted(capture) is predicted


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
