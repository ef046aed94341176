"""The classifiers of nucleated cells: normal or blast, read from one cell at several depths.

A small network finds the cell in the middle of the crop and blackens the rest
(:mod:`trainer.models.cell_mask`). One backbone or several look at what is left; their features of
several depths, read over the cell, are joined (:mod:`trainer.models.depth_fusion`) and judged by a
committee of small networks (:mod:`trainer.models.committee`). Which backbones and which depths is
the architecture, and whether the cell's colours are counted beside them
(:mod:`trainer.models.cell_colours`); all else is the same for all, so that a comparison compares
just that.

The network looks at the middle of a crop only. A crop shows ``crop_um`` (19.8 um), the square of a
published single-cell picture; 95 % of the cells fit into the middle four fifths of it, so the rest
would cost computation and tell nothing. The middle is taken inside the graph: nobody outside has
to know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias, cast

import torch
from torch import Tensor, nn

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.models.backbones import Backbone, BackboneName, build_backbone
from trainer.models.cell_colours import CellColours
from trainer.models.cell_mask import CellMask
from trainer.models.committee import Committee
from trainer.models.depth_fusion import DepthFusion
from trainer.models.efficientnet_lite import channels_first, standardise
from trainer.models.novelty import Novelty
from trainer.training.checkpoint import load_checkpoint

Depths: TypeAlias = dict[BackboneName, tuple[int, ...]]
"""Of each backbone the stages whose features are joined, ascending."""

ARCHITECTURES: Mapping[str, Depths] = {
    "edge": {"efficientnet_lite0": (1, 2, 3, 4)},
    "strong": {
        "efficientnet_lite0": (1, 2, 3, 4),
        "efficientnet_lite2": (1, 2, 3, 4),
    },
    "vgg19": {"vgg19": (4,)},
    "resnet50": {"resnet50": (3,)},
    "hybrid": {"vgg19": (1, 2, 3, 4), "resnet50": (0, 1, 2, 3)},
}
"""``edge`` runs on the device, ``strong`` is its teacher and twice as large; ``vgg19`` and
``resnet50`` read their last stage, as is usual in transfer learning; ``hybrid`` joins features of
both from several depths."""

WITH_COLOURS = frozenset({"edge", "strong"})
"""Architectures that count colours. The study's three compare what backbones read, and nothing
else."""


@dataclass(frozen=True)
class ClassifierGeometry:
    """What a crop shows and which part of it the network looks at."""

    size: int = 160
    """Side of a crop, in pixels."""
    crop_um: float = 19.8
    """Side of a crop, in um."""
    visible: int = 128
    """Side of the middle square that the network looks at, in pixels; a multiple of 32."""

    def __post_init__(self) -> None:
        if self.visible % 32 or not 0 < self.visible <= self.size:
            raise ValueError("visible must be a multiple of 32, and at most size")

    @property
    def um_per_px(self) -> float:
        """Scale of a crop."""
        return self.crop_um / self.size

    @property
    def middle(self) -> slice:
        """Rows, and columns, of a crop that the network looks at."""
        first = (self.size - self.visible) // 2
        return slice(first, first + self.visible)


class CellClassifier(nn.Module):
    """Finds the cell in the middle, blackens the rest, and reads the cell at several depths.

    Input is RGB float ``[N, 3, S, S]``, 0 to 255, S a multiple of 32.
    """

    def __init__(
        self,
        depths: Depths | None = None,
        dropout: float = 0.3,
        *,
        colours: bool = True,
        members: int = 4,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        self.depths = dict(depths or ARCHITECTURES["edge"])
        self.mask = CellMask()
        self.colours = CellColours() if colours else None
        self.backbones = nn.ModuleDict()
        for name, stages in self.depths.items():
            backbone = build_backbone(name)
            _refuse_wrong_stages(name, stages, len(backbone.channels))
            backbone.cut(stages[-1] + 1)
            self.backbones[name] = backbone
        more = CellColours.width if colours else 0
        self.fusion = DepthFusion(_channels(self.backbones, self.depths), more)
        self.dropout = nn.Dropout(dropout)
        self.committee = Committee(self.fusion.width, len(CLASSES), members, hidden)
        self.novelty = Novelty(self.fusion.width)
        self._mask_held = False

    def hold_mask(self) -> None:
        """Train the mask no further: its weights and statistics stay as they are."""
        self._mask_held = True
        self.mask.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> CellClassifier:
        """Switch to training mode, but for a mask that :meth:`hold_mask` holds."""
        super().train(mode)
        if self._mask_held:
            self.mask.eval()
        return self

    def looking(self) -> Iterator[tuple[BackboneName, Backbone]]:
        """The backbones by name, in the order in which their features are joined."""
        for name in self.depths:
            yield name, cast("Backbone", self.backbones[name])

    def last_layers(self) -> list[str]:
        """Names of the deepest layers that are read, one of each backbone."""
        return [f"backbones.{name}.stages.{stages[-1]}" for name, stages in self.depths.items()]

    def parts(self) -> dict[str, slice]:
        """Where each of the joined features comes from: a stage by its name, area, colours."""
        widths = {
            f"{name} stage {stage}": 2 * backbone.channels[stage]
            for name, backbone in self.looking()
            for stage in self.depths[name]
        }
        widths["area"] = 2
        if self.colours is not None:
            widths["colours"] = CellColours.width
        ends = list(accumulate(widths.values()))
        return {
            name: slice(end - width, end)
            for (name, width), end in zip(widths.items(), ends, strict=True)
        }

    def joined(self, pixels: Tensor) -> Tensor:
        """The features before standardisation, float ``[N, fusion.width]``."""
        mask = _in_float32(self.mask(standardise(pixels))).sigmoid()
        blackened = standardise(pixels * mask)
        features = [
            _in_float32(feature)
            for name, backbone in self.looking()
            for feature in backbone.stage_outputs(blackened, self.depths[name])
        ]
        colours = None if self.colours is None else self.colours(pixels, mask)
        return self.fusion.joined(features, mask, colours)

    def forward(self, pixels: Tensor) -> Tensor:
        """Class logits, float ``[N, 2]``."""
        return self.judged(pixels)[0]

    def judged(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Class logits, float ``[N, 2]``, and novelty, float ``[N]``."""
        features = self.fusion(self.joined(pixels))
        return self.committee(self.dropout(features)), self.novelty(features)


