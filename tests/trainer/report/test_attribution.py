"""HiResCAM of a network whose answer is known, which is left as it was found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_daemon.errors import DataError
from trainer.report.attribution import hires_cam, overlay


class SeesRed(nn.Module):
    """Class 1 is the mean of channel 0, class 0 that of channel 1; at half resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, 2, stride=2, bias=False)
        self.after = nn.ReLU(inplace=True)
        self.dropout = nn.Dropout(0.9)
        weight = torch.zeros(2, 3, 2, 2)
        weight[0, 0] = weight[1, 1] = 0.25
        self.features.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        means = self.dropout(self.after(self.features(x))).mean(dim=(2, 3))
        return torch.stack([means[:, 1], means[:, 0]], dim=1)


def red_corner() -> Tensor:
    """Red above left, green below right, in 8 x 8."""
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, :4, :4] = 1.0
    x[0, 1, 4:, 4:] = 0.5
    return x


def test_the_evidence_is_where_the_class_has_it() -> None:
    red = hires_cam(SeesRed(), "features", red_corner(), class_index=1)[0]
    green = hires_cam(SeesRed(), "features", red_corner(), class_index=0)[0]

    expected = np.zeros((4, 4), np.float32)
    expected[:2, :2] = 1
    assert np.array_equal(red, expected)
    assert np.array_equal(green, expected[::-1, ::-1])


def test_what_is_not_read_stays_dark() -> None:
    """Where Grad-CAM, which weighs whole channels, would light up both corners."""

    class ReadsTheLeft(SeesRed):
        def forward(self, x: Tensor) -> Tensor:
            means = self.after(self.features(x))[..., :2].mean(dim=(2, 3))
            return torch.stack([means[:, 1], means[:, 0]], dim=1)

    red = torch.zeros(1, 3, 8, 8)
    red[0, 0, :4] = 1.0
    heat = hires_cam(ReadsTheLeft(), "features", red, class_index=1)[0]
    assert heat[:2, :2].min() == 1
    assert not heat[:, 2:].any()


def test_frozen_weights_and_a_caller_without_gradients_change_nothing() -> None:
    with torch.no_grad():
        assert hires_cam(SeesRed(), "features", red_corner(), 1).max() == 1


def test_no_evidence_is_dark_throughout() -> None:
    heat = hires_cam(SeesRed(), "features", torch.zeros(2, 3, 8, 8), 1)
    assert heat.shape == (2, 4, 4)
    assert not heat.any()


def test_the_network_is_left_as_it_was_found() -> None:
    network = SeesRed().train()
    network.after.eval()
    hires_cam(network, "features", red_corner(), 1)

    assert (network.training, network.dropout.training, network.after.training) == (
        True,
        True,
        False,
    )
    assert not network.features._forward_hooks


def test_the_hook_is_gone_after_a_failure_too() -> None:
    network = SeesRed()
    with pytest.raises(RuntimeError):
        hires_cam(network, "features", torch.zeros(1, 7, 8, 8), 1)
    with pytest.raises(DataError, match="gives no features"):
        hires_cam(nn.Sequential(nn.Flatten(), nn.Linear(192, 2)), "1", red_corner(), 1)
    assert not network.features._forward_hooks


@pytest.mark.parametrize("layer", ["", "stage9"])
def test_a_layer_that_is_not_there_is_named(layer: str) -> None:
    with pytest.raises(DataError, match=f"no layer '{layer}'"):
        hires_cam(SeesRed(), layer, red_corner(), 1)


def test_an_overlay_keeps_the_size_of_the_picture() -> None:
    picture = np.full((20, 30, 3), 128, np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[:2, :2] = 1
    laid = overlay(picture, heat)

    assert (laid.shape, laid.dtype) == (picture.shape, np.uint8)
    assert laid[2, 2].sum() > laid[-2, -2].sum()
