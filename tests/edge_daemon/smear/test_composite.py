"""A cut-out cell lands where it is put, at the scale of the field, and nowhere else."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.smear.composite import (
    WRIGHT_GIEMSA,
    CutOutCell,
    Stain,
    cut_out,
    paste,
    stain_of_nuclei,
)

PURPLE = (90, 40, 130)


def picture_on_black(diameter_px: int = 220) -> np.ndarray:
    """A round purple cell on black with a thread and a far speck, as in published masks."""
    picture = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(picture, (225, 225), diameter_px // 2, PURPLE, -1)
    cv2.line(picture, (225, 225), (440, 225), PURPLE, 8)
    cv2.circle(picture, (40, 40), 12, PURPLE, -1)
    return picture


def background() -> np.ndarray:
    return np.full((300, 400, 3), (235, 215, 200), np.uint8)


@pytest.fixture(scope="module")
def cell() -> CutOutCell:
    return cut_out(picture_on_black())


def test_threads_and_specks_are_cut_away(cell: CutOutCell) -> None:
    assert cell.alpha.shape[0] == pytest.approx(220, abs=12)
    assert cell.alpha.shape[1] == pytest.approx(220, abs=16)


def test_no_black_is_left_around_the_cell(cell: CutOutCell) -> None:
    assert (cell.rgb.max(axis=2) > 60).all()


def test_a_black_picture_holds_no_cell() -> None:
    with pytest.raises(ValueError, match="no cell"):
        cut_out(np.zeros((50, 50, 3), np.uint8))


@given(
    um_per_px=st.floats(0.03, 0.2),
    rotation_deg=st.floats(0, 360),
    flip=st.booleans(),
)
def test_the_box_has_the_size_of_the_cell_at_the_scale_of_the_field(
    um_per_px: float, rotation_deg: float, flip: bool
) -> None:
    one = cut_out(picture_on_black())
    field = np.full((500, 500, 3), (235, 215, 200), np.uint8)
    box = paste(field, one, (250, 250), um_per_px, rotation_deg=rotation_deg, flip=flip)
    expected_px = 2 * np.sqrt(one.area_um2 / np.pi) / um_per_px
    assert box[2] - box[0] == pytest.approx(expected_px, rel=0.1, abs=2)
    assert box[3] - box[1] == pytest.approx(expected_px, rel=0.1, abs=2)
    assert (box[0] + box[2]) / 2 == pytest.approx(250, abs=4)


def test_pixels_away_from_the_cell_stay_as_they_were(cell: CutOutCell) -> None:
    field = background()
    x0, y0, x1, y1 = paste(field, cell, (200, 150), 0.08).astype(int)
    changed = (field != background()).any(axis=2)
    assert changed[y0:y1, x0:x1].mean() > 0.6
    changed[y0 - 4 : y1 + 4, x0 - 4 : x1 + 4] = False
    assert not changed.any()


@given(x=st.floats(-300, 700), y=st.floats(-300, 600))
def test_a_cell_at_the_border_is_cut_and_its_box_stays_inside(x: float, y: float) -> None:
    field = background()
    box = paste(field, cut_out(picture_on_black(120)), (x, y), 0.05)
    assert (box >= 0).all()
    assert box[2] <= 400
    assert box[3] <= 300
    if not box.any():  # nothing, or only the feathered rim, is inside
        assert (np.abs(field.astype(int) - background()) <= 120).all()


def test_full_strength_takes_over_the_mean_stain(cell: CutOutCell) -> None:
    field = background()
    stain = Stain(mean=(45.0, 30.0, -30.0), std=(5.0, 5.0, 5.0))
    x0, y0, x1, y1 = paste(field, cell, (200, 150), 0.08, stain=stain, stain_strength=1.0)
    middle = field[int(y0 + y1) // 2, int(x0 + x1) // 2]
    lab = cv2.cvtColor((middle[None, None] / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)
    assert lab[0, 0] == pytest.approx(stain.mean, abs=3)


def test_strength_zero_leaves_the_colour(cell: CutOutCell) -> None:
    field = background()
    paste(field, cell, (200, 150), 0.08, stain=WRIGHT_GIEMSA, stain_strength=0.0)
    assert field[150, 200] == pytest.approx(PURPLE, abs=2)


def test_the_stain_of_nuclei_comes_from_the_dark_purple_half_of_the_boxes() -> None:
    field = background()
    cv2.circle(field, (200, 150), 40, (200, 190, 220), -1)
    cv2.circle(field, (200, 150), 32, PURPLE, -1)
    stain = stain_of_nuclei(field, np.array([[160, 110, 240, 190]]))
    assert stain is not None
    lab = cv2.cvtColor(np.array([[PURPLE]], np.float32) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    assert stain.mean == pytest.approx(lab, abs=3)
    assert stain_of_nuclei(field, np.empty((0, 4))) is None


def test_colour_and_alpha_must_have_one_size() -> None:
    with pytest.raises(ValueError, match="alpha"):
        CutOutCell(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 5), np.float32), 0.05)
