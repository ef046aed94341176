"""Training of the cell detector on whole fields.

Measured on two cores of an EPYC (Zen 4) under load, input 320x416, batch 8, one thread: 6.9
images/s in fp32 with channels-last and the first three stages frozen, 6.6 in bf16 (contiguous),
4.5 in bf16 with channels-last, 9.0 with five stages frozen. OpenVINO runs the exported graph in
18 ms in fp32 and 9 ms in bf16 on those two cores; 416x416 takes 38 and 18 ms, a pyramid of 96
channels 22 and 13 ms. So: 320x416 (the shape of a 4:3 camera; red cells are 66 px in BCCD and
TXL-PBC alike), 64 channels, fp32.

On a busy CPU two ranks of one thread each get more done than one rank of two threads, which wait
for each other in every layer: see :mod:`trainer.parallel`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.utils.data import DataLoader

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS, CellKind
from trainer.averaging import AveragedWeights
from trainer.checkpoint import load_checkpoint, save_checkpoint, save_json
from trainer.data.field_augment import AugmentConfig, MarkedFrame
from trainer.data.field_frames import (
    EpochOrder,
    FramesConfig,
    Render,
    TrainingBatch,
    TrainingFrames,
    collate,
    start_worker,
)
from trainer.data.fields import read_field_sets
from trainer.data.pasted_cells import PasteConfig, PastedCells, read_cut_out_cells
from trainer.detection_loss import DetectionLossConfig, detection_loss, lay_out
from trainer.evaluate_detector import (
    choose_thresholds,
    evaluate_detector,
    figures_of,
    frames_of,
)
from trainer.models.detector import Detector, DetectorShape
from trainer.models.efficientnet_lite import load_imagenet_weights, normalise
from trainer.optimisation import parameter_groups, set_rate, warm_cosine
from trainer.parallel import Ranks, join_ranks

CHECKPOINT = "checkpoint.pt"
"""Everything needed to go on."""
BEST = "detector.pt"
"""Averaged weights of the best epoch, with the shape and the role that belong to them."""


@dataclass(frozen=True)
class DetectorFitConfig:
    """A whole training, but for where it is written."""

    data: Path
    """Folder of ``bccd``, ``txl-pbc`` and ``cnmc2019``."""
    weights: Path | None = None
    """ImageNet weights of EfficientNet-Lite0; ``None`` takes the installed package's."""
    epochs: int = 26
    batch: int = 12
    """Frames per step, over all ranks."""
    learning_rate: float = 1.2e-3
    backbone_rate: float = 0.3
    """Learning rate of the pretrained backbone relative to the rest."""
    weight_decay: float = 0.02
    warmup_steps: int = 150
    gradient_norm: float = 8.0
    average_decay: float = 0.998
    frozen_stages: int = 3
    cut_out_cells: int = 400
    """C-NMC training cells held ready for pasting; 0 pastes none."""
    evaluate_every: int = 3
    """Epochs between evaluations; the last ``evaluate_last`` are all evaluated."""
    evaluate_last: int = 3
    threads: int = 1
    shape: DetectorShape = field(default_factory=DetectorShape)
    frames: FramesConfig = field(default_factory=FramesConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    paste: PasteConfig = field(default_factory=PasteConfig)
    loss: DetectionLossConfig = field(default_factory=DetectionLossConfig)

    def role(self, thresholds: Mapping[CellKind, float] | None = None) -> DetectorRole:
        """The geometry this training is for; thresholds of 0.5 until they are chosen."""
        return DetectorRole(
            input_height=self.frames.height,
            input_width=self.frames.width,
            score_thresholds=dict(thresholds or dict.fromkeys(KINDS, 0.5)),
        )


@dataclass
class _Progress:
    """How far training has come; part of the checkpoint."""

    epoch: int = 0
    best: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)


