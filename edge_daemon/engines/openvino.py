"""OpenVINO on the CPU: the default on x86.

Measured on two cores without AMX or GPU (docs/results.md has the command): about twice as fast as
ONNX Runtime on the same file. ``fp32`` asks for float32 arithmetic, so that its numbers can be
compared; with ``auto`` the runtime may use the processor's bfloat16 where it has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.engines.checks import checked, opened
from edge_daemon.errors import EngineError


class OpenVinoEngine:
    """A network compiled by OpenVINO for this machine's CPU."""

    def __init__(
        self, model: Path, precision: Precision, threads: int, *, exact_fp32: bool
    ) -> None:
        import openvino as ov

        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",  # one frame at a time, all threads on it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # Dynamic batches would otherwise keep one compiled kernel set per size seen.
            "CPU_RUNTIME_CACHE_CAPACITY": 16,
        }
        if exact_fp32:
            config["INFERENCE_PRECISION_HINT"] = "f32"
        with opened(model, "OpenVINO"):
            compiled = ov.Core().compile_model(str(model), "CPU", config)
        self._request: Any = compiled.create_infer_request()
        self._inputs = tuple(_spec(port) for port in compiled.inputs)
        self._outputs = tuple(_spec(port) for port in compiled.outputs)
        self._arithmetic = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        rounded = precision == "fp32" and self._arithmetic != "f32"
        self._precision: Precision = "fp16" if rounded else precision

    @property
    def name(self) -> str:
        """The runtime, what it runs on and the arithmetic it chose."""
        return f"openvino:cpu:{self._arithmetic}"

    @property
    def precision(self) -> Precision:
        """The coarsest arithmetic it may use; bfloat16 counts as ``fp16``."""
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
        if self._request is None:
            raise EngineError("this engine is closed; open it again")
        feed = checked(inputs, self._inputs)
        try:
            self._request.infer(feed, share_inputs=True)
        except Exception as error:
            raise EngineError(f"OpenVINO failed while running: {error}") from error
        return {
            spec.name: np.array(self._request.get_tensor(spec.name).data, dtype=np.float32)
            for spec in self._outputs
        }

    def close(self) -> None:
        """Free the network."""
        self._request = None


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        None if dimension.is_dynamic else dimension.get_length()
        for dimension in port.get_partial_shape()
    )
    return TensorSpec(port.get_any_name(), np.dtype(port.get_element_type().to_dtype()), shape)
