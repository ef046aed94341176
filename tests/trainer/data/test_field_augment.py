"""Varied frames stay true: every box still surrounds its cell."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.data.field_augment import (
    AugmentConfig,
    MarkedFrame,
    mosaic,
    photometric,
    single,
    turned,
)

SEEDS = st.integers(0, 2**32 - 1)
CELL = np.array([200, 30, 40], dtype=np.uint8)


def field(height: int, width: int, boxes: list[list[int]]) -> MarkedFrame:
    """Grey ground with every cell a plain rectangle that fills its box."""
    pixels = np.full((height, width, 3), 220, dtype=np.uint8)
    for x0, y0, x1, y1 in boxes:
        pixels[y0:y1, x0:x1] = CELL
    array = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    return MarkedFrame(pixels, array, np.arange(len(boxes), dtype=np.int8) % 3)


FIELD = field(96, 128, [[10, 20, 40, 60], [70, 8, 110, 30], [64, 60, 80, 90]])


def assert_boxes_surround_cells(frame: MarkedFrame, tolerance_px: float) -> None:
    is_cell = frame.pixels[..., 1].astype(int) < frame.pixels[..., 0].astype(int) - 80
    for x0, y0, x1, y1 in frame.boxes:
        inside = is_cell[round(float(y0)) : round(float(y1)), round(float(x0)) : round(float(x1))]
        edge = tolerance_px * 2 * (1 / (x1 - x0) + 1 / (y1 - y0))
        assert inside.mean() >= 1 - edge


@given(seed=SEEDS)
def test_turning_moves_boxes_with_their_cells(seed: int) -> None:
    frame = turned(FIELD, np.random.default_rng(seed))
    assert_boxes_surround_cells(frame, 0.0)
    assert len(frame.boxes) == 3


@settings(max_examples=40)
@given(seed=SEEDS)
def test_single_frames_stay_true_and_on_the_canvas(seed: int) -> None:
    frame = single(FIELD, 64, 96, (0.5, 1.5), np.random.default_rng(seed))
    assert frame.pixels.shape == (64, 96, 3)
    assert (frame.boxes >= 0).all()
    assert (frame.boxes <= [96, 64, 96, 64]).all()
    assert len(frame.boxes) == len(frame.kinds)
    assert_boxes_surround_cells(frame, 1.2)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_mosaics_stay_true_and_on_the_canvas(seed: int) -> None:
    frame = mosaic([FIELD] * 4, 128, 160, AugmentConfig(), np.random.default_rng(seed))
    assert frame.pixels.shape == (128, 160, 3)
    assert (frame.boxes <= [160, 128, 160, 128]).all()
    assert_boxes_surround_cells(frame, 1.2)


def test_a_frame_without_cells_can_be_varied() -> None:
    empty = field(40, 50, [])
    rng = np.random.default_rng(0)
    assert single(empty, 64, 96, (0.5, 1.5), rng).boxes.shape == (0, 4)
    assert mosaic([empty] * 4, 64, 96, AugmentConfig(), rng).boxes.shape == (0, 4)


@settings(max_examples=40)
@given(seed=SEEDS)
def test_light_and_stain_leave_a_picture_of_the_same_size(seed: int) -> None:
    pixels = photometric(FIELD.pixels, AugmentConfig(), np.random.default_rng(seed))
    assert pixels.shape == FIELD.pixels.shape
    assert pixels.dtype == np.uint8
    assert pixels.std() > 1


def test_the_same_seed_gives_the_same_picture() -> None:
    first, again = (
        photometric(FIELD.pixels, AugmentConfig(), np.random.default_rng(7)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
