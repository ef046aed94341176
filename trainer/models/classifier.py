"""The classifier of nucleated cells: normal or blast, EfficientNet-Lite0 with two logits.

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
from trainer.models.efficientnet_lite import EfficientNetLite0, normalise


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


class ClassifierGraph(nn.Module):
    """What is exported: ``crops`` uint8 ``[N, size, size, 3]`` RGB -> ``logits`` ``[N, 2]``.

    Normalisation and the cut to the middle are inside. Logits are in the order of
    :data:`edge_daemon.contract.terms.CLASSES`, before temperature scaling.
    """

    def __init__(self, network: EfficientNetLite0, geometry: ClassifierGeometry) -> None:
        super().__init__()
        self.network = network
        self.geometry = geometry

    def forward(self, crops: Tensor) -> Tensor:
        """Logits, float32 ``[N, 2]``."""
        first = (self.geometry.size - self.geometry.visible) // 2
        last = first + self.geometry.visible
        logits: Tensor = self.network(normalise(crops[:, first:last, first:last, :]))
        return logits


def build_classifier(dropout: float = 0.3) -> EfficientNetLite0:
    """The network with untrained weights."""
    return EfficientNetLite0(num_classes=len(CLASSES), dropout=dropout)


def load_classifier(checkpoint: Path) -> ClassifierGraph:
    """The trained graph of a run's ``best.pt``, in inference mode.

    Raises :class:`DataError` when the file is missing or holds something else.
    """
    saved = load_checkpoint(checkpoint)
    try:
        geometry = ClassifierGeometry(**saved["geometry"])
        network = build_classifier()
        network.load_state_dict(saved["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise DataError(f"{checkpoint} does not hold a classifier ({what})") from error
    return ClassifierGraph(network.eval(), geometry).eval()
