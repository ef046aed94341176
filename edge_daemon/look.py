"""One look at a frame with the networks of a bundle: detector -> scale -> crops -> classifier.

What the active bundle does to a frame and what a candidate in its shadow does to it is this same
code, so that nothing but the bundle can make the difference.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_daemon.contract.findings import ScaleOrigin
from edge_daemon.contract.terms import KINDS, CellLabel
from edge_daemon.inference import DetectorInput, Models
from edge_daemon.sources.base import Frame
from edge_daemon.vision.classify import Verdicts
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.detect import Detections
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.scale import estimate_um_per_px

NUCLEATED_CELL_UM = 12.0
"""Assumed diameter of a nucleated cell where neither camera, red cells nor earlier frames tell the
scale. Verdicts at an assumed scale are ``uncertain``: size is half of what a blast is."""


class Stopwatch:
    """Milliseconds per stage of one frame, by the monotonic clock."""

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self.timings_ms: dict[str, float] = dict(before or {})

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of the enclosed block to ``stage``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            spent = 1e3 * (time.perf_counter() - start)
            self.timings_ms[stage] = self.timings_ms.get(stage, 0.0) + spent


@dataclass(frozen=True, eq=False)
class Seen:
    """What the networks say of a frame."""

    found: Detections
    sightings: tuple[Sighting, ...]
    """The same cells in the same order, nucleated ones with their verdict."""
    um_per_px: float | None
    um_per_px_from: ScaleOrigin

    @property
    def red_cells(self) -> npt.NDArray[np.float32]:
        """Boxes of the red cells, float32 ``[N, 4]``: x0, y0, x1, y1."""
        red: npt.NDArray[np.float32] = self.found.boxes[self.found.kinds == KINDS.index("rbc")]
        return red


class Look:
    """Looks at the frames of one slide in order. Belongs to the thread that owns the models."""

    def __init__(
        self, models: Models, scales: Mapping[tuple[int, int], float] | None = None
    ) -> None:
        """``scales``: of a slide that is taken up again, height and width -> um per pixel."""
        self._models = models
        self._last_scale: dict[tuple[int, int], float] = dict(scales or {})

    def at(
        self, frame: Frame, view: DetectorInput, scale_from: ScaleOrigin, watch: Stopwatch
    ) -> Seen:
        """What the networks say of ``frame``.

        Args:
            frame: as the calibration makes it.
            view: the same, letterboxed by :meth:`edge_daemon.inference.Models.scaled`.
            scale_from: where ``frame.um_per_px`` comes from, where it says one.
            watch: gets the times of ``detect`` and ``classify``.
        """
        with watch.time("detect"):
            found = self._models.detect(view)
        red = found.kinds == KINDS.index("rbc")
        um_per_px, origin = self._scale(frame, found.boxes[red], scale_from)
        nucleated = np.flatnonzero(found.kinds == KINDS.index("wbc"))
        with watch.time("classify"):
            verdicts = self._classify(frame.pixels, found.boxes[nucleated], um_per_px)
        return Seen(found, _sightings(found, nucleated, verdicts), um_per_px, origin)

    def _scale(
        self, frame: Frame, red_cells: npt.NDArray[np.float32], known_from: ScaleOrigin
    ) -> tuple[float | None, ScaleOrigin]:
        """The frame's scale in um per pixel: known, read from red cells, or remembered."""
        if frame.um_per_px is not None:
            return frame.um_per_px, known_from
        size = (frame.pixels.shape[0], frame.pixels.shape[1])
        estimate = estimate_um_per_px(red_cells, size)
        # Too few red cells in view: the camera has not changed since the last frame of this size.
        if estimate is None:
            estimate = self._last_scale.get(size)
        if estimate is None:
            return None, "unknown"
        self._last_scale[size] = estimate
        return estimate, "estimated"

    def _classify(
        self, pixels: npt.NDArray[np.uint8], boxes: npt.NDArray[np.float32], um_per_px: float | None
    ) -> Verdicts:
        if not len(boxes):
            return Verdicts.none()
        role = self._models.classifier_role
        scale = um_per_px or NUCLEATED_CELL_UM / float(
            np.median(np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
        )
        crops = crop_cells(pixels, boxes, scale, role.crop_um, role.size)
        verdicts = self._models.classify(crops)
        if um_per_px is None:
            unsure: CellLabel = "uncertain"
            return replace(verdicts, labels=tuple(unsure for _ in boxes))
        return verdicts


def _sightings(
    found: Detections, nucleated: npt.NDArray[np.intp], verdicts: Verdicts
) -> tuple[Sighting, ...]:
    verdict_of = dict(zip(nucleated.tolist(), range(len(nucleated)), strict=True))
    sightings = []
    for index, (box, score, kind) in enumerate(
        zip(found.boxes.tolist(), found.scores.tolist(), found.kinds.tolist(), strict=True)
    ):
        verdict = verdict_of.get(index)
        sightings.append(
            Sighting(
                box=(box[0], box[1], box[2], box[3]),
                kind=KINDS[kind],
                score=score,
                label=None if verdict is None else verdicts.labels[verdict],
                p_blast=None if verdict is None else float(verdicts.p_blast[verdict]),
            )
        )
    return tuple(sightings)
