"""The cell detector: EfficientNet-Lite0, a small feature pyramid, one anchor-free head.

Every cell of the grids at strides 8, 16 and 32 predicts a logit per kind and the distances from
its centre to the four sides of a box (FCOS, Tian et al. 2019, arXiv:1904.01355), in units of the
stride and through a ReLU: no ``exp``, which overflows fp16, and nothing that INT8 dislikes. The
score is trained to be the quality of the box (see :mod:`trainer.detector.loss`), so there is no
centerness branch. Decoding and suppression are outside the network, in
:mod:`edge_daemon.vision.detect`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from edge_daemon.contract.terms import KINDS
from trainer.models.efficientnet_lite import (
    FEATURE_CHANNELS,
    FEATURE_STRIDES,
    EfficientNetLite,
    normalise,
)

_PRIOR_PROBABILITY = 0.01
"""Score of every place before training: keeps the many empty places from dominating the start
(Lin et al. 2017, arXiv:1708.02002, section 3.3)."""
_INITIAL_DISTANCE = 2.5
"""First guess of a side's distance in strides, safely on the positive side of the ReLU."""


@dataclass(frozen=True)
class DetectorShape:
    """What must be known to rebuild a detector before its weights are loaded."""

    channels: int = 64
    """Width of the pyramid and of the head."""
    head_convs: int = 2
    """3x3 convolutions of the score branch and of the box branch."""
    kinds: int = len(KINDS)


class DetectorOutput(NamedTuple):
    """Raw outputs of one level: logits ``[N, kinds, H, W]`` and distances ``[N, 4, H, W]``."""

    scores: Tensor
    boxes: Tensor


class Detector(nn.Module):
    """Normalised float image ``[N, 3, H, W]`` in, one :class:`DetectorOutput` per stride out."""

    strides = FEATURE_STRIDES

    def __init__(self, shape: DetectorShape | None = None) -> None:
        super().__init__()
        self.shape = shape or DetectorShape()
        self.backbone = EfficientNetLite()
        self.pyramid = _Pyramid(FEATURE_CHANNELS, self.shape.channels)
        self.score_branch = _Branch(self.shape)
        self.box_branch = _Branch(self.shape)
        self.score = nn.Conv2d(self.shape.channels, self.shape.kinds, 1)
        self.box = nn.Conv2d(self.shape.channels, 4, 1)
        self.box_scale = nn.Parameter(torch.ones(len(FEATURE_STRIDES)))
        nn.init.normal_(self.score.weight, std=0.01)
        nn.init.normal_(self.box.weight, std=0.01)
        _fill(self.score.bias, -math.log((1 - _PRIOR_PROBABILITY) / _PRIOR_PROBABILITY))
        _fill(self.box.bias, _INITIAL_DISTANCE)

    def forward(self, image: Tensor) -> list[DetectorOutput]:
        """Raw outputs at strides 8, 16 and 32."""
        outputs = []
        for level, feature in enumerate(self.pyramid(self.backbone.features(image))):
            scores = self.score(self.score_branch(feature, level))
            distances = self.box(self.box_branch(feature, level)) * self.box_scale[level]
            outputs.append(DetectorOutput(scores, functional.relu(distances)))
        return outputs


class DetectorGraph(nn.Module):
    """The detector as it is exported: the graph that ``DetectorRole`` describes.

    Input ``image`` uint8 ``[1, H, W, 3]`` RGB; outputs in the order of :attr:`output_names`.
    """

    input_names = ("image",)
    output_names = tuple(
        f"{name}_{stride}" for stride in FEATURE_STRIDES for name in ("scores", "boxes")
    )

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Normalise, run, and lay the levels out flat: scores_8, boxes_8, scores_16, ..."""
        return tuple(part for level in self.detector(normalise(image)) for part in level)


def _fill(bias: Tensor | None, value: float) -> None:
    if bias is not None:
        nn.init.constant_(bias, value)


class _Branch(nn.Module):
    """3x3 convolutions shared by all levels, with batch norms of each level's own.

    The levels see cells of different sizes, so their statistics differ; the weights need not.
    """

    def __init__(self, shape: DetectorShape) -> None:
        super().__init__()
        channels = shape.channels
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False) for _ in range(shape.head_convs)
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(nn.BatchNorm2d(channels) for _ in range(shape.head_convs))
            for _ in FEATURE_STRIDES
        )

    def forward(self, x: Tensor, level: int) -> Tensor:
        norms = cast("nn.ModuleList", self.norms[level])
        for conv, norm in zip(self.convs, norms, strict=True):
            x = functional.relu(norm(conv(x)))
        return x


class _Pyramid(nn.Module):
    """Feature pyramid (Lin et al. 2017, arXiv:1612.03144): coarse context added to fine maps."""

    def __init__(self, channels_in: tuple[int, ...], channels: int) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(_conv_norm(width, channels, 1) for width in channels_in)
        self.smooth = nn.ModuleList(_conv_norm(channels, channels, 3) for _ in channels_in)

    def forward(self, maps: tuple[Tensor, ...]) -> list[Tensor]:
        merged = [lateral(x) for lateral, x in zip(self.lateral, maps, strict=True)]
        for level in range(len(merged) - 2, -1, -1):
            above = functional.interpolate(merged[level + 1], scale_factor=2.0, mode="nearest")
            merged[level] = merged[level] + above
        return [functional.relu(smooth(x)) for smooth, x in zip(self.smooth, merged, strict=True)]


def _conv_norm(channels_in: int, channels_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels_out),
    )
