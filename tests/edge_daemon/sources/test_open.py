"""What the operator may write as a source, and what is said when it is not there."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel

from edge_daemon.errors import SourceError
from edge_daemon.sources.backpressure import BackPressure
from edge_daemon.sources.camera import CameraSettings, CameraSource
from edge_daemon.sources.device import LiveSettings
from edge_daemon.sources.genicam import GenicamSettings
from edge_daemon.sources.gstreamer import CsiSettings
from edge_daemon.sources.images import ImageSource
from edge_daemon.sources.open import SCHEMES, open_source
from edge_daemon.sources.rtsp import RtspSettings
from edge_daemon.sources.video import VideoSource
from edge_daemon.sources.watched_folder import WatchSettings
from tests.edge_daemon.sources.pictures import speckled, written


def test_a_picture_a_folder_and_a_video_are_told_apart(tmp_path: Path) -> None:
    written(tmp_path / "a.png", speckled())
    (tmp_path / "b.mp4").touch()
    assert isinstance(open_source(str(tmp_path / "a.png")), ImageSource)
    assert isinstance(open_source(str(tmp_path)), ImageSource)
    assert isinstance(open_source(f"file://{tmp_path}/a.png"), ImageSource)
    assert isinstance(open_source(str(tmp_path / "b.mp4")), VideoSource)


@pytest.mark.parametrize(
    "spec",
    [
        "camera://0",
        "camera:///dev/video0",
        "camera:///dev/v4l/by-id/usb-Acme-video-index0",
        "camera://serial/ABC123",
    ],
)
def test_cameras_are_named_in_three_ways(spec: str) -> None:
    source = open_source(spec)
    assert isinstance(source, CameraSource)
    assert source.name == spec
    assert source.frame_count is None


def test_settings_of_a_camera_stand_behind_a_question_mark() -> None:
    source = open_source(
        "camera://0?width=1280&back_pressure=every_frame&frame_timeout_s=2.5&frozen_after_s=off"
        "&exposure_us=8000&gain=1.5&white_balance_k=5200"
    )
    assert isinstance(source, CameraSource)
    assert source.settings.frozen_after_s is None
    assert source.settings.exposure_us == 8000
    assert source.settings.width == 1280
    assert source.settings.back_pressure is BackPressure.EVERY_FRAME
    assert source.settings.frame_timeout_s == 2.5


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("", "no source given: give a file, a folder, file://"),
        ("http://u:secret@h/a", r"^http://h/a: sources of kind http:// are unknown: give a file"),
        ("/no/such/slide", "/no/such/slide: there is no such file or folder: check the path"),
        ("camera://0?widht=1280", "setting 'widht': .*known settings are width, height"),
        ("camera://0?widht=1280", "did you mean width"),
        ("camera://0?width=16&width=17", "setting 'width' is given twice: keep one"),
        ("camera://0?exposure_us=0", "setting 'exposure_us': .*greater than 0"),
        ("camera://0?width=wide", "setting 'width': .*valid integer"),
        ("camera://0?back_pressure=some", "setting 'back_pressure': .*'every_frame' or 'latest'"),
    ],
)
def test_what_cannot_be_opened_is_said_in_one_line(spec: str, words: str) -> None:
    with pytest.raises(SourceError, match=words) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the folder holds no picture"):
        open_source(str(tmp_path))


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.touch()
    with pytest.raises(SourceError, match=r"neither a picture nor a video by its name \(\.txt\)"):
        open_source(str(path))


@pytest.mark.parametrize(
    "settings",
    [LiveSettings, CameraSettings, CsiSettings, RtspSettings, GenicamSettings, WatchSettings],
)
def test_every_setting_and_every_kind_is_documented(settings: type[BaseModel]) -> None:
    text = (Path(__file__).parents[3] / "docs" / "sources.md").read_text("utf-8")
    assert [name for name in settings.model_fields if f"`{name}`" not in text] == []
    assert [kind for kind in SCHEMES if f"{kind}://" not in text and kind != "file"] == []
