"""Float16: the same answers within its ten bits, typed so that NVIDIA's builder takes it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from exporter.errors import ExportError
from exporter.graphs.fp16 import halvable, halve
from exporter.graphs.from_torch import export_graph
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rendered import proofs_for, rendered_inputs
from exporter.graphs.signature import check_input_is_cast, check_signature
from tests.exporter.small_models import CLASSIFIER, SmallClassifier


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    file = tmp_path_factory.mktemp("fp16") / "classifier.fp32.onnx"
    told = {"leukoedge.precision": "fp32", "leukoedge.role": "classifier"}
    graph = SmallClassifier()
    export_graph(graph, CLASSIFIER, file, proofs=proofs_for(CLASSIFIER), metadata=told)
    return file


@pytest.fixture(scope="module")
def halved(source: Path) -> Path:
    file = source.with_name("classifier.fp16.onnx")
    halve(source, file, keep_answers=True)
    return file


def test_it_answers_as_float32_does(source: Path, halved: Path) -> None:
    crops = rendered_inputs(CLASSIFIER, 12, 3)
    wanted, found = (ReferenceSession(file).run(crops)["logits"] for file in (source, halved))
    assert 0 < np.abs(wanted - found).max() < 2e-3


def test_inputs_and_outputs_are_those_of_the_contract(halved: Path) -> None:
    model = onnx.load(halved)
    check_signature(model, CLASSIFIER, "it")
    check_input_is_cast(model, "it")


def test_weights_of_convolutions_are_float16_and_the_answer_is_made_in_float32(
    halved: Path,
) -> None:
    model = onnx.load(halved)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Conv":
            assert types[node.input[1]] == TensorProto.FLOAT16
        if node.op_type in ("Gemm", "MatMul"):
            assert types[node.input[1]] == TensorProto.FLOAT


def test_it_says_its_precision_and_nothing_of_where_it_was_made(halved: Path) -> None:
    told = {entry.key: entry.value for entry in onnx.load(halved).metadata_props}
    assert told == {"leukoedge.precision": "fp16", "leukoedge.role": "classifier"}


def test_the_same_graph_gives_the_same_bytes(source: Path, halved: Path, tmp_path: Path) -> None:
    halve(source, tmp_path / "again.onnx", keep_answers=True)
    assert (tmp_path / "again.onnx").read_bytes() == halved.read_bytes()


def test_a_layer_that_stays_in_float32_is_read_and_clipped_in_float32(source: Path) -> None:
    graph = halvable(source, keep_answers=True)
    convolutions = [node.name for node in graph.float32.graph.node if node.op_type == "Conv"]
    model = graph.mixed(convolutions[:1])
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    weights = [types[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    assert weights == [TensorProto.FLOAT] + [TensorProto.FLOAT16] * (len(convolutions) - 1)
    onnx.checker.check_model(model, full_check=True)


def test_with_all_layers_in_float32_it_is_the_graph_it_was(source: Path, tmp_path: Path) -> None:
    graph = halvable(source, keep_answers=True)
    (tmp_path / "none.onnx").write_bytes(graph.mixed(graph.nodes).SerializeToString())
    crops = rendered_inputs(CLASSIFIER, 12, 3)
    wanted, found = (
        ReferenceSession(file).run(crops)["logits"] for file in (source, tmp_path / "none.onnx")
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_layer_that_there_is_not_is_named(source: Path) -> None:
    with pytest.raises(ExportError, match=r"conv_9 is no layer of classifier.fp32.onnx"):
        halvable(source, keep_answers=True).mixed(["conv_9"])


def write_statistics(file: Path) -> None:
    """A convolution, and behind it the variance of large, nearly equal numbers."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Conv", ["f", "w"], ["c"], name="conv"),
        helper.make_node("ReduceMean", ["c", "axes"], ["m"], name="mean"),
        helper.make_node("Sub", ["c", "m"], ["d"], name="deviation"),
        helper.make_node("Mul", ["d", "d"], ["s"], name="square"),
        helper.make_node("Mul", ["s", "tiny"], ["t"], name="scale"),
        helper.make_node("ReduceSum", ["t", "axes"], ["y"], name="sum"),
    ]
    constants = {
        "w": np.ones((1, 1, 1, 1), np.float32),
        "axes": np.array([2, 3], np.int64),
        "tiny": np.array([1e-6], np.float32),
    }
    graph = helper.make_graph(
        nodes,
        "statistics",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, 1, 4, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 1, 1, 1])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString())


def test_numbers_too_small_for_float16_survive_where_answers_are_kept(tmp_path: Path) -> None:
    """1e-6 is below the smallest normal float16; between two kept nodes there is no cast."""
    write_statistics(tmp_path / "s.onnx")
    halve(tmp_path / "s.onnx", tmp_path / "kept.onnx", keep_answers=True)
    x = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4)
    wanted, kept = (ReferenceSession(tmp_path / f).run(x)["y"] for f in ("s.onnx", "kept.onnx"))
    np.testing.assert_allclose(kept, wanted, rtol=1e-5)
    nodes = onnx.load(tmp_path / "kept.onnx").graph.node
    assert [node.op_type for node in nodes].count("Cast") == 2  # of the pixels, and out of the Conv


def test_a_graph_that_cannot_be_rewritten_is_one_line_and_no_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ValueError("operator Foo\nhas no float16")

    monkeypatch.setattr("onnxruntime.transformers.float16.convert_float_to_float16", fails)
    with pytest.raises(ExportError, match=r"cannot be written in float16: operator Foo has no"):
        halve(source, tmp_path / "none.onnx", keep_answers=False)
    assert list(tmp_path.iterdir()) == []
