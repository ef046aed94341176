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

TOLERANCES: Mapping[Precision, float] = {"fp32": 1e-3, "fp16": 0.05, "int8": 0.25}
"""Largest mean absolute difference from the exporter's float32 outputs, as a share of the spread of
those outputs. float32 differs by the order of its sums only, bfloat16 and float16 by rounding."""


@dataclass(frozen=True)
class GoldenResult:
    """How far an engine is from the exporter's outputs, as a share of their spread."""

    difference: float
    """Mean absolute difference over the standard deviation of the output; of the worst output."""
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the engine may be used. NaN is never a pass."""
        return self.difference <= self.tolerance


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
    shares = [_share(outputs[name], expected[name]) for name in sorted(expected)]
    worst = float(np.max(shares))  # NaN wins over every number
    return GoldenResult(difference=worst, tolerance=TOLERANCES[engine.precision])


def _share(output: Array, expected: Array) -> float:
    if output.shape != expected.shape:
        return float("nan")
    # An output that is all but constant has no spread: its size stands in for it.
    spread = max(float(expected.std()), 0.1 * float(np.abs(expected).mean()), 1e-6)
    return float(np.abs(output - expected).mean()) / spread


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
