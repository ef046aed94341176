"""Everything that decides the training of a classifier."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from edge_daemon.errors import DataError
from trainer.data.training_crops import CropMix
from trainer.models.backbones import BackboneName
from trainer.models.classifier import (
    ARCHITECTURES,
    WITH_COLOURS,
    ClassifierGeometry,
    Depths,
)
from trainer.models.committee import CommitteeTraining
from trainer.predictions import Split
from trainer.training.compute import Arithmetic

Initial: TypeAlias = Literal["imagenet", "none"] | Path
"""What a backbone starts from: published ImageNet weights, random ones, or those in a file."""


@dataclass(frozen=True)
class Distillation:
    """Learning from a larger network, see :mod:`trainer.classifier.distillation`."""

    teacher: Path
    """Run folder of the larger network."""
    share: float = 0.5
    """Of the teacher's word in what the student is told; the rest is the label."""
    folds: int = 4
    """Parts of the patient groups; the teacher speaks of each without having been taught it."""

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise DataError(f"distillation.share: {self.share} is not between 0 and 1")
        if self.folds < 2:
            raise DataError(f"distillation.folds: {self.folds} leave nothing to learn from")


@dataclass(frozen=True)
class ClassifierConfig:
    """A whole training, but for where it is written; saved beside its weights."""

    data: Path
    """Folder that holds ``cnmc2019``, ``bccd`` and ``txl-pbc``."""
    architecture: str = "edge"
    """Name in :data:`trainer.models.classifier.ARCHITECTURES`."""
    depths: Depths | None = None
    """Backbones and stages of one's own, in place of the architecture's."""
    colours: bool | None = None
    """Whether the cell's colours are counted beside the backbones; ``None``: as the architecture
    does."""
    weights: Initial = "imagenet"
    start_from: dict[BackboneName, Path] = field(default_factory=dict)
    """Of a backbone the run whose trained weights it starts from, in place of ``weights``."""
    distillation: Distillation | None = None
    """The teacher of the committee, if there is one."""
    geometry: ClassifierGeometry = field(default_factory=ClassifierGeometry)
    mix: CropMix = field(default_factory=CropMix)
    fold: int | None = None
    """Which of ``folds`` over all patient groups is held out; ``None``: the suggested split."""
    folds: int = 5
    split: Split = "groups"
    """What a fold holds out. ``images`` puts patients on both sides: only to show what such a split
    would have claimed."""
    mask_epochs: int = 4
    """Epochs in which only the mask is trained."""
    epochs: int = 5
    """All epochs: those of the mask, ``learn_epochs``, one in which the committee is trained, the
    rest fine-tunes.
    From ImageNet weights and this much data fine-tuning has only lost so far (decision 10), so
    there is none unless it is asked for."""
    crops_per_epoch: int = 4096
    batch: int = 32
    """Crops per step, over all ranks."""
    mask_rate: float = 3e-3
    """Learning rate of the mask."""
    learn_epochs: int = 0
    """Epochs between the mask and the committee in which backbones learn from the cells with one
    linear layer behind them: for weights of ``none``, from which the committee has nothing to
    read."""
    learn_rate: float = 2e-3
    """Highest learning rate of these; ``backbone_rate`` is relative to it as well."""
    shown_views: int = 2
    """How often each cell is shown on black, and how often on a field, to train the committee."""
    varied_views: int = 0
    """In how many of these views on a field the cell is in a varied stain, see decision 15."""
    committee: CommitteeTraining = field(default_factory=CommitteeTraining)
    learning_rate: float = 5e-5
    """Of the committee while everything is fine-tuned."""
    backbone_rate: float = 0.5
    """Learning rate of the backbones relative to that."""
    weight_decay: float = 0.02
    warmup_share: float = 0.05
    label_smoothing: float = 0.1
    dropout: float = 0.3
    ema_decay: float = 0.995
    frozen_stages: int = 2
    """First stages of each backbone that stay as they started: edges and colours."""
    frozen_statistics: bool = True
    """Whether batch norms keep the statistics they started with; not from random weights."""
    evaluate_every: int = 2
    """Epochs between evaluations; the last three are all evaluated."""
    patience: int | None = None
    """Evaluations without a better one after which training stops."""
    rendered_cells: int = 160
    rendered_fields: int = 16
    seed: int = 0
    arithmetic: Arithmetic = "float32"
    """Of the networks while they are trained; ``bfloat16`` is quicker on GPUs since 2020 and on
    processors with AMX."""
    threads: int = 1
    """Of each rank. On a busy machine two threads wait for each other longer than they work."""
    workers: int = 1

    def __post_init__(self) -> None:
        if self.architecture not in ARCHITECTURES:
            raise DataError(
                f"architecture: there is no {self.architecture!r}; there are "
                f"{', '.join(ARCHITECTURES)}"
            )
        if not 0 < self.mask_epochs <= self.settle_epoch < self.epochs:
            raise DataError(
                f"epochs: {self.epochs} leave none for the classifier, the mask alone takes "
                f"{self.mask_epochs} and learning {self.learn_epochs}; ask for more than that"
            )
        if not 0 <= self.varied_views <= self.shown_views:
            raise DataError(
                f"varied_views: {self.varied_views} is not one of 0 to {self.shown_views}, the "
                "shown_views"
            )
        if self.fold is not None and not 0 <= self.fold < self.folds:
            raise DataError(f"fold: {self.fold} is not one of 0 to {self.folds - 1}")
        if self.split == "images" and self.fold is None:
            raise DataError(
                "split: a split by image shows what it would have claimed, and trains nothing for "
                "use: leuko-train cross-validate --by-image"
            )
        unknown = set(self.start_from) - set(self.read_depths)
        if unknown:
            raise DataError(f"start_from: {min(unknown)} is no backbone of this architecture")

    @property
    def read_depths(self) -> Depths:
        """Backbones and the stages that are read, whichever way they were given."""
        return self.depths or ARCHITECTURES[self.architecture]

    @property
    def settle_epoch(self) -> int:
        """The epoch in which the committee is trained."""
        return self.mask_epochs + self.learn_epochs

    @property
    def counts_colours(self) -> bool:
        """Whether colours are counted, whichever way that was decided."""
        return self.architecture in WITH_COLOURS if self.colours is None else self.colours
