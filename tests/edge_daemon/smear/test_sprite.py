"""A cell is painted where it is put and measured where it is painted."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.smear.sprite import Sprite


def block(width: int = 10, height: int = 6) -> Sprite:
    """A dark rectangle with a clear margin of two pixels."""
    mask = np.zeros((height + 4, width + 4), np.bool_)
    mask[2:-2, 2:-2] = True
    gain = np.where(mask[..., None], 51, 255).astype(np.uint8).repeat(3, axis=2)
    return Sprite(gain, np.zeros_like(gain), mask)


def test_painting_multiplies_the_light() -> None:
    canvas = np.full((20, 20, 3), 200, np.uint8)
    block().paint(canvas, 10, 10)
    assert canvas[10, 10].tolist() == [40, 40, 40]
    assert canvas[0, 0].tolist() == [200, 200, 200]


@pytest.mark.parametrize(
    ("x", "y", "box", "visible"),
    [
        (20, 20, (15, 17, 25, 23), 1.0),
        (0, 20, (0, 17, 5, 23), 0.5),
        (20, 40, (15, 37, 25, 40), 0.5),
        (40, 40, (35, 37, 40, 40), 0.25),
    ],
)
def test_a_cell_at_the_border_is_cut_and_says_how_much_is_left(
    x: int, y: int, box: tuple[int, int, int, int], visible: float
) -> None:
    assert block().seen_in(x, y, 40, 40) == (box, visible)
    canvas = np.full((40, 40, 3), 200, np.uint8)
    block().paint(canvas, x, y)
    dark = np.argwhere(canvas[..., 0] < 200)
    assert (*dark.min(axis=0)[::-1], *(dark.max(axis=0)[::-1] + 1)) == box


def test_a_cell_outside_is_not_seen_and_paints_nothing() -> None:
    canvas = np.full((40, 40, 3), 200, np.uint8)
    block().paint(canvas, 60, 20)
    assert block().seen_in(60, 20, 40, 40) is None
    assert (canvas == 200).all()


@pytest.mark.parametrize("orientation", range(8))
def test_turning_keeps_the_area_and_the_middle(orientation: int) -> None:
    turned = block().oriented(orientation)
    x0, y0, x1, y1 = turned.extent
    assert turned.area_px == 60
    assert (x0 + x1) / 2 == turned.mask.shape[1] / 2
    assert (y0 + y1) / 2 == turned.mask.shape[0] / 2


def test_trimming_leaves_the_cell_where_it_was() -> None:
    loose, tight = block(), block().trimmed()
    assert tight.mask.all()
    assert tight.seen_in(20, 20, 40, 40) == loose.seen_in(20, 20, 40, 40)
