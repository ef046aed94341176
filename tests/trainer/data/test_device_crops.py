"""Crops are what the device would cut of the same cells, in the stain that was asked for."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.trainer.small_sets import PURPLE, smear_field, write_sets
from trainer.data.cnmc import CellRecord, read_manifest
from trainer.data.device_crops import Staining, crops_on_black, crops_on_fields


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


def test_a_cell_on_a_field_is_in_its_stain_in_its_own_or_somewhere_between(tmp_path: Path) -> None:
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
