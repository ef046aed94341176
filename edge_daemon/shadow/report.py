"""From counts to what is published of them: shares with their denominators and intervals."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from edge_daemon.contract.findings import FrameCounts
from edge_daemon.contract.shadow import (
    Agreement,
    Candidate,
    LabelCounts,
    LabelTable,
    ProbabilityShift,
    ShadowFrames,
    ShadowSide,
)
from edge_daemon.contract.terms import LABELS, CellLabel, Completion
from edge_daemon.shadow.cells import MICRO, Labels
from edge_daemon.shadow.comparison import Compared
from edge_daemon.vision.slide import SlideThresholds, blast_fraction, clopper_pearson, judge


@dataclass(frozen=True)
class ShadowStanding:
    """How a candidate stands on a slide."""

    candidate: Candidate
    frames: ShadowFrames
    compared: Compared
    fault: str | None = None
    """Why it was put aside."""


def body_of(
    standing: ShadowStanding, thresholds: SlideThresholds, completion: Completion | None
) -> dict[str, Any]:
    """The fields of the message, before it is addressed.

    ``completion``: why the slide ended; pictures are in its last report only.
    """
    compared, labels = standing.compared, standing.compared.labels
    table = LabelTable(**{said: _counts(labels, said) for said in LABELS})
    only_active = LabelCounts(**{label: labels[label, None] for label in LABELS})
    only_candidate = _counts(labels, None)
    by_active: Counter[CellLabel] = Counter()
    by_candidate: Counter[CellLabel] = Counter()
    for (active, candidate), cells in labels.items():
        if active is not None:
            by_active[active] += cells
        if candidate is not None:
            by_candidate[candidate] += cells
    frames, aborted = standing.frames.compared, completion == "aborted"
    both = table.cells
    worst = compared.worst
    if completion is None:
        worst = tuple(one.model_copy(update={"jpeg": None}) for one in worst)
    return {
        "candidate": standing.candidate,
        "frames": standing.frames,
        "table": table,
        "only_active": only_active,
        "only_candidate": only_candidate,
        "agreement": agreement(table.agreed, both, thresholds.confidence),
        "p_blast_shift": ProbabilityShift(
            mean=compared.shift_micro / MICRO / both,
            mean_absolute=compared.shift_absolute_micro / MICRO / both,
        )
        if both
        else None,
        "by_active": _side(by_active, frames, compared.saturated[0], thresholds, aborted),
        "by_candidate": _side(by_candidate, frames, compared.saturated[1], thresholds, aborted),
        "disagreements": compared.disagreements,
        "worst": worst,
        "fault": standing.fault,
        "completion": completion,
    }


def agreement(agreed: int, cells: int, confidence: float) -> Agreement | None:
    """The share that both agree on with its exact interval; None of no cells."""
    if not cells:
        return None
    low, high = clopper_pearson(agreed, cells, confidence)
    return Agreement(
        agreed=agreed,
        cells=cells,
        estimate=agreed / cells,
        low=low,
        high=high,
        confidence=confidence,
    )


def _counts(labels: Counter[Labels], said: CellLabel | None) -> LabelCounts:
    """What the candidate says of cells of which the active bundle says this."""
    return LabelCounts(**{label: labels[said, label] for label in LABELS})


def _side(
    cells: Counter[CellLabel], frames: int, saturated: int, limits: SlideThresholds, aborted: bool
) -> ShadowSide:
    nucleated, blasts, uncertain = sum(cells.values()), cells["blast"], cells["uncertain"]
    verdict = judge(
        blasts=blasts,
        uncertain=uncertain,
        nucleated=nucleated,
        frames=FrameCounts(captured=frames, analysed=frames),
        saturated_frames=saturated,
        thresholds=limits,
    )
    return ShadowSide(
        nucleated_cells=nucleated,
        blasts=blasts,
        uncertain=uncertain,
        blast_fraction=blast_fraction(blasts, nucleated, limits.confidence),
        saturated_frames=saturated,
        disposition="insufficient" if aborted else verdict.disposition,
    )
