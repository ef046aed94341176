"""What a training computes on, and in which arithmetic.

The GPU where there is one, the processor otherwise. Mixed precision is bfloat16 for the products of
the networks; weights, sums, losses and what is measured stay in float32, and nothing needs scaling
(Micikevicius et al. 2018, arXiv:1710.03740; bfloat16 has the exponents of float32).
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

Arithmetic: TypeAlias = Literal["float32", "bfloat16"]


def found_device() -> torch.device:
    """This process's GPU (``LOCAL_RANK`` of ``torchrun`` says which), or the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


@dataclass(frozen=True)
class Compute:
    """Device and arithmetic of one process of a training."""

    arithmetic: Arithmetic = "float32"
    device: torch.device = field(default_factory=found_device)

    def mixed(self) -> AbstractContextManager[object]:
        """Within this, networks compute in :attr:`arithmetic`."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.arithmetic == "bfloat16"
        )

    def take(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        """The tensors on the device."""
        return tuple(tensor.to(self.device, non_blocking=True) for tensor in tensors)


def device_of(network: nn.Module) -> torch.device:
    """Where the weights of ``network`` are."""
    return next(network.parameters()).device
