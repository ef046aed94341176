"""Train a classifier on real cells, from what its backbones already know.

Three steps, each from where the one before ends. First the mask learns to find the cell. Then, for
one epoch, the features of the backbones, read over the masked cell, are standardised, and the
committee is trained on them, on cells as the daemon will show them
(:mod:`trainer.classifier.shown`). Last everything but the mask and the
earliest stages is fine-tuned from there, with a low rate, label smoothing, and an average of the
weights (EMA) that is what gets evaluated and saved.

Patients are drawn alike (:mod:`trainer.data.sampling`). AUROC is measured on the groups held out,
on black and composited on validation fields; the epoch with the best mean of the two is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.classifier.evaluate import read_validation
from trainer.classifier.groups import held_out, trained_on
from trainer.classifier.shown import shown_crops
from trainer.data.composite_crops import Cell, TrainingCrops, read_cells
from trainer.data.fields import read_field_sets
from trainer.data.smear_fields import real_fields, rendered_fields, rendered_nucleated_cells
from trainer.models.backbones import BackboneName
from trainer.models.cell_mask import mask_loss, mask_overlap
from trainer.models.classifier import (
    CellClassifier,
    ClassifierGraph,
    load_classifier,
    saved_classifier,
)
from trainer.models.committee import fit_committee
from trainer.models.efficientnet_lite import normalise
from trainer.training.averaging import AveragedWeights
from trainer.training.checkpoint import save_checkpoint
from trainer.training.loop import Stateful, Tick
from trainer.training.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.training.parallel import Ranks
from trainer.training.run_folder import BEST, RunFolder

_LONG_AGO = 1_000_000
"""Steps that the average takes to lie behind it when fine-tuning starts: it starts at an optimum,
not at random weights that it should forget quickly."""


_STEPS_PER_TICK = 50
"""Of the committee's training: they are short."""


