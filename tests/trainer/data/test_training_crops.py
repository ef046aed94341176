"""Training crops repeat with their seed, hold what they claim, and never touch their sources."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.smear.composite import cell_mask, cut_out
from tests.trainer.small_sets import PURPLE, WHITE_CELL, smear_field
from trainer.data.cell_augment import AugmentStrength, degrade, recolour, view
from trainer.data.smear_fields import free_centres
from trainer.data.training_crops import (
    BANK_PX,
    BANK_UM_PER_PX,
    BLAST,
    NORMAL,
    UNKNOWN,
    Cell,
    CropMix,
    TrainingCrops,
)


def cell(label: int, diameter_px: int) -> Cell:
    picture = np.zeros((BANK_PX, BANK_PX, 3), np.uint8)
    cv2.circle(picture, (BANK_PX // 2, BANK_PX // 2), diameter_px // 2, PURPLE, -1)
    mask = cell_mask(picture, erode_px=1) * np.uint8(255)
    solid = cut_out(picture, BANK_UM_PER_PX, erode_px=1)
    return Cell(label, str(label), np.dstack([picture, mask]), solid)


def picture_of(one: Cell) -> np.ndarray:
    assert one.on_black is not None
    return np.ascontiguousarray(one.on_black[..., :3])


def training_crops(**mix: Any) -> TrainingCrops:
    cells = [cell(BLAST, 120), cell(NORMAL, 80)]
    return TrainingCrops(
        cells, [smear_field()], [], [], side_px=96, um_per_px=0.165, mix=CropMix(**mix), seed=3
    )


def test_the_same_seed_epoch_and_index_give_the_same_crop() -> None:
    one, two = training_crops(), training_crops()
    for index in range(12):
        crop, again = one.draw(2, index), two.draw(2, index)
        assert crop.label == again.label
        assert (crop.pixels == again.pixels).all()
        assert (crop.mask == again.mask).all()
    assert any((one.draw(0, i).pixels != one.draw(1, i).pixels).any() for i in range(4))


def test_classes_come_equally_often() -> None:
    crops = training_crops(normal_blood=0.0)
    labels = [crops.draw(0, index).label for index in range(200)]
    assert 70 <= labels.count(BLAST) <= 130


def test_a_cell_on_black_stays_on_black() -> None:
    crops = training_crops(composited=0.0, rendered=0.0, normal_blood=0.0)
    crop = crops.draw(0, 0).pixels
    assert crop.shape == (96, 96, 3)
    assert crop[:6, :6].mean() < 12


def test_a_composited_cell_has_background_around_it_and_the_cell_in_the_middle() -> None:
    crops = training_crops(composited=1.0, rendered=0.0, normal_blood=0.0, neighbour_probability=0)
    for index in range(5):
        crop = crops.draw(0, index).pixels
        assert crop[46:50, 46:50].mean() < crop[[0, -1]].mean()


@pytest.mark.parametrize("composited", [0.0, 1.0])
def test_the_mask_is_where_the_cell_is(composited: float) -> None:
    still = AugmentStrength(0, 0, 0, 0, 0, 0, 0, blur_px=0.4, noise_probability=0)
    crops = training_crops(
        composited=composited,
        rendered=0.0,
        normal_blood=0.0,
        neighbour_probability=1,
        strength=still,
    )
    for index in range(6):
        crop = crops.draw(0, index)
        assert crop.mask.min() == 0
        assert crop.mask.max() == pytest.approx(1, abs=0.01)
        green = crop.pixels[..., 1].astype(float)
        inside, middle = crop.mask > 0.9, crop.mask[40:56, 40:56]
        assert middle.min() > 0.9  # the cell in the middle, whatever lies beside it
        assert green[inside].std() < 12  # one cell, all of one dye
        assert abs(green[inside].mean() - np.median(green[crop.mask < 0.1])) > 20


def test_white_cells_of_normal_blood_are_normal() -> None:
    crops = training_crops(composited=0.0, rendered=0.0, normal_blood=1.0)
    assert {crops.draw(0, index).label for index in range(20)} == {NORMAL}


def test_where_nobody_outlined_the_cell_the_mask_says_so() -> None:
    crops = training_crops(composited=0.0, rendered=0.0, normal_blood=1.0)
    assert (crops.draw(0, 0).mask == UNKNOWN).all()


def test_fields_are_never_written_to() -> None:
    crops = training_crops(composited=1.0, rendered=0.0, normal_blood=0.0)
    for index in range(5):
        crops.draw(0, index)
    assert (crops.fields[0].rgb == smear_field().rgb).all()


def test_free_centres_keep_clear_of_white_cells_and_edges() -> None:
    points = free_centres(
        smear_field(), np.random.default_rng(0), 200, clearance_um=4.0, margin_um=4.0
    )
    assert len(points)
    nearest = np.clip(points, WHITE_CELL[0, :2], WHITE_CELL[0, 2:])
    assert (np.linalg.norm(points - nearest, axis=1) >= 50).all()
    assert (points >= 50).all()
    assert (points <= (450, 350)).all()


def test_recolouring_leaves_the_shape_and_grey_probability_one_takes_the_colour() -> None:
    picture = picture_of(cell(BLAST, 120))
    rng = np.random.default_rng(0)
    same = AugmentStrength(0, 0, 0, 0, 0, grey_probability=0)
    assert np.abs(recolour(picture, rng, same).astype(int) - picture).max() <= 2
    grey = recolour(picture, rng, AugmentStrength(grey_probability=1.0)).astype(int)
    assert np.ptp(grey, axis=2).mean() < np.ptp(picture.astype(int), axis=2).mean()


def test_degrading_keeps_the_picture_recognisable() -> None:
    picture = smear_field().rgb[:96, :96]
    always = AugmentStrength(blur_probability=1, noise_probability=1, jpeg_probability=1)
    degraded = degrade(picture, np.random.default_rng(0), always)
    assert degraded.shape == picture.shape
    assert degraded.mean() == pytest.approx(picture.mean(), abs=3)


def test_a_view_keeps_the_size_of_the_cell() -> None:
    picture = picture_of(cell(BLAST, 120))
    rng = np.random.default_rng(0)
    turned = view(picture, rng, zoom=0.5, side_px=96, zoom_jitter=0.0)
    diameter_px = np.sqrt((turned.max(axis=2) > 60).sum() * 4 / np.pi)
    assert diameter_px == pytest.approx(60, abs=2)
