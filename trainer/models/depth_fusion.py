"""Features of several depths of a network, read over one cell and joined.

An early layer sees texture and colour at the scale of chromatin, a late one shape; what tells a
blast from a normal precursor is in both, and in how they go together: see
:mod:`trainer.models.committee`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from trainer.models.resampling import averaged


def read_over_cell(feature: Tensor, mask: Tensor) -> Tensor:
    """Mean and standard deviation of each channel over the cell, float ``[N, 2 C]``.

    ``feature`` float ``[N, C, H, W]``; ``mask`` float ``[N, 1, kH, kW]``, 0 to 1, k whole: how much
    of a pixel is cell. The deviation is taken from the mean first and squared then, which keeps its
    digits in fp16 where a difference of squares does not.
    """
    factor = mask.shape[-1] // feature.shape[-1]
    weight = averaged(mask, factor)
    weight = weight / weight.sum((2, 3), keepdim=True).clamp(min=1e-3)
    mean = (feature * weight).sum((2, 3), keepdim=True)
    variance = ((feature - mean).square() * weight).sum((2, 3))
    return torch.cat([mean.flatten(1), (variance + 1e-4).sqrt()], dim=1)


def standardisation(joined: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation, float ``[width]`` each, of ``joined``, float ``[M, width]``.

    A feature that does not vary keeps a deviation it can be divided by.
    """
    return joined.mean(0), joined.std(0).clamp(min=1e-4)


class DepthFusion(nn.Module):
    """Joins what :func:`read_over_cell` reads at several depths with the area of the cell.

    ``more`` further numbers of each cell, read elsewhere, may stand beside them.

    Each joined feature is brought to mean 0 and deviation 1 over the training crops (the fixed
    buffers ``mean`` and ``deviation``, see :meth:`settle`), so that no depth outweighs another.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: Sequence[int], more: int = 0) -> None:
        super().__init__()
        self.width = 2 * sum(channels) + 2 + more
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("deviation", torch.ones(self.width))

    def joined(
        self, features: Sequence[Tensor], mask: Tensor, more: Tensor | None = None
    ) -> Tensor:
        """The features side by side as they are, float ``[N, width]``.

        Behind them the area, as a share of the crop, and its square root; then ``more``, float
        ``[N, more]``.
        """
        area = mask.mean((1, 2, 3))[:, None]
        read = [read_over_cell(feature, mask) for feature in features]
        further = [] if more is None else [more]
        return torch.cat([*read, area, (area + 1e-6).sqrt(), *further], dim=1)

    def settle(self, joined: Tensor) -> None:
        """Take mean and deviation from ``joined``, float ``[M, width]``, of many crops."""
        mean, deviation = standardisation(joined)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation)

    def forward(self, joined: Tensor) -> Tensor:
        """What :meth:`joined` returned, standardised, float ``[N, width]``."""
        return (joined - self.mean) / self.deviation
