"""INT8: the same answers within what eight bits allow, on the same bytes, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.golden import check_golden
from edge_daemon.engines.names import EngineName
from edge_daemon.engines.options import EngineOptions
from edge_daemon.engines.select import open_engine
from exporter.bundle.writer import verify_bundle, write_bundle
from exporter.errors import ExportError
from exporter.gate.examples import Network
from exporter.gate.verdict import Measured
from exporter.graphs.int8 import Quantised, calibrate
from exporter.graphs.reference import ReferenceSession
from exporter.graphs.rendered import rendered_inputs
from exporter.graphs.rewriting import answering_nodes, write_graph
from tests.exporter.small_models import CLASSIFIER, small_draft


def quantised(source: Path, pictures: RenderedCells) -> Quantised:
    digest = pictures.calibration_digest()
    return calibrate(source, pictures.calibration(), "minmax", digest=digest)


class RenderedCells:
    """Examples of rendered cells; ``worth`` says what a network scores from its logits."""

    def __init__(self, pictures: int = 60) -> None:
        self.pictures = rendered_inputs(CLASSIFIER, 12, 3)
        self.pictures = np.tile(self.pictures, (-(-pictures // 12), 1, 1, 1))[:pictures]

    def calibration(self) -> Iterator[NDArray[np.uint8]]:
        yield from np.array_split(self.pictures, 4)

    def calibration_digest(self) -> str:
        return "cd" * 32

    def measure(self, network: Network, *, recalibrate: bool = False) -> Measured:
        logits = network(self.pictures[:12])["logits"]
        called = np.flatnonzero(logits[:, 1] >= np.median(logits[:, 1]))
        return Measured({"rendered.auroc": 0.9}, frozenset(f"cell {i}" for i in called))


class LosesBlasts(RenderedCells):
    """What is measured second, the reduced network, has lost sensitivity."""

    def __init__(self) -> None:
        super().__init__()
        self.measured = 0

    def measure(self, network: Network, *, recalibrate: bool = False) -> Measured:
        self.measured += 1
        worth = 0.95 if self.measured == 1 else 0.94
        return Measured({"on_black.sensitivity": worth}, frozenset())


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    draft = small_draft()
    detector, classifier = draft.roles
    roles = (detector, replace(classifier, examples=RenderedCells()))
    return write_bundle(replace(draft, roles=roles), tmp_path_factory.mktemp("int8")).path


def test_what_passes_is_in_the_bundle_with_its_figures(bundle: Path) -> None:
    manifest = load_bundle(bundle).manifest
    assert set(manifest.roles.classifier.models) == {"fp32", "fp16", "int8"}
    assert set(manifest.roles.detector.models) == {"fp32"}
    assert manifest.metrics["classifier.int8.rendered.auroc"] == 0.9
    assert manifest.metrics["classifier.fp16.rendered.auroc"] == 0.9
    assert "passes the gate" in (bundle / "MODEL_CARD.md").read_text()


def test_it_is_proven_on_the_golden_set(bundle: Path) -> None:
    proofs = {(proof.role, proof.precision) for proof in verify_bundle(bundle)}
    assert {("classifier", "int8"), ("classifier", "fp16")} <= proofs


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_daemon_runs_and_believes_it(
    bundle: Path, engine: EngineName, precision: Precision
) -> None:
    loaded = load_bundle(bundle)
    opened = open_engine(loaded, "classifier", EngineOptions(engine, precision, 1))
    assert opened.precision == precision
    assert check_golden(opened, loaded, "classifier").passed
    opened.close()


@pytest.mark.parametrize(("engine", "chosen"), [("openvino", "int8"), ("onnxruntime", "fp32")])
def test_each_engine_takes_what_is_fastest_on_it(
    bundle: Path, engine: EngineName, chosen: Precision
) -> None:
    opened = open_engine(load_bundle(bundle), "classifier", EngineOptions(engine, threads=1))
    assert opened.precision == chosen
    opened.close()


def test_weights_are_bytes_and_the_answer_stays_in_float(bundle: Path) -> None:
    model = onnx.load(bundle / "classifier.int8.onnx")
    kinds = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.INT8 in kinds.values()
    makers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.name in answering_nodes(model.graph):
            assert all(
                makers[name].op_type != "DequantizeLinear" for name in node.input if name in makers
            )


def test_what_reads_features_stays_in_float_whatever_it_adds(tmp_path: Path) -> None:
    """The variance and the logarithm behind a convolution are answers; a sum before one is not."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="first"),
        helper.make_node("Add", ["a", "a"], ["b"], name="residual"),
        helper.make_node("Conv", ["b", "w"], ["c"], name="second"),
        helper.make_node("Add", ["a", "small"], ["d"], name="spread"),
        helper.make_node("Concat", ["c", "d"], ["y"], axis=1, name="joined"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2, 4, 4])
    graph = helper.make_graph(nodes, "small", [x], [y])
    assert answering_nodes(graph) == {"second", "spread", "joined"}


