"""A folder that is being written: every picture once, in order, whole, whatever the writer does."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from typing_extensions import Self

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Frame, LiveSource, UnreadableFrame
from edge_daemon.sources.open import open_source
from edge_daemon.sources.watched_folder import WatchedFolder, WatchSettings
from tests.edge_daemon.sources.contract import AT_MOST, MakeSource, SourceContract
from tests.edge_daemon.sources.events import PATIENCE_S, Events
from tests.edge_daemon.sources.pictures import encoded, speckled, written

QUICK = WatchSettings(poll_s=0.01, settle_s=0.05, patience_s=0.2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "slide"
    path.mkdir()
    return path


class Watching:
    """A watched folder that is read in another thread."""

    def __init__(
        self,
        folder: Path,
        settings: WatchSettings = QUICK,
        scan: bool = False,
        may_come_later: bool = False,
    ) -> None:
        self.events = Events()
        self._stop = threading.Event()
        self.source = WatchedFolder(
            folder,
            settings,
            scan=scan,
            stop=self._stop,
            on_event=self.events,
            may_come_later=may_come_later,
        )
        self.taken: list[Frame | UnreadableFrame] = []
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        self.taken.extend(())
        for captured in self.source:
            self.taken.append(captured)

    def __enter__(self) -> Self:
        self.source.__enter__()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.source.__exit__(None, None, None)

    def until(self, reached: Callable[[], bool]) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not reached():
            assert time.monotonic() < until_s, f"only {[c.source for c in self.taken]}"
            time.sleep(0.005)

    def names(self, count: int) -> list[str]:
        self.until(lambda: len(self.taken) >= count)
        return [captured.source for captured in self.taken]


class TestWatchedFolderKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, folder: Path) -> Iterator[MakeSource]:
        for index in range(AT_MOST):
            written(folder / f"f{index}.png", speckled(index))
        (folder / "f3.jpg").write_bytes(b"no picture")
        return lambda: WatchedFolder(folder, QUICK)


def test_it_is_opened_by_its_address(folder: Path) -> None:
    written(folder / "a b.png", speckled())
    address = f"watch://{str(folder).replace(' ', '%20')}?settle_s=0&poll_s=0.01"
    with open_source(address, um_per_px=0.07) as source:
        assert isinstance(source, LiveSource)
        (frame,) = islice(source, 1)
    assert isinstance(frame, Frame)
    assert frame.um_per_px == 0.07
    assert frame.source == "a b.png"


def test_pictures_come_in_the_order_in_which_they_were_finished(folder: Path) -> None:
    for place, name in enumerate(("z.png", "b10.png", "b2.png", "a.png")):
        written(folder / name, speckled(place))
        at_s = 1000 + (place if name[0] != "b" else 1)
        os.utime(folder / name, (at_s, at_s))
    with Watching(folder) as watching:
        assert watching.names(4) == ["z.png", "b2.png", "b10.png", "a.png"]
        written(folder / "later.png", speckled(9))
        assert watching.names(5)[4] == "later.png"
    assert [captured.index for captured in watching.taken] == list(range(5))
    assert [captured.field for captured in watching.taken] == list(range(5))


def test_a_file_is_waited_for_until_it_is_whole(folder: Path) -> None:
    """Written in pieces, each of which could be taken for the end of a slow writer's work."""
    data = encoded(speckled(1), ".png")
    with Watching(folder) as watching, (folder / "slow.png").open("wb") as file:
        for at in range(0, len(data), len(data) // 6 + 1):
            file.write(data[at : at + len(data) // 6 + 1])
            file.flush()
            time.sleep(0.06)  # longer than it takes to look settled, shorter than the patience
        watching.names(1)
    (frame,) = watching.taken
    assert isinstance(frame, Frame)
    assert np.array_equal(frame.pixels, speckled(1))


def test_a_file_that_is_never_finished_is_told_and_taken_if_it_is_finished_after_all(
    folder: Path,
) -> None:
    data = encoded(speckled(1), ".png")
    (folder / "cut.png").write_bytes(data[:-30])
    with Watching(folder) as watching:
        watching.names(1)
        (folder / "cut.png").write_bytes(data)
        watching.names(2)
    cut, whole = watching.taken
    assert isinstance(cut, UnreadableFrame)
    assert "cut short" in cut.reason
    assert isinstance(whole, Frame)


def test_each_picture_comes_once(folder: Path) -> None:
    written(folder / "a.png", speckled(1))
    with Watching(folder) as watching:
        watching.names(1)
        os.utime(folder / "a.png")  # touched
        (folder / "a.png").rename(folder / "kept.txt")  # away, and back under its name
        (folder / "kept.txt").rename(folder / "a.png")
        written(folder / "b.png", speckled(2))
        assert watching.names(2) == ["a.png", "b.png"]


def test_what_is_written_anew_under_its_name_is_a_new_picture(folder: Path) -> None:
    written(folder / "live.png", speckled(1))
    with Watching(folder) as watching:
        watching.names(1)
        written(folder / "live.png", speckled(2))
        watching.names(2)
    pixels = [captured.pixels for captured in watching.taken if isinstance(captured, Frame)]
    assert np.array_equal(pixels[1], speckled(2))


def test_a_file_that_is_renamed_into_place_is_one_picture(folder: Path) -> None:
    settings = QUICK.model_copy(update={"settle_s": 0.3})
    with Watching(folder, settings) as watching:
        written(folder / "tmp1.png", speckled(1))
        time.sleep(0.05)  # so that it was seen under this name
        (folder / "tmp1.png").rename(folder / "field1.png")
        assert watching.names(1) == ["field1.png"]


def test_a_picture_that_was_deleted_too_soon_is_told(folder: Path) -> None:
    settings = QUICK.model_copy(update={"settle_s": 30.0})
    with Watching(folder, settings) as watching:
        written(folder / "a.png", speckled(1))
        watching.until(lambda: bool(watching.source._known))
        (folder / "a.png").unlink()
        watching.names(1)
    (missed,) = watching.taken
    assert isinstance(missed, UnreadableFrame)
    assert "it was deleted before it was read" in missed.reason


def test_pictures_that_were_read_may_be_deleted(folder: Path) -> None:
    with Watching(folder) as watching:
        for index in range(5):
            written(folder / f"{index}.png", speckled(index))
            watching.names(index + 1)
            (folder / f"{index}.png").unlink()
        watching.until(lambda: not watching.source._known)  # nor is memory kept of them
    assert all(isinstance(captured, Frame) for captured in watching.taken)


def test_a_folder_that_goes_away_is_told_once_and_watched_again(folder: Path) -> None:
    written(folder / "a.png", speckled(1))
    with Watching(folder) as watching:
        watching.names(1)
        shutil.rmtree(folder)
        lost = watching.events.wait_for("lost")
        assert "the folder cannot be listed any more" in lost.line
        assert watching.source.trouble == lost.line
        folder.mkdir()
        watching.events.wait_for("back")
        written(folder / "b.png", speckled(2))
        assert watching.names(2) == ["a.png", "b.png"]
    assert watching.events.kinds == ["lost", "back"]


@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_that_comes_later_is_waited_for(tmp_path: Path, existing: bool) -> None:
    """A share that is mounted after the daemon has started, with what lies there or without."""
    folder, hidden = tmp_path / "share", tmp_path / "not-mounted"
    hidden.mkdir()
    written(hidden / "old.png", speckled(1))
    settings = QUICK.model_copy(update={"existing": existing})
    with Watching(folder, settings, may_come_later=True) as watching:
        lost = watching.events.wait_for("lost")
        assert "the folder cannot be listed (No such file or directory): create it" in lost.line
        assert watching.source.trouble == lost.line
        hidden.rename(folder)
        watching.events.wait_for("back")
        written(folder / "new.png", speckled(2))
        names = ["old.png", "new.png"] if existing else ["new.png"]
        assert watching.names(len(names)) == names
        assert watching.source.trouble is None
    assert watching.events.kinds == ["lost", "back"]


def test_folders_below_hidden_files_and_notes(folder: Path) -> None:
    (folder / "below").mkdir()
    written(folder / "below" / "a.png", speckled(1))
    (folder / ".part.png").write_bytes(b"half")
    (folder / "notes.txt").write_text("no picture")
    with Watching(folder) as watching:
        written(folder / "b.png", speckled(2))
        assert watching.names(2) == ["below/a.png", "b.png"]


def test_what_lies_there_may_be_passed_over(folder: Path) -> None:
    written(folder / "old.png", speckled(1))
    with Watching(folder, QUICK.model_copy(update={"existing": False})) as watching:
        written(folder / "new.png", speckled(2))
        assert watching.names(1) == ["new.png"]


def test_in_a_scan_all_pictures_show_one_field(folder: Path) -> None:
    for index in range(3):
        written(folder / f"{index}.png", speckled(index))
    with Watching(folder, scan=True) as watching:
        watching.names(3)
    assert {captured.field for captured in watching.taken} == {0}


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("watch://", "name a folder, as in watch:///slides/today"),
        ("watch:///no/such/folder", "the folder cannot be listed .*: create it"),
        ("watch:///tmp?setle_s=1", "did you mean settle_s"),
    ],
)
def test_what_cannot_be_watched(address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words), open_source(address):
        pass
