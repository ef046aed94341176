"""Products of matrices say what torch's own pooling and resizing say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trainer.models.resampling import averaged, doubled


@pytest.mark.parametrize("factor", [1, 2, 4, 16])
def test_averaging_is_average_pooling(factor: int) -> None:
    maps = torch.randn(3, 5, 32, 32)
    torch.testing.assert_close(averaged(maps, factor), functional.avg_pool2d(maps, factor))


@pytest.mark.parametrize("side", [1, 2, 16, 64])
def test_doubling_is_bilinear(side: int) -> None:
    maps = torch.randn(3, 2, side, side)
    wanted = functional.interpolate(maps, scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(doubled(maps), wanted)


def test_mixed_precision_does_not_round_what_is_averaged() -> None:
    maps = torch.rand(2, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = averaged(maps, 4)
    assert mixed.dtype == torch.float32
    assert torch.equal(mixed, averaged(maps, 4))


def test_gradients_pass() -> None:
    maps = torch.randn(1, 1, 8, 8, requires_grad=True)
    doubled(averaged(maps, 2)).square().sum().backward()
    assert maps.grad is not None
    assert maps.grad.abs().sum() > 0
