"""The simulated microscope with a camera that fails: the same pictures, and every fault noticed."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources.base import Captured, Frame, UnreadableFrame
from edge_daemon.sources.open import open_source
from edge_daemon.sources.simulated import SimulatedSource, open_simulated
from edge_daemon.sources.simulated_faults import FaultySimulatedSource
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.events import PATIENCE_S, Events

SMALL = "sim://?fields=12&width=160&height=120&um_per_px=0.2&white=3"


def scanned(address: str) -> tuple[list[Captured], Events]:
    events = Events()
    with open_source(address, on_event=events) as source:
        return list(source), events


def pixels_of(captured: list[Captured]) -> list[np.ndarray]:
    return [one.pixels for one in captured if isinstance(one, Frame)]


class TestFaultySimulatedSourceKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self) -> MakeSource:
        return lambda: open_source(f"{SMALL}&tear=0.2")

    def test_it_gives_as_many_as_it_announced(self, make_source: MakeSource) -> None:
        source = make_source()
        with source:
            assert source.frame_count is None, "what a fault costs is not known before"
            assert len(list(source)) == 12


def test_without_faults_it_is_the_simulated_microscope_itself() -> None:
    assert isinstance(open_source(f"{SMALL}&tear=0&freeze=0&unplug=0"), SimulatedSource)


def test_a_torn_frame_is_unreadable_and_the_others_are_the_same_to_the_byte() -> None:
    captured, events = scanned(f"{SMALL}&tear=0.25")
    whole = pixels_of(scanned(SMALL)[0])
    torn = [one for one in captured if isinstance(one, UnreadableFrame)]
    assert len(captured) == 12
    assert len(torn) == 3
    assert all("torn" in one.reason for one in torn)
    for one in captured:
        if isinstance(one, Frame):
            assert np.array_equal(one.pixels, whole[one.index])
            assert one.stage is not None
    assert events.kinds == ["opened"]


@pytest.mark.parametrize(
    ("fault", "words"), [("unplug", "the camera was unplugged"), ("freeze", "it is frozen")]
)
def test_an_outage_is_noticed_and_the_scan_goes_on_afterwards(fault: str, words: str) -> None:
    captured, events = scanned(f"{SMALL}&{fault}=1&outage=2")
    assert events.kinds == ["opened", "lost", "back"]
    assert words in events.wait_for("lost").line
    assert [one.index for one in captured] == list(range(len(captured)))
    last = pixels_of(scanned(SMALL)[0])[-1]
    assert np.array_equal(pixels_of(captured)[-1], last)


def test_it_knows_its_truth() -> None:
    source = open_source(f"{SMALL}&unplug=1")
    assert isinstance(source, FaultySimulatedSource)
    assert source.truth().unique == open_simulated(SMALL).truth().unique


def test_it_can_be_stopped_in_an_outage() -> None:
    events, stop = Events(), threading.Event()
    with open_source(f"{SMALL}&unplug=1&outage=3600", stop=stop, on_event=events) as source:
        thread = threading.Thread(target=lambda: list(source))
        thread.start()
        events.wait_for("lost")
        stop.set()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


@pytest.mark.parametrize("wrong", ["tear=1.5", "freeze=-1", "unplug=0.5", "outage=0"])
def test_faults_out_of_range_are_refused(wrong: str) -> None:
    with pytest.raises(SourceError, match=wrong.partition("=")[0]):
        open_source(f"{SMALL}&{wrong}")
