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
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.contract.envelope import as_reason
from edge_daemon.contract.findings import (
    CellResult,
    FramePlace,
    FrameQuality,
    ScaleOrigin,
    StagePoint,
)
from edge_daemon.contract.terms import Outcome
from edge_daemon.errors import LostDeviceError
from edge_daemon.gate import Corrected, Gate, measured
from edge_daemon.inference import DetectorInput, Models
from edge_daemon.look import Look, Stopwatch
from edge_daemon.sources.base import Captured, DroppedFrame, Frame, UnreadableFrame
from edge_daemon.vision.cell_table import PublishedFrame
from edge_daemon.vision.island import Sighting
from edge_daemon.vision.placement import Placement
from edge_daemon.vision.quality import QualityThresholds
from edge_daemon.vision.register import View, view_of
from edge_daemon.vision.slide_map import SlideMap

log = logging.getLogger(__name__)

_NO_BOXES = np.empty((0, 4), np.float32)
_FRAME_FAILED = "frame %d of %s failed"


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
    thumb: View | None = None
    """For registration, still without cells; there is one where there is a ``view``."""
    scale_from: ScaleOrigin = "configured"
    """Where ``captured.um_per_px`` comes from, where it says one."""
    labels: tuple[str, ...] = ()
    """What the slides' labels in it say, where it was looked at for them; then it is no field."""


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
        self._look = Look(models, scales)

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
                thumb = view_of(corrected.frame.pixels, _NO_BOXES)
        except Exception as error:  # one frame's failure must not end the slide
            log.exception(_FRAME_FAILED, captured.index, captured.source)
            return Prepared(captured, _failed(findings, error, watch))
        return Prepared(corrected.frame, findings, view, thumb, corrected.scale_from)

    def finish(self, prepared: Prepared, number: int | None = None) -> Findings:
        """The second half of :meth:`process`: in the thread of the models, in order of capture.

        Args:
            prepared: what :meth:`prepare` has made of the frame.
            number: of the frame on its slide; None where its source numbers it so.
        """
        if number is not None:
            findings = dataclasses.replace(prepared.findings, frame=number)
            prepared = dataclasses.replace(prepared, findings=findings)
        frame, findings = prepared.captured, prepared.findings
        if prepared.view is None or prepared.thumb is None or not isinstance(frame, Frame):
            return findings
        watch = Stopwatch(findings.timings_ms)
        if self.lost is not None:
            return _failed(findings, self.lost, watch)
        try:
            return self._analyse(frame, prepared, prepared.view, prepared.thumb, watch)
        except LostDeviceError as error:
            log.exception(_FRAME_FAILED, frame.index, frame.source)
            self.lost = error
            return _failed(findings, error, watch)
        except Exception as error:  # one frame's failure must not end the slide
            log.exception(_FRAME_FAILED, frame.index, frame.source)
            return _failed(findings, error, watch)

    def _analyse(
        self,
        frame: Frame,
        prepared: Prepared,
        view: DetectorInput,
        thumb: View,
        watch: Stopwatch,
    ) -> Findings:
        seen = self._look.at(frame, view, prepared.scale_from, watch)
        with watch.time("register"):
            stage_px = None
            # A scale that is itself an estimate would put the stage's steps off by as much.
            measured_scale = frame.um_per_px if prepared.scale_from == "configured" else None
            if frame.stage is not None and measured_scale is not None:
                stage_px = (frame.stage.x_um / measured_scale, frame.stage.y_um / measured_scale)
            found = dataclasses.replace(thumb, boxes=seen.found.boxes)
            placement = self.slide_map.place_view(found, frame.field, stage_px)
            published = PublishedFrame(prepared.findings.frame, prepared.findings.stage)
            ids = self.slide_map.add(placement, seen.sightings, published)
        return dataclasses.replace(
            prepared.findings,
            outcome="analysed",
            quality=self._gate.with_overlap(prepared.findings.quality, seen.red_cells),
            timings_ms=watch.timings_ms,
            um_per_px=seen.um_per_px,
            um_per_px_from=seen.um_per_px_from,
            place=FramePlace(
                piece=placement.island,
                x=float(placement.frame[0]),
                y=float(placement.frame[1]),
                tie=placement.tie,
            ),
            saturated=seen.found.saturated,
            cells=_cells(seen.sightings, ids),
            mapped=Mapped(placement, seen.sightings),
        )


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
    reason = as_reason(f"analysis failed: {type(error).__name__}: {error}")
    return dataclasses.replace(
        findings, outcome="failed", reason=reason, timings_ms=watch.timings_ms
    )


def _cells(sightings: Sequence[Sighting], unique_ids: list[int]) -> tuple[CellResult, ...]:
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
