"""What a bundle is worth from frame to verdict, on slides whose every white cell is known.

A classifier is measured on crops around cells whose place and scale are known. On a slide the
detector finds the place and red cells tell the scale, and both may be a little off. Here the
daemon's own pipeline looks at fields of the simulated microscope made of real pixels, cells of the
validation patients on frames of a validation set, and beside it the same classifier sees the same
cells cropped where they truly are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_daemon.contract.bundle import load_bundle
from edge_daemon.inference import Models
from edge_daemon.pipeline import Findings, Pipeline
from edge_daemon.sources.base import Frame
from edge_daemon.sources.simulated import open_simulated
from edge_daemon.vision.crops import crop_cells
from exporter.errors import ExportError
from trainer.data.boxes import overlaps
from trainer.statistics.ranking import auroc

_WHOLE = 0.95
"""Cells of which at least this share lies inside the field are judged."""
_SAME_CELL_IOU = 0.5


@dataclass(frozen=True)
class WholePath:
    """Cells of composited fields, judged both ways."""

    background: str
    cells: int
    """White cells wholly inside a field that the gate accepted."""
    found: int
    auroc: float
    """From frame to verdict; a cell that is not found is no blast."""
    auroc_found: float
    """The same, of the cells that were found."""
    auroc_perfect: float
    """Cropped at their true place and scale: all cells."""

    def __str__(self) -> str:
        return (
            f"{self.background}: {self.found} of {self.cells} white cells found; AUROC from frame "
            f"to verdict {self.auroc:.3f} (of those found {self.auroc_found:.3f}), of perfect "
            f"crops {self.auroc_perfect:.3f}"
        )


def judge_whole_path(
    bundle: Path,
    data: Path,
    background: str,
    *,
    fields: int = 300,
    seed: int = 501,
    tick: Callable[[int, int], None] = lambda _done, _fields: None,
) -> WholePath:
    """Run ``bundle`` over ``fields`` composited fields of ``data/background/val``.

    The scale is not told to the pipeline; red cells tell it.

    Raises:
        BundleError, EngineError: the bundle cannot be used here.
        SourceError: there are no cells or backgrounds in ``data``.
        ExportError: the slide shows only one class of cell.
    """
    address = (
        f"sim://?seed={seed}&fields={fields}&overlap=0&white=2&blasts=0.5&scale=unknown"
        f"&stage=none&cells={data / 'cnmc2019'}&backgrounds={data / background / 'val'}&split=val"
    )
    source = open_simulated(address)
    is_blast: list[bool] = []
    found: list[bool] = []
    p_found: list[float] = []
    p_perfect: list[float] = []
    with Models.open(load_bundle(bundle)) as models, source:
        pipeline = Pipeline(models)
        for done, frame in enumerate(source, start=1):
            findings = pipeline.process(frame)
            tick(done, fields)
            if findings.outcome != "analysed":
                continue
            truth = source.frame_truth(frame.index).field
            whole = np.array(
                [
                    i
                    for i, label in enumerate(truth.labels)
                    if label is not None and truth.visible[i] >= _WHOLE
                ],
                np.intp,
            )
            boxes = truth.boxes[whole]
            p_perfect += _perfect(models, frame, boxes, source.settings.um_per_px)
            p, hit = _verdicts(findings, boxes)
            p_found += p.tolist()
            found += hit.tolist()
            is_blast += [truth.labels[i] == "blast" for i in whole]
    truth_of, hits = np.array(is_blast, bool), np.array(found, bool)
    if not (truth_of[hits].any() and (~truth_of[hits]).any()):
        raise ExportError(
            f"{background}: no blast or no normal cell was found in {fields} fields; ask for more"
        )
    return WholePath(
        background=background,
        cells=len(truth_of),
        found=int(hits.sum()),
        auroc=auroc(truth_of, np.array(p_found)),
        auroc_found=auroc(truth_of[hits], np.array(p_found)[hits]),
        auroc_perfect=auroc(truth_of, np.array(p_perfect)),
    )


def _perfect(
    models: Models, frame: Frame, boxes: NDArray[np.float32], um_per_px: float
) -> list[float]:
    role = models.classifier_role
    crops = crop_cells(frame.pixels, boxes, um_per_px, role.crop_um, role.size)
    return [float(p) for p in models.classify(crops).p_blast]


def _verdicts(
    findings: Findings, boxes: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Of each true box the probability that the pipeline gave its cell, 0 where it found none."""
    white = [cell for cell in findings.cells if cell.kind == "wbc"]
    if not white or not len(boxes):
        return np.zeros(len(boxes)), np.zeros(len(boxes), bool)
    corner = np.array([cell.box for cell in white], np.float32)
    corner[:, 2:] += corner[:, :2]
    shared = overlaps(boxes, corner)
    best = shared.argmax(axis=1)
    hit = shared.max(axis=1) >= _SAME_CELL_IOU
    p_blast = np.array([cell.p_blast for cell in white], np.float64)
    return np.where(hit, p_blast[best], 0.0), hit
