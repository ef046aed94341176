"""The learning rate rises, falls, and is lower where the network is already trained."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.training.optimisation import parameter_groups, set_rate, warm_cosine


def model() -> nn.Module:
    return nn.ModuleDict({"backbone": nn.Linear(2, 2), "head": nn.Linear(2, 1)})


def test_it_rises_to_the_full_rate_and_falls_to_two_percent() -> None:
    rates = [warm_cosine(step, 1000, warmup_steps=10) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1, rel=0.01)
    assert max(rates) == pytest.approx(1.0, abs=0.01)
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)


def test_every_trainable_parameter_is_in_one_group() -> None:
    network = model()
    network["head"].bias.requires_grad_(False)
    groups = parameter_groups(network, {"backbone.": 0.3}, weight_decay=0.1)
    listed = [id(p) for group in groups for p in group["params"]]
    assert sorted(listed) == sorted(id(p) for p in network.parameters() if p.requires_grad)


def test_only_weights_decay() -> None:
    groups = parameter_groups(model(), {}, weight_decay=0.1)
    for group in groups:
        assert all((p.ndim > 1) == (group["weight_decay"] > 0) for p in group["params"])


def test_the_backbone_learns_at_its_own_rate() -> None:
    network = model()
    optimizer = torch.optim.AdamW(parameter_groups(network, {"backbone.": 0.3}, 0.1))
    set_rate(optimizer, 2.0)
    rate_of = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rate_of[id(network["backbone"].weight)] == pytest.approx(0.6)
    assert rate_of[id(network["head"].weight)] == pytest.approx(2.0)
