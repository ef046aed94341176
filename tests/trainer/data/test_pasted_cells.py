"""Cut-out cells land on fields as white cells: at scale, apart from others, with a true box."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.contract.terms import KINDS
from edge_daemon.smear.composite import CutOutCell
from trainer.data.boxes import overlaps
from trainer.data.field_augment import MarkedFrame
from trainer.data.pasted_cells import PasteConfig, PastedCells, read_cut_out_cells

WBC, RBC = KINDS.index("wbc"), KINDS.index("rbc")


def round_cell(diameter_um: float = 12.0, um_per_px: float = 0.1) -> CutOutCell:
    side = round(diameter_um / um_per_px)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    alpha = (np.hypot(x, y) < side / 2).astype(np.float32)
    return CutOutCell(np.full((side, side, 3), (90, 30, 140), np.uint8), alpha, um_per_px)


def field(red_cells: int = 12) -> MarkedFrame:
    """Red cells of 75 px (7.5 um at 0.1 um/px) in rows, and one white cell in the corner."""
    places = np.array([[100 * (i % 6) + 10, 100 * (i // 6) + 200] for i in range(red_cells)])
    red = np.concatenate([places, places + 75], axis=1).reshape(-1, 4)
    boxes = np.concatenate([red, [[20, 20, 150, 150]]]).astype(np.float32)
    kinds = np.array([RBC] * red_cells + [WBC], dtype=np.int8)
    return MarkedFrame(np.full((480, 640, 3), 225, np.uint8), boxes, kinds)


PLAIN = PasteConfig(magnify_range=(1.0, 1.0))


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1))
def test_pasted_cells_are_white_cells_apart_from_each_other(seed: int) -> None:
    before = field()
    frame, count = PastedCells([round_cell()], PLAIN).pasted(before, np.random.default_rng(seed))
    white = frame.boxes[frame.kinds == WBC]
    assert len(white) == 1 + count
    assert (white <= [640, 480, 640, 480]).all()
    between = overlaps(white, white) - np.eye(len(white))
    assert between.max() < 0.1


def test_the_red_cells_of_the_field_give_the_scale() -> None:
    rng = np.random.default_rng(3)
    paste = PastedCells([round_cell(diameter_um=12.0, um_per_px=0.05)], PLAIN)
    sides = []
    for _ in range(20):
        frame, count = paste.pasted(field(), rng)
        pasted = frame.boxes[len(frame.boxes) - count :]
        sides += list((pasted[:, 2:] - pasted[:, :2]).max(axis=1))
    assert np.median(sides) == pytest.approx(120, abs=3)  # 12 um at the field's 0.1 um/px


def test_a_red_cell_that_disappears_is_no_longer_asked_for() -> None:
    rng = np.random.default_rng(5)
    paste = PastedCells([round_cell(diameter_um=20.0)], PasteConfig(most_cells=3))
    hidden = 0
    for _ in range(20):
        frame, count = paste.pasted(field(), rng)
        red = frame.boxes[frame.kinds == RBC]
        hidden += 12 - len(red)
        for box in frame.boxes[len(frame.boxes) - count :]:
            low, high = np.maximum(red[:, :2], box[:2]), np.minimum(red[:, 2:], box[2:])
            covered = np.clip(high - low, 0, None).prod(axis=1) / 75**2
            assert (covered <= 0.61).all()
    assert hidden > 0


def test_the_frame_given_is_not_changed() -> None:
    before = field()
    pixels, boxes = before.pixels.copy(), before.boxes.copy()
    PastedCells([round_cell()])(before, np.random.default_rng(1))
    np.testing.assert_array_equal(before.pixels, pixels)
    np.testing.assert_array_equal(before.boxes, boxes)


def test_a_field_without_a_scale_stays_as_it_is() -> None:
    lonely = field(red_cells=1)
    frame, count = PastedCells([round_cell()]).pasted(lonely, np.random.default_rng(1))
    assert count == 0
    assert frame is lonely


def test_c_nmc_cells_are_cut_out_by_split(leuko_data: Path) -> None:
    cells = read_cut_out_cells(leuko_data / "cnmc2019", "val", 6, np.random.default_rng(0))
    assert 4 <= len(cells) <= 6
    assert all(20 < cell.area_um2 < 400 for cell in cells)
