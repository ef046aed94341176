"""The operator's page as a browser shows it, in the light and in the dark."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.http_settings import HttpSettings
from edge_daemon.service.http import kiosk
from edge_daemon.service.http.server import HttpServer
from edge_daemon.vision.coverage import Coverage, SeenIsland
from tests.edge_daemon.service.device import BLUR, HEALTH, Device, running, white_cell

GROUND = {"light": (246, 245, 241), "dark": (17, 19, 21)}
GO_ON = {"light": (0, 97, 122), "dark": (0, 112, 141)}
BLAST = {"light": (184, 79, 0), "dark": (255, 138, 61)}
STOP = {"light": (163, 34, 27), "dark": (194, 54, 45)}


@pytest.fixture
def device():
    device = Device()
    device.ready()
    tiles = frozenset((x, y) for x in range(40) for y in range(12))
    cells = tuple((3.0 + 4 * n, 5.0 + n % 5, "blast") for n in range(9))
    device.view.slide_started(
        lambda: Coverage((SeenIsland(tiles, cells),), (0, (20.0, 4.0, 25.0, 8.0)))
    )
    device.view.coverage()  # somebody looks
    device.frame(white_cell(1, "blast"), white_cell(2, "normal", 300.0), grey=200)
    device.view.on_summary(running(coverage_mm2=0.42))
    device.last_health = HEALTH
    return device


def shot(chromium: Path, device: Device, scheme: str, folder: Path) -> np.ndarray:
    """The page as RGB, once it has shown what it was told; nothing was said on the console."""
    picture = folder / f"{scheme}.png"
    settings = HttpSettings(enabled=True, port=0)
    with HttpServer(
        settings, device.view, site="lab", device="scope-1", clock=device.clock
    ) as server:
        done = subprocess.run(
            [
                *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
                *(f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"),
                *("--window-size=1280,720", "--virtual-time-budget=6000"),
                f"--blink-settings=preferredColorScheme={0 if scheme == 'dark' else 1}",
                *(f"--screenshot={picture}", f"{server.url}/"),
            ],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    # A state that is refused on purpose is the one thing the browser may speak of.
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert [line for line in said if "500 (Internal Server Error)" not in line] == []
    return cv2.cvtColor(cv2.imread(str(picture)), cv2.COLOR_BGR2RGB)


def near(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(pixels.astype(int) - colour).max(axis=-1) < 8).sum())


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_what_to_do_the_picture_the_answer_and_the_map(
    chromium, device, tmp_path, scheme
):
    page = shot(chromium, device, scheme, tmp_path)
    assert near(page[3, 3], GROUND[scheme]) == 1
    band, picture, slide = page[12:90], page[120:600, 20:700], page[110:600, 725:]
    assert near(band, GO_ON[scheme]) > band.shape[0] * band.shape[1] / 2
    assert near(picture, (200, 200, 200)) > 100_000  # the frame, its grey as it was
    assert near(slide[:300], BLAST[scheme]) > 300  # the count and the mark of the estimate
    assert near(slide[260:325], BLAST[scheme]) > 100  # two marks of where to look first
    assert near(slide[325:], BLAST[scheme]) > 100  # the cells on the map


def test_the_page_says_where_to_look_first(device):
    (blast, other, unknown) = kiosk.state_of(device.view)["slide"]["look_first"]
    assert blast == {"cell": 3, "label": "blast", "frame": 4, "stage_um": [120.0, -3.5]}
    assert (other["frame"], other["stage_um"]) == (7, None)
    assert (unknown["cell"], unknown["label"], unknown["frame"]) == (5, "uncertain", None)


def test_a_blurred_picture_turns_the_band(chromium, device, tmp_path):
    for _ in range(3):
        device.frame(outcome="rejected", reason=BLUR)
    band = shot(chromium, device, "light", tmp_path)[12:90]
    assert near(band, (138, 90, 0)) > band.shape[0] * band.shape[1] / 2


def test_a_page_that_hears_nothing_says_that_nothing_is_screened(
    chromium, device, tmp_path, monkeypatch
):
    def broken(_view):
        raise OSError

    monkeypatch.setattr(kiosk, "state_of", broken)
    page = shot(chromium, device, "light", tmp_path)
    assert near(page, STOP["light"]) > page.shape[0] * page.shape[1] / 2