def fit_detector(
    config: DetectorFitConfig, run_dir: Path, render: Render | None = None
) -> dict[str, Any]:
    """Train, or go on where ``run_dir`` stands, and return the metrics of the best epoch.

    Writes into ``run_dir``: ``checkpoint.pt`` after every epoch, ``detector.pt`` at every new best
    mean of the sets' mAP50, ``metrics.json`` and ``config.json``. Going on is exact: frames depend
    on seed, epoch and index only. The configuration may differ from the one before (more epochs,
    rendered frames); ``metrics.json`` then shows from which epoch on.

    Raises:
        DataError: a set, the weights or the checkpoint is missing or broken.
    """
    ranks = join_ranks()
    console = Console(quiet=not ranks.leads)
    torch.set_num_threads(config.threads)
    # Before the loader forks: OpenCV's threads do not survive a fork, and a worker that waits for
    # them waits for ever.
    cv2.setNumThreads(0)
    torch.manual_seed(config.frames.seed)
    run_dir.mkdir(parents=True, exist_ok=True)
    if ranks.leads:
        save_json(asdict(config), run_dir / "config.json")

    loader, order = _training_stream(config, render, ranks, console)
    validation: dict[str, list[MarkedFrame]] = {}
    if ranks.leads:
        validation = {s.name: frames_of(s) for s in _described(config.data, "val", console)}
    detector = Detector(config.shape)
    load_imagenet_weights(detector.backbone, config.weights)
    detector.backbone.freeze(stages=config.frozen_stages, batch_norm_statistics=True)
    detector.to(memory_format=torch.channels_last)
    averaged = AveragedWeights(detector, config.average_decay)
    optimizer = torch.optim.AdamW(
        parameter_groups(detector, {"backbone.": config.backbone_rate}, config.weight_decay)
    )
    state = _resume(run_dir / CHECKPOINT, detector, averaged, optimizer, console)

    for epoch in range(state.epoch, config.epochs):
        order.epoch = epoch
        started = time.monotonic()
        losses = _one_epoch(detector, averaged, optimizer, loader, epoch, config, ranks, console)
        seconds = time.monotonic() - started
        if not ranks.leads:
            continue
        entry: dict[str, Any] = {
            "epoch": epoch + 1,
            "score_loss": round(losses[0], 4),
            "box_loss": round(losses[1], 4),
            "images_per_s": round(len(order) * ranks.world / seconds, 2),
            "pasted": config.cut_out_cells > 0,
            "rendered": render is not None,
        }
        if _is_due(epoch, config):
            entry |= _evaluate(cast("Detector", averaged.model), validation, config, state, run_dir)
        state.history.append(entry)
        state.epoch = epoch + 1
        console.print(" ".join(f"{key}={value}" for key, value in entry.items()))
        save_json(state.history, run_dir / "metrics.json")
        save_checkpoint(
            {
                "detector": detector.state_dict(),
                "averaged": averaged.model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "progress": asdict(state),
            },
            run_dir / CHECKPOINT,
        )
    scored = [entry for entry in state.history if "mean_map50" in entry]
    return max(scored, key=lambda entry: entry["mean_map50"]) if scored else {}


def load_detector(path: Path) -> tuple[Detector, DetectorRole]:
    """The network and the role in a ``detector.pt``, ready to run.

    Raises :class:`edge_daemon.errors.DataError` when the file is missing or broken.
    """
    saved = load_checkpoint(path)
    detector = Detector(DetectorShape(**saved["shape"]))
    detector.load_state_dict(saved["weights"])
    return detector.eval(), DetectorRole.model_validate(saved["role"])


def measure_again(run_dir: Path, data: Path) -> dict[str, Any]:
    """Choose the thresholds of a run's best weights anew and measure them at these.

    Needed when the rule for thresholds or the validation frames have changed since. Rewrites
    ``detector.pt`` (its role only) and the entry of ``metrics.json`` that belongs to it.
    """
    detector, role = load_detector(run_dir / BEST)
    sets = {field_set.name: frames_of(field_set) for field_set in read_field_sets(data, "val")}
    _, matches = evaluate_detector(detector, sets, role)
    thresholds = choose_thresholds(matches["pooled"])
    metrics = json.loads((run_dir / "metrics.json").read_text(encoding="utf-8"))
    scored = [entry for entry in metrics if "mean_map50" in entry]
    best: dict[str, Any] = max(scored, key=lambda entry: entry["mean_map50"])
    best.update(thresholds=thresholds, **figures_of(matches, thresholds))
    new_role = role.model_copy(update={"score_thresholds": thresholds})
    save_detector(detector, new_role, run_dir / BEST)
    save_json(metrics, run_dir / "metrics.json")
    return best


