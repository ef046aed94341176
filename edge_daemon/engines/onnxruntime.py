"""ONNX Runtime on the CPU: the portable reference that every other engine is held against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.engines.checked import CheckedEngine, opened
from edge_daemon.errors import EngineError

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}


class OnnxRuntimeEngine(CheckedEngine):
    """A network in ONNX Runtime's CPU provider."""

    runtime = "ONNX Runtime"

    def __init__(self, model: Path, precision: Precision, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its fusions of quantise and dequantise nodes misread float16 scales (1.32: logits of 2.6
        # became -1.0), and without them INT8 takes half as long on a processor: decision 9.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        # The arena keeps the largest buffers ever needed; batches vary, memory must stay flat.
        options.enable_cpu_mem_arena = False
        with opened(model, self.runtime):
            session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        super().__init__(
            "onnxruntime:cpu",
            precision,
            tuple(_spec(value) for value in session.get_inputs()),
            tuple(_spec(value) for value in session.get_outputs()),
        )
        self._session: Any = session

    def _infer(self, feed: dict[str, Array]) -> Outputs:
        values = self._session.run(None, feed)
        return {
            spec.name: np.asarray(value, dtype=np.float32)
            for spec, value in zip(self.outputs, values, strict=True)
        }

    def _free(self) -> None:
        self._session = None


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    if value.type not in _DTYPES:
        raise EngineError(f"tensor {value.name} has type {value.type}; export the bundle again")
    return TensorSpec(value.name, _DTYPES[value.type], shape)