class ClassifierGraph(nn.Module):
    """What is exported: ``crops`` uint8 ``[N, size, size, 3]`` RGB -> ``logits``, ``novelty``.

    Normalisation and the cut to the middle are inside. Logits are in the order of
    :data:`edge_daemon.contract.terms.CLASSES`, before temperature scaling.
    """

    def __init__(self, network: CellClassifier, geometry: ClassifierGeometry) -> None:
        super().__init__()
        self.network = network
        self.geometry = geometry

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Logits, float32 ``[N, 2]``, and novelty, float32 ``[N]``."""
        middle = self.geometry.middle
        return self.network.judged(channels_first(crops.float()[:, middle, middle, :]))


def saved_classifier(network: CellClassifier, geometry: ClassifierGeometry) -> dict[str, Any]:
    """What :func:`load_classifier` reads."""
    return {
        "depths": {name: list(stages) for name, stages in network.depths.items()},
        "colours": network.colours is not None,
        "members": network.committee.members,
        "hidden": network.committee.hidden.out_features // network.committee.members,
        "geometry": asdict(geometry),
        "weights": network.state_dict(),
    }


def load_classifier(checkpoint: Path) -> ClassifierGraph:
    """The trained graph of a run's ``best.pt``, in inference mode.

    Raises :class:`DataError` when the file is missing or holds something else.
    """
    saved = load_checkpoint(checkpoint)
    try:
        geometry = ClassifierGeometry(**saved["geometry"])
        depths = {name: tuple(stages) for name, stages in saved["depths"].items()}
        network = CellClassifier(
            depths, colours=saved["colours"], members=saved["members"], hidden=saved["hidden"]
        )
        network.load_state_dict(saved["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{checkpoint} does not hold a classifier ({what})") from error
    return ClassifierGraph(network.eval(), geometry).eval()


def _in_float32(feature: Tensor) -> Tensor:
    """Whatever the networks computed in: spreads over a cell are small differences of sums."""
    return feature if feature.dtype == torch.float32 else feature.float()


def _channels(backbones: nn.ModuleDict, depths: Depths) -> list[int]:
    return [
        cast("Backbone", backbones[name]).channels[stage]
        for name, stages in depths.items()
        for stage in stages
    ]


def _refuse_wrong_stages(name: str, stages: tuple[int, ...], count: int) -> None:
    if not stages or list(stages) != sorted(set(stages)) or not stages[0] >= 0:
        raise DataError(f"depths of {name}: {stages} are not ascending stages")
    if stages[-1] >= count:
        raise DataError(f"depths of {name}: there is no stage {stages[-1]}, it has {count}")
