"""The classifier's graph: uint8 crops in, logits out, the same in every engine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from edge_daemon.engines.openvino import core
from edge_daemon.errors import DataError
from trainer.models.classifier import (
    CellClassifier,
    ClassifierGeometry,
    ClassifierGraph,
    load_classifier,
    saved_classifier,
)
from trainer.training.checkpoint import save_checkpoint

GEOMETRY = ClassifierGeometry(size=80, visible=64)


@pytest.fixture(scope="module")
def graph() -> ClassifierGraph:
    torch.manual_seed(0)
    network = CellClassifier()
    network.novelty.settle(torch.randn(64, network.fusion.width), torch.ones(64))
    return ClassifierGraph(network, GEOMETRY).eval()


def crops(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 80, 80, 3)).astype(np.uint8)


def test_only_the_middle_of_a_crop_matters(graph: ClassifierGraph) -> None:
    one = crops(1)
    other = one.copy()
    other[:, :8] = other[:, -8:] = other[:, :, :8] = other[:, :, -8:] = 0
    with torch.inference_mode():
        for before, after in zip(
            graph(torch.from_numpy(one)), graph(torch.from_numpy(other)), strict=True
        ):
            assert torch.equal(before, after)


def test_the_exported_graph_takes_any_batch_and_agrees_in_both_engines(
    graph: ClassifierGraph, tmp_path: Path
) -> None:
    import onnxruntime

    path = tmp_path / "classifier.onnx"
    torch.onnx.export(
        graph,
        (torch.from_numpy(crops(2)),),
        str(path),
        input_names=["crops"],
        output_names=["logits", "novelty"],
        dynamic_axes={"crops": {0: "N"}, "logits": {0: "N"}, "novelty": {0: "N"}},
        opset_version=19,
        dynamo=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = core().compile_model(str(path), "CPU", exact)
    for count in (1, 5):
        batch = crops(count)
        with torch.inference_mode():
            expected = [output.numpy() for output in graph(torch.from_numpy(batch))]
        assert [output.shape for output in expected] == [(count, 2), (count,)]
        for index, output in enumerate(expected):
            found = session.run(None, {"crops": batch})[index]
            np.testing.assert_allclose(found, output, atol=1e-3)
            np.testing.assert_allclose(compiled(batch)[index], output, atol=1e-3)


def test_a_checkpoint_loads_as_it_was_saved(graph: ClassifierGraph, tmp_path: Path) -> None:
    save_checkpoint(saved_classifier(graph.network, GEOMETRY), tmp_path / "best.pt")
    loaded = load_classifier(tmp_path / "best.pt")
    assert loaded.geometry == GEOMETRY
    with torch.inference_mode():
        batch = torch.from_numpy(crops(2))
        assert torch.equal(loaded(batch)[0], graph(batch)[0])


@pytest.mark.parametrize("colours", [True, False])
def test_whether_colours_are_counted_is_saved_too(tmp_path: Path, colours: bool) -> None:
    network = CellClassifier(colours=colours)
    save_checkpoint(saved_classifier(network, GEOMETRY), tmp_path / "best.pt")
    loaded = load_classifier(tmp_path / "best.pt").network
    assert (loaded.colours is not None) == colours
    assert loaded.fusion.width == network.fusion.width


def test_a_checkpoint_of_something_else_is_refused_in_one_line(tmp_path: Path) -> None:
    save_checkpoint({"weights": {}, "geometry": asdict(GEOMETRY)}, tmp_path / "best.pt")
    with pytest.raises(DataError, match="does not hold a classifier") as refused:
        load_classifier(tmp_path / "best.pt")
    assert "\n" not in str(refused.value)


def test_a_geometry_that_the_network_cannot_take_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        ClassifierGeometry(size=160, visible=100)
    with pytest.raises(ValueError, match="at most size"):
        ClassifierGeometry(size=64, visible=96)


def test_what_is_not_the_cell_does_not_matter() -> None:
    """With a mask that is sure of itself, another neighbourhood gives the same answer."""
    network = CellClassifier().eval()

    class MiddleOnly(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = torch.full_like(x[:, :1], -100.0)
            logits[:, :, 24:40, 24:40] = 100.0
            return logits

    network.mask = MiddleOnly()  # type: ignore[assignment]
    one = 255 * torch.rand(1, 3, 64, 64)
    other = 255 * torch.rand(1, 3, 64, 64)
    other[:, :, 24:40, 24:40] = one[:, :, 24:40, 24:40]
    with torch.inference_mode():
        torch.testing.assert_close(network(one), network(other))


def test_a_held_mask_is_trained_no_further() -> None:
    network = CellClassifier()
    network.hold_mask()
    network.train()
    before = {name: value.clone() for name, value in network.mask.state_dict().items()}
    network(255 * torch.rand(2, 3, 64, 64)).sum().backward()
    assert all(parameter.grad is None for parameter in network.mask.parameters())
    for name, value in network.mask.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert network.committee.hidden.weight.grad is not None


def test_what_lies_behind_the_last_stage_read_is_not_kept() -> None:
    deep = CellClassifier({"efficientnet_lite0": (1, 6)})
    shallow = CellClassifier({"efficientnet_lite0": (1, 2)})
    assert not any(
        name.startswith("backbones.efficientnet_lite0.stages.3") for name in shallow.state_dict()
    )
    assert (
        sum(p.numel() for p in shallow.parameters()) < sum(p.numel() for p in deep.parameters()) / 5
    )
