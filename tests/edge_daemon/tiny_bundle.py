"""A whole bundle that fits in a few kilobytes and can be reasoned about by hand.

Its detector fires where a 16x16 square of the input is blue (white cell) or red (red cell) and
says that the cell is 32 pixels wide; its classifier calls a crop a blast when it is blue
overall. Where it has a limit of novelty, a crop is the more novel the brighter it is: mean grey
level over 100. Its second opinion, where it has one, is slower to call a blast: by 18 logits.
Real networks on real engines, only very small.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from edge_daemon.contract.bundle import (
    BundleManifest,
    ClassifierModels,
    DetectorModels,
    Provenance,
    Roles,
    file_entry,
    write_manifest,
)
from edge_daemon.contract.roles import ClassifierRole, DetectorRole

SIDE = 128
STRIDE = 16
CROP = 32
WHITE_CELL = (60, 40, 200)
RED_CELL = (210, 60, 60)
GLASS = (235, 235, 235)

DETECTOR = DetectorRole(
    input_height=SIDE,
    input_width=SIDE,
    strides=(STRIDE,),
    score_thresholds={"wbc": 0.5, "rbc": 0.5, "platelet": 0.5},
    nms_iou=0.3,
)
CLASSIFIER = ClassifierRole(
    size=CROP, crop_um=16.0, abstain_band=(0.3, 0.7), single_cell_um_per_px=0.5
)


def write_tiny_bundle(
    folder: Path,
    version: str = "0.1.0",
    *,
    novelty_limit: float | None = None,
    second_opinion: bool = False,
) -> Path:
    """Write the bundle to ``folder/tiny-<version>`` and return that path."""
    path = folder / f"tiny-{version}"
    path.mkdir(parents=True)
    (path / "detector.fp32.onnx").write_bytes(_detector())
    (path / "classifier.fp32.onnx").write_bytes(_classifier(with_novelty=novelty_limit is not None))
    rng = np.random.default_rng(0)
    golden = {}
    inputs = {"detector": (1, SIDE, SIDE, 3), "classifier": (4, CROP, CROP, 3)}
    if second_opinion:
        inputs["second_opinion"] = inputs["classifier"]
        network = _classifier(with_novelty=False, bias=-20.0)
        (path / "second_opinion.fp32.onnx").write_bytes(network)
    for role, shape in inputs.items():
        session = onnxruntime.InferenceSession(
            path / f"{role}.fp32.onnx", providers=["CPUExecutionProvider"]
        )
        given = rng.integers(0, 256, shape, dtype=np.uint8)
        golden[f"{role}/input"] = given
        names = [output.name for output in session.get_outputs()]
        values = session.run(names, {session.get_inputs()[0].name: given})
        golden |= {f"{role}/{name}": v for name, v in zip(names, values, strict=True)}
    np.savez(path / "golden.npz", **golden)
    files = (*(f"{role}.fp32.onnx" for role in inputs), "golden.npz")
    manifest = BundleManifest(
        schema="leukoedge.bundle/1",
        name="tiny",
        version=version,
        roles=Roles(
            detector=DetectorModels(spec=DETECTOR, models={"fp32": files[0]}),
            classifier=ClassifierModels(
                spec=CLASSIFIER.model_copy(update={"novelty_limit": novelty_limit}),
                models={"fp32": files[1]},
            ),
            second_opinion=ClassifierModels(spec=CLASSIFIER, models={"fp32": files[2]})
            if second_opinion
            else None,
        ),
        metrics={},
        provenance=Provenance(
            created=datetime(2026, 1, 1, tzinfo=timezone.utc),
            command="tests",
            software={"onnx": onnx.__version__},
            data=(),
        ),
        files={name: file_entry(path / name) for name in files},
    )
    write_manifest(path, manifest)
    return path


def _detector() -> bytes:
    # Logits rise with the difference of the colours, in units of grey levels.
    blue, red = [-1.0, -1.0, 1.6], [1.0, -1.6, -0.4]
    weights = np.array([blue, red, [0, 0, 0]], np.float32).reshape(3, 3, 1, 1)
    constants = {
        "score_weight": weights,
        "score_bias": np.array([-60.0, -30.0, -20.0], np.float32),
        "box_weight": np.zeros((4, 3, 1, 1), np.float32),
        "box_bias": np.full(4, 16 / STRIDE, np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["floats"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "AveragePool", ["planes"], ["means"], kernel_shape=[16, 16], strides=[16, 16]
        ),
        helper.make_node("Conv", ["means", "score_weight", "score_bias"], [f"scores_{STRIDE}"]),
        helper.make_node("Conv", ["means", "box_weight", "box_bias"], ["sides"]),
        helper.make_node("Relu", ["sides"], [f"boxes_{STRIDE}"]),
    ]
    grid = SIDE // STRIDE
    return _model(
        nodes,
        helper.make_tensor_value_info("image", TensorProto.UINT8, [1, SIDE, SIDE, 3]),
        [
            helper.make_tensor_value_info(
                f"scores_{STRIDE}", TensorProto.FLOAT, [1, 3, grid, grid]
            ),
            helper.make_tensor_value_info(f"boxes_{STRIDE}", TensorProto.FLOAT, [1, 4, grid, grid]),
        ],
        constants,
    )


def _classifier(*, with_novelty: bool, bias: float = -2.0) -> bytes:
    constants = {
        "weight": np.array([[0.0, 0.0, 0.0], [-0.1, 0.0, 0.1]], np.float32).T,
        "bias": np.array([0.0, bias], np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats", "axes"], ["colour"], keepdims=0),
        helper.make_node("Gemm", ["colour", "weight", "bias"], ["logits"]),
    ]
    constants["axes"] = np.array([1, 2], np.int64)
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 2])]
    if with_novelty:
        nodes += [
            helper.make_node("ReduceMean", ["colour", "last"], ["grey"], keepdims=0),
            helper.make_node("Div", ["grey", "hundred"], ["novelty"]),
        ]
        constants |= {"last": np.array([1], np.int64), "hundred": np.float32([100.0])}
        outputs.append(helper.make_tensor_value_info("novelty", TensorProto.FLOAT, ["N"]))
    return _model(
        nodes,
        helper.make_tensor_value_info("crops", TensorProto.UINT8, ["N", CROP, CROP, 3]),
        outputs,
        constants,
    )


def _model(nodes: list, given: object, outputs: list, constants: dict[str, np.ndarray]) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [given],
        outputs,
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
    onnx.checker.check_model(model)
    return model.SerializeToString()
