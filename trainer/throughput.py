"""Whether crops are made faster than a classifier takes them: ``leuko-train speed``.

Both on one core, by turns, on the same crops: a machine that slows down slows both. The network is
only run forwards, the quickest it can go: what holds there holds for every training step.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch

from trainer.classifier.config import ClassifierConfig
from trainer.classifier.groups import trained_on
from trainer.classifier.networks import first_network
from trainer.classifier.reading import as_input
from trainer.classifier.shown import shown_crops

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
    made_s, read_s, count = 0.0, 0.0, 0
    with torch.inference_mode():
        middle = len(crops) // 2  # type: ignore[arg-type]  # behind all stretches
        network.joined(as_input(crops[middle].pixels))  # sets up what the next passes use
        for index in (first + step for first in stretches for step in range(once)):
            start = time.perf_counter()
            batch = crops[index]
            made = time.perf_counter()
            network.joined(as_input(batch.pixels))
            made_s, read_s = made_s + made - start, read_s + time.perf_counter() - made
            count += len(batch.labels)
    return Throughput(count / made_s, count / read_s)
