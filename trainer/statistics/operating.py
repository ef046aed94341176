"""What a threshold does: who is called a blast, who is not, and who is left to a reader."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainer.statistics.arrays import Bools, Floats


@dataclass(frozen=True)
class Operating:
    """Rates at one threshold."""

    threshold: float
    sensitivity: float
    specificity: float

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2


def operating_at(is_blast: Bools, p_blast: Floats, threshold: float) -> Operating:
    """Sensitivity and specificity when ``p_blast >= threshold`` is called a blast."""
    table = confusion(is_blast, p_blast >= threshold)
    return Operating(threshold, table.sensitivity, table.specificity)


@dataclass(frozen=True)
class Confusion:
    """Cells by what they are and what they were called; sums of weights in a resampled set."""

    blasts_found: float
    blasts_missed: float
    normals_called_blast: float
    normals_kept: float

    @property
    def sensitivity(self) -> float:
        """Share of the blasts that were found."""
        return _share(self.blasts_found, self.blasts_missed)

    @property
    def specificity(self) -> float:
        """Share of the normal cells that were kept."""
        return _share(self.normals_kept, self.normals_called_blast)

    @property
    def balanced_accuracy(self) -> float:
        """Mean of sensitivity and specificity."""
        return (self.sensitivity + self.specificity) / 2

    @property
    def weighted_f1(self) -> float:
        """F1 of each class, weighted by how many cells it has: the measure of the C-NMC challenge.

        A class that nobody has and nobody was called counts with F1 = 0.
        """
        wrong = self.blasts_missed + self.normals_called_blast
        blasts = self.blasts_found + self.blasts_missed
        normals = self.normals_kept + self.normals_called_blast
        f1_blast = _share(2 * self.blasts_found, wrong, nothing=0.0)
        f1_normal = _share(2 * self.normals_kept, wrong, nothing=0.0)
        return (blasts * f1_blast + normals * f1_normal) / (blasts + normals)


def confusion(is_blast: Bools, called: Bools, weights: Floats | None = None) -> Confusion:
    """Count the cells ``[N]``, each ``weights`` times."""
    table = np.bincount(2 * is_blast + called, weights, minlength=4)
    return Confusion(
        blasts_found=float(table[3]),
        blasts_missed=float(table[2]),
        normals_called_blast=float(table[1]),
        normals_kept=float(table[0]),
    )


def abstain_band(
    is_blast: Bools, p_blast: Floats, *, sensitivity: float, specificity: float
) -> tuple[float, float]:
    """``(low, high)`` between which the classifier says ``uncertain``.

    ``low``: the largest threshold that still lets ``sensitivity`` of the blasts through, so few
    blasts are called normal; ``high``: the smallest threshold that keeps ``specificity`` of the
    normal cells out, so few normal cells are called blasts. A classifier so good that the two
    cross gets a band without width between them.
    """
    low = float(np.quantile(p_blast[is_blast], 1 - sensitivity, method="lower"))
    high = float(np.quantile(p_blast[~is_blast], specificity, method="higher"))
    high = float(np.nextafter(high, 1.0))
    if low > high:
        low = high = (low + high) / 2
    return low, high


def _share(part: float, rest: float, nothing: float = float("nan")) -> float:
    return part / (part + rest) if part + rest else nothing
