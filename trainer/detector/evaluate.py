"""How good a detector is: average precision and recall on whole fields, read as the device does.

The network's outputs go through :func:`edge_daemon.vision.detect.decode`, the very code that runs
on the device, with its cap of 1,000 detections and its suppression.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from edge_daemon.contract.roles import DetectorRole
from edge_daemon.contract.terms import KINDS, CellKind
from edge_daemon.vision.detect import Detections, decode, letterbox
from trainer.data.field_augment import MarkedFrame
from trainer.data.fields import FieldSet
from trainer.detector.metrics import KindMatches, match, mean_average_precision
from trainer.models.detector import Detector, DetectorGraph
from trainer.training.compute import device_of

EVALUATION_SCORE = 0.01
"""Average precision looks at the whole curve, so detections far below the shipped thresholds
take part."""

THRESHOLD_BETA = 3.0
"""F-beta that picks each kind's score threshold: recall counts three times as much as precision.
A cell missed is worse than one too many, and precision is judged by incomplete labels: a good part
of BCCD's red cells and platelets is not marked, so the best F1 would teach the device to miss them
(at it, BCCD's red cells were reported with a recall of 0.77 instead of 0.96)."""


@dataclass(frozen=True)
class DetectionReport:
    """Figures of one set of frames; per kind, ``None`` where the set holds no such cell."""

    frames: int
    map50: float
    ap50: dict[CellKind, float | None]
    recall: dict[CellKind, float | None]
    """At the score thresholds of the role."""
    precision: dict[CellKind, float | None]
    """At the score thresholds of the role."""
    saturated_frames: int
    """Frames with more cells at the score thresholds of the role than it keeps."""


def evaluation_role(role: DetectorRole) -> DetectorRole:
    """The same role, reporting nearly everything."""
    return role.model_copy(update={"score_thresholds": dict.fromkeys(KINDS, EVALUATION_SCORE)})


def detect_frames(
    detector: Detector, frames: Sequence[MarkedFrame], role: DetectorRole
) -> list[Detections]:
    """Run the network in fp32 on each frame by itself, as the device does."""
    graph, device = DetectorGraph(detector).eval(), device_of(detector)
    found = []
    with torch.inference_mode():
        for frame in frames:
            image, scale = letterbox(frame.pixels, role)
            outputs = graph(torch.from_numpy(image).to(device))
            named: dict[str, NDArray[np.float32]] = {
                name: part.cpu().numpy()
                for name, part in zip(graph.output_names, outputs, strict=True)
            }
            found.append(decode(named, role, scale, *frame.pixels.shape[:2]))
    return found


def frames_of(field_set: FieldSet) -> list[MarkedFrame]:
    """The pictures of a set in memory."""
    return [MarkedFrame(r.read(), r.boxes, r.kinds) for r in field_set.records]


def evaluate_detector(
    detector: Detector, sets: Mapping[str, Sequence[MarkedFrame]], role: DetectorRole
) -> tuple[dict[str, DetectionReport], dict[str, dict[CellKind, KindMatches]]]:
    """Reports of every set and of all together (``pooled``), and the matches they come from.

    Recall and precision are at ``role.score_thresholds``.
    """
    reports: dict[str, DetectionReport] = {}
    matches: dict[str, dict[CellKind, KindMatches]] = {}
    everything: tuple[list[Detections], list[MarkedFrame]] = ([], [])
    for name, frames in sets.items():
        found = detect_frames(detector, frames, evaluation_role(role))
        everything[0].extend(found)
        everything[1].extend(frames)
        matches[name] = _match(found, frames)
        reports[name] = report(matches[name], found, role)
    if len(sets) > 1:
        matches["pooled"] = _match(*everything)
        reports["pooled"] = report(matches["pooled"], everything[0], role)
    return reports, matches


def report(
    matches: Mapping[CellKind, KindMatches], found: Sequence[Detections], role: DetectorRole
) -> DetectionReport:
    """The figures of one set at the thresholds of ``role``."""
    thresholds = role.score_thresholds
    return DetectionReport(
        frames=len(found),
        map50=mean_average_precision(dict(matches)),
        ap50={kind: item.average_precision() for kind, item in matches.items()},
        recall={kind: item.recall(thresholds[kind]) for kind, item in matches.items()},
        precision={kind: item.precision(thresholds[kind]) for kind, item in matches.items()},
        saturated_frames=sum(_saturates(item, role) for item in found),
    )


def _saturates(found: Detections, role: DetectorRole) -> bool:
    """Whether the cut at the cap went through cells that ``role`` reports.

    ``found`` goes far below the thresholds, where every frame holds more than the cap.
    """
    thresholds = np.array([role.score_thresholds[kind] for kind in role.kinds])
    reported = found.scores >= thresholds[found.kinds]
    return found.saturated and bool(reported.all())


def figures_of(
    matches: Mapping[str, Mapping[CellKind, KindMatches]], thresholds: Mapping[CellKind, float]
) -> dict[str, dict[str, float]]:
    """Figures of each set, rounded.

    Average precision by kind and its mean ``map50`` over the whole curve; the same mean over what
    is reported at ``thresholds`` (``map50_reported``); and ``wbc_recall`` there.
    """
    figures: dict[str, dict[str, float]] = {}
    for name, kinds in matches.items():
        present = {kind: item for kind, item in kinds.items() if item.cells}
        by_kind = {kind: item.average_precision() or 0.0 for kind, item in present.items()}
        reported = [
            item.average_precision(thresholds[kind]) or 0.0 for kind, item in present.items()
        ]
        figures[name] = {kind: round(value, 4) for kind, value in by_kind.items()}
        figures[name]["map50"] = round(float(np.mean(list(by_kind.values()))), 4)
        figures[name]["map50_reported"] = round(float(np.mean(reported)), 4)
        figures[name]["wbc_recall"] = round(kinds["wbc"].recall(thresholds["wbc"]) or 0.0, 4)
    return figures


def choose_thresholds(matches: Mapping[CellKind, KindMatches]) -> dict[CellKind, float]:
    """Per kind, the score with the best F-beta (:data:`THRESHOLD_BETA`), to three digits."""
    return {kind: round(item.best_threshold(THRESHOLD_BETA), 3) for kind, item in matches.items()}


def _match(
    found: Sequence[Detections], frames: Sequence[MarkedFrame]
) -> dict[CellKind, KindMatches]:
    return match(found, [(frame.boxes, frame.kinds) for frame in frames])
