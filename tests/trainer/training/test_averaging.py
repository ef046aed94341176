"""Averaged weights follow the model, and are a copy of their own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.training.averaging import AveragedWeights


def with_weight(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def test_the_average_moves_by_one_minus_the_decay() -> None:
    averaged = AveragedWeights(with_weight(0.0), decay=0.9)
    averaged.follow(with_weight(1.0), step=10_000)
    assert averaged.model.weight.item() == pytest.approx(0.1)


def test_it_moves_faster_at_the_start() -> None:
    averaged = AveragedWeights(with_weight(0.0), decay=0.9)
    averaged.follow(with_weight(1.0), step=0)
    assert averaged.model.weight.item() == pytest.approx(0.9)


def test_it_is_in_inference_mode_and_takes_no_gradient() -> None:
    averaged = AveragedWeights(with_weight(0.0), decay=0.9)
    assert not averaged.model.training
    assert not any(p.requires_grad for p in averaged.model.parameters())


def test_counters_and_statistics_come_along() -> None:
    model = nn.BatchNorm2d(2).train()
    averaged = AveragedWeights(model, decay=0.5)
    model(torch.ones(1, 2, 3, 3) * 5)
    averaged.follow(model, step=10_000)
    assert averaged.model.num_batches_tracked == 1
    assert (averaged.model.running_mean > 0).all()
