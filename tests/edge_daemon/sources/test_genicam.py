"""A GenICam camera, by a fake at the library's seam: settings, pictures, and its return."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import SourceError
from edge_daemon.sources import genicam
from edge_daemon.sources.base import Frame, LiveSource, Source, UnreadableFrame
from edge_daemon.sources.genicam import open_genicam
from edge_daemon.sources.open import open_source
from edge_daemon.sources.request import SourceRequest
from tests.edge_daemon.sources.contract import MakeSource, SourceContract
from tests.edge_daemon.sources.events import Events, read_along
from tests.edge_daemon.sources.fake_harvesters import HEIGHT, WIDTH, FakeGenicam, Node
from tests.edge_daemon.sources.test_live import settle

QUICK = (
    "frame_timeout_s=0.4&first_frame_timeout_s=0.4"
    "&reopen_min_s=0.02&reopen_max_s=0.1&back_pressure=every_frame"
)

Open = Callable[..., Source]


@pytest.fixture
def world() -> FakeGenicam:
    return FakeGenicam()


@pytest.fixture
def opened(world: FakeGenicam, tmp_path: Path) -> Open:
    """The source of an address with these settings, not yet entered."""
    cti = tmp_path / "maker.cti"
    cti.touch()

    def make(settings: str = QUICK, serial: str = "S-1", **more: object) -> Source:
        rest = f"{serial}?cti={cti}&{settings}"
        request = SourceRequest(f"genicam://{rest}", rest, **more)  # type: ignore[arg-type]
        return open_genicam(request, world.library())

    return make


class TestGenicamKeepsTheContract(SourceContract):
    @pytest.fixture
    def make_source(self, opened: Open) -> MakeSource:
        return opened


def test_settings_are_fixed_and_read_back(opened: Open, world: FakeGenicam) -> None:
    settings = f"{QUICK}&exposure_us=8004&gain=1.5&fps=15&pixel_format=RGB8"
    with opened(settings) as source:
        assert isinstance(source, LiveSource)
        assert source.description == (
            "genicam://S-1: 64 x 48, 15 fps, RGB8, exposure 8000 us, gain 1.5"
        )
    assert world.nodes["ExposureAuto"].value == "Off"
    assert world.nodes["GainAuto"].value == "Off"
    assert world.nodes["AcquisitionFrameRateEnable"].value is True


def test_white_balance_is_fixed_by_the_ratios_of_two_colours(
    opened: Open, world: FakeGenicam
) -> None:
    for name in ("BalanceWhiteAuto", "BalanceRatioSelector", "BalanceRatio"):
        world.nodes[name] = Node(1.0)
    with opened(f"{QUICK}&red_gain=1.4&blue_gain=1.8"):
        pass
    assert world.nodes["BalanceWhiteAuto"].value == "Off"
    assert world.nodes["BalanceRatioSelector"].value == "Blue"
    assert world.nodes["BalanceRatio"].value == 1.8


def test_what_was_not_asked_for_is_left_and_told(opened: Open) -> None:
    with opened() as source:
        assert "exposure automatic, gain automatic" in str(getattr(source, "description", ""))


@pytest.mark.parametrize("pattern", ["BayerRG8", "BayerGR8", "BayerGB8", "BayerBG8"])
def test_a_bayer_pattern_becomes_the_colours_that_it_has(pattern: str) -> None:
    """Red light only: what is behind the red filters is bright, by GenICam's naming."""
    colours = pattern[5:7] + ("GB" if pattern[5] == "R" else "GR" if pattern[5] == "B" else "")
    if pattern[5] == "G":
        colours += "BG" if pattern[6] == "R" else "RG"
    mosaic = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    for place, colour in enumerate(colours):
        mosaic[place // 2 :: 2, place % 2 :: 2] = 200 if colour == "R" else 0
    rgb = genicam._rgb(mosaic, pattern)[8:-8, 8:-8]
    assert rgb[..., 0].min() > 150
    assert rgb[..., 1:].max() < 50


@pytest.mark.parametrize("pixel_format", ["RGB8", "BGR8", "Mono8"])
def test_pictures_are_rgb_and_survive_their_buffer(
    opened: Open, world: FakeGenicam, pixel_format: str
) -> None:
    with opened(f"{QUICK}&pixel_format={pixel_format}") as source:
        frame = next(captured for captured in source if isinstance(captured, Frame))
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    channels = 1 if pixel_format == "Mono8" else 3
    raw = np.random.default_rng(frame.index + 1).integers(
        60, 200, HEIGHT * WIDTH * channels, dtype=np.uint8
    )
    expected = raw.reshape(HEIGHT, WIDTH, channels)
    if pixel_format != "RGB8":
        code = cv2.COLOR_GRAY2RGB if channels == 1 else cv2.COLOR_BGR2RGB
        expected = cv2.cvtColor(expected, code)
    assert np.array_equal(frame.pixels, expected)


def test_an_incomplete_picture_has_its_outcome(opened: Open, world: FakeGenicam) -> None:
    """The library throws it away; it must not be missing from the ledger."""
    world.incomplete = 2
    with opened() as source:
        given = list(islice(source, 5))
    reasons = [captured.reason for captured in given if isinstance(captured, UnreadableFrame)]
    assert len(reasons) == 2
    assert "a picture came incomplete (torn)" in reasons[0]


def test_a_camera_that_is_lost_is_found_again_by_its_serial_number(
    opened: Open, world: FakeGenicam
) -> None:
    events, stop = Events(), threading.Event()
    with opened(stop=stop, on_event=events) as source, read_along(source) as taken:
        settle(taken)
        world.plugged = False
        assert "the camera has stopped" in events.wait_for("lost").line
        world.plugged = True
        events.wait_for("back")
        settle(taken)
        stop.set()
    assert events.kinds == ["opened", "lost", "back"]
    assert world.opened == world.destroyed >= 2
    assert world.reset >= world.opened


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("gain=99", "the camera refuses gain=99 .*set a value in its range"),
        ("exposure_us=12", "the camera refuses exposure_us=12"),
        ("red_gain=2", "the camera has no BalanceWhiteAuto: leave red_gain out"),
    ],
)
def test_what_the_camera_does_not_take_is_one_clear_line(
    opened: Open, world: FakeGenicam, settings: str, words: str
) -> None:
    with pytest.raises(SourceError, match=words) as caught, opened(f"{QUICK}&{settings}"):
        pass
    assert "\n" not in str(caught.value)
    assert world.destroyed == world.reset == 1