def save_detector(detector: Detector, role: DetectorRole, path: Path) -> None:
    """Write what :func:`load_detector` reads."""
    saved = {
        "shape": asdict(detector.shape),
        "role": role.model_dump(mode="json"),
        "weights": detector.state_dict(),
    }
    save_checkpoint(saved, path)


def _training_stream(
    config: DetectorFitConfig, render: Render | None, ranks: Ranks, console: Console
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
        render,
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


def _described(data: Path, split: str, console: Console) -> Sequence[Any]:
    field_sets = read_field_sets(data, split)
    for field_set in field_sets:
        console.print(field_set.describe())
    return field_sets


def _one_epoch(
    detector: Detector,
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    loader: DataLoader[Any],
    epoch: int,
    config: DetectorFitConfig,
    ranks: Ranks,
    console: Console,
) -> tuple[float, float]:
    detector.train()
    sums = [0.0, 0.0]
    columns = (TextColumn("epoch {task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(f"{epoch + 1}/{config.epochs}", total=len(loader))
        for index, batch in enumerate(loader):
            step = epoch * len(loader) + index
            rate = warm_cosine(step, config.epochs * len(loader), config.warmup_steps)
            set_rate(optimizer, config.learning_rate * rate)
            for part, loss in enumerate(_train_step(detector, optimizer, batch, config, ranks)):
                sums[part] += loss / len(loader)
            averaged.follow(detector, step)
            progress.advance(task)
    return sums[0], sums[1]


def _train_step(
    detector: Detector,
    optimizer: torch.optim.Optimizer,
    batch: TrainingBatch,
    config: DetectorFitConfig,
    ranks: Ranks,
) -> Iterator[float]:
    images = normalise(batch.images).contiguous(memory_format=torch.channels_last)
    predictions = lay_out(detector(images), detector.strides)
    loss = detection_loss(predictions, batch.boxes, batch.kinds, config.loss)
    optimizer.zero_grad(set_to_none=True)
    (loss.score + loss.box).backward()
    ranks.average_gradients(detector)
    nn.utils.clip_grad_norm_(detector.parameters(), config.gradient_norm)
    optimizer.step()
    return (part.item() for part in loss)


def _is_due(epoch: int, config: DetectorFitConfig) -> bool:
    return (epoch + 1) % config.evaluate_every == 0 or epoch >= config.epochs - config.evaluate_last


def _evaluate(
    detector: Detector,
    validation: Mapping[str, Sequence[MarkedFrame]],
    config: DetectorFitConfig,
    state: _Progress,
    run_dir: Path,
) -> dict[str, Any]:
    _, matches = evaluate_detector(detector, validation, config.role())
    thresholds = choose_thresholds(matches["pooled"])
    role = config.role(thresholds)
    figures: dict[str, Any] = {"thresholds": thresholds, **figures_of(matches, thresholds)}
    mean = float(np.mean([figures[name]["map50"] for name in validation]))
    figures["mean_map50"] = round(mean, 4)
    if mean > state.best:
        state.best = mean
        save_detector(detector, role, run_dir / BEST)
    return figures


def _resume(
    path: Path,
    detector: Detector,
    averaged: AveragedWeights,
    optimizer: torch.optim.Optimizer,
    console: Console,
) -> _Progress:
    if not path.exists():
        return _Progress()
    saved = load_checkpoint(path)
    detector.load_state_dict(saved["detector"])
    averaged.model.load_state_dict(saved["averaged"])
    optimizer.load_state_dict(saved["optimizer"])
    state = _Progress(**saved["progress"])
    console.print(f"going on after epoch {state.epoch} of {path}")
    return state
