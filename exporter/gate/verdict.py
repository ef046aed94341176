"""May a smaller precision ship? Sensitivity first, and never when in doubt.

A network with fewer bits can lose exactly the cells it was built to find and keep its average. So
each precision is held against float32 on held-out data, figure by figure; what it may lose is
written here, and a figure that was not measured counts as lost. A precision that fails is not in
the bundle.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.contract.roles import Calibration, Precision
from edge_daemon.contract.terms import CellLabel

LIMITS: Mapping[Precision, Mapping[str, float]] = {
    "fp32": {},
    "fp16": {
        "sensitivity": 0.005,
        "specificity": 0.02,
        "wbc_recall": 0.005,
        "auroc": 0.002,
        "map50": 0.002,
    },
    "int8": {
        "sensitivity": 0.005,
        "specificity": 0.02,
        "wbc_recall": 0.005,
        "auroc": 0.005,
        "map50": 0.010,
    },
}
"""Largest loss against float32, by the last part of a figure's name. Others are shown only.

Sensitivity may be bought with specificity, up to four times as much of it; not with more, or
calling every cell a blast would pass."""

LEAST_AGREEMENT: Mapping[Precision, float] = {"fp16": 0.995}
"""Share of cells that must be called what float32 calls them, where cells are called anything."""


@dataclass(frozen=True)
class Measured:
    """What one network is worth on held-out data."""

    figures: Mapping[str, float]
    """Names end in what they are, such as ``bccd/val.map50``. Of what :data:`LIMITS` names, larger
    is better."""
    positives: frozenset[str]
    """Names of the cells that it found: blasts called so, white cells detected."""
    labels: Mapping[str, CellLabel] = field(default_factory=dict)
    """What each cell is called, by its name; empty where cells are only found."""
    calibration: Calibration | None = None
    """How its answers were read, where that was fitted to themselves."""


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
        limits = LIMITS[self.precision]
        lines = [
            f"{name} falls from {before:.4f} to {after:.4f}, {limits[kind]:g} may be lost"
            for name, before, after in self.rows
            if (kind := kind_of_figure(name)) in limits and not before - after <= limits[kind]
        ]
        least, agreement = LEAST_AGREEMENT.get(self.precision), self.agreement
        if least is not None and agreement is not None and not agreement >= least:
            lines.append(f"{agreement:.2%} of the cells keep their label, {least:.1%} must")
        return tuple(lines)

    @property
    def agreement(self) -> float | None:
        """Share of cells with the label that float32 gives them; None where there are no labels.

        A cell that was not labelled again counts as another label.
        """
        if not self.float32.labels:
            return None
        same = sum(
            self.reduced.labels.get(name) == label for name, label in self.float32.labels.items()
        )
        return same / len(self.float32.labels)

    @property
    def passed(self) -> bool:
        """Whether it may ship. Nothing measured is no pass."""
        judged = any(
            kind_of_figure(name) in LIMITS[self.precision] for name in self.float32.figures
        )
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
    def reading(self) -> str | None:
        """How its answers are read, where not as those of float32."""
        own = self.reduced.calibration
        if own is None:
            return None
        low, high = own.abstain_band
        return (
            "Its answers are read by a calibration of their own: temperature "
            f"{own.temperature:.3g}, normal below {low:.3g}, blast from {high:.3g}"
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
        if self.agreement is not None:
            cells += f", {self.agreement:.2%} of the labels the same"
        if self.passed:
            return f"{head}: passes the gate; {cells}"
        return f"{head}: refused: {'; '.join(self.refusals) or 'nothing was measured'}; {cells}"


def kind_of_figure(name: str) -> str:
    """What a figure measures: the last part of its name."""
    return name.rpartition(".")[2]