def test_a_feature_that_is_rounded_for_a_convolution_is_whole_for_the_answer(
    tmp_path: Path,
) -> None:
    """ONNX Runtime's quantiser hands the rounded tensor to everybody who reads it."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["image"], ["x"], name="cast", to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["x"], ["planes"], name="turn", perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "w"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "v"], ["b"], name="second"),
        helper.make_node("Conv", ["b", "v"], ["c"], name="third"),
        helper.make_node("ReduceMean", ["a", "axes"], ["mean"], name="mean", keepdims=1),
        helper.make_node("Add", ["c", "mean"], ["y"], name="joined"),
    ]
    constants = {
        "w": np.ones((2, 3, 1, 1), np.float32),
        "v": np.ones((2, 2, 1, 1), np.float32),
        "axes": np.array([2, 3], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "shared",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["N", 8, 8, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 2, 8, 8])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    file = tmp_path / "shared.onnx"
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), file
    )
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)]
    one = calibrate(file, pictures, "minmax", digest="ab" * 32)
    assert one.nodes == ("first", "second")
    (mean,) = (node for node in one.int8.graph.node if node.name == "mean")
    (second,) = (node for node in one.int8.graph.node if node.name == "second")
    assert mean.input[0] == "a"
    assert second.input[0] != "a"


def test_the_graph_says_what_it_was_calibrated_with(bundle: Path) -> None:
    told = {e.key: e.value for e in onnx.load(bundle / "classifier.int8.onnx").metadata_props}
    assert told["leukoedge.precision"] == "int8"
    assert told["leukoedge.calibration"] == f"minmax; sha256:{'cd' * 32}"


def test_the_same_pictures_give_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    files = [tmp_path / "one.onnx", tmp_path / "two.onnx"]
    for file in files:
        write_graph(quantised(bundle / "classifier.fp32.onnx", RenderedCells()).mixed(()), file)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_precision_that_loses_blasts_does_not_ship(tmp_path: Path) -> None:
    draft = small_draft()
    detector, classifier = draft.roles
    told: list[str] = []
    roles = (detector, replace(classifier, examples=LosesBlasts()))
    written = write_bundle(replace(draft, roles=roles), tmp_path, tell=told.append)
    assert set(written.manifest.roles.classifier.models) == {"fp32"}
    assert not (written.path / "classifier.int8.onnx").exists()
    assert not (written.path / "classifier.fp16.onnx").exists()
    refused = [line for line in told if "refused" in line]
    float16, int8 = ([x for x in refused if f" {name} (" in x] for name in ("fp16", "int8"))
    # of its one layer none can stay in float; then the same with weights that were tuned for it
    assert ["int8 (fine-tuned, " in line for line in int8] == [False] * 2 + [True] * 2
    assert len(float16) > 1
    assert "layers in float: " in float16[-1]
    assert "on_black.sensitivity falls from 0.9500 to 0.9400, 0.005 may be lost" in refused[0]
    assert "refused" in (written.path / "MODEL_CARD.md").read_text()


def test_what_shall_stay_in_float_does(bundle: Path) -> None:
    """The classifier has two convolutions; the second one answers, so the first alone is INT8."""
    one = quantised(bundle / "classifier.fp32.onnx", RenderedCells())
    (only,) = one.nodes
    operators = [node.op_type for node in one.mixed(()).graph.node]
    assert operators.count("QuantizeLinear") == 1
    mixed = one.mixed([only])
    onnx.checker.check_model(mixed, full_check=True)
    assert {"QuantizeLinear", "DequantizeLinear"}.isdisjoint(n.op_type for n in mixed.graph.node)
    with pytest.raises(ExportError, match="nowhere is no quantised node"):
        one.mixed(["nowhere"])


def test_all_in_float_is_float(bundle: Path, tmp_path: Path) -> None:
    source = bundle / "classifier.fp32.onnx"
    one = quantised(source, RenderedCells())
    write_graph(one.mixed(one.nodes), tmp_path / "float.onnx")
    crops = rendered_inputs(CLASSIFIER, 4, 5)
    wanted, found = (
        ReferenceSession(file).run(crops)["logits"] for file in (source, tmp_path / "float.onnx")
    )
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_any_number_of_pictures_calibrates(bundle: Path) -> None:
    assert quantised(bundle / "classifier.fp32.onnx", RenderedCells(pictures=53)).nodes


def test_too_few_pictures_are_no_calibration(bundle: Path) -> None:
    with pytest.raises(ExportError, match=r"20 pictures are too few .*50 are needed"):
        quantised(bundle / "classifier.fp32.onnx", RenderedCells(pictures=20))
