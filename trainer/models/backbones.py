"""The networks that look at a cell, behind one Protocol, by name.

``efficientnet_lite0`` is the device's, ``efficientnet_lite2`` its larger kin. ``vgg19`` (with batch
norm; configuration E of Simonyan & Zisserman 2015, arXiv:1409.1556) and ``resnet50`` (He et al.
2016, arXiv:1512.03385) are those of the study that this product stands on, as torchvision has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, cast, get_args, runtime_checkable

import torch
from torch import Tensor, nn

from edge_daemon.errors import DataError
from trainer.models.efficientnet_lite import (
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite,
    hold_batch_norms,
)

BackboneName: TypeAlias = Literal["efficientnet_lite0", "efficientnet_lite2", "vgg19", "resnet50"]
BACKBONES: tuple[BackboneName, ...] = get_args(BackboneName)

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)
"""What torchvision's weights expect, in units of 0 to 1."""


@runtime_checkable
class Backbone(Protocol):
    """A network in stages, each with one feature map behind it.

    Takes what :func:`trainer.models.efficientnet_lite.normalise` gives, whatever its own weights
    were trained with: every network sees the same crop.
    """

    channels: tuple[int, ...]
    """Channels of the feature map behind each stage."""

    def stage_outputs(self, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """Feature maps behind the stages ``wanted``, ascending; their sides divide ``x``'s."""

    def freeze(self, *, stages: int = 0, batch_norm_statistics: bool = False) -> None:
        """Exclude the first ``stages`` from training, and hold all batch-norm statistics."""

    def cut(self, stages: int) -> None:
        """Keep the first ``stages`` only: what lies behind them is computed for nothing."""

    def load_imagenet(self, path: Path | None) -> None:
        """Start from published ImageNet weights: those in ``path``, or those of the library.

        Raises :class:`DataError` when they are not to be had or not of this network.
        """


def build_backbone(name: BackboneName) -> EfficientNetLite | TorchvisionBackbone:
    """The network ``name`` with random weights.

    Raises :class:`DataError` for a name that is none.
    """
    if name not in BACKBONES:
        raise DataError(f"no backbone is called {name!r}; there are {', '.join(BACKBONES)}")
    if name == "efficientnet_lite0":
        return EfficientNetLite(size=0)
    if name == "efficientnet_lite2":
        return EfficientNetLite(size=2)
    return TorchvisionBackbone(name)


class TorchvisionBackbone(nn.Module):
    """VGG19 or ResNet50 of torchvision, without its classifier, cut into stages.

    VGG19: five stages that end in a pooling, strides 2 to 32. ResNet50: four, the first with the
    stem, strides 4 to 32.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, name: Literal["vgg19", "resnet50"]) -> None:
        super().__init__()
        self.name = name
        self.stages = nn.ModuleList(_stages(name))
        self.channels: tuple[int, ...] = (
            (64, 128, 256, 512, 512) if name == "vgg19" else (256, 512, 1024, 2048)
        )
        mean, std = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_STD)
        # from (level - 127) / 128 to (level / 255 - mean) / std, as one product and one sum
        self.register_buffer("scale", (PIXEL_STD / 255 / std)[:, None, None], persistent=False)
        offset = (PIXEL_MEAN / 255 - mean) / std
        self.register_buffer("offset", offset[:, None, None], persistent=False)
        self._frozen_stages = 0
        self._batch_norm_frozen = False

    def stage_outputs(self, x: Tensor, wanted: Sequence[int]) -> list[Tensor]:
        """See :class:`Backbone`."""
        maps = []
        x = x * self.scale + self.offset
        for index, stage in enumerate(self.stages[: max(wanted) + 1]):
            with torch.set_grad_enabled(torch.is_grad_enabled() and index >= self._frozen_stages):
                x = stage(x)
            if index in wanted:
                maps.append(x)
        return maps

    def freeze(self, *, stages: int = 0, batch_norm_statistics: bool = False) -> None:
        """See :class:`Backbone`."""
        self._frozen_stages, self._batch_norm_frozen = stages, batch_norm_statistics
        for index, stage in enumerate(self.stages):
            stage.requires_grad_(index >= stages)
        self.train(self.training)

    def train(self, mode: bool = True) -> TorchvisionBackbone:
        """Switch to training mode, but for what :meth:`freeze` holds in inference mode."""
        super().train(mode)
        for stage in self.stages[: self._frozen_stages]:
            stage.eval()
        if self._batch_norm_frozen:
            hold_batch_norms(self)
        return self

    def cut(self, stages: int) -> None:
        """See :class:`Backbone`."""
        self.stages = self.stages[:stages]
        self.channels = self.channels[:stages]

    def load_imagenet(self, path: Path | None) -> None:
        """See :class:`Backbone`; without ``path`` torchvision's own, from its cache or fetched."""
        whole = _whole(self.name)
        state = _published(self.name) if path is None else _read(path)
        try:
            whole.load_state_dict(state)
        except RuntimeError as error:
            what = " ".join(str(error).split())[:160]
            raise DataError(f"{path} does not hold torchvision's {self.name}: {what}") from None
        own = _cut(self.name, whole)[: len(self.stages)]
        self.stages.load_state_dict(nn.ModuleList(own).state_dict())


def _stages(name: str) -> list[nn.Module]:
    return _cut(name, _whole(name))


def _whole(name: str) -> nn.Module:
    from torchvision import models

    whole: nn.Module = models.vgg19_bn() if name == "vgg19" else models.resnet50()
    return whole


def _cut(name: str, whole: nn.Module) -> list[nn.Module]:
    if name == "resnet50":
        stem = [getattr(whole, part) for part in ("conv1", "bn1", "relu", "maxpool", "layer1")]
        return [nn.Sequential(*stem), *(getattr(whole, f"layer{index}") for index in (2, 3, 4))]
    stages, layers = [], []
    for layer in cast("nn.Sequential", whole.features):
        layers.append(layer)
        if isinstance(layer, nn.MaxPool2d):
            stages.append(nn.Sequential(*layers))
            layers = []
    return [*stages]


def _published(name: str) -> dict[str, Tensor]:
    from torchvision import models

    weights = (
        models.VGG19_BN_Weights.IMAGENET1K_V1
        if name == "vgg19"
        else models.ResNet50_Weights.IMAGENET1K_V2
    )
    try:
        state: dict[str, Tensor] = weights.get_state_dict(progress=True, check_hash=True)
    except OSError as error:
        raise DataError(
            f"torchvision's ImageNet weights of {name} cannot be fetched ({error}); give a file "
            "with weights = PATH, or start from nothing with weights = 'none'"
        ) from None
    return state


def _read(path: Path) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"no weights at {path}: check the path") from None
    except Exception as error:  # torch.load raises whatever the unpickler meets
        what = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is not a readable torch weights file: {what}") from error
    return state
