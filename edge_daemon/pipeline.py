"""The one path of a frame, top to bottom.

    flat field, quality gate, letterbox | detector -> scale -> crops -> classifier -> slide map
                                prepare | finish

Whatever a source hands out comes back as :class:`Findings` with exactly one outcome:

* ``analysed``: the networks looked at it; no cells then means that there are none to see;
* ``rejected``: the quality gate refused it, with the reason;
* ``dropped``: it was captured and let go under back-pressure;
* ``failed``: it could not be read, or something broke while it was analysed.

A failure in one frame is that frame's outcome and never the end of the slide, unless the networks
are lost with it (:attr:`Pipeline.lost`): then all that follows would fail as well.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.contract.findings import (
    CellResult,
    FramePlace,
    FrameQuality,
    ScaleOrigin,
    StagePoint,
)
from edge_daemon.contract.terms import KINDS, CellLabel, Outcome
from edge_daemon.errors import LostDeviceError
from edge_daemon.gate import Corrected, Gate, measured
from edge_daemon.inference import DetectorInput, Models
from edge_daemon.sources.base import Captured, DroppedFrame, Frame, UnreadableFrame
from edge_daemon.vision.classify import Verdicts
from edge_daemon.vision.crops import crop_cells
from edge_daemon.vision.detect import Detections
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.placement import Placement
from edge_daemon.vision.quality import QualityThresholds
from edge_daemon.vision.scale import estimate_um_per_px
from edge_daemon.vision.slide_map import SlideMap

log = logging.getLogger(__name__)

_FRAME_FAILED = "frame %d of %s failed"

NUCLEATED_CELL_UM = 12.0
"""Assumed diameter of a nucleated cell where neither camera, red cells nor earlier frames tell the
scale. Verdicts at an assumed scale are ``uncertain``: size is half of what a blast is."""


@dataclasses.dataclass(frozen=True, eq=False)
class Mapped:
    """What an analysed frame did to the slide map; with it the map can be made again."""

    placement: Placement
    sightings: tuple[Sighting, ...]


@dataclasses.dataclass(frozen=True)
class Findings:
    """What became of one captured frame: the body of a FrameResult, before it is addressed."""

    frame: int
    field: int
    source: str
    captured_at: datetime
    outcome: Outcome
    reason: str | None = None
    quality: FrameQuality | None = None
    stage: StagePoint | None = None
    timings_ms: dict[str, float] = dataclasses.field(default_factory=dict)
    width: int | None = None
    height: int | None = None
    um_per_px: float | None = None
    um_per_px_from: ScaleOrigin = "unknown"
    place: FramePlace | None = None
    saturated: bool = False
    cells: tuple[CellResult, ...] = ()
    mapped: Mapped | None = None
    """Of an analysed frame, for the ledger; not part of the message."""

    @property
    def body(self) -> dict[str, Any]:
        """The fields of the message."""
        return {name: value for name, value in vars(self).items() if name != "mapped"}


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """A captured frame on its way: what could be said of it and done to it without a network."""

    captured: Captured
    findings: Findings
    """Final without a ``view``; with one, what the gate measured, still without an outcome."""
    view: DetectorInput | None = None
    scale_from: ScaleOrigin = "configured"
    """Where ``captured.um_per_px`` comes from, where it says one."""


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


class Pipeline:
    """Analyses the frames of one slide in order. Belongs to the thread that owns the models.

    Its first half may run in another thread, one frame ahead: :mod:`edge_daemon.screening`.
    """

    def __init__(
        self,
        models: Models,
        quality: QualityThresholds | None = None,
        calibration: Calibrated | None = None,
        *,
        slide_map: SlideMap | None = None,
        scales: Mapping[tuple[int, int], float] | None = None,
    ) -> None:
        """Start a slide, or go on with one.

        Args:
            models: networks, opened in the thread that calls :meth:`finish`.
            quality: what a frame must have; a calibrated focus stands in for its default.
            calibration: what is known of this microscope; applied to frames of its size.
            slide_map: of a slide that is taken up again, as it was.
            scales: likewise, height and width of a frame -> um per pixel, as last estimated.
        """
        self.slide_map = slide_map or SlideMap()
        self.lost: LostDeviceError | None = None
        """Why the networks cannot go on; whoever runs the slide ends it and raises this."""
        self._models = models
        self._calibrated = calibration is not None
        learnt_stain = models.bundle.manifest.stain
        self._gate = Gate(quality or QualityThresholds(), calibration, learnt_stain)
        self._last_scale: dict[tuple[int, int], float] = dict(scales or {})

    def process(self, captured: Captured) -> Findings:
        """Give a captured frame its one outcome. Never raises for what is wrong with a frame."""
        return self.finish(self.prepare(captured))

    def prepare(self, captured: Captured) -> Prepared:
        """The first half of :meth:`process`, which needs no network and may run in any thread."""
        findings = _begin(captured)
        if not isinstance(captured, Frame):
            return Prepared(captured, findings)
        watch = Stopwatch()
        corrected = Corrected(captured)
        try:
            if self._calibrated:
                with watch.time("correct"):
                    corrected = self._gate.correct(captured)
            with watch.time("quality"):
                quality = self._gate.assess(corrected)
            findings = dataclasses.replace(
                findings, timings_ms=watch.timings_ms, quality=measured(quality, corrected)
            )
            if quality.reason is not None:
                findings = dataclasses.replace(findings, outcome="rejected", reason=quality.reason)
                return Prepared(corrected.frame, findings)
            with watch.time("scale"):
                view = self._models.scaled(corrected.frame.pixels)
        except Exception as error:  # one frame's failure must not end the slide
            log.exception(_FRAME_FAILED, captured.index, captured.source)
            return Prepared(captured, _failed(findings, error, watch))
        return Prepared(corrected.frame, findings, view, corrected.scale_from)

    def finish(self, prepared: Prepared) -> Findings:
        """The second half of :meth:`process`: in the thread of the models, in order of capture."""
        frame, findings = prepared.captured, prepared.findings
        if prepared.view is None or not isinstance(frame, Frame):
            return findings
        watch = Stopwatch(findings.timings_ms)
        if self.lost is not None:
            return _failed(findings, self.lost, watch)
        try:
            return self._analyse(frame, prepared, prepared.view, watch)
        except LostDeviceError as error:
            log.exception(_FRAME_FAILED, frame.index, frame.source)
            self.lost = error
            return _failed(findings, error, watch)
        except Exception as error:  # one frame's failure must not end the slide
            log.exception(_FRAME_FAILED, frame.index, frame.source)
            return _failed(findings, error, watch)

    def _analyse(
        self, frame: Frame, prepared: Prepared, view: DetectorInput, watch: Stopwatch
    ) -> Findings:
        with watch.time("detect"):
            found = self._models.detect(view)
        red = found.kinds == KINDS.index("rbc")
        um_per_px, origin = self._scale(frame, found.boxes[red], prepared.scale_from)
        nucleated = np.flatnonzero(found.kinds == KINDS.index("wbc"))
        with watch.time("classify"):
            verdicts = self._classify(frame.pixels, found.boxes[nucleated], um_per_px)
        with watch.time("register"):
            stage_px = None
            # A scale that is itself an estimate would put the stage's steps off by as much.
            measured_scale = frame.um_per_px if prepared.scale_from == "configured" else None
            if frame.stage is not None and measured_scale is not None:
                stage_px = (frame.stage.x_um / measured_scale, frame.stage.y_um / measured_scale)
            placement = self.slide_map.place(frame.pixels, found.boxes, frame.field, stage_px)
            sightings = _sightings(found, nucleated, verdicts)
            ids = self.slide_map.add(placement, sightings)
        return dataclasses.replace(
            prepared.findings,
            outcome="analysed",
            quality=self._gate.with_overlap(prepared.findings.quality, found.boxes[red]),
            timings_ms=watch.timings_ms,
            um_per_px=um_per_px,
            um_per_px_from=origin,
            place=FramePlace(
                piece=placement.island,
                x=float(placement.frame[0]),
                y=float(placement.frame[1]),
                tie=placement.tie,
            ),
            saturated=found.saturated,
            cells=_cells(sightings, ids),
            mapped=Mapped(placement, tuple(sightings)),
        )

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
            return dataclasses.replace(verdicts, labels=tuple(unsure for _ in boxes))
        return verdicts


def _begin(captured: Captured) -> Findings:
    """What a captured frame says of itself; ``failed`` until more is known."""
    start = Findings(
        frame=captured.index,
        field=captured.field,
        source=captured.source,
        captured_at=captured.captured_at,
        outcome="failed",
    )
    if isinstance(captured, UnreadableFrame):
        return dataclasses.replace(start, reason=captured.reason)
    if isinstance(captured, DroppedFrame):
        return dataclasses.replace(start, outcome="dropped", reason=captured.reason)
    height, width = captured.pixels.shape[:2]
    stage = captured.stage
    return dataclasses.replace(
        start,
        width=width,
        height=height,
        stage=None if stage is None else StagePoint(**vars(stage)),
    )


def _failed(findings: Findings, error: Exception, watch: Stopwatch) -> Findings:
    reason = f"analysis failed: {type(error).__name__}: {error}"[:500]
    return dataclasses.replace(
        findings, outcome="failed", reason=reason, timings_ms=watch.timings_ms
    )


def _sightings(
    found: Detections, nucleated: npt.NDArray[np.intp], verdicts: Verdicts
) -> list[Sighting]:
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
    return sightings


def _cells(sightings: list[Sighting], unique_ids: list[int]) -> tuple[CellResult, ...]:
    return tuple(
        CellResult(
            id=index,
            box=(s.box[0], s.box[1], s.box[2] - s.box[0], s.box[3] - s.box[1]),
            kind=s.kind,
            score=s.score,
            p_blast=s.p_blast,
            label=s.label,
            unique_id=unique_id if s.kind == "wbc" else None,
        )
        for index, (s, unique_id) in enumerate(zip(sightings, unique_ids, strict=True))
    )
