"""The first look at a frame, before any network: even light, then the quality gate."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.apply import Calibrated
from edge_daemon.contract.findings import FrameQuality, ScaleOrigin
from edge_daemon.contract.stain import StainReference
from edge_daemon.sources.base import Frame
from edge_daemon.vision.quality import Quality, QualityThresholds, assess
from edge_daemon.vision.quality.cover import judge_overlap, overlap_fraction


@dataclasses.dataclass(frozen=True, eq=False)
class CorrectedFrame(Frame):
    """A frame under even, white light, with the calibrated scale where it had none."""

    original: Frame = dataclasses.field(kw_only=True)
    """As the camera gave it: what a recording keeps."""


@dataclasses.dataclass(frozen=True, eq=False)
class Corrected:
    """A frame as the calibration makes it; the source's own where none holds for it."""

    frame: Frame
    by: Calibrated | None = None
    scale_from: ScaleOrigin = "configured"
    """Where ``frame.um_per_px`` comes from, where it says one."""


class Gate:
    """What a frame must have on this microscope. Its first two methods may run in any thread."""

    def __init__(
        self,
        quality: QualityThresholds,
        calibration: Calibrated | None = None,
        learnt_stain: StainReference | None = None,
    ) -> None:
        """Prepare.

        Args:
            quality: what a frame must have; a calibrated focus stands in for its default.
            calibration: what is known of this microscope; applied to frames of its size.
            learnt_stain: the bundle's reference, where the calibration has none.
        """
        self._uncalibrated = self._calibrated = quality
        self._calibration = calibration
        self._stain = self._learnt_stain = learnt_stain
        if calibration is not None:
            self._calibrated = calibration.thresholds(quality)
            self._stain = calibration.stain or learnt_stain

    def correct(self, frame: Frame) -> Corrected:
        """The frame under even, white light, with the calibrated scale if it has none itself."""
        calibration = self._calibration
        if calibration is None or not calibration.fits(frame.pixels):
            return Corrected(frame)
        even = CorrectedFrame(
            frame.index,
            frame.source,
            frame.captured_at,
            calibration.correct(frame.pixels),
            frame.field,
            frame.um_per_px,
            frame.stage,
            original=frame,
        )
        if frame.um_per_px is not None or calibration.um_per_px is None:
            return Corrected(even, calibration)
        known = dataclasses.replace(even, um_per_px=calibration.um_per_px)
        return Corrected(known, calibration, calibration.scale_from)

    def assess(self, corrected: Corrected) -> Quality:
        """Whether the frame is worth analysing."""
        if corrected.by is None:
            return assess(corrected.frame.pixels, self._uncalibrated, self._learnt_stain)
        return assess(corrected.frame.pixels, self._calibrated, self._stain)

    def with_overlap(
        self, quality: FrameQuality | None, red_cell_boxes: npt.NDArray[np.floating]
    ) -> FrameQuality | None:
        """What was measured, and how red cells lie, which only the detector sees.

        ``red_cell_boxes``: float ``[N, 4]``, x0, y0, x1, y1.
        """
        if quality is None:
            return None
        overlap = overlap_fraction(red_cell_boxes)
        judgement = judge_overlap(overlap, self._uncalibrated)
        hint = (judgement.explanation,) if judgement.decision == "hint" else ()
        return quality.model_copy(
            update={"overlap_fraction": overlap, "hints": (*quality.hints, *hint)}
        )


def measured(quality: Quality, corrected: Corrected) -> FrameQuality:
    """What goes into the frame's message."""
    return FrameQuality(
        focus=quality.focus,
        exposure=quality.exposure,
        clipped_fraction=quality.clipped_fraction,
        foreground_fraction=quality.foreground_fraction,
        evenness=quality.evenness,
        stain_shift=quality.stain_shift,
        hints=quality.hints,
        calibrated=corrected.by is not None,
    )
