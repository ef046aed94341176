"""The classifier of nucleated cells: normal or blast, read from one cell at several depths.

A small network finds the cell in the middle of the crop and blackens the rest
(:mod:`trainer.models.cell_mask`). EfficientNet-Lite0 looks at what is left; its features of four
depths, read over the cell, are joined (:mod:`trainer.models.depth_fusion`) and weighed by one
linear layer.

The network looks at the middle of a crop only. A crop shows ``crop_um`` (19.8 um), the square of a
published single-cell picture; 95 % of the cells fit into the middle four fifths of it, so the rest
would cost computation and tell nothing. The middle is taken inside the graph: nobody outside has
to know.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.checkpoint import load_checkpoint
from trainer.models.cell_mask import CellMask
from trainer.models.depth_fusion import DepthFusion
from trainer.models.efficientnet_lite import (
    PIXEL_MEAN,
    PIXEL_STD,
    STAGE_CHANNELS,
    EfficientNetLite0,
    normalise,
)

DEPTHS = (1, 2, 4, 6)
"""Stages of the backbone whose features are joined: strides 4, 8, 16 and 32."""

_BLACK = -PIXEL_MEAN / PIXEL_STD
"""A black pixel after normalisation."""


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


class CellClassifier(nn.Module):
    """Finds the cell in the middle, blackens the rest, and reads the cell at several depths.

    Input is normalised float ``[N, 3, S, S]`` (see :func:`normalise`), S a multiple of 32.
    """

    def __init__(self, dropout: float = 0.3) -> None:
        super().__init__()
        self.mask = CellMask()
        self.backbone = EfficientNetLite0()
        self.fusion = DepthFusion([STAGE_CHANNELS[stage] for stage in DEPTHS])
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(self.fusion.width, len(CLASSES))
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

    def joined(self, x: Tensor) -> Tensor:
        """The features before standardisation, float ``[N, fusion.width]``."""
        return self.fusion.joined(*self._seen(x))

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, float ``[N, 2]``."""
        logits: Tensor = self.fc(self.dropout(self.fusion(*self._seen(x))))
        return logits

    def _seen(self, x: Tensor) -> tuple[list[Tensor], Tensor]:
        mask = self.mask(x).sigmoid()
        blackened = _BLACK + (x - _BLACK) * mask
        return self.backbone.stage_outputs(blackened, DEPTHS), mask


class ClassifierGraph(nn.Module):
    """What is exported: ``crops`` uint8 ``[N, size, size, 3]`` RGB -> ``logits`` ``[N, 2]``.

    Normalisation and the cut to the middle are inside. Logits are in the order of
    :data:`edge_daemon.contract.terms.CLASSES`, before temperature scaling.
    """

    def __init__(self, network: CellClassifier, geometry: ClassifierGeometry) -> None:
        super().__init__()
        self.network = network
        self.geometry = geometry

    def forward(self, crops: Tensor) -> Tensor:
        """Logits, float32 ``[N, 2]``."""
        first = (self.geometry.size - self.geometry.visible) // 2
        last = first + self.geometry.visible
        logits: Tensor = self.network(normalise(crops[:, first:last, first:last, :]))
        return logits


def load_classifier(checkpoint: Path) -> ClassifierGraph:
    """The trained graph of a run's ``best.pt``, in inference mode.

    Raises :class:`DataError` when the file is missing or holds something else.
    """
    saved = load_checkpoint(checkpoint)
    try:
        geometry = ClassifierGeometry(**saved["geometry"])
        network = CellClassifier()
        network.load_state_dict(saved["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{checkpoint} does not hold a classifier ({what})") from error
    return ClassifierGraph(network.eval(), geometry).eval()
