"""Focus and stain as this microscope shows them, learnt from frames of a smear."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_daemon.calibration.document import LearntFocus, LearntStain, Made
from edge_daemon.errors import CalibrationError
from edge_daemon.vision.quality import QualityThresholds, assess
from edge_daemon.vision.quality.sharpness import FURTHER_BLUR_PX
from edge_daemon.vision.quality.stain import measure_stain, stain_reference

_LEAST_FRAMES = 5
_LEAST_BEST = 6.0
"""Frames of BCCD and TXL-PBC blurred by four pixels of 640 stay below it."""
_WIDER = 1.7
"""Edges may be so much wider than in best focus. From frames of BCCD, which one microscope took,
that gives 7.9 where all data sets together gave the default of 8.5."""
_EVERY_FOCUS = QualityThresholds(min_focus=0.0, min_evenness=0.0)


def learn_focus(frames: Sequence[npt.NDArray[np.uint8]], made: Made) -> LearntFocus:
    """The least focus for this objective, from a sweep through focus or from frames in focus.

    The sharpest quarter of the frames is taken for best focus. A blur r takes from an edge of
    width s the share sqrt(1 + (r/s)^2) - 1 of its slope; from what is lost at best, s follows, and
    from 1.7 times that the least that is let through.

    Raises:
        CalibrationError: too few frames with cells, or none of them sharp.
    """
    qualities = [assess(frame, _EVERY_FOCUS) for frame in frames]
    measured = [quality.focus for quality in qualities if quality.focus is not None]
    if len(measured) < _LEAST_FRAMES:
        why = next((q.reason for q in qualities if q.reason is not None), "there are too few")
        raise CalibrationError(
            f"{len(measured)} of {len(frames)} frames show cells, needs {_LEAST_FRAMES}: {why}"
        )
    sharpest = np.sort(measured)[-max(1, len(measured) // 4) :]
    best = float(np.median(sharpest))
    if best < _LEAST_BEST:
        raise CalibrationError(
            f"no frame is sharp: the best measure is {best:.1f}, needs {_LEAST_BEST:.1f}: "
            "turn the fine focus slowly through the sharpest picture while frames are taken"
        )
    width = FURTHER_BLUR_PX / np.sqrt((1 + best / 100) ** 2 - 1)
    least = 100 * (np.sqrt(1 + (FURTHER_BLUR_PX / (_WIDER * width)) ** 2) - 1)
    return LearntFocus(made=made, best=round(best, 2), min_focus=round(float(least), 2))


def learn_stain(frames: Sequence[npt.NDArray[np.uint8]], made: Made) -> LearntStain:
    """The colours of this stain, from frames of a slide that is known to be good.

    Raises:
        CalibrationError: too few frames that pass the quality gate, or too little in them.
    """
    qualities = [assess(frame) for frame in frames]
    good = [frame for frame, quality in zip(frames, qualities, strict=True) if quality.accepted]
    if len(good) < _LEAST_FRAMES:
        why = next((q.reason for q in qualities if q.reason is not None), "there are too few")
        raise CalibrationError(
            f"{len(good)} of {len(frames)} frames are good enough, needs {_LEAST_FRAMES}: {why}"
        )
    reference = stain_reference([measure_stain(frame) for frame in good])
    if reference is None:
        raise CalibrationError(
            "no frame shows both glass and red cells: move to where red cells lie side by side"
        )
    return LearntStain(made=made, reference=reference)
