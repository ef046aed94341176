"""Weights learn to bear INT8, from what the network itself says and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import ExportError
from exporter.graphs.fine_tuning import FineTuning, fine_tuned
from exporter.graphs.from_torch import export_graph
from exporter.graphs.int8 import calibrate
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rewriting import write_graph
from tests.exporter.small_models import CLASSIFIER


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    chance = np.random.default_rng(3)
    shades = chance.integers(40, 216, (64, 1, 1, 3))
    noise = chance.normal(0, 20, (64, 64, 64, 3))
    return list(np.clip(shades + noise, 0, 255).astype(np.uint8).reshape(4, 16, 64, 64, 3))


class ThreeLayers(nn.Module):
    """A classifier whose middle layer is rounded in INT8; what it answers with is not."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 5, stride=4)
        self.second = nn.Conv2d(8, 8, 3)
        self.third = nn.Conv2d(8, 8, 3)
        self.answer = nn.Linear(8, 2)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        x = (crops.float().permute(0, 3, 1, 2) - 127.0) / 128.0
        x = self.first(x).relu()
        x = self.third(self.second(x).relu()).relu()
        answer: torch.Tensor = self.answer(x.mean((2, 3)))
        return answer


def drowned() -> nn.Module:
    """One with a channel that drowns the others once all of them are rounded to one step."""
    torch.manual_seed(2)
    network = ThreeLayers()
    with torch.no_grad():
        network.first.weight[0] *= 300.0
        network.second.weight[:, 0] *= 1e-3
        network.answer.weight *= 30.0
    return network.eval()


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return drowned()


def int8_says(network: nn.Module, pictures: list[np.ndarray], folder: Path) -> np.ndarray:
    source, file = folder / "fp32.onnx", folder / "int8.onnx"
    export_graph(network, CLASSIFIER, source, proofs=pictures)
    write_graph(calibrate(source, pictures, "minmax", digest="-").mixed(()), file)
    session = ReferenceSession(file)
    return np.concatenate([session.run(batch)["logits"] for batch in pictures])


def float32_says(network: nn.Module, pictures: list[np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return torch.cat([network(torch.from_numpy(batch)) for batch in pictures]).numpy()


@pytest.fixture(scope="module")
def tuned(network: nn.Module, pictures: list[np.ndarray]) -> nn.Module:
    return fine_tuned(network, pictures, FineTuning(steps=300, rate=1e-3))


def test_int8_of_it_is_nearer_to_what_the_network_said_in_float32(
    network: nn.Module, tuned: nn.Module, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    wanted = float32_says(network, pictures)
    before = np.abs(int8_says(network, pictures, tmp_path) - wanted).mean()
    after = np.abs(int8_says(tuned, pictures, tmp_path) - wanted).mean()
    assert after < 0.75 * before


def test_the_network_itself_stays_as_it_was(network: nn.Module, tuned: nn.Module) -> None:
    assert not any(parameter.requires_grad for parameter in tuned.parameters())
    assert tuned.state_dict().keys() == network.state_dict().keys()
    fresh = drowned()
    for name, value in network.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name
    assert not torch.equal(
        tuned.state_dict()["second.weight"], network.state_dict()["second.weight"]
    )


def test_the_same_pictures_give_the_same_weights(
    network: nn.Module, pictures: list[np.ndarray]
) -> None:
    few = FineTuning(steps=3)
    one, again = (fine_tuned(network, pictures, few).state_dict() for _ in range(2))
    for name, value in one.items():
        assert torch.equal(value, again[name]), name


def test_without_pictures_or_without_anything_to_round_it_is_one_line(
    network: nn.Module, pictures: list[np.ndarray]
) -> None:
    with pytest.raises(ExportError, match="no pictures to fine-tune on"):
        fine_tuned(network, [])

    class Flat(nn.Module):
        def forward(self, crops: torch.Tensor) -> torch.Tensor:
            return crops.float().mean((1, 2))

    with pytest.raises(ExportError, match="Flat has no convolution"):
        fine_tuned(Flat(), pictures)
