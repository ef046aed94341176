"""The golden set: does this engine, on this machine, still say what the exporter saw?

Building an engine is not deterministic and files rot; so every network answers a few known inputs
before its first use. The comparison is on network outputs, which is stricter than on labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edge_daemon.contract.bundle import Bundle, RoleName
from edge_daemon.contract.golden import INPUT, TOLERANCES, golden_set, spread_share
from edge_daemon.engines.base import Array, Engine, Outputs
from edge_daemon.errors import BundleError


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
    expected = golden_set(bundle.golden, role)
    inputs = expected.pop(INPUT)
    outputs = _run_all(engine, inputs)
    if set(outputs) != set(expected):
        raise BundleError(f"{bundle.golden}: outputs of {role} are not those of its network")
    shares = [spread_share(outputs[name], expected[name]) for name in sorted(expected)]
    worst = float(np.max(shares))  # NaN wins over every number
    return GoldenResult(difference=worst, tolerance=TOLERANCES[engine.precision])


def _run_all(engine: Engine, inputs: Array) -> Outputs:
    """Run inputs ``[N, ...]`` through a network whose batch size may be fixed."""
    spec = engine.inputs[0]
    batch = spec.shape[0] or len(inputs)
    parts = [
        engine.run({spec.name: inputs[first : first + batch]})
        for first in range(0, len(inputs), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
