"""Frames of a simulated slide find their true shift, and different places find none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.register import View, confirm, find, overlap_of, view_of

WIDTH, HEIGHT = 640, 480


@dataclass(frozen=True)
class Scan:
    """Frames of a serpentine scan with where the stage truly stood, in pixels."""

    views: list[View]
    corners: list[np.ndarray]


@pytest.fixture(scope="module")
def scan() -> Scan:
    source = open_simulated("sim://?seed=3&fields=16&overlap=0.3")
    truth = source.truth()
    with source:
        views = [view_of(f.pixels, truth.frames[f.index].field.boxes) for f in source]
    um_per_px = source.settings.um_per_px
    return Scan(views, [np.array(f.stop.true_um) / um_per_px for f in truth.frames])


def pairs(scan: Scan, overlapping: bool) -> list[tuple[int, int]]:
    count = len(scan.views)
    found = []
    for i in range(count):
        for j in range(i):
            overlap = overlap_of(tuple(scan.corners[i] - scan.corners[j]), WIDTH, HEIGHT)
            if (overlap > 0.25) if overlapping else (overlap == 0):
                found.append((j, i))
    return found


def test_overlapping_frames_are_placed_to_two_pixels(scan):
    todo = pairs(scan, overlapping=True)
    assert len(todo) >= 20
    for first, second in todo:
        found = find(scan.views[first], scan.views[second])
        assert found is not None, f"frames {first} and {second}"
        true = scan.corners[second] - scan.corners[first]
        np.testing.assert_allclose(found.shift, true, atol=2.0)


def test_frames_of_different_places_are_never_tied(scan):
    apart = pairs(scan, overlapping=False)
    assert len(apart) >= 40
    assert [pair for pair in apart if find(scan.views[pair[0]], scan.views[pair[1]])] == []


def test_a_shift_that_is_expected_is_confirmed_and_refined(scan):
    true = scan.corners[1] - scan.corners[0]
    found = confirm(scan.views[0], scan.views[1], tuple(true + np.array([9.0, -7.0])))
    assert found is not None
    np.testing.assert_allclose(found.shift, true, atol=2.0)


def test_a_wrong_expectation_is_not_confirmed(scan):
    true = scan.corners[1] - scan.corners[0]
    assert confirm(scan.views[0], scan.views[1], tuple(true + np.array([150.0, 60.0]))) is None


def test_one_red_cell_laid_over_another_proves_nothing():
    """A field with one round cell correlates with any other such field."""

    def field(x: int, y: int) -> View:
        rows, columns = np.mgrid[:HEIGHT, :WIDTH]
        inside = (columns - x) ** 2 + (rows - y) ** 2 < 50**2
        pixels = np.where(inside[..., None], (200, 140, 140), (235, 230, 230)).astype(np.uint8)
        return view_of(pixels, np.array([[x - 50, y - 50, x + 50, y + 50]], np.float32))

    assert find(field(200, 200), field(400, 260)) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_fields_without_any_structure_are_not_tied(level):
    flat = view_of(np.full((HEIGHT, WIDTH, 3), level, np.uint8), np.empty((0, 4), np.float32))
    assert find(flat, flat) is None
    assert confirm(flat, flat, (10.0, 0.0)) is None


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (7, 7)])
def test_tiny_pictures_are_no_error(size):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)
    view = view_of(pixels, np.empty((0, 4), np.float32))
    assert find(view, view) is None


def test_frames_of_different_size_are_not_compared(scan):
    small = view_of(np.zeros((100, 100, 3), np.uint8), np.empty((0, 4), np.float32))
    assert find(scan.views[0], small) is None
    assert confirm(scan.views[0], small, (0.0, 0.0)) is None


@pytest.mark.parametrize(
    ("shift", "share"),
    [((0, 0), 1.0), ((320, 0), 0.5), ((0, -240), 0.5), ((640, 0), 0.0), ((-999, 5), 0.0)],
)
def test_overlap_is_the_share_of_the_frame_in_common(shift, share):
    assert overlap_of(shift, WIDTH, HEIGHT) == pytest.approx(share)
