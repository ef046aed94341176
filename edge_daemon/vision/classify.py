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

    ``p_blast``: float64 ``[N]``, calibrated, 0 to 1. ``labels``: one word per cell. ``unfamiliar``:
    bool ``[N]``, unlike anything the classifier was trained on.
    """

    p_blast: npt.NDArray[np.float64]
    labels: tuple[CellLabel, ...]
    unfamiliar: npt.NDArray[np.bool_]

    @classmethod
    def none(cls) -> Verdicts:
        """Verdicts on no cells."""
        return cls(np.empty(0), (), np.empty(0, np.bool_))


def judge_cells(
    logits: npt.NDArray[np.floating],
    role: ClassifierRole,
    novelty: npt.NDArray[np.floating] | None = None,
) -> Verdicts:
    """Read the outputs of a classifier graph.

    Args:
        logits: float ``[N, len(role.classes)]``, finite.
        role: temperature, abstain band and limit of novelty.
        novelty: float ``[N]``; needed where the role has a limit.

    Returns:
        ``softmax(logits / temperature)[blast]`` (Guo et al. 2017, arXiv:1706.04599) and the label
        on either side of the abstain band. A logit that is not finite gives 0.5 and ``uncertain``:
        a broken number must neither clear nor accuse a cell. Nor must a network that does not know
        what it sees: a novelty above the limit, or not a number, gives ``uncertain``.
    """
    scaled = logits.astype(np.float64) / role.temperature
    with np.errstate(invalid="ignore"):
        shifted = scaled - scaled.max(axis=1, keepdims=True, initial=-np.inf)
        weights = np.exp(shifted)
        p_blast = weights[:, role.classes.index("blast")] / weights.sum(axis=1)
    broken = ~np.isfinite(p_blast)
    p_blast = np.where(broken, 0.5, p_blast)
    unfamiliar = np.zeros(len(logits), np.bool_)
    if role.novelty_limit is not None:
        if novelty is None:
            raise ValueError("this role has a limit of novelty: its graph's novelty is needed")
        unfamiliar = ~(novelty <= role.novelty_limit)  # a NaN is not familiar
    low, high = role.abstain_band
    labels: list[CellLabel] = []
    for p, unusable in zip(p_blast, broken | unfamiliar, strict=True):
        labels.append(
            "uncertain"
            if unusable
            else "blast"
            if p >= high
            else "normal"
            if p < low
            else "uncertain"
        )
    return Verdicts(p_blast, tuple(labels), unfamiliar)
