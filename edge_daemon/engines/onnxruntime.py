"""ONNX Runtime on the CPU: the portable reference that every other engine is held against."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.engines.checks import checked, opened
from edge_daemon.errors import EngineError

_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(uint8)": np.dtype(np.uint8),
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
}


class OnnxRuntimeEngine:
    """A network in ONNX Runtime's CPU provider."""

    def __init__(self, model: Path, precision: Precision, threads: int) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # The arena keeps the largest buffers ever needed; batches vary, memory must stay flat.
        options.enable_cpu_mem_arena = False
        with opened(model, "ONNX Runtime"):
            self._session: Any = ort.InferenceSession(
                str(model), options, providers=["CPUExecutionProvider"]
            )
        self._precision = precision
        self._inputs = tuple(_spec(value) for value in self._session.get_inputs())
        self._outputs = tuple(_spec(value) for value in self._session.get_outputs())

    @property
    def name(self) -> str:
        """The runtime and what it runs on."""
        return "onnxruntime:cpu"

    @property
    def precision(self) -> Precision:
        """The coarsest arithmetic it may use."""
        return self._precision

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` must be given."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What :meth:`run` returns."""
        return self._outputs

    def run(self, inputs: Mapping[str, Array]) -> Outputs:
        """Run the network once; see :meth:`edge_daemon.engines.base.Engine.run`."""
        if self._session is None:
            raise EngineError("this engine is closed; open it again")
        feed = checked(inputs, self._inputs)
        try:
            values = self._session.run(None, feed)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed while running: {error}") from error
        return {
            spec.name: np.asarray(value, dtype=np.float32)
            for spec, value in zip(self._outputs, values, strict=True)
        }

    def close(self) -> None:
        """Free the network."""
        self._session = None


def _spec(value: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in value.shape)
    if value.type not in _DTYPES:
        raise EngineError(f"tensor {value.name} has type {value.type}; export the bundle again")
    return TensorSpec(value.name, _DTYPES[value.type], shape)
