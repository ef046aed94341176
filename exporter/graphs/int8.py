"""An exported graph with INT8 arithmetic, as an explicit graph: quantise and dequantise nodes.

Post-training quantisation by ONNX Runtime (Jacob et al. 2018, arXiv:1712.05877): weights per
output channel, activations per tensor, both symmetric, which is what TensorRT's parser and
OpenVINO run natively. What a graph answers with, its last convolutions and all behind them, stays
in float: a step of one 127th of the range there would be a step of every score.

Calibration is what costs; so it is done once, for everything that may be quantised, and any mix of
INT8 and float is cut out of its result.
"""

from __future__ import annotations

import copy
import io
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from exporter.errors import ExportError
from exporter.graphs.rewriting import answering_nodes, drop_unread

Calibrator = Literal["minmax", "percentile"]
"""How the range of an activation is chosen: all that was seen, or all but the rarest thousandth of
a percent at either end."""

LEAST_PICTURES = 50
"""With fewer, the range of an activation is a matter of luck."""

_PICTURES_AT_ONCE = 4
"""All activations of so many pictures are in memory together: 1 GB for frames."""
_QUANTISED = ["Conv", "Gemm", "Add", "MaxPool", "AveragePool", "GlobalAveragePool"]


@dataclass(frozen=True, eq=False)
class Quantised:
    """A graph with everything in INT8 that may be, and what it was made of."""

    float32: onnx.ModelProto
    """The graph as it was calibrated: batch norms folded, the same names."""
    int8: onnx.ModelProto
    nodes: tuple[str, ...]
    """Names of the nodes that read quantised inputs, from the input of the graph on."""

    def mixed(self, in_float: Collection[str]) -> onnx.ModelProto:
        """The graph with the nodes ``in_float`` left in float32.

        Raises:
            ExportError: one of them is not quantised here.
        """
        unknown = sorted(set(in_float) - set(self.nodes))
        if unknown:
            raise ExportError(f"{unknown[0]} is no quantised node of this graph")
        model = copy.deepcopy(self.int8)
        original = {node.name: node for node in self.float32.graph.node}
        for node in model.graph.node:
            if node.name in in_float:
                node.input[:] = original[node.name].input
        _only_what_is_read(model.graph, self.float32.graph)
        return model


def calibrate(
    source: Path, pictures: Iterable[NDArray[np.uint8]], calibrator: Calibrator, *, digest: str
) -> Quantised:
    """Quantise all of ``source`` that may be.

    Args:
        source: ONNX file in float32 of one input, as ``export_graph`` writes it.
        pictures: batches for calibration, uint8 ``[N, H, W, 3]``, as the daemon makes them.
        calibrator: how the ranges of activations are chosen.
        digest: names the list of pictures; it goes into the graph.

    Raises:
        ExportError: too few pictures, or the graph cannot be quantised.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.calibrate import CalibrationMethod
    from onnxruntime.quantization.shape_inference import quant_pre_process

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "percentile": CalibrationMethod.Percentile,
    }
    try:
        with tempfile.TemporaryDirectory() as scratch:
            prepared, written = Path(scratch) / "prepared.onnx", Path(scratch) / "int8.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            model = onnx.load(prepared)
            reader = _Reader(model.graph.input[0].name, pictures)
            if len(reader) < LEAST_PICTURES:
                raise ExportError(
                    f"{source.name}: {len(reader)} pictures are too few to calibrate with, "
                    f"{LEAST_PICTURES} are needed: give more training data"
                )
            with redirect_stdout(io.StringIO()):  # it prints how it goes about it
                quantize_static(
                    str(prepared),
                    str(written),
                    reader,
                    quant_format=QuantFormat.QDQ,
                    per_channel=True,
                    activation_type=QuantType.QInt8,
                    weight_type=QuantType.QInt8,
                    op_types_to_quantize=_QUANTISED,
                    nodes_to_exclude=sorted(
                        answering_nodes(model.graph) | _sums_with_constants(model.graph)
                    ),
                    calibrate_method=methods[calibrator],
                    extra_options={
                        "ActivationSymmetric": True,
                        "WeightSymmetric": True,
                        "QuantizeBias": False,
                        "DedicatedQDQPair": False,
                        "OpTypesToExcludeOutputQuantization": _QUANTISED,
                        "CalibStridedMinMax": _stride(len(reader)),
                        "CalibPercentile": 99.999,
                    },
                )
            int8 = onnx.load(written)
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime raises whatever the operator at fault raises
        cause = " ".join(str(error).split())[:300]
        raise ExportError(f"{source.name} cannot be quantised: {cause}") from error
    _tidy(int8, onnx.load(source), f"{calibrator}; sha256:{digest}")
    _answer_in_float(int8.graph, model.graph)
    dequantised = {node.output[0] for node in int8.graph.node if node.op_type == "DequantizeLinear"}
    nodes = tuple(node.name for node in int8.graph.node if dequantised.intersection(node.input))
    return Quantised(model, int8, nodes)


def _sums_with_constants(graph: onnx.GraphProto) -> set[str]:
    """Additions of a constant: no residual sums, and NVIDIA's builder refuses theirs in INT8."""
    constants = {tensor.name for tensor in graph.initializer}
    return {
        node.name
        for node in graph.node
        if node.op_type == "Add" and constants.intersection(node.input)
    }


