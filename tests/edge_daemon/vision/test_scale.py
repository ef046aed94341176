"""The red cells of a frame are its ruler."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.vision.scale import estimate_um_per_px


def red_cells(diameters_px: list[float], x0: float = 100, y0: float = 100) -> np.ndarray:
    return np.array([[x0, y0, x0 + d, y0 + d] for d in diameters_px])


def test_the_median_red_cell_measures_seven_and_a_half_micrometres() -> None:
    assert estimate_um_per_px(red_cells([70, 75, 75, 80, 200])) == pytest.approx(0.1)


def test_cells_cut_by_the_border_do_not_count() -> None:
    whole, cut = red_cells([75, 75, 75]), red_cells([20] * 9, x0=0)
    boxes = np.concatenate([whole, cut])
    assert estimate_um_per_px(boxes, (480, 640)) == pytest.approx(0.1)
    assert estimate_um_per_px(boxes) != pytest.approx(0.1)


def test_too_few_cells_give_no_scale() -> None:
    assert estimate_um_per_px(red_cells([75, 75])) is None
    assert estimate_um_per_px(np.empty((0, 4))) is None


def test_boxes_without_area_are_ignored() -> None:
    boxes = np.concatenate([red_cells([75, 75, 75]), red_cells([0, 0, 0, 0])])
    assert estimate_um_per_px(boxes) == pytest.approx(0.1)
