"""How colour is distributed over a cell: what a pathologist calls chromatin and cytoplasm.

Thirteen channels of the cell's pixels, each with its mean, its spread and a soft histogram around
them, and how red, green and blue go together. Measured with one linear layer beside the features of
a frozen EfficientNet-Lite0, C-NMC, five folds over patient groups, out of fold: AUROC 0.887 on
black and 0.845 composited, where the backbone alone ranks at 0.867 and 0.830 (decision 11).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trainer.models.resampling import averaged

CHANNELS = 13
"""Red, green, blue; the optical density of each and of all; saturation; three differences of two
colours and the logarithms of two ratios."""
BOUNDS = (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
"""Of the histogram, in deviations from the mean: the share of the cell above each."""

POOLED = 4
"""So many pixels by as many are averaged first. It costs little, and ranks a little better than
single pixels, which are mostly noise."""

_STEEPNESS = 6.0
"""Of a bound, per deviation. A hard bound would jump with the last bit of a pixel."""
_DARK = 0.02
"""Added where colours are divided: a black pixel has no hue."""


class CellColours(nn.Module):
    """RGB float ``[N, 3, S, S]``, 0 to 255, and mask ``[N, 1, S, S]`` in, ``[N, width]`` out.

    S is a multiple of ``POOLED``. Only what is more cell than not counts.
    """

    width = CHANNELS * (2 + len(BOUNDS)) + 3

    bounds: Tensor

    def __init__(self) -> None:
        super().__init__()
        bounds = torch.tensor(BOUNDS)[:, None] * _STEEPNESS
        self.register_buffer("bounds", bounds, persistent=False)

    def forward(self, pixels: Tensor, mask: Tensor) -> Tensor:
        """The statistics side by side: means, spreads, shares above the bounds, correlations."""
        rgb = averaged(pixels, POOLED) / 255
        share = averaged(mask, POOLED).flatten(2)
        weight = torch.where(share > 0.5, share, torch.zeros_like(share))
        weight = weight / weight.sum(2, keepdim=True).clamp(min=1e-3)
        values = _channels(rgb).flatten(2)
        mean = (values * weight).sum(2, keepdim=True)
        away = values - mean
        spread = ((away.square() * weight).sum(2, keepdim=True) + 1e-4).sqrt()
        away = away * (_STEEPNESS / spread)
        above = ((away[:, :, None] - self.bounds).sigmoid() * weight[:, :, None]).sum(3)
        pairs = away[:, [0, 0, 1]] * away[:, [1, 2, 2]] * weight
        together = pairs.sum(2) / _STEEPNESS**2
        return torch.cat([mean.flatten(1), spread.flatten(1), above.flatten(1), together], dim=1)


def _channels(rgb: Tensor) -> Tensor:
    """Float ``[N, CHANNELS, h, w]`` of ``rgb`` in 0 to 1."""
    density = -((rgb * 255 + 1) / 256).log()
    red, green, blue = rgb[:, 0:1], rgb[:, 1:2], rgb[:, 2:3]
    most, least = rgb.amax(1, keepdim=True), rgb.amin(1, keepdim=True)
    log_blue = (blue + _DARK).log()
    return torch.cat(
        [
            rgb,
            density,
            density.sum(1, keepdim=True),
            (most - least) / (most + _DARK),
            red - green,
            blue - green,
            red - blue,
            (red + _DARK).log() - log_blue,
            (green + _DARK).log() - log_blue,
        ],
        dim=1,
    )
