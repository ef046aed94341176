"""Training in several processes at once: one per GPU, or one per share of a busy CPU.

Started by ``torchrun``, each process (rank) takes its part of every batch, and the gradients are
averaged before each step, so that all hold the same weights. Without ``torchrun`` there is one
rank and nothing to do.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from torch import distributed, nn

from trainer.training.compute import found_device


@dataclass(frozen=True)
class Ranks:
    """Which process this is, and of how many."""

    rank: int = 0
    world: int = 1

    @property
    def leads(self) -> bool:
        """The first rank evaluates, writes and talks."""
        return self.rank == 0

    def average_gradients(self, model: nn.Module) -> None:
        """Replace the gradients of ``model`` by their mean over all ranks."""
        if self.world == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self.world
        parts = flat.split([gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def agree(self, number: int) -> int:
        """The leader's ``number``, on every rank: only it measures, all must stop together."""
        if self.world == 1:
            return number
        shared = torch.tensor([number], device=found_device())
        distributed.broadcast(shared, src=0)
        return int(shared.item())


def join_ranks() -> Ranks:
    """Meet the other processes that ``torchrun`` started, if it did."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Ranks()
    if not distributed.is_initialized():
        device = found_device()
        if device.type == "cuda":
            torch.cuda.set_device(device)
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return Ranks(distributed.get_rank(), distributed.get_world_size())
