"""Colours are counted over the cell and nowhere else, and survive what has no colour."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.models.cell_colours import BOUNDS, CHANNELS, POOLED, CellColours
from trainer.models.efficientnet_lite import channels_first

SIDE = 64


def cell(pixels: np.ndarray) -> torch.Tensor:
    """RGB ``[1, 3, SIDE, SIDE]``, 0 to 255, of uint8 ``[SIDE, SIDE, 3]``."""
    return channels_first(torch.from_numpy(pixels[None]))


def left_half() -> torch.Tensor:
    mask = torch.zeros(1, 1, SIDE, SIDE)
    mask[..., : SIDE // 2] = 1
    return mask


def coarse_noise(seed: int) -> np.ndarray:
    """Squares of as many pixels as are averaged, so that averaging changes nothing."""
    side = SIDE // POOLED
    small = np.random.default_rng(seed).integers(20, 235, (side, side, 3))
    return small.astype(np.uint8).repeat(POOLED, 0).repeat(POOLED, 1)


def test_mean_and_spread_are_those_of_the_cells_pixels():
    pixels = coarse_noise(0)
    counted = CellColours()(cell(pixels), left_half())[0]
    inside = pixels[:, : SIDE // 2].reshape(-1, 3) / 255
    np.testing.assert_allclose(counted[:3], inside.mean(0), atol=1e-5)
    np.testing.assert_allclose(
        counted[CHANNELS : CHANNELS + 3], np.sqrt(inside.var(0) + 1e-4), atol=1e-5
    )


def test_what_is_not_the_cell_does_not_count():
    one, other = coarse_noise(0), coarse_noise(1)
    other[:, : SIDE // 2] = one[:, : SIDE // 2]
    colours = CellColours()
    torch.testing.assert_close(colours(cell(one), left_half()), colours(cell(other), left_half()))


def test_the_shares_above_rising_bounds_fall():
    counted = CellColours()(cell(coarse_noise(2)), left_half())[0]
    shares = counted[2 * CHANNELS : -3].reshape(CHANNELS, len(BOUNDS))
    assert (shares[:, :-1] >= shares[:, 1:]).all()
    assert ((shares > 0) & (shares < 1)).all()


def test_channels_that_go_together_are_correlated():
    grey = coarse_noise(3)[..., :1].repeat(3, axis=2)
    together = CellColours()(cell(grey), left_half())[0, -3:]
    np.testing.assert_allclose(together, 1.0, atol=0.01)


@pytest.mark.parametrize("level", [0, 128, 255])
@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_flat_crop_with_or_without_a_cell_gives_finite_numbers(level, share):
    flat = np.full((SIDE, SIDE, 3), level, np.uint8)
    counted = CellColours()(cell(flat), torch.full((1, 1, SIDE, SIDE), share))
    assert counted.shape == (1, CellColours.width)
    assert torch.isfinite(counted).all()
