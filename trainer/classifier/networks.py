"""The network as a training starts with it, and as backbones that know nothing learn in it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from edge_daemon.contract.terms import CLASSES
from edge_daemon.errors import DataError
from trainer.classifier.config import ClassifierConfig
from trainer.models.backbones import BackboneName
from trainer.models.classifier import CellClassifier, load_classifier
from trainer.training.run_folder import BEST


class Pupil(nn.Module):
    """The network with one linear layer in place of the committee, for backbones that learn.

    Features are standardised by the batch, as their spread still changes with every step.
    """

    def __init__(self, network: CellClassifier) -> None:
        super().__init__()
        self.network = network
        width = network.fusion.width
        self.last = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Dropout(network.dropout.p),
            nn.Linear(width, len(CLASSES)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Class logits, float ``[N, 2]``, of what the network takes."""
        logits: Tensor = self.last(self.network.joined(x))
        return logits


def first_network(config: ClassifierConfig) -> CellClassifier:
    """The network before the first step, each backbone from where it is to start."""
    network = CellClassifier(
        config.read_depths,
        config.dropout,
        colours=config.counts_colours,
        members=config.committee.members,
        hidden=config.committee.hidden,
    )
    for name, backbone in network.looking():
        if name in config.start_from:
            run = config.start_from[name]
            try:
                cast("nn.Module", backbone).load_state_dict(_trained_backbone(name, run))
            except RuntimeError:
                raise DataError(
                    f"start_from.{name}: the run {run} read fewer or more of its stages"
                ) from None
        elif config.weights != "none":
            backbone.load_imagenet(None if config.weights == "imagenet" else Path(config.weights))
        backbone.freeze(stages=config.frozen_stages, batch_norm_statistics=config.frozen_statistics)
    network.to(memory_format=torch.channels_last)
    return network


def _trained_backbone(name: BackboneName, run: Path) -> Mapping[str, Any]:
    trained = load_classifier(run / BEST).network
    if name not in trained.depths:
        raise DataError(f"start_from.{name}: the run {run} trained {', '.join(trained.depths)}")
    return trained.backbones[name].state_dict()
