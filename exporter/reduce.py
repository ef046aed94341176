"""From float32 to fewer bits: try, judge, and keep only what passes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx

from edge_daemon.contract.bundle import RoleName
from exporter.examples import Examples
from exporter.gate import Verdict
from exporter.int8 import CALIBRATORS, quantise
from exporter.reference import ReferenceSession


def reduce_to_int8(
    role: RoleName, source: Path, file: Path, examples: Examples, tell: Callable[[str], None]
) -> Verdict:
    """Quantise ``source`` into ``file``; the verdict of the first calibrator that passes the gate.

    When none does, ``file`` is not there, and the verdict is that of the last one.

    Raises:
        ExportError: the graph cannot be quantised, or there are too few pictures.
    """
    float32 = examples.measure(ReferenceSession(source).run)
    for calibrator in CALIBRATORS:
        quantise(source, file, examples.calibration(), calibrator)
        _note_calibration(file, calibrator, examples.calibration_digest())
        reduced = examples.measure(ReferenceSession(file).run)
        verdict = Verdict(role, "int8", calibrator, float32, reduced)
        tell(str(verdict))
        if verdict.passed:
            return verdict
        file.unlink()
    return verdict


def _note_calibration(file: Path, calibrator: str, digest: str) -> None:
    """Write into the graph what its ranges were made from."""
    model = onnx.load(file)
    model.metadata_props.add(key="leukoedge.calibration", value=f"{calibrator} sha256:{digest}")
    file.write_bytes(model.SerializeToString(deterministic=True))
