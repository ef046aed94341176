"""Whether crops are made faster than a classifier takes them: ``leuko-train speed``.

Both on one core, one after the other, on the same crops. The network is only run forwards, the
quickest it can go: what holds there holds for every training step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import trained_on
from trainer.classifier.networks import first_network
from trainer.classifier.shown import shown_crops
from trainer.models.efficientnet_lite import normalise

_PLACES = 4
"""Stretches of the training set that are timed, far from each other."""


@dataclass(frozen=True)
class Throughput:
    """Crops per second on one core."""

    made: float
    """Decoded, cut out, pasted, cropped, turned: ready for the network."""
    read: float
    """Taken by the network, forwards, in batches."""

    def __str__(self) -> str:
        return (
            f"one core makes {self.made:.0f} training crops a second and reads {self.read:.0f}: "
            f"{self.made / self.read:.1f} times as many"
        )


def measure_throughput(config: ClassifierConfig) -> Throughput:
    """Time the making and the reading of some hundred training crops. Raises :class:`DataError`."""
    torch.set_num_threads(1)
    crops = shown_crops(replace(config, workers=0), trained_on(config)).dataset
    network = first_network(config).eval()
    once = 2 * config.shown_views  # the same cells on black and on fields
    stretches = [len(crops) // (2 * _PLACES) * place // once * once for place in range(_PLACES)]  # type: ignore[arg-type]
    start = time.perf_counter()
    batches = [crops[first + step] for first in stretches for step in range(once)]
    made_s = time.perf_counter() - start
    count = sum(len(labels) for _, labels, _, _ in batches)
    with torch.inference_mode():
        network.joined(normalise(batches[0][0]))
        start = time.perf_counter()
        for pixels, _, _, _ in batches:
            network.joined(normalise(pixels).contiguous(memory_format=torch.channels_last))
        read_s = time.perf_counter() - start
    return Throughput(count / made_s, count / read_s)
