"""The reference: ONNX Runtime on one thread, whose sums do not depend on the machine's load.

The exporter measures everything against this one runtime. It is not the fastest, but it is the
most widely used reader of ONNX, and the device's own engines are held against its numbers.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exporter.errors import ExportError


class ReferenceSession:
    """One ONNX file with a single input, ready to run."""

    def __init__(self, file: Path) -> None:
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Its fusions of quantise and dequantise nodes misread float16 scales: decision 9.
        options.add_session_config_entry("session.disable_quant_qdq", "1")
        try:
            self._session = ort.InferenceSession(
                str(file), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime raises a family of untyped errors
            cause = " ".join(str(error).split())[:300]
            raise ExportError(f"ONNX Runtime cannot load {file}: {cause}") from error
        self._file = file
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, pictures: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Outputs by name for ``pictures``, uint8 ``[N, H, W, 3]``, RGB.

        Raises:
            ExportError: when the runtime refuses the pictures or fails.
        """
        try:
            values = self._session.run(self._outputs, {self._input: pictures})
        except Exception as error:
            cause = " ".join(str(error).split())[:300]
            raise ExportError(f"ONNX Runtime fails on {self._file}: {cause}") from error
        return {
            name: np.asarray(value, dtype=np.float32)
            for name, value in zip(self._outputs, values, strict=True)
        }
