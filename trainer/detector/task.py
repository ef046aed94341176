"""Train the detector on whole fields: published, with cut-out cells pasted on, and rendered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from rich.console import Console
from torch import nn
from torch.utils.data import DataLoader

from trainer.data.field_augment import MarkedFrame
from trainer.data.field_frames import (
    EpochOrder,
    TrainingBatch,
    TrainingFrames,
    collate,
    start_worker,
)
from trainer.data.fields import FieldSet, read_field_sets
from trainer.data.pasted_cells import PastedCells, read_cut_out_cells
from trainer.data.rendered_fields import RenderedFields
from trainer.detector.config import DetectorConfig
from trainer.detector.evaluate import choose_thresholds, evaluate_detector, figures_of, frames_of
from trainer.detector.loss import detection_loss, lay_out
from trainer.detector.saved import save_detector
from trainer.models.detector import Detector
from trainer.models.efficientnet_lite import load_imagenet_weights, normalise
from trainer.training.averaging import AveragedWeights
from trainer.training.compute import Compute
from trainer.training.loop import Stateful, Tick
from trainer.training.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.training.parallel import Ranks
from trainer.training.run_folder import RunFolder


class DetectorTask:
    """The training that ``config`` describes; satisfies :class:`trainer.training.loop.Task`.

    Frames depend on seed, epoch and index only. Raises :class:`DataError` when a set or the weights
    are missing or broken.
    """

    def __init__(self, config: DetectorConfig, ranks: Ranks, console: Console) -> None:
        torch.set_num_threads(config.threads)
        # Before the loader forks: OpenCV's threads do not survive a fork, and a worker that waits
        # for them waits for ever.
        cv2.setNumThreads(0)
        torch.manual_seed(config.frames.seed)
        self.config, self.ranks = config, ranks
        self.epochs, self.patience = config.epochs, config.patience
        self.detector = Detector(config.shape)
        load_imagenet_weights(self.detector.backbone, config.weights)
        self.detector.backbone.freeze(stages=config.frozen_stages, batch_norm_statistics=True)
        self._compute = Compute(config.arithmetic)
        self.detector.to(self._compute.device).to(memory_format=torch.channels_last)
        self._averaged = AveragedWeights(self.detector, config.average_decay)
        rates = {"backbone.": config.backbone_rate}
        groups = parameter_groups(self.detector, rates, config.weight_decay)
        self._optimizer = torch.optim.AdamW(groups)
        self._batches, self._order = _training_stream(config, ranks, console)
        self._validation: dict[str, list[MarkedFrame]] = {}
        if ranks.leads:
            sets = _described(config.data, "val", console)
            self._validation = {one.name: frames_of(one) for one in sets}
        self._thresholds = config.role().score_thresholds

    def parts(self) -> Mapping[str, Stateful]:
        """Network, its average, and the optimiser."""
        return {
            "network": self.detector,
            "averaged": self._averaged.model,
            "optimizer": self._optimizer,
        }

    def train_epoch(self, epoch: int, tick: Tick) -> dict[str, float]:
        """One pass over all fields, drawn anew."""
        config, steps = self.config, len(self._batches)
        self._order.epoch = epoch
        self.detector.train()
        sums = np.zeros(2)
        for index, batch in enumerate(self._batches):
            step = epoch * steps + index
            rate = warm_cosine(step, config.epochs * steps, config.warmup_steps)
            set_rate(self._optimizer, config.learning_rate * rate)
            sums += list(self._step(batch))
            self._averaged.follow(self.detector, step)
            tick(index + 1, steps)
        score, box = sums / steps
        return {"score_loss": float(score), "box_loss": float(box)}

    def is_due(self, epoch: int) -> bool:
        """Every few epochs, and after each of the last ones."""
        config = self.config
        last = epoch >= config.epochs - config.evaluate_last
        return (epoch + 1) % config.evaluate_every == 0 or last

    def measure(self) -> tuple[float, dict[str, Any]]:
        """Mean of the sets' mAP50, and the figures at the thresholds chosen on them."""
        detector = cast("Detector", self._averaged.model)
        _, matches = evaluate_detector(detector, self._validation, self.config.role())
        self._thresholds = choose_thresholds(matches["pooled"])
        figures = figures_of(matches, self._thresholds)
        mean = float(np.mean([figures[name]["map50"] for name in self._validation]))
        return mean, {"thresholds": self._thresholds, **figures}

    def save_best(self, folder: RunFolder) -> None:
        """The averaged weights, the shape, and the role with the thresholds just chosen."""
        role = self.config.role(self._thresholds)
        save_detector(cast("Detector", self._averaged.model), role, folder.best)

    def _step(self, batch: TrainingBatch) -> Iterator[float]:
        pixels, boxes, kinds = self._compute.take(*batch)
        images = normalise(pixels).contiguous(memory_format=torch.channels_last)
        with self._compute.mixed():
            outputs = self.detector(images)
        predictions = lay_out(outputs, self.detector.strides)
        loss = detection_loss(predictions, boxes, kinds, self.config.loss)
        self._optimizer.zero_grad(set_to_none=True)
        (loss.score + loss.box).backward()
        self.ranks.average_gradients(self.detector)
        nn.utils.clip_grad_norm_(self.detector.parameters(), self.config.gradient_norm)
        self._optimizer.step()
        return (part.item() for part in loss)


def _training_stream(
    config: DetectorConfig, ranks: Ranks, console: Console
) -> tuple[DataLoader[Any], EpochOrder]:
    paste = None
    if config.cut_out_cells:
        rng = np.random.default_rng(config.frames.seed)
        cells = read_cut_out_cells(config.data / "cnmc2019", "train", config.cut_out_cells, rng)
        console.print(f"cnmc2019/train: {len(cells)} cut-out cells to paste")
        paste = PastedCells(cells, config.paste)
    frames = TrainingFrames(
        _described(config.data, "train", console),
        config.epochs,
        config.frames,
        config.augment,
        paste,
        RenderedFields() if config.rendered else None,
    )
    order = EpochOrder(len(frames), config.batch, config.frames.seed, ranks)
    loader = DataLoader(
        frames,
        batch_size=config.batch // ranks.world,
        sampler=order,
        num_workers=1,
        collate_fn=collate,
        worker_init_fn=start_worker,
        persistent_workers=True,
        prefetch_factor=3,
    )
    return loader, order


def _described(data: Path, split: str, console: Console) -> Sequence[FieldSet]:
    field_sets = read_field_sets(data, split)
    for field_set in field_sets:
        console.print(field_set.describe())
    return field_sets
