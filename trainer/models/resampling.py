"""Smaller and larger maps, as products with two small matrices.

A classifier averages its crop and its mask to several sizes and enlarges the mask. Runtimes lay
out what their pooling and resizing take in blocks of sixteen channels; for a mask of one channel
that is fifteen sixteenths of nothing, and cost a third of the whole classifier in OpenVINO. A
product of matrices keeps the plain layout, and says the same to the last bits.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def averaged(maps: Tensor, factor: int) -> Tensor:
    """Means of squares of ``factor`` by ``factor``: float ``[N, C, S, S]`` to ``[N, C, S/f, S/f]``.

    S is a multiple of ``factor``. Computed in float32 in mixed precision too: what is averaged are
    weights and colours, whose small differences count.
    """
    if factor == 1:
        return maps
    squares = torch.eye(maps.shape[-1] // factor).repeat_interleave(factor, dim=1) / factor
    return _product(squares.to(maps), maps)


def doubled(maps: Tensor) -> Tensor:
    """Twice as large, bilinear, pixels' centres aligned: float ``[N, C, 2S, 2S]``.

    What ``interpolate(scale_factor=2, mode="bilinear")`` gives.
    """
    steps = torch.eye(maps.shape[-1])[None]
    weights = functional.interpolate(steps, scale_factor=2.0, mode="linear")[0].T
    return _product(weights.contiguous().to(maps), maps)


def _product(left: Tensor, maps: Tensor) -> Tensor:
    """``left`` applied to the rows and to the columns of each map, in the maps' own precision."""
    kind = maps.device.type
    if torch.is_autocast_enabled(kind):
        with torch.autocast(kind, enabled=False):
            return left @ maps @ left.T
    return left @ maps @ left.T
