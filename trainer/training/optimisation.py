"""How fast each part of a network learns, and when."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

_FINAL_RATE = 0.02
"""Share of the full learning rate that is left at the last step."""


def parameter_groups(
    model: nn.Module, relative_rates: Mapping[str, float], weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimiser: trainable parameters by relative rate and weight decay.

    ``relative_rates`` gives the rate of the parameters whose names begin so; others learn at 1.
    Norms, biases and scales (at most one dimension) get no weight decay.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rates = [rate for start, rate in relative_rates.items() if name.startswith(start)]
            decay = weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault(((*rates, 1.0)[0], decay), []).append(parameter)
    return [
        {"params": parameters, "relative_rate": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]


def set_rate(optimizer: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give every group of :func:`parameter_groups` its share of ``learning_rate``."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group["relative_rate"]


def warm_cosine(step: int, total_steps: int, warmup_steps: int) -> float:
    """Share of the full rate at ``step`` (from 0): a linear rise, then half a cosine down.

    The cosine is that of Loshchilov & Hutter 2017, arXiv:1608.03983.
    """
    warm = min((step + 1) / warmup_steps, 1.0)
    cosine = 0.5 * (1 + math.cos(math.pi * min(step / total_steps, 1.0)))
    return warm * (_FINAL_RATE + (1 - _FINAL_RATE) * cosine)
