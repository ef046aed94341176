"""Rendered fields come with the truth of the detector."""

from __future__ import annotations

import numpy as np

from trainer.data.rendered_fields import RenderedFields


def test_a_field_of_the_pool_is_the_same_whenever_it_is_drawn() -> None:
    first, again = (RenderedFields(pool=2, seeds=range(1, 2)).draw(1) for _ in range(2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    np.testing.assert_array_equal(first.boxes, again.boxes)


def test_its_truth_lies_on_the_field() -> None:
    frame = RenderedFields(pool=1, seeds=range(1, 2))(np.random.default_rng(0))
    assert frame.pixels.shape == (480, 640, 3)
    assert len(frame.boxes) == len(frame.kinds) > 0
    x0, y0, x1, y1 = frame.boxes.T
    assert ((x0 >= 0) & (y0 >= 0) & (x1 <= 640) & (y1 <= 480) & (x1 > x0) & (y1 > y0)).all()
