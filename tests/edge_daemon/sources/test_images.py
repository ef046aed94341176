"""Picture files as a source: order, fields, and nothing passed over in silence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, UnreadableFrame
from edge_daemon.sources.images import ImageSource, list_pictures, natural_order
from edge_daemon.sources.open import open_source
from tests.edge_daemon.sources.contract import MakeSource, SourceContract, taken
from tests.edge_daemon.sources.pictures import speckled, written


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A folder with good pictures, a damaged one, notes, and a folder below."""
    folder = tmp_path / "slide"
    (folder / "below").mkdir(parents=True)
    for name, seed in (("f10.png", 10), ("f2.PNG", 2), ("F1.jpg", 1), ("below/f3.bmp", 3)):
        written(folder / name.lower(), speckled(seed)).rename(folder / name)
    (folder / "f4.jpg").write_bytes((folder / "F1.jpg").read_bytes()[:-40])
    (folder / "f5.gif").write_bytes(b"GIF89a" + bytes(20))
    (folder / "f6.png").symlink_to("gone.png")
    (folder / "notes.xml").write_text("<a/>")
    (folder / "._f1.jpg").write_bytes(b"left by a Mac")
    return folder


class TestFolderKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, slide: Path) -> MakeSource:
        return lambda: open_source(str(slide))


class TestFilesKeepTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, slide: Path) -> MakeSource:
        paths = [slide / "F1.jpg", slide / "gone.png", slide / "f2.PNG"]
        return lambda: ImageSource(paths, "three files")


def test_files_come_in_natural_order_from_all_folders(slide: Path) -> None:
    sources = [captured.source for captured in taken(open_source(str(slide)))]
    assert sources == ["below/f3.bmp", "F1.jpg", "f2.PNG", "f4.jpg", "f5.gif", "f6.png", "f10.png"]


def test_without_recursion_the_folders_below_are_left_out(slide: Path) -> None:
    sources = [captured.source for captured in taken(open_source(str(slide), recursive=False))]
    assert sources == ["F1.jpg", "f2.PNG", "f4.jpg", "f5.gif", "f6.png", "f10.png"]


def test_each_picture_is_a_field_of_its_own(slide: Path) -> None:
    assert [captured.field for captured in taken(open_source(str(slide)))] == list(range(7))


def test_in_a_scan_all_pictures_show_one_field(slide: Path) -> None:
    assert {captured.field for captured in taken(open_source(str(slide), scan=True))} == {0}


def test_a_picture_that_cannot_be_read_has_its_place_and_its_reason(slide: Path) -> None:
    unreadable = {
        captured.source: captured.reason
        for captured in taken(open_source(str(slide)))
        if isinstance(captured, UnreadableFrame)
    }
    assert set(unreadable) == {"f4.jpg", "f5.gif", "f6.png"}
    assert "JPEG without its end marker" in unreadable["f4.jpg"]
    assert "this is GIF" in unreadable["f5.gif"]
    assert "there is no such file" in unreadable["f6.png"]
    assert all(str(slide / name) in reason for name, reason in unreadable.items())


def test_pixels_and_scale_are_those_of_the_file(slide: Path) -> None:
    with open_source(str(slide / "f10.png"), um_per_px=0.07) as source:
        (frame,) = source
    assert isinstance(frame, Frame)
    assert frame.source == "f10.png"
    assert frame.um_per_px == 0.07
    assert np.array_equal(frame.pixels, speckled(10))


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no pictures")
    with pytest.raises(SourceError, match=r"the folder holds no picture .*: put pictures there"):
        list_pictures(tmp_path)


def test_pictures_that_lie_only_below_are_spoken_of(slide: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folders in it not searched"):
        list_pictures(tmp_path, recursive=False)


@given(st.lists(st.text(max_size=12), unique=True, max_size=8))
def test_natural_order_is_an_order_of_all_names(names: list[str]) -> None:
    """Numbers in any script, or none: it never fails, and does not depend on the listing."""
    listed_otherwise = names[::-1]
    assert sorted(names, key=natural_order) == sorted(listed_otherwise, key=natural_order)


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_numbers_are_ordered_as_numbers(one: int, other: int) -> None:
    assert (natural_order(f"f{one}.png") < natural_order(f"f{other}.png")) == (one < other)
