"""What networks read off crops: the joined features that committees are trained on and judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainer.classifier.config import ClassifierConfig
from trainer.classifier.shown import shown_crops
from trainer.data.cnmc import CellRecord
from trainer.models.classifier import CellClassifier, ClassifierGraph
from trainer.models.efficientnet_lite import channels_first
from trainer.training.compute import Compute, device_of


class Read(NamedTuple):
    """What was read off M crops, on the processor."""

    features: tuple[Tensor, ...]
    """Of each network, float ``[M, width]``, not standardised."""
    labels: Tensor
    """int64 ``[M]``."""
    weights: Tensor
    """float32 ``[M]``, how often each is shown."""
    cells: Tensor
    """int64 ``[M]``, see :class:`trainer.classifier.shown.ShownBatch`."""


@torch.no_grad()
def read_shown(
    networks: Sequence[CellClassifier],
    config: ClassifierConfig,
    records: Sequence[CellRecord],
    compute: Compute,
    tick: Callable[[int, int], None] = lambda _done, _all: None,
) -> Read:
    """Let ``networks`` look at the crops that a committee is shown, in float32."""
    shown = shown_crops(config, records)
    features: list[list[Tensor]] = [[] for _ in networks]
    others = []
    for done, batch in enumerate(shown, start=1):
        pixels = as_input(*compute.take(batch.pixels))
        for network, parts in zip(networks, features, strict=True):
            parts.append(network.joined(pixels).cpu())
        others.append(batch[1:])
        tick(done, len(shown))
    labels, weights, cells = map(torch.cat, zip(*others, strict=True))
    return Read(tuple(torch.cat(parts) for parts in features), labels, weights, cells)


@torch.no_grad()
def read_crops(graph: ClassifierGraph, crops: NDArray[np.uint8], batch: int = 64) -> Tensor:
    """What ``graph`` reads off whole crops, float ``[N, width]``, not standardised."""
    device, middle = device_of(graph), graph.geometry.middle
    return torch.cat(
        [
            graph.network.joined(
                as_input(torch.from_numpy(crops[first : first + batch, middle, middle]).to(device))
            ).cpu()
            for first in range(0, len(crops), batch)
        ]
    )


def as_input(pixels: Tensor) -> Tensor:
    """Pixels uint8 ``[N, S, S, 3]`` as classifiers take them, laid out as they are quickest."""
    return channels_first(pixels).contiguous(memory_format=torch.channels_last)
