"""All figures of a trained detector: published fields, leukaemic cells on them, rendered fields.

The validation fields answer for red cells, platelets and normal white cells. Blasts are in no
published field here, so C-NMC's validation cells are pasted onto validation fields (cells and
fields that training never saw), and the question is whether they are found as ``wbc``. Rendered
fields show whether the demo can work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS
from edge_daemon.vision.detect import Detections
from trainer.data.field_augment import MarkedFrame
from trainer.data.fields import read_field_sets
from trainer.data.pasted_cells import PastedCells, read_cut_out_cells
from trainer.data.rendered_fields import RenderedFields
from trainer.evaluate_detector import detect_frames, evaluate_detector, frames_of
from trainer.metrics_detection import MATCH_IOU, overlaps
from trainer.models.detector import Detector

_SEED = 11
_PASTED_CELLS = 300
_RENDERED_FIELDS = 24
RENDERED_VALIDATION_SEEDS = range(2_000, 2_003)
"""Slides that neither training nor the demo draws from."""


def detector_figures(detector: Detector, role: DetectorRole, data: Path) -> dict[str, Any]:
    """Measure ``detector`` as it ships: thresholds and geometry of ``role``.

    ``data`` is the folder of the three sets. Returns plain types, ready for ``metrics.json``:
    ``fields`` (a :class:`trainer.evaluate_detector.DetectionReport` for each set and pooled),
    ``pasted`` and ``rendered``. Raises :class:`DataError` when a set is missing.
    """
    published = {item.name: frames_of(item) for item in read_field_sets(data, "val")}
    reports, _ = evaluate_detector(detector, published, role)
    every_field = [frame for frames in published.values() for frame in frames]
    rendered = RenderedFields(_RENDERED_FIELDS, RENDERED_VALIDATION_SEEDS)
    drawn = [rendered.draw(index) for index in range(_RENDERED_FIELDS)]
    rendered_reports, _ = evaluate_detector(detector, {"rendered": drawn}, role)
    return {
        "score_thresholds": dict(role.score_thresholds),
        "fields": {name: asdict(item) for name, item in reports.items()},
        "pasted": _pasted_figures(detector, role, data, every_field),
        "rendered": asdict(rendered_reports["rendered"]),
    }


def _pasted_figures(
    detector: Detector, role: DetectorRole, data: Path, fields: Sequence[MarkedFrame]
) -> dict[str, Any]:
    rng = np.random.default_rng(_SEED)
    cells = read_cut_out_cells(data / "cnmc2019", "val", _PASTED_CELLS, rng)
    paste = PastedCells(cells)
    frames, counts = zip(*(paste.pasted(frame, rng) for frame in fields), strict=True)
    found = detect_frames(detector, frames, role)
    best = [
        overlap
        for frame, count, detections in zip(frames, counts, found, strict=True)
        for overlap in _best_overlaps(frame.boxes[len(frame.boxes) - count :], detections)
    ]
    hits = int((np.array(best) >= MATCH_IOU).sum())
    return {"cells": len(best), "found_as_wbc": hits, "recall": hits / max(len(best), 1)}


def _best_overlaps(cells: np.ndarray, found: Detections) -> np.ndarray:
    """For each cell the overlap with the white cell found that covers it best; 0 for none."""
    white = found.boxes[found.kinds == KINDS.index("wbc")]
    if not len(white):
        return np.zeros(len(cells), dtype=np.float32)
    return overlaps(cells, white).max(axis=1)
