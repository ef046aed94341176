"""What a training computes on: its rank's GPU where there is one; in mixed precision if told."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from trainer.training.compute import Compute, device_of, found_device

ON_THE_PROCESSOR = torch.device("cpu")


def test_without_a_gpu_it_is_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert Compute().device == ON_THE_PROCESSOR


def test_each_rank_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert found_device() == torch.device("cuda", 1)


def test_in_mixed_precision_products_are_bfloat16_and_weights_are_not() -> None:
    layer, compute = nn.Linear(3, 2), Compute("bfloat16", ON_THE_PROCESSOR)
    with compute.mixed():
        product = layer(torch.ones(1, 3))
    product.float().sum().backward()
    assert product.dtype == torch.bfloat16
    assert layer.weight.dtype == layer.weight.grad.dtype == torch.float32


def test_in_float32_nothing_is_rounded() -> None:
    layer, given = nn.Linear(3, 2), torch.rand(4, 3)
    with Compute("float32", ON_THE_PROCESSOR).mixed():
        product = layer(given)
    assert torch.equal(product, layer(given))


def test_tensors_are_taken_to_where_the_weights_are() -> None:
    nowhere = torch.device("meta")
    layer = nn.Linear(3, 2, device=nowhere)
    (taken,) = Compute(device=device_of(layer)).take(torch.ones(2, 3))
    assert layer(taken).device == nowhere


@pytest.mark.hardware
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU in this machine")
def test_a_gpu_gives_the_numbers_of_the_processor() -> None:
    layer, given = nn.Linear(64, 8), torch.rand(16, 64)
    expected = layer(given)
    compute = Compute()
    (taken,) = compute.take(given)
    torch.testing.assert_close(
        layer.to(compute.device)(taken).cpu(), expected, rtol=1e-3, atol=1e-3
    )
