"""When does a network still say what the exporter saw? The measure and its limits, for both sides.

The exporter proves a file by it before it ships, the device proves an engine by it before its first
use. Network outputs are compared, which is stricter than comparing labels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.bundle import RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.errors import BundleError

TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.25}
"""Largest mean absolute difference from the exporter's float32 outputs, as a share of the spread of
those outputs. float32 differs by the order of its sums only, bfloat16 and float16 by rounding."""

INPUT = "input"
"""Name of a role's input in the golden set; its other entries are outputs."""


def golden_set(file: Path, role: RoleName) -> dict[str, npt.NDArray[Any]]:
    """The entries of ``role`` in ``golden.npz``: :data:`INPUT`, and every output by its name.

    Raises:
        BundleError: the set cannot be read or lacks the role.
    """
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {
                key.partition("/")[2]: arrays[key]
                for key in arrays.files
                if key.startswith(f"{role}/")
            }
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"cannot read {file}: {error}; copy the bundle again") from error
    if INPUT not in found or len(found) < 2:
        raise BundleError(f"{file} has no golden set for {role}; export the bundle again")
    return found


def spread_share(output: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """Mean absolute difference over the deviation of ``expected``; NaN where shapes differ."""
    if output.shape != expected.shape:
        return float("nan")
    # An output that is all but constant has no spread: its size stands in for it.
    spread = max(float(expected.std()), 0.1 * float(np.abs(expected).mean()), 1e-6)
    return float(np.abs(output - expected).mean()) / spread