class ClassifierTask:
    """The training that ``config`` describes; satisfies :class:`trainer.training.loop.Task`.

    Raises :class:`DataError` for data, weights or a run to start from that is missing or not sound.
    """

    def __init__(self, config: ClassifierConfig, ranks: Ranks, console: Console) -> None:
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)  # random first weights
        self.config, self.ranks = config, ranks
        self.epochs, self.patience = config.epochs, config.patience
        self.network = first_network(config)
        self._averaged = AveragedWeights(self.network, config.ema_decay)
        rates = {"backbones.": config.backbone_rate}
        groups = parameter_groups(self.network, rates, config.weight_decay)
        self._optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        console.print("reading cells and fields")
        self._crops = _training_crops(config)
        self._validation = None
        if ranks.leads:
            self._validation = read_validation(config.data, held_out(config), config.geometry)

    def parts(self) -> Mapping[str, Stateful]:
        """Network, its average, and the optimiser."""
        return {
            "network": self.network,
            "averaged": self._averaged.model,
            "optimizer": self._optimizer,
        }

    def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
        """The mask first, the committee once, then everything."""
        # dropout differs between ranks, and repeats when a run is resumed
        config, ranks = self.config, self.ranks
        torch.manual_seed((config.seed * 1000 + epoch) * ranks.world + ranks.rank)
        batches = _crops_of_epoch(self._crops, config, epoch, ranks)
        if epoch < config.mask_epochs:
            return self._train_mask(batches, epoch, tick)
        self.network.hold_mask()
        if epoch == config.mask_epochs:
            return self._settle(tick)
        return self._fine_tune(batches, epoch, tick)

    def is_due(self, epoch: int) -> bool:
        """Once there is a committee, every few epochs from there, and the last three."""
        config = self.config
        tuned = epoch - config.mask_epochs
        return tuned >= 0 and (tuned % config.evaluate_every == 0 or epoch >= config.epochs - 3)

    def measure(self) -> tuple[float, dict[str, Any]]:
        """Mean AUROC of both kinds of crop on the groups held out."""
        if self._validation is None:
            raise RuntimeError("only the leading rank measures")
        measured = self._validation.measure(ClassifierGraph(self._average, self.config.geometry))
        return (measured["auroc_on_black"] + measured["auroc_composited"]) / 2, dict(measured)

    def save_best(self, folder: RunFolder) -> None:
        """The averaged weights, the architecture and the geometry."""
        save_checkpoint(saved_classifier(self._average, self.config.geometry), folder.best)

    @property
    def _average(self) -> CellClassifier:
        return cast("CellClassifier", self._averaged.model)

    def _train_mask(self, batches: Batches, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass for the mask alone; this rank's loss, and the overlap before it learnt."""
        config, network = self.config, self.network
        network.train()
        losses, overlaps = [], []
        steps, first = config.mask_epochs * len(batches), epoch * len(batches)
        for step, (pixels, truth, _) in enumerate(batches, start=first):
            set_rate(self._optimizer, config.mask_rate * _rate_share(step, steps, config))
            logits, truth = network.mask(_normalised(pixels)), truth[:, None]
            loss = mask_loss(logits, truth)
            self._step(loss, network.mask)
            self._averaged.follow(network, step)
            losses.append(loss.item())
            known = truth.amax((1, 2, 3)) > 0
            overlaps += mask_overlap(logits.detach(), truth)[known].tolist()
            tick(step - first + 1, len(batches))
        return {"loss": float(np.mean(losses)), "mask_iou": float(np.mean(overlaps))}

    @torch.no_grad()
    def _settle(self, tick: Tick) -> dict[str, float]:
        """Take the averaged mask, standardise the features, train the committee on them.

        Every rank does the same sums on the same crops, so all go on alike.
        """
        config, network = self.config, self.network
        network.load_state_dict(self._averaged.model.state_dict())
        network.eval()
        shown = shown_crops(config, trained_on(config))
        ticks = len(shown) + config.committee.steps // _STEPS_PER_TICK
        joined, labels, weights = [], [], []
        for done, (pixels, label, weight) in enumerate(shown, start=1):
            joined.append(network.joined(_normalised(pixels)))
            labels.append(label)
            weights.append(weight)
            tick(done, ticks)
        features, label, weight = torch.cat(joined), torch.cat(labels), torch.cat(weights)
        network.fusion.settle(features)
        standardised = network.fusion(features)
        with torch.enable_grad():
            fit_committee(
                network.committee,
                standardised,
                functional.one_hot(label, len(CLASSES)).float(),
                weight,
                config.committee,
                seed=config.seed,
                tick=lambda step, _: tick(len(shown) + step // _STEPS_PER_TICK, ticks),
            )
        network.novelty.settle(standardised, weight)
        self._averaged.model.load_state_dict(network.state_dict())
        right = (network.committee(standardised).argmax(1) == label).float()
        return {"training_accuracy": ((right * weight).sum() / weight.sum()).item()}

    def _fine_tune(self, batches: Batches, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass; this rank's mean loss. The averaged weights move with every step."""
        config, network = self.config, self.network
        criterion = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)
        network.train()
        losses = []
        settled = config.mask_epochs + 1
        steps = (config.epochs - settled) * len(batches)
        first = (epoch - settled) * len(batches)
        for step, (pixels, _, labels) in enumerate(batches, start=first):
            set_rate(self._optimizer, config.learning_rate * _rate_share(step, steps, config))
            loss = criterion(network(_normalised(pixels)), labels)
            self._step(loss, network)
            self._averaged.follow(network, _LONG_AGO + step)
            losses.append(loss.item())
            tick(step - first + 1, len(batches))
        return {"loss": float(np.mean(losses))}

    def _step(self, loss: Tensor, trained: nn.Module) -> None:
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.ranks.average_gradients(trained)
        nn.utils.clip_grad_norm_(trained.parameters(), 2.0)
        self._optimizer.step()


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


def first_network(config: ClassifierConfig) -> CellClassifier:
    """The network before the first step, each backbone from where it is to start."""
    network = CellClassifier(
        config.read_depths,
        config.dropout,
        colours=config.counts_colours,
        members=config.committee.members,
        hidden=config.committee.hidden,
    )
    for name, backbone in network.looking():
        if name in config.start_from:
            run = config.start_from[name]
            try:
                cast("nn.Module", backbone).load_state_dict(_trained_backbone(name, run))
            except RuntimeError:
                raise DataError(
                    f"start_from.{name}: the run {run} read fewer or more of its stages"
                ) from None
        elif config.weights != "none":
            backbone.load_imagenet(None if config.weights == "imagenet" else Path(config.weights))
        backbone.freeze(stages=config.frozen_stages, batch_norm_statistics=config.frozen_statistics)
    network.to(memory_format=torch.channels_last)
    return network


def _trained_backbone(name: BackboneName, run: Path) -> Mapping[str, Any]:
    trained = load_classifier(run / BEST).network
    if name not in trained.depths:
        raise DataError(f"start_from.{name}: the run {run} trained {', '.join(trained.depths)}")
    return trained.backbones[name].state_dict()


def _training_crops(config: ClassifierConfig) -> TrainingCrops:
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


def _rate_share(step: int, steps: int, config: ClassifierConfig) -> float:
    return warm_cosine(step, steps, max(1, round(config.warmup_share * steps)))


def _normalised(pixels: Tensor) -> Tensor:
    return normalise(pixels).contiguous(memory_format=torch.channels_last)
