"""The network and its exported graph are what the role of the detector describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.engines.openvino import core
from edge_daemon.vision.detect import decode
from trainer.models.detector import Detector, DetectorGraph, DetectorShape

HEIGHT, WIDTH = 64, 96
ROLE = DetectorRole(
    input_height=HEIGHT,
    input_width=WIDTH,
    score_thresholds={"wbc": 0.0, "rbc": 0.0, "platelet": 0.0},
)


@pytest.fixture(scope="module")
def graph() -> DetectorGraph:
    torch.manual_seed(3)
    detector = Detector(DetectorShape(channels=16))
    torch.nn.init.normal_(detector.score.weight, std=0.5)
    torch.nn.init.normal_(detector.box.weight, std=0.5)
    return DetectorGraph(detector).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, HEIGHT, WIDTH, 3), dtype=np.uint8)


def run(graph: DetectorGraph, image: np.ndarray) -> dict[str, np.ndarray]:
    with torch.inference_mode():
        outputs = graph(torch.from_numpy(image))
    return {name: part.numpy() for name, part in zip(graph.output_names, outputs, strict=True)}


def test_outputs_have_the_names_and_shapes_of_the_role(
    graph: DetectorGraph, image: np.ndarray
) -> None:
    outputs = run(graph, image)
    assert list(outputs) == [f"{part}_{s}" for s in ROLE.strides for part in ("scores", "boxes")]
    for stride in ROLE.strides:
        grid = (HEIGHT // stride, WIDTH // stride)
        assert outputs[f"scores_{stride}"].shape == (1, 3, *grid)
        assert outputs[f"boxes_{stride}"].shape == (1, 4, *grid)
        assert outputs[f"boxes_{stride}"].dtype == np.float32


def test_distances_are_never_negative(graph: DetectorGraph, image: np.ndarray) -> None:
    outputs = run(graph, image)
    assert all((outputs[f"boxes_{stride}"] >= 0).all() for stride in ROLE.strides)


def test_the_graph_holds_nothing_that_int8_or_fp16_dislikes(graph: DetectorGraph) -> None:
    kinds = {type(module).__name__ for module in graph.modules()}
    assert not kinds & {"SiLU", "Hardswish", "GELU", "Mish", "Sigmoid", "Softmax"}


def test_an_untrained_detector_sees_next_to_nothing(image: np.ndarray) -> None:
    outputs = run(DetectorGraph(Detector()).eval(), image)
    role = ROLE.model_copy(update={"score_thresholds": dict.fromkeys(ROLE.kinds, 0.3)})
    assert len(decode(outputs, role, 1.0, HEIGHT, WIDTH)) == 0


@pytest.mark.filterwarnings("ignore")
def test_openvino_runs_the_exported_graph_to_the_same_numbers(
    graph: DetectorGraph, image: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "detector.onnx"
    torch.onnx.export(
        graph,
        (torch.from_numpy(image),),
        str(path),
        input_names=list(graph.input_names),
        output_names=list(graph.output_names),
        opset_version=19,
        dynamo=False,
    )
    compiled = core().compile_model(
        str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    got = compiled({"image": image})
    for name, expected in run(graph, image).items():
        np.testing.assert_allclose(got[name], expected, rtol=1e-3, atol=2e-3)
