"""The crops of an epoch, drawn anew each time: what masks and backbones learn from."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edge_daemon.contract.terms import CLASSES
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import trained_on
from trainer.data.fields import read_field_sets
from trainer.data.smear_fields import real_fields, rendered_fields, rendered_nucleated_cells
from trainer.data.training_crops import Cell, TrainingCrops, read_cells
from trainer.training.parallel import Ranks


class _EpochOfCrops(Dataset[tuple[Tensor, Tensor, int]]):
    """The crops of one epoch that are this rank's part: pixels, mask, label."""

    def __init__(self, crops: TrainingCrops, epoch: int, count: int, ranks: Ranks) -> None:
        self.crops, self.epoch, self.count, self.ranks = crops, epoch, count, ranks

    def __len__(self) -> int:
        return self.count // self.ranks.world

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, int]:
        import cv2

        cv2.setNumThreads(0)  # one worker is one core; OpenCV's own threads would fight torch's
        crop = self.crops.draw(self.epoch, index * self.ranks.world + self.ranks.rank)
        pixels = torch.from_numpy(np.ascontiguousarray(crop.pixels))
        return pixels, torch.from_numpy(np.ascontiguousarray(crop.mask)), crop.label


Batches: TypeAlias = "DataLoader[Any]"
"""Batches of pixels uint8 ``[B, S, S, 3]``, masks float32 ``[B, S, S]``, labels int64 ``[B]``."""


def crops_of_epoch(
    crops: TrainingCrops, config: ClassifierConfig, epoch: int, ranks: Ranks
) -> Batches:
    """This rank's batches of ``epoch``; what is drawn depends on seed and epoch alone."""
    whole = config.crops_per_epoch // config.batch * config.batch
    return DataLoader(
        _EpochOfCrops(crops, epoch, whole, ranks),
        batch_size=config.batch // ranks.world,
        num_workers=config.workers,
    )


def training_crops(config: ClassifierConfig) -> TrainingCrops:
    """What crops are drawn from: cells, fields, rendered cells. Raises :class:`DataError`."""
    drawn = rendered_nucleated_cells(config.rendered_cells, config.seed)
    return TrainingCrops(
        read_cells(config.data / "cnmc2019", trained_on(config)),
        real_fields(read_field_sets(config.data, "train")),
        [Cell(CLASSES.index(label), "rendered", None, cell) for label, cell in drawn],
        rendered_fields(config.rendered_fields, config.seed),
        side_px=config.geometry.visible,
        um_per_px=config.geometry.um_per_px,
        mix=config.mix,
        seed=config.seed,
    )
