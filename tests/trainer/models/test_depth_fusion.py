"""Features are read over the cell and nowhere else."""

from __future__ import annotations

import torch

from trainer.models.depth_fusion import DepthFusion, read_over_cell


def masked(side: int) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[:, :, : side // 2] = 1
    return mask


def test_mean_and_deviation_are_those_of_the_cell() -> None:
    feature = torch.randn(1, 3, 8, 8)
    read = read_over_cell(feature, masked(8))
    inside = feature[0, :, :4].flatten(1)
    torch.testing.assert_close(read[0, :3], inside.mean(1))
    expected = (inside.var(1, unbiased=False) + 1e-4).sqrt()
    torch.testing.assert_close(read[0, 3:], expected)


def test_a_coarser_feature_is_read_with_the_same_mask() -> None:
    feature = torch.zeros(1, 1, 4, 4)
    feature[:, :, :2] = 5.0
    assert read_over_cell(feature, masked(32))[0, 0] == 5.0


def test_a_crop_without_a_cell_gives_finite_features() -> None:
    read = read_over_cell(torch.randn(1, 2, 4, 4), torch.zeros(1, 1, 4, 4))
    assert torch.isfinite(read).all()


def test_the_area_is_among_the_features() -> None:
    fusion = DepthFusion([2])
    small, large = torch.zeros(1, 1, 8, 8), torch.ones(1, 1, 8, 8)
    small[:, :, :2] = 1
    feature = torch.randn(1, 2, 8, 8)
    assert fusion.joined([feature], small)[0, -2] == 0.25
    assert fusion.joined([feature], large)[0, -2] == 1.0


def test_what_was_read_elsewhere_stands_behind() -> None:
    fusion = DepthFusion([2], more=3)
    more = torch.tensor([[1.0, 2.0, 3.0]])
    joined = fusion.joined([torch.randn(1, 2, 8, 8)], torch.ones(1, 1, 8, 8), more)
    assert joined.shape == (1, fusion.width)
    assert torch.equal(joined[:, -3:], more)


def test_settled_features_are_standardised() -> None:
    fusion = DepthFusion([2])
    joined = torch.cat([fusion.joined([3 + 2 * torch.randn(64, 2, 8, 8)], torch.rand(64, 1, 8, 8))])
    fusion.settle(joined)
    standardised = fusion(joined)
    torch.testing.assert_close(standardised.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(standardised.std(0), torch.ones(6), atol=1e-4, rtol=0)
