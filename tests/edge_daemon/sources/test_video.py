"""Video files as a source: made here with OpenCV, whole and cut short."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, UnreadableFrame
from edge_daemon.sources.open import open_source
from edge_daemon.sources.reading import ReadingRules
from tests.edge_daemon.sources.contract import MakeSource, SourceContract, taken
from tests.edge_daemon.sources.pictures import speckled

FRAMES = 12


def record(path: Path, fourcc: str) -> Path:
    """A passage whose brightness rises, so that the order of the frames can be seen."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), 25, (64, 48))
    assert writer.isOpened()
    for index in range(FRAMES):
        picture = speckled(index) // 4 + np.array([100 + 8 * index, 0, 0], np.uint8)
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


@pytest.fixture(scope="module")
def avi(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("video") / "passage.avi", "MJPG")


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("video") / "passage.mp4", "mp4v")


class TestAviKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, avi: Path) -> MakeSource:
        return lambda: open_source(str(avi))


class TestMp4KeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, mp4: Path) -> MakeSource:
        return lambda: open_source(str(mp4))


class TestCutVideoKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, avi: Path, tmp_path: Path) -> MakeSource:
        return lambda: open_source(str(cut_short(avi, tmp_path)))


def cut_short(video: Path, folder: Path) -> Path:
    cut = folder / "cut.avi"
    data = video.read_bytes()
    cut.write_bytes(data[: int(len(data) * 0.6)])
    return cut


def test_frames_come_in_order_as_rgb(avi: Path) -> None:
    frames = [captured for captured in taken(open_source(str(avi))) if isinstance(captured, Frame)]
    red = [frame.pixels[..., 0].mean() for frame in frames]
    assert len(frames) == FRAMES
    assert red == sorted(red)
    assert all(frame.pixels[..., 0].mean() > frame.pixels[..., 2].mean() + 60 for frame in frames)


def test_all_frames_are_of_one_field_and_name_the_file(avi: Path) -> None:
    captured = taken(open_source(str(avi), um_per_px=0.1))
    assert {frame.field for frame in captured} == {0}
    assert {frame.source for frame in captured} == {"passage.avi"}
    assert {frame.um_per_px for frame in captured if isinstance(frame, Frame)} == {0.1}


def test_frames_that_a_cut_video_announced_are_unreadable_and_not_forgotten(
    avi: Path, tmp_path: Path
) -> None:
    captured = taken(open_source(str(cut_short(avi, tmp_path))))
    lost = [frame for frame in captured if isinstance(frame, UnreadableFrame)]
    assert len(captured) == FRAMES
    assert 0 < len(lost) < FRAMES
    assert f"the video ends after {FRAMES - len(lost)} of {FRAMES} frames" in lost[0].reason
    assert "copy it again" in lost[0].reason


def test_what_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "passage.mp4"
    path.write_bytes(b"not a video at all")
    with (
        pytest.raises(SourceError, match=r"cannot be opened as a video .*: copy it again"),
        open_source(str(path)),
    ):
        pass


def test_frames_too_large(avi: Path) -> None:
    small = ReadingRules(max_pixels=64 * 48 - 1)
    with (
        pytest.raises(SourceError, match="frames of 64 x 48 pixels are more than the limit"),
        open_source(str(avi), rules=small),
    ):
        pass