def test_pictures_in_a_format_that_is_not_read(opened: Open, world: FakeGenicam) -> None:
    world.pixel_format = "YCbCr422_8"
    with opened(f"{QUICK}&reopen=false") as source:
        first = next(iter(source))
    assert isinstance(first, UnreadableFrame)
    assert "set pixel_format to one of RGB8, BGR8, RGBa8" in first.reason


def test_another_serial_number(opened: Open) -> None:
    with pytest.raises(SourceError, match="no camera with this serial number: connected are S-1"):
        opened(serial="S-2").__enter__()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("genicam://?cti=/a.cti", "name the camera by its serial number"),
        ("genicam://S-1", "setting 'cti': Field required"),
    ],
)
def test_what_is_missing(address: str, words: str) -> None:
    with pytest.raises(SourceError, match=words):
        open_source(address)


def test_without_the_library_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "harvesters.core", None)
    with (
        pytest.raises(SourceError, match=r"pip install 'leukoedge\[genicam\]'"),
        open_source("genicam://S-1?cti=/a.cti"),
    ):
        pass


def test_a_producer_that_is_not_there(world: FakeGenicam) -> None:
    rest = "S-1?cti=/no/such.cti"
    source = open_genicam(SourceRequest(f"genicam://{rest}", rest), world.library())
    with pytest.raises(SourceError, match=r"there is no producer /no/such.cti: give cti="), source:
        pass


def test_the_library_itself_with_the_producer_that_comes_with_it() -> None:
    """The package genicam brings three virtual cameras."""
    package = pytest.importorskip("genicam", reason="genicam has wheels for Linux on x86_64 only")
    pytest.importorskip("harvesters")
    cti = Path(package.__file__).parent / "viky.cti"
    if not cti.exists():
        pytest.skip("this build of genicam has no virtual producer")
    address = f"genicam://1?cti={cti}&width=320&pixel_format=Mono8&frozen_after_s=off"
    with open_source(address) as source:
        frames = [frame for frame in islice(source, 5) if isinstance(frame, Frame)]
        assert "320 x 400, 20 fps, Mono8, no exposure, no gain" in str(
            getattr(source, "description", "")
        )
    assert [frame.pixels.shape for frame in frames] == [(400, 320, 3)] * 5
    with pytest.raises(SourceError, match="connected are 0, 1, 2"):
        open_source(f"genicam://9?cti={cti}").__enter__()
    with pytest.raises(SourceError, match="the camera has no Gain: leave gain out"):
        open_source(f"genicam://0?cti={cti}&gain=3").__enter__()
