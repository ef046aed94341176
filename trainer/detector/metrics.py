"""Average precision and recall of detections, as COCO defines them, without its cap of 100.

Matching and the 101-point interpolation are those of the COCO evaluation (Lin et al. 2014,
arXiv:1405.0312) at one IoU; detections per frame are capped by the detector (1,000 or more), not
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.terms import KINDS, CellKind
from edge_daemon.vision.detect import Detections
from trainer.data.boxes import overlaps

MATCH_IOU = 0.5
_RECALL_POINTS = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class KindMatches:
    """All detections of one kind in a set of frames, best score first, against the truth."""

    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    """Whether the detection found a cell that no better detection of its frame had found."""
    cells: int
    """Cells of this kind in the truth."""

    def average_precision(self, threshold: float = 0.0) -> float | None:
        """Area under the interpolated precision-recall curve, 0..1; ``None`` without cells.

        A ``threshold`` leaves the curve's end out, as a device does that reports no lower scores.
        """
        if self.cells == 0:
            return None
        found = np.cumsum(self.correct[self.scores >= threshold])
        if not len(found):
            return 0.0
        precision = found / np.arange(1, len(found) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        place = np.searchsorted(found / self.cells, _RECALL_POINTS, side="left")
        return float(np.append(envelope, 0.0)[np.minimum(place, len(envelope))].mean())

    def recall(self, threshold: float) -> float | None:
        """Fraction of the cells found at scores from ``threshold`` up; ``None`` without cells."""
        if self.cells == 0:
            return None
        return float(self.correct[self.scores >= threshold].sum() / self.cells)

    def precision(self, threshold: float) -> float | None:
        """Fraction of the detections from ``threshold`` up that are right; ``None`` for none."""
        reported = self.correct[self.scores >= threshold]
        return float(reported.mean()) if len(reported) else None

    def best_threshold(self, beta: float) -> float:
        """The score at which F-beta is best: recall counts ``beta`` times as much as precision.

        It lies half way to the next lower score, so that it does not hang on one cell's score.
        Without detections it is 0.5.
        """
        if not len(self.scores):
            return 0.5
        found = np.cumsum(self.correct)
        reported = np.arange(1, len(found) + 1)
        f_beta = (1 + beta**2) * found / (beta**2 * max(self.cells, 1) + reported)
        best = int(np.argmax(f_beta))
        below = self.scores[best + 1] if best + 1 < len(self.scores) else self.scores[best]
        return float((self.scores[best] + below) / 2)


def match(
    detections: Sequence[Detections],
    truths: Sequence[tuple[NDArray[np.float32], NDArray[np.int8]]],
    iou: float = MATCH_IOU,
) -> dict[CellKind, KindMatches]:
    """Match the detections of frames with their truths (boxes ``[N, 4]``, kinds ``[N]``)."""
    matches: dict[CellKind, KindMatches] = {}
    for index, kind in enumerate(KINDS):
        scores, correct, cells = [], [], 0
        for found, (boxes, kinds) in zip(detections, truths, strict=True):
            mine = np.flatnonzero(found.kinds == index)
            mine = mine[np.argsort(-found.scores[mine], kind="stable")]
            truth = boxes[kinds == index]
            cells += len(truth)
            scores.append(found.scores[mine])
            correct.append(_matched(found.boxes[mine], truth, iou))
        all_scores = np.concatenate(scores) if scores else np.empty(0, np.float32)
        all_correct = np.concatenate(correct) if correct else np.empty(0, np.bool_)
        order = np.argsort(-all_scores, kind="stable")
        matches[kind] = KindMatches(all_scores[order], all_correct[order], cells)
    return matches


def mean_average_precision(matches: dict[CellKind, KindMatches]) -> float:
    """Mean over the kinds that occur in the truth; 0 when none does."""
    values = [value for item in matches.values() if (value := item.average_precision()) is not None]
    return float(np.mean(values)) if values else 0.0


def _matched(
    boxes: NDArray[np.float32], truth: NDArray[np.float32], iou: float
) -> NDArray[np.bool_]:
    """Greedily, best score first: each takes the free cell that it overlaps most."""
    correct = np.zeros(len(boxes), dtype=np.bool_)
    if not len(boxes) or not len(truth):
        return correct
    overlap = overlaps(boxes, truth)
    for row in range(len(boxes)):
        cell = int(np.argmax(overlap[row]))
        if overlap[row, cell] >= iou:
            correct[row] = True
            overlap[:, cell] = -1.0
    return correct
