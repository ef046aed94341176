"""All figures of a trained detector: published fields, leukaemic cells on them, rendered fields.

The validation fields answer for red cells, platelets and normal white cells. Blasts are in no
published field here, so C-NMC's validation cells are pasted onto validation fields (cells and
fields that training never saw), and the question is whether they are found as ``wbc``. Rendered
fields show whether the demo can work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS
from edge_daemon.vision.detect import Detections
from trainer.data.boxes import overlaps
from trainer.data.field_augment import MarkedFrame
from trainer.data.fields import read_field_sets
from trainer.data.pasted_cells import PastedCells, read_cut_out_cells
from trainer.data.rendered_fields import RenderedFields
from trainer.detector.evaluate import (
    choose_thresholds,
    detect_frames,
    evaluate_detector,
    figures_of,
    frames_of,
)
from trainer.detector.metrics import MATCH_IOU
from trainer.detector.saved import load_detector, save_detector
from trainer.models.detector import Detector
from trainer.training.run_folder import RunFolder

_SEED = 11
_PASTED_CELLS = 300
_RENDERED_FIELDS = 24
RENDERED_VALIDATION_SEEDS = range(2_000, 2_003)
"""Slides that neither training nor the demo draws from."""


def evaluate_run(folder: RunFolder, data: Path) -> dict[str, Any]:
    """Choose the thresholds of a run's best weights on the validation fields, and measure at these.

    Rewrites the role in ``best.pt``; returns plain types, flat enough to read: ``thresholds``, a
    section for each set and ``pooled``, ``pasted`` and ``rendered``. Raises :class:`DataError` when
    the weights or a set are missing.
    """
    detector, role = load_detector(folder.best)
    published = {item.name: frames_of(item) for item in read_field_sets(data, "val")}
    _, matches = evaluate_detector(detector, published, role)
    thresholds = choose_thresholds(matches["pooled"])
    role = role.model_copy(update={"score_thresholds": thresholds})
    save_detector(detector, role, folder.best)
    every_field = [frame for frames in published.values() for frame in frames]
    return {
        "thresholds": thresholds,
        **figures_of(matches, thresholds),
        "pasted": _pasted_figures(detector, role, data, every_field),
        "rendered": _rendered_figures(detector, role),
    }


def describe(figures: Mapping[str, Any]) -> str:
    """The figures as a few lines for a person."""
    return "\n".join(
        f"{name:14s} " + "  ".join(f"{key} {value:.3f}" for key, value in section.items())
        for name, section in figures.items()
    )


def _rendered_figures(detector: Detector, role: DetectorRole) -> dict[str, float]:
    rendered = RenderedFields(_RENDERED_FIELDS, RENDERED_VALIDATION_SEEDS)
    drawn = [rendered.draw(index) for index in range(_RENDERED_FIELDS)]
    _, matches = evaluate_detector(detector, {"rendered": drawn}, role)
    return figures_of(matches, role.score_thresholds)["rendered"]


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
