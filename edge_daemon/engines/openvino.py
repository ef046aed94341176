"""OpenVINO on the CPU: the default on x86.

On two cores of a Zen 4 it screens frames 1.7 times as fast as ONNX Runtime in float32, and 2.5
times as fast in bfloat16 (docs/results.md). ``fp32`` asks for float32 arithmetic, so that its
numbers can be compared; with ``auto`` the runtime may use the processor's bfloat16 where it has it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Outputs, TensorSpec
from edge_daemon.engines.checked import CheckedEngine, opened


class OpenVinoEngine(CheckedEngine):
    """A network compiled by OpenVINO for this machine's CPU."""

    runtime = "OpenVINO"

    def __init__(
        self,
        model: Path,
        precision: Precision,
        threads: int,
        *,
        exact_fp32: bool,
        keep_in: Path | None = None,
    ) -> None:
        """``keep_in``: where the compiled network is found at the next start."""
        config: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",  # one frame at a time, all threads on it
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            # The next frame is read beside the networks: a thread bound to a core waits for it.
            "ENABLE_CPU_PINNING": False,
            # Dynamic batches would otherwise keep one compiled kernel set per size seen.
            "CPU_RUNTIME_CACHE_CAPACITY": 16,
        }
        if exact_fp32:
            config["INFERENCE_PRECISION_HINT"] = "f32"
        if keep_in is not None:
            config["CACHE_DIR"] = str(keep_in)
        with opened(model, self.runtime):
            compiled = core().compile_model(str(model), "CPU", config)
        arithmetic = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        super().__init__(
            f"openvino:cpu:{arithmetic}",
            "fp16" if precision == "fp32" and arithmetic != "f32" else precision,
            tuple(_spec(port) for port in compiled.inputs),
            tuple(_spec(port) for port in compiled.outputs),
        )
        self._request: Any = compiled.create_infer_request()

    def _infer(self, feed: dict[str, Array]) -> Outputs:
        self._request.infer(feed, share_inputs=True)
        return {
            spec.name: np.array(self._request.get_tensor(spec.name).data, dtype=np.float32)
            for spec in self.outputs
        }

    def _free(self) -> None:
        self._request = None


@cache
def core() -> Any:
    """The one ``openvino.Core`` of this process; it is never given back.

    On processors with AMX a core's CPU plugin puts a signal stack under the calling thread and
    unmaps it when it goes. When the older of two cores goes first, the younger one restores the
    unmapped stack, and the next signal (a SIGTERM, a finished child) ends the process with a
    segmentation fault (openvino pull request 11894 has the code).
    """
    import openvino

    return openvino.Core()


def _spec(port: Any) -> TensorSpec:
    shape = tuple(
        None if dimension.is_dynamic else dimension.get_length()
        for dimension in port.get_partial_shape()
    )
    return TensorSpec(_name(port), np.dtype(port.get_element_type().to_dtype()), shape)


def _name(port: Any) -> str:
    """The name that the ONNX file gives it.

    An answer that is cast on its way out has two names here, and which comes first is chance; read
    back from the cache it is another one. The result's own node knows the right one.
    """
    name: str = port.get_node().get_friendly_name().partition("/sink_port_")[0]
    return name if name in port.get_names() else str(port.get_any_name())
