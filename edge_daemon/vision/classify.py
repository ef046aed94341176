"""From logits to what is said about a nucleated cell: calibrated probability and label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.roles import ClassifierRole
from edge_daemon.contract.terms import CellLabel


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What the classifier says about ``N`` cells, in the order of the crops.

    ``p_blast``: float64 ``[N]``, calibrated, 0 to 1. ``labels``: one word per cell.
    """

    p_blast: npt.NDArray[np.float64]
    labels: tuple[CellLabel, ...]

    @classmethod
    def none(cls) -> Verdicts:
        """Verdicts on no cells."""
        return cls(np.empty(0), ())


def judge_cells(logits: npt.NDArray[np.floating], role: ClassifierRole) -> Verdicts:
    """Read the output of a classifier graph.

    Args:
        logits: float ``[N, len(role.classes)]``, finite.
        role: temperature and abstain band.

    Returns:
        ``softmax(logits / temperature)[blast]`` (Guo et al. 2017, arXiv:1706.04599) and the label
        on either side of the abstain band. A logit that is not finite gives 0.5 and ``uncertain``:
        a broken number must neither clear nor accuse a cell.
    """
    scaled = logits.astype(np.float64) / role.temperature
    with np.errstate(invalid="ignore"):
        shifted = scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf)
        weights = np.exp(shifted)
        p_blast = weights[:, role.classes.index("blast")] / weights.sum(axis=1)
    broken = ~np.isfinite(p_blast)
    p_blast = np.where(broken, 0.5, p_blast)
    low, high = role.abstain_band
    labels: list[CellLabel] = []
    for p, unusable in zip(p_blast, broken, strict=True):
        labels.append(
            "uncertain"
            if unusable
            else "blast"
            if p >= high
            else "normal"
            if p < low
            else "uncertain"
        )
    return Verdicts(p_blast, tuple(labels))
