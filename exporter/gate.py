"""May a smaller precision ship? Sensitivity first, and never when in doubt.

A network with fewer bits can lose exactly the cells it was built to find and keep its average. So
each precision is held against float32 on held-out data, figure by figure; what it may lose is
written here, and a figure that was not measured counts as lost. A precision that fails is not in
the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from edge_daemon.contract.roles import Precision

LIMITS: Mapping[str, float] = {
    "sensitivity": 0.005,
    "wbc_recall": 0.005,
    "auroc": 0.005,
    "map50": 0.010,
}
"""Largest loss against float32, by the last part of a figure's name. Others are shown only."""


@dataclass(frozen=True)
class Measured:
    """What one network is worth on held-out data."""

    figures: Mapping[str, float]
    """Larger is better; names end in what they are, such as ``bccd/val.map50``."""
    positives: frozenset[str]
    """Names of the cells that it found: blasts called so, white cells detected."""


@dataclass(frozen=True)
class Verdict:
    """A precision of one role, judged against float32."""

    role: str
    precision: Precision
    recipe: str
    """How it was made."""
    float32: Measured
    reduced: Measured

    @property
    def refusals(self) -> tuple[str, ...]:
        """One line for each figure that lost too much; none: it may ship."""
        return tuple(
            f"{name} falls from {before:.4f} to {after:.4f}, {LIMITS[kind]:g} may be lost"
            for name, before, after in self.rows
            if (kind := _kind(name)) in LIMITS and not before - after <= LIMITS[kind]
        )

    @property
    def passed(self) -> bool:
        """Whether it may ship. Nothing measured is no pass."""
        judged = any(_kind(name) in LIMITS for name in self.float32.figures)
        return judged and not self.refusals

    @property
    def rows(self) -> tuple[tuple[str, float, float], ...]:
        """Name, float32 and reduced figure; NaN where one is missing."""
        reduced = self.reduced.figures
        return tuple(
            (name, before, reduced.get(name, math.nan))
            for name, before in sorted(self.float32.figures.items())
        )

    @property
    def lost(self) -> tuple[str, ...]:
        """Cells that float32 finds and this does not."""
        return tuple(sorted(self.float32.positives - self.reduced.positives))

    @property
    def gained(self) -> tuple[str, ...]:
        """Cells that this finds and float32 does not."""
        return tuple(sorted(self.reduced.positives - self.float32.positives))

    def __str__(self) -> str:
        head = f"{self.role} {self.precision} ({self.recipe})"
        cells = f"{len(self.lost)} positives lost, {len(self.gained)} gained"
        if self.passed:
            return f"{head}: passes the gate; {cells}"
        return f"{head}: refused: {'; '.join(self.refusals) or 'nothing was measured'}; {cells}"


def _kind(name: str) -> str:
    return name.rpartition(".")[2]
