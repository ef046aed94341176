"""Averaged weights: what is evaluated and shipped is the mean of the recent past of training.

An exponential moving average of all weights and statistics is steadier than the last step of a
short training (Polyak & Juditsky 1992).
"""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


class AveragedWeights:
    """Follows ``model``; ``self.model`` is the averaged copy, in inference mode."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model: Model = copy.deepcopy(model).eval().requires_grad_(False)
        self._decay = decay

    @torch.no_grad()
    def follow(self, model: nn.Module, step: int) -> None:
        """Move towards ``model`` after optimiser step ``step`` (from 0), faster at the start."""
        decay = min(self._decay, (1 + step) / (10 + step))
        current = model.state_dict()
        for name, value in self.model.state_dict().items():
            if value.dtype.is_floating_point:
                value.lerp_(current[name], 1 - decay)
            else:
                value.copy_(current[name])
