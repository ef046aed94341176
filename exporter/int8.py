"""An exported graph with INT8 arithmetic, as an explicit graph: quantise and dequantise nodes.

Post-training quantisation by ONNX Runtime (Jacob et al. 2018, arXiv:1712.05877): weights per
output channel, activations per tensor, both symmetric, which is what TensorRT's parser and
OpenVINO run natively. What a graph answers with, its last convolutions and all behind them, stays
in float: a step of one 127th of the range there would be a step of every score.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from exporter.errors import ExportError

Calibrator = Literal["minmax", "percentile"]
"""How the range of an activation is chosen: all that was seen, or all but the rarest thousandth of
a percent at either end."""


@dataclass(frozen=True)
class Int8Recipe:
    """One way to make INT8 of a graph."""

    calibrator: Calibrator
    float_convolutions: int = 0
    """How many convolutions from the input on stay in float: those at full resolution, where an
    error of rounding travels through all that follows."""

    def __str__(self) -> str:
        if not self.float_convolutions:
            return self.calibrator
        return f"{self.calibrator}, the first {self.float_convolutions} convolutions in float"


LEAST_PICTURES = 50
"""With fewer, the range of an activation is a matter of luck."""

_PICTURES_AT_ONCE = 4
"""All activations of so many pictures are in memory together: 1 GB for frames."""
_QUANTISED = ["Conv", "Gemm", "Add", "MaxPool", "AveragePool", "GlobalAveragePool"]


def quantise(
    source: Path,
    file: Path,
    pictures: Iterable[NDArray[np.uint8]],
    recipe: Int8Recipe,
    *,
    digest: str,
) -> None:
    """Write ``source``, a float32 graph of one input, to ``file`` with INT8 arithmetic.

    Args:
        source: ONNX file, as :func:`exporter.onnx_graph.export_graph` writes it.
        file: where to write; replaced only when the quantised graph is sound.
        pictures: batches for calibration, uint8 ``[N, H, W, 3]``, as the daemon makes them.
        recipe: how ranges are chosen, and what stays in float.
        digest: names the list of pictures; it goes into the file.

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
    partial = file.with_name(file.name + ".partial")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            prepared = Path(scratch) / "prepared.onnx"
            quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
            model = onnx.load(prepared)
            reader = _Reader(model.graph.input[0].name, pictures)
            if len(reader) < LEAST_PICTURES:
                raise ExportError(
                    f"{file.name}: {len(reader)} pictures are too few to calibrate with, "
                    f"{LEAST_PICTURES} are needed: give more training data"
                )
            quantize_static(
                str(prepared),
                str(partial),
                reader,
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                op_types_to_quantize=_QUANTISED,
                nodes_to_exclude=_in_float(model.graph, recipe),
                calibrate_method=methods[recipe.calibrator],
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
        _tidy(partial, source, f"{recipe}; sha256:{digest}")
        partial.replace(file)
    except ExportError:
        raise
    except Exception as error:  # ONNX Runtime raises whatever the operator at fault raises
        cause = " ".join(str(error).split())[:300]
        raise ExportError(f"{source.name} cannot be quantised: {cause}") from error
    finally:
        partial.unlink(missing_ok=True)


def answering_nodes(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that no convolution follows: those that make the answers.

    The last convolutions of a detector; of a classifier all that reads its features: sums, spreads
    and logarithms, to which a step of one 127th of a range can be all there is.
    """
    makers = {output: node for node in graph.node for output in node.output}
    followed: set[str] = set()
    waiting = [name for node in graph.node if node.op_type == "Conv" for name in node.input]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.name not in followed:
            followed.add(node.name)
            waiting.extend(node.input)
    return {node.name for node in graph.node} - followed


def _in_float(graph: onnx.GraphProto, recipe: Int8Recipe) -> list[str]:
    convolutions = [node.name for node in graph.node if node.op_type == "Conv"]
    return sorted({*answering_nodes(graph), *convolutions[: recipe.float_convolutions]})


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


def _tidy(file: Path, source: Path, calibration: str) -> None:
    """The metadata of ``source`` with another precision, and nothing that tells where it was made.

    The same weights and pictures give the same bytes.
    """
    model, original = onnx.load(file), onnx.load(source)
    model.producer_name, model.producer_version = original.producer_name, original.producer_version
    model.ClearField("metadata_props")
    for entry in original.metadata_props:
        value = "int8" if entry.key == "leukoedge.precision" else entry.value
        model.metadata_props.add(key=entry.key, value=value)
    model.metadata_props.add(key="leukoedge.calibration", value=calibration)
    model.ClearField("doc_string")
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    file.write_bytes(model.SerializeToString(deterministic=True))
