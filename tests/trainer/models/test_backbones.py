"""Every backbone keeps the same contract, and weights are theirs or refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from edge_daemon.errors import DataError
from trainer.models.backbones import BACKBONES, Backbone, BackboneName, build_backbone
from trainer.models.classifier import ARCHITECTURES, CellClassifier


@pytest.fixture(scope="module", params=BACKBONES)
def name(request: pytest.FixtureRequest) -> BackboneName:
    found: BackboneName = request.param
    return found


def test_it_gives_a_map_for_each_stage_whose_side_divides_the_input(name: BackboneName) -> None:
    backbone = build_backbone(name).eval()
    assert isinstance(backbone, Backbone)
    wanted = range(len(backbone.channels))
    with torch.inference_mode():
        maps = backbone.stage_outputs(torch.zeros(1, 3, 64, 64), wanted)
    assert tuple(one.shape[1] for one in maps) == backbone.channels
    assert all(64 % one.shape[-1] == 0 for one in maps)


def test_frozen_stages_and_statistics_stay_as_they_are(name: BackboneName) -> None:
    backbone = build_backbone(name)
    backbone.freeze(stages=2, batch_norm_statistics=True)
    backbone.train()
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    last = len(backbone.channels) - 1
    backbone.stage_outputs(torch.randn(2, 3, 64, 64), [last])[0].sum().backward()
    gradients = {key.split(".")[1] for key, p in backbone.named_parameters() if p.grad is not None}
    assert gradients == {str(stage) for stage in range(2, last + 1)}
    for key, value in backbone.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_torchvisions_layout_of_weights_fits(tmp_path: Path) -> None:
    from torchvision import models

    whole = models.resnet50()
    torch.save(whole.state_dict(), tmp_path / "resnet50.pth")
    backbone = build_backbone("resnet50")
    backbone.load_imagenet(tmp_path / "resnet50.pth")
    picture = torch.rand(1, 3, 64, 64)
    whole.eval(), backbone.eval()
    with torch.inference_mode():
        x = whole.maxpool(whole.relu(whole.bn1(whole.conv1(picture))))
        for layer in (whole.layer1, whole.layer2, whole.layer3, whole.layer4):
            x = layer(x)
        level = picture * torch.tensor([0.229, 0.224, 0.225])[:, None, None]
        level = (level + torch.tensor([0.485, 0.456, 0.406])[:, None, None]) * 255
        found = backbone.stage_outputs((level - 127) / 128, [3])[0]
    torch.testing.assert_close(found, x, atol=1e-4, rtol=1e-4)


def test_weights_of_another_network_are_refused_in_one_line(tmp_path: Path) -> None:
    torch.save({"conv1.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(DataError, match="does not hold torchvision's vgg19") as refused:
        build_backbone("vgg19").load_imagenet(tmp_path / "other.pth")
    assert "\n" not in str(refused.value)
    with pytest.raises(DataError, match="no weights at"):
        build_backbone("vgg19").load_imagenet(tmp_path / "absent.pth")


def test_a_name_that_is_no_backbone_is_refused() -> None:
    with pytest.raises(DataError, match="no backbone is called 'alexnet'"):
        build_backbone("alexnet")  # type: ignore[arg-type]


def test_gradients_reach_both_backbones_of_the_hybrid() -> None:
    network = CellClassifier(ARCHITECTURES["hybrid"])
    network(torch.randn(2, 3, 64, 64)).square().sum().backward()
    for name in ("vgg19", "resnet50"):
        for stage in network.backbones[name].stages:
            gradient = next(stage.parameters()).grad
            assert gradient is not None
            assert gradient.abs().sum() > 0


def test_depths_that_do_not_exist_are_refused() -> None:
    with pytest.raises(DataError, match="there is no stage 9"):
        CellClassifier({"resnet50": (9,)})
    with pytest.raises(DataError, match="not ascending"):
        CellClassifier({"resnet50": (2, 1)})
