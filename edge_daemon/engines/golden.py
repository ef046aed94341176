"""The golden set: does this engine, on this machine, still say what the exporter saw?

Building an engine is not deterministic and files rot; so every network answers a few known inputs
before its first use. The comparison is on network outputs, which is stricter than on labels.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.roles import Precision
from edge_daemon.engines.base import Array, Engine, Outputs
from edge_daemon.errors import BundleError

TOLERANCES: Mapping[Precision, float] = {"fp32": 2e-3, "fp16": 0.1, "int8": 1.0}
"""Largest mean absolute difference from the exporter's float32 outputs, in units of the outputs
(logits, grid units). float32 differs by summation order only; bfloat16 and float16 by rounding."""


@dataclass(frozen=True)
class GoldenResult:
    """How far an engine is from the exporter's outputs, in units of the outputs."""

    mean_abs: float
    max_abs: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the engine may be used. NaN is never a pass."""
        return self.mean_abs <= self.tolerance


def check_golden(engine: Engine, bundle: Bundle, role: RoleName) -> GoldenResult:
    """Run the golden inputs of ``role`` and compare.

    Raises:
        BundleError: the golden set cannot be read or lacks the role.
    """
    expected = _load(bundle.golden, role)
    inputs = expected.pop("input")
    outputs = _run_all(engine, inputs)
    if set(outputs) != set(expected):
        raise BundleError(f"{bundle.golden}: outputs of {role} are not those of its network")
    difference = np.concatenate(
        [np.abs(outputs[name] - expected[name]).ravel() for name in sorted(expected)]
    )
    return GoldenResult(
        mean_abs=float(difference.mean()),
        max_abs=float(difference.max()),
        tolerance=TOLERANCES[engine.precision],
    )


def _run_all(engine: Engine, inputs: Array) -> Outputs:
    """Run inputs ``[N, ...]`` through a network whose batch size may be fixed."""
    spec = engine.inputs[0]
    batch = spec.shape[0] or len(inputs)
    parts = [
        engine.run({spec.name: inputs[first : first + batch]})
        for first in range(0, len(inputs), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _load(file: Path, role: RoleName) -> dict[str, Array]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            found = {
                key.partition("/")[2]: arrays[key]
                for key in arrays.files
                if key.startswith(f"{role}/")
            }
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise BundleError(f"cannot read {file}: {error}; copy the bundle again") from error
    if "input" not in found or len(found) < 2:
        raise BundleError(f"{file} has no golden set for {role}; export the bundle again")
    return found
