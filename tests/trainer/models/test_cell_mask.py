"""The mask has the size of the crop, learns, and is not asked about what nobody outlined."""

from __future__ import annotations

import torch

from trainer.models.cell_mask import CellMask, mask_loss, mask_overlap


def discs(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Dark discs of different sizes on a bright ground, and where they are."""
    at = torch.arange(64) - 31.5
    distance = (at[:, None] ** 2 + at[None] ** 2).sqrt()
    radii = torch.linspace(10, 24, count)[:, None, None, None]
    truth = (distance[None, None] < radii).float()
    return 0.8 - truth.repeat(1, 3, 1, 1) + 0.1 * torch.randn(count, 3, 64, 64), truth


def test_the_mask_has_the_size_of_the_crop() -> None:
    assert CellMask()(torch.zeros(2, 3, 64, 64)).shape == (2, 1, 64, 64)


def test_it_learns_where_a_cell_is() -> None:
    torch.manual_seed(0)
    network = CellMask()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    crops, truth = discs(8)
    for _ in range(60):
        optimizer.zero_grad()
        mask_loss(network(crops), truth).backward()
        optimizer.step()
    assert mask_overlap(network.eval()(crops), truth).min() > 0.85


def test_crops_without_an_outline_do_not_count() -> None:
    logits = torch.randn(2, 1, 16, 16)
    truth = (torch.rand(2, 1, 16, 16) > 0.5).float()
    alone = mask_loss(logits[:1], truth[:1])
    truth[1] = -1
    torch.testing.assert_close(mask_loss(logits, truth), alone)
    assert torch.isfinite(mask_loss(logits, torch.full_like(truth, -1.0)))


def test_overlap_is_that_of_the_areas() -> None:
    logits = torch.full((1, 1, 4, 4), -5.0)
    logits[..., :2] = 5.0
    truth = torch.zeros(1, 1, 4, 4)
    truth[..., 1:3] = 1.0
    torch.testing.assert_close(mask_overlap(logits, truth), torch.tensor([1 / 3]))