def _answer_in_float(graph: onnx.GraphProto, float32: onnx.GraphProto) -> None:
    """Let what makes the answers read features as they are.

    The quantiser hands the rounded feature to all who read it, once a convolution reads it rounded;
    a classifier's statistics would be taken of steps.
    """
    original = {node.name: node for node in float32.node}
    answering = answering_nodes(float32)
    for node in graph.node:
        if node.name in answering:
            node.input[:] = original[node.name].input
    _only_what_is_read(graph, float32)


def _only_what_is_read(graph: onnx.GraphProto, float32: onnx.GraphProto) -> None:
    """Drop what nobody reads, and take the constants that are missing from ``float32``."""
    read = drop_unread(graph)
    held = {tensor.name for tensor in graph.initializer}
    graph.initializer.extend(tensor for tensor in float32.initializer if tensor.name in read - held)


class _Reader:
    """Hands pictures one by one to the calibration, in strides, so that memory stays bounded."""

    def __init__(self, name: str, pictures: Iterable[NDArray[np.uint8]]) -> None:
        self._name = name
        self._pictures = list(_single(pictures))
        self._range = range(len(self._pictures))
        self._at = 0

    def __len__(self) -> int:
        return len(self._pictures)

    def set_range(self, start_index: int, end_index: int) -> None:
        """Hand out these pictures next; the names are ONNX Runtime's."""
        self._range, self._at = range(start_index, min(end_index, len(self))), 0

    def get_next(self) -> dict[str, Any] | None:
        if self._at >= len(self._range):
            return None
        picture = self._pictures[self._range[self._at]]
        self._at += 1
        return {self._name: picture}


def _stride(pictures: int) -> int:
    """How many pictures go through the calibration together; it has to divide their number."""
    return next(n for n in range(_PICTURES_AT_ONCE, 0, -1) if pictures % n == 0)


def _single(batches: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    for batch in batches:
        for index in range(len(batch)):
            yield batch[index : index + 1]


def _tidy(model: onnx.ModelProto, original: onnx.ModelProto, calibration: str) -> None:
    """The metadata of the original with another precision; nothing that tells where it was made."""
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    model.ClearField("metadata_props")
    for entry in original.metadata_props:
        value = "int8" if entry.key == "leukoedge.precision" else entry.value
        model.metadata_props.add(key=entry.key, value=value)
    model.metadata_props.add(key="leukoedge.calibration", value=calibration)
    model.ClearField("doc_string")
    del model.graph.value_info[:]
