"""Training crops repeat with their seed, hold what they claim, and never touch their sources."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.smear.composite import Stain, cell_mask, cut_out
from tests.trainer.small_sets import write_sets
from trainer.data.cell_augment import AugmentStrength, degrade, recolour, view
from trainer.data.cnmc import CellRecord, read_manifest
from trainer.data.composite_crops import (
    BANK_PX,
    BANK_UM_PER_PX,
    BLAST,
    NORMAL,
    UNKNOWN,
    Cell,
    CropMix,
    Staining,
    TrainingCrops,
    crops_on_black,
    crops_on_fields,
)
from trainer.data.smear_fields import SmearField, free_centres

WHITE_CELL = np.array([[150, 150, 250, 250]], np.float32)
PURPLE = (110, 50, 140)


def cell(label: int, diameter_px: int) -> Cell:
    picture = np.zeros((BANK_PX, BANK_PX, 3), np.uint8)
    cv2.circle(picture, (BANK_PX // 2, BANK_PX // 2), diameter_px // 2, PURPLE, -1)
    mask = cell_mask(picture, erode_px=1) * np.uint8(255)
    solid = cut_out(picture, BANK_UM_PER_PX, erode_px=1)
    return Cell(label, str(label), np.dstack([picture, mask]), solid)


def picture_of(one: Cell) -> np.ndarray:
    assert one.on_black is not None
    return np.ascontiguousarray(one.on_black[..., :3])


def smear_field() -> SmearField:
    rgb = np.full((400, 500, 3), (230, 215, 205), np.uint8)
    stain = Stain((40.0, 35.0, -30.0), (5.0, 5.0, 5.0))
    return SmearField(rgb, 0.08, stain, WHITE_CELL)


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


def test_evaluation_crops_are_what_the_daemon_would_cut(tmp_path: Path) -> None:
    picture = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(picture, (225, 225), 110, PURPLE[::-1], -1)
    cv2.imwrite(str(tmp_path / "cell.png"), picture)
    record = CellRecord("cell.png", "blast", "1", "1", "val", 0.19, "d")
    black = crops_on_black(tmp_path, [record], 160)[0]
    placed = crops_on_fields(tmp_path, [record], [smear_field()], crop_um=19.8, size=160, seed=0)[0]
    across_black = (black.max(axis=2) > 60)[80].sum()
    across_field = (placed[..., 1] < 150)[80].sum()
    assert across_black == pytest.approx(220 * 160 / 450, abs=2)
    assert across_field == pytest.approx(across_black, abs=4)


def test_a_cell_on_a_field_is_in_its_dye_in_its_own_or_somewhere_between(tmp_path: Path) -> None:
    picture = np.zeros((450, 450, 3), np.uint8)
    cv2.circle(picture, (225, 225), 110, PURPLE[::-1], -1)
    cv2.imwrite(str(tmp_path / "cell.png"), picture)
    record = CellRecord("cell.png", "blast", "1", "1", "val", 0.19, "d")

    def red_inside(staining: Staining, seed: int = 0) -> float:
        crop = crops_on_fields(
            tmp_path,
            [record],
            [smear_field()],
            crop_um=19.8,
            size=160,
            seed=seed,
            staining=staining,
        )[0]
        return float(crop[70:90, 70:90, 0].mean())

    own, dyed = red_inside("own"), red_inside("field")
    assert own == pytest.approx(PURPLE[0], abs=1)
    assert abs(dyed - own) > 10
    varied = [red_inside("varied", seed) for seed in range(6)]
    low, high = sorted((own, own + (dyed - own) / 0.8))
    assert all(low - 1 <= value <= high + 1 for value in varied)
    assert max(varied) - min(varied) > abs(dyed - own) / 3


def test_published_cells_are_decoded_once_and_never_painted_on(tmp_path: Path) -> None:
    """Pictures and cells are kept between crops: what is pasted must be a copy."""
    write_sets(tmp_path)
    root = tmp_path / "cnmc2019"
    records, fields = read_manifest(root), [smear_field()]

    def crops() -> np.ndarray:
        return crops_on_fields(root, records, fields, crop_um=19.8, size=80, seed=1)

    first, on_black = crops(), crops_on_black(root, records, 80)
    assert np.array_equal(crops(), first)
    assert np.array_equal(crops_on_black(root, records, 80), on_black)
