"""A crop shows a fixed square of micrometres around a cell, wherever the cell lies."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.vision.crops import crop_cells


def disc_frame(center_xy: tuple[int, int], radius_px: int) -> np.ndarray:
    frame = np.full((400, 500, 3), 230, np.uint8)
    cv2.circle(frame, center_xy, radius_px, (90, 40, 130), -1, cv2.LINE_AA)
    return frame


def box_around(center_xy: tuple[float, float], radius: float) -> np.ndarray:
    x, y = center_xy
    return np.array([[x - radius, y - radius, x + radius, y + radius]], np.float32)


@given(
    um_per_px=st.floats(0.04, 0.2),
    diameter_um=st.floats(6, 14),
    size=st.sampled_from([96, 128, 160, 224]),
)
def test_a_disc_of_known_micrometres_has_the_expected_size_in_the_crop(
    um_per_px: float, diameter_um: float, size: int
) -> None:
    crop_um = 19.8
    radius_px = round(diameter_um / um_per_px / 2)
    frame = disc_frame((250, 200), radius_px)
    crop = crop_cells(frame, box_around((250, 200), radius_px), um_per_px, crop_um, size)[0]
    seen_px = np.sqrt((crop[..., 1] < 135).sum() * 4 / np.pi)
    expected_px = 2 * radius_px * um_per_px / crop_um * size
    assert seen_px == pytest.approx(expected_px, rel=0.05, abs=1.5)


@given(
    x=st.floats(-40, 540),
    y=st.floats(-40, 440),
    um_per_px=st.floats(0.02, 0.5),
    size=st.integers(1, 200),
)
def test_a_box_at_or_beyond_the_border_gives_a_whole_crop(
    x: float, y: float, um_per_px: float, size: int
) -> None:
    frame = disc_frame((10, 10), 30)
    crops = crop_cells(frame, box_around((x, y), 30), um_per_px, 19.8, size)
    assert crops.shape == (1, size, size, 3)
    assert crops.dtype == np.uint8


def test_what_lies_outside_the_frame_repeats_its_edge() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    frame[:, 0] = (10, 200, 30)
    crop = crop_cells(frame, box_around((0, 50), 5), 1.0, 40.0, 40)[0]
    assert (crop[:, :20] == (10, 200, 30)).all()


def test_the_cell_is_in_the_middle() -> None:
    frame = disc_frame((320, 150), 20)
    crop = crop_cells(frame, box_around((320, 150), 20), 0.1, 10.0, 100)[0]
    ys, xs = np.nonzero(crop[..., 1] < 135)
    assert xs.mean() == pytest.approx(49.5, abs=1)
    assert ys.mean() == pytest.approx(49.5, abs=1)


def test_a_frame_without_cells_gives_no_crops() -> None:
    crops = crop_cells(disc_frame((50, 50), 5), np.empty((0, 4), np.float32), 0.1, 19.8, 64)
    assert crops.shape == (0, 64, 64, 3)


@pytest.mark.parametrize(
    "frame",
    [np.zeros((5, 5), np.uint8), np.zeros((0, 5, 3), np.uint8), np.zeros((5, 5, 3), np.float32)],
)
def test_what_is_no_rgb_frame_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8"):
        crop_cells(frame, np.zeros((1, 4)), 0.1, 19.8, 64)


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="um_per_px"):
        crop_cells(disc_frame((50, 50), 5), np.zeros((1, 4)), 0.0, 19.8, 64)
