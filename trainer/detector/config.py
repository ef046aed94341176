"""Everything that decides the training of a detector.

Measured on two cores of an EPYC (Zen 4) under load, input 320x416, batch 8, one thread: 6.9
images/s in fp32 with channels-last and the first three stages frozen, 6.6 in bf16 (contiguous),
4.5 in bf16 with channels-last, 9.0 with five stages frozen. OpenVINO runs the exported graph in
18 ms in fp32 and 9 ms in bf16 on those two cores; 416x416 takes 38 and 18 ms, a pyramid of 96
channels 22 and 13 ms. So: 320x416 (the shape of a 4:3 camera; red cells are 66 px in BCCD and
TXL-PBC alike), 64 channels, fp32.

On a busy CPU two ranks of one thread each get more done than one rank of two threads, which wait
for each other in every layer: see :mod:`trainer.training.parallel`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS, CellKind
from trainer.data.field_augment import AugmentConfig
from trainer.data.field_frames import FramesConfig
from trainer.data.pasted_cells import PasteConfig
from trainer.detector.loss import DetectionLossConfig
from trainer.models.detector import DetectorShape
from trainer.training.compute import Arithmetic


@dataclass(frozen=True)
class DetectorConfig:
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
    patience: int | None = None
    """Evaluations without a better one after which training stops."""
    rendered: bool = True
    """Whether rendered fields are mixed in."""
    threads: int = 1
    arithmetic: Arithmetic = "float32"
    """Of the networks while they are trained; ``bfloat16`` is quicker on GPUs since 2020 and on
    processors with AMX."""
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
